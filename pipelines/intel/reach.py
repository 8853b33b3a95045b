"""Decide which address on the network a feed may be fetched from: SSRF ends here.

A name is resolved once; every address that comes of it must be one of the internet's, or the house
names it in its settings. Whoever connects takes the address that was checked, not the name again.
"""

import ipaddress
import re
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urljoin, urlsplit

from storage.errors import InvalidInput, Unavailable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolve = Callable[[str, int], Sequence[str]]
"""Host and port -> addresses as text."""

LONGEST_URL: Final = 2048
MOST_ADDRESSES: Final = 16
RESOLVE_S: Final = 10.0
_METADATA: Final = frozenset(
    map(ipaddress.ip_address, ("169.254.169.254", "fd00:ec2::254", "168.63.129.16"))
)
"""Where clouds answer machines about themselves; the last one looks like any public address."""
_NAT64: Final = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "64:ff9b:1::/48")))
_COMPATIBLE: Final = ipaddress.ip_network("::/96")


@dataclass(frozen=True, slots=True)
class Place:
    """A URL taken apart: `path` with its query, `addresses` as checked, in the order to try.

    `told`: what messages call it; not by name where a server sent us, who may repeat the secret.
    """

    told: str
    scheme: str
    host: str
    port: int
    path: str
    addresses: tuple[str, ...]

    @property
    def origin(self) -> tuple[str, str, int]:
        """Give what a secret belongs to."""
        return self.scheme, self.host, self.port


def networks(text: str) -> tuple[Network, ...]:
    """Read addresses and networks separated by ','; InvalidInput names what is none."""
    found: list[Network] = []
    for word in filter(None, (part.strip() for part in text.split(","))):
        try:
            found.append(ipaddress.ip_network(word, strict=False))
        except ValueError:
            raise InvalidInput(
                f"INOPSIO_FEED_ADDRESSES has {word[:80]!r}: write addresses or networks"
            ) from None
    return tuple(found)


def resolved(host: str, port: int) -> Sequence[str]:
    """Ask the system for the addresses of a name, for ten seconds at most."""
    found: list[str] = []

    def ask() -> None:
        try:
            told = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        found.extend(str(one[4][0]) for one in told)

    # The resolver takes no deadline: a thread that nobody waits for does.
    asker = threading.Thread(target=ask, daemon=True, name="resolve")
    asker.start()
    asker.join(RESOLVE_S)
    return tuple(found)


def placed(
    url: str, named: Sequence[Network] = (), resolve: Resolve = resolved, *, hop: bool = False
) -> Place:
    """Give where the URL leads, its addresses checked.

    `named`: networks of the house's settings, which may be private and spoken to in clear. `hop`:
    it came from a server: then no message repeats it, for it may hold what the server was told.
    InvalidInput says why it may not be fetched, Unavailable that the name has no address now.
    """
    scheme, host, port, path = taken_apart(url)
    told = "a place that the server sent us on to" if hop else host[:100]
    addresses = tuple(dict.fromkeys(resolve(host, port)))[:MOST_ADDRESSES]
    if not addresses:
        raise Unavailable(f"{told} has no address: check the name, or try later")
    kinds = [_kind(one, named) for one in addresses]
    if bad := [kind for kind in kinds if kind not in {"public", "named"}]:
        raise InvalidInput(
            f"{told} leads to {bad[0]}: feeds come from the internet, or from what"
            " INOPSIO_FEED_ADDRESSES names"
        )
    if scheme == "http" and "public" in kinds:
        raise InvalidInput(f"{told} is spoken to in clear: use https")
    return Place(told, scheme, host, port, path, addresses)


def onward(url: str, to: object) -> str:
    """Give where a server sends us from this url; InvalidInput if it is no url at all."""
    try:
        return urljoin(url, str(to))
    except ValueError:
        raise InvalidInput("the server sends us on to no url: ask who runs it") from None


def taken_apart(url: str) -> tuple[str, str, int, str]:
    """Give scheme, host, port and path of a URL that may be fetched; InvalidInput if none.

    >>> taken_apart("https://Feeds.Example/a?b=1#c")
    ('https', 'feeds.example', 443, '/a?b=1')
    """
    if len(url) > LONGEST_URL or not url.isascii() or re.search(r"[\s\x00-\x20\x7f\\]", url):
        raise InvalidInput(f"a url has at most {LONGEST_URL} plain characters, without blanks")
    try:
        parts = urlsplit(url)
        host, port = (parts.hostname or "").rstrip("."), parts.port
    except ValueError:
        raise InvalidInput("this is no url: write https://host/path") from None
    if parts.scheme not in {"https", "http"} or not host or port == 0:
        raise InvalidInput("the url is not of the web: write https://host/path")
    if "@" in parts.netloc:
        raise InvalidInput("the url holds a name or password: give it as the secret")
    if "%" in host:
        raise InvalidInput("the url's host holds a %: write the name or the address alone")
    query = f"?{parts.query}" if parts.query else ""
    return (
        parts.scheme,
        host,
        port or {"https": 443, "http": 80}[parts.scheme],
        (f"{parts.path or '/'}{query}"),
    )


def _kind(text: str, named: Sequence[Network]) -> str:
    """Say what sort of place the address is: public, named (by the settings), or why neither."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return "no address"
    # An address that carries others counts as those.
    kinds = {_plain(one, named) for one in _inner(address) or [address]}
    bad = sorted(kinds - {"public", "named"})
    return bad[0] if bad else ("public" if "public" in kinds else "named")


def _plain(address: Address, named: Sequence[Network]) -> str:
    if address in _METADATA:
        return "a cloud's metadata"
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast:
        return "a multicast address"
    if address.is_unspecified or (address.version == 4 and int(address) >> 28 == 15):
        return "no address of a host"
    if any(address.version == net.version and address in net for net in named):
        return "named"
    if address.is_loopback:
        return "this machine itself"
    if not address.is_global or address.is_reserved:
        return "a private address"
    if address.version == 6 and int(address) >> 125 != 1:  # 2000::/3, all that is given out
        return "a private address"
    return "public"


def _inner(address: Address) -> list[Address]:
    """Give the IPv4 addresses that an IPv6 address carries: mapped, 6to4, Teredo, NAT64."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        return [address.sixtofour]
    if address.teredo is not None:
        return list(address.teredo)
    low = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if any(address in net for net in _NAT64):
        return [low]
    if address in _COMPATIBLE and int(address) > 1:
        return [low]
    return []
