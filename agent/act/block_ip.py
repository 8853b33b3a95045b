"""Drop all traffic with an address or network, both ways, for a time."""

import ipaddress
from typing import Final

from agent.act import Host, Refuses, Told, _nft, impose, left_s, minutes_of
from agent.orders import InForce

KIND: Final = "block_ip"
TABLE: Final = "inopsio_block"
MOST: Final = 256
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def plan(arguments: Told, host: Host) -> Told:
    """Say what would be blocked; Refuses the house, this host and half the world."""
    minutes, network = minutes_of(arguments), _network(arguments)
    for text, _port in host.house():
        address = ipaddress.ip_address(text)
        if address.version == network.version and address in network:
            raise Refuses(f"{network} has the house's address in it")
    if len([o for o in host.orders.held() if o.kind == KIND]) >= MOST:
        raise Refuses(f"{MOST} networks are blocked already")
    _nft.program()
    return {"network": str(network), "minutes": minutes}


def _network(arguments: Told) -> Network:
    try:
        network = ipaddress.ip_network(str(arguments.get("address")), strict=False)
    except ValueError:
        raise Refuses("address: neither an address nor a network") from None
    least = 8 if network.version == 4 else 16
    if network.prefixlen < least or network.is_loopback or network.is_unspecified:
        raise Refuses(f"address: a network of /{least} or smaller, and not this host's own")
    return network


def do(id: str, arguments: Told, host: Host) -> Told:
    """Block it."""
    told = plan(arguments, host)
    until_s = host.now_s() + told["minutes"] * 60
    impose(InForce(id, KIND, until_s, {"network": told["network"]}), host, put)
    return told


def put(held: list[InForce], host: Host) -> None:
    """Make the table say what is in force; without any it goes."""
    found = [(one, left_s(one, host)) for one in held]
    standing = [(str(one.detail["network"]), seconds) for one, seconds in found if seconds > 0]
    if standing:
        _nft.run(rules(standing))
    else:
        _nft.drop_table(TABLE)


def rules(blocked: list[tuple[str, int]]) -> str:
    """Give the table: a set and a rule each way for every network."""
    sets, into, out = [], [], []
    for number, (text, seconds) in enumerate(blocked):
        network = ipaddress.ip_network(text)
        kind, proto = ("ip", "ipv4") if network.version == 4 else ("ip6", "ipv6")
        sets.append(
            f" set on{number} {{ type nf_proto; flags timeout;"
            f" elements = {{ {proto} timeout {int(seconds)}s }}; }}"
        )
        into.append(f"  {kind} saddr {network} meta nfproto @on{number} counter drop")
        out.append(f"  {kind} daddr {network} meta nfproto @on{number} counter drop")
    chains = []
    for name, hook, lines in (
        ("incoming", "input", into),
        ("outgoing", "output", out),
        ("forwarded", "forward", [*into, *out]),
    ):
        chains += [f" chain {name} {{ type filter hook {hook} priority -180; policy accept;"]
        chains += [*lines, " }"]
    begin = [f"add table inet {TABLE}", f"delete table inet {TABLE}", f"table inet {TABLE} {{"]
    return "\n".join([*begin, *sets, *chains, "}", ""])


def undo(_one: InForce, host: Host) -> Told:
    """Let it through again."""
    left = [o for o in host.orders.held() if o.kind == KIND]
    put(left, host)
    return {"still_blocked": [o.detail["network"] for o in left]}


def says(arguments: Told, one: InForce) -> bool:
    """Answer whether the order's arguments are what is noted as in force."""
    return str(_network(arguments)) == one.detail.get("network")
