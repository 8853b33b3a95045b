"""Cut the host off from the network but for the house, loopback, DHCP and neighbour discovery."""

import ipaddress
from typing import Final

from agent.act import Host, Refuses, Told, _nft, impose, left_s, minutes_of
from agent.orders import InForce

KIND: Final = "isolate"
TABLE: Final = "inopsio_isolate"


def plan(arguments: Told, host: Host) -> Told:
    """Say what would stay reachable and for how long all else would not."""
    minutes, house = minutes_of(arguments), host.house()
    if not house:
        raise Refuses("where the house is, is not known yet: the host would be cut off from it too")
    _nft.program()
    stays = [f"{address} port {port}" for address, port in house]
    return {"minutes": minutes, "stays_reachable": [*stays, "loopback", "DHCP"]}


def do(id: str, arguments: Told, host: Host) -> Told:
    """Isolate, as long as the longest isolation that is in force."""
    told = plan(arguments, host)
    until_s = host.now_s() + told["minutes"] * 60
    house = [list(h) for h in host.house()]
    impose(InForce(id, KIND, until_s, {"house": house}), host, put)
    return told


def put(held: list[InForce], host: Host) -> None:
    """Make the table say what is in force; without any it goes."""
    seconds = max((left_s(one, host) for one in held), default=0)
    if seconds <= 0:
        _nft.drop_table(TABLE)
        return
    known = [tuple(h) for one in held for h in one.detail.get("house", [])]
    house = list(dict.fromkeys([*host.house(), *((str(a), int(p)) for a, p in known)]))
    _nft.run(rules(house, seconds))


def rules(house: list[tuple[str, int]], seconds: int) -> str:
    """Give the table. Every value in it is an address or a number that was read as one."""
    into, out = [], []
    for text, number in house:
        address, port = ipaddress.ip_address(text), int(number)
        kind = "ip" if address.version == 4 else "ip6"
        into.append(f"  {kind} saddr {address} tcp sport {port} accept")
        out.append(f"  {kind} daddr {address} tcp dport {port} accept")
    neighbours = "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert }"
    ends = f"ipv4 timeout {int(seconds)}s, ipv6 timeout {int(seconds)}s"
    return "\n".join(
        [
            f"add table inet {TABLE}",
            f"delete table inet {TABLE}",
            f"table inet {TABLE} {{",
            f" set on {{ type nf_proto; flags timeout; elements = {{ {ends} }}; }}",
            " chain incoming { type filter hook input priority -190; policy accept;",
            '  iif "lo" accept',
            *into,
            f"  {neighbours} accept",
            "  udp sport { 67, 547 } udp dport { 68, 546 } accept",
            "  meta nfproto @on counter drop",
            " }",
            " chain outgoing { type filter hook output priority -190; policy accept;",
            '  oif "lo" accept',
            *out,
            "  icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit } accept",
            "  udp sport { 68, 546 } udp dport { 67, 547 } accept",
            "  meta nfproto @on counter drop",
            " }",
            " chain forwarded { type filter hook forward priority -190; policy accept;",
            "  meta nfproto @on counter drop",
            " }",
            "}",
            "",
        ]
    )


def undo(_one: InForce, host: Host) -> Told:
    """Let the host back, unless another isolation is in force."""
    left = [o for o in host.orders.held() if o.kind == KIND]
    put(left, host)
    return {"still_isolated": bool(left)}
