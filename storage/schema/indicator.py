"""Say what an indicator is, and bring one value to the one form in which it is compared.

Source of the types: STIX 2.1 cyber-observable objects (OASIS, section 6).
"""

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Self, get_args
from urllib.parse import urlsplit

import polars as pl

from storage.errors import InvalidInput

IndicatorType = Literal["ipv4", "ipv6", "cidr", "domain", "url", "email", "md5", "sha1", "sha256"]
TYPES: Final[frozenset[str]] = frozenset(get_args(IndicatorType))
MAX_VALUE: Final = 2048
"""Characters of a value; longer ones are refused."""

_HASH: Final = {"md5": 32, "sha1": 40, "sha256": 64}
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_DEFANGED: Final = (
    (re.compile(r"\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\)", re.IGNORECASE), "."),
    (re.compile(r"\[:\]"), ":"),
    (re.compile(r"\[://\]"), "://"),
    (re.compile(r"\[@\]|\[at\]|\(at\)", re.IGNORECASE), "@"),
    (re.compile(r"^h(?:xx|\*\*)p(s?)(?=:)", re.IGNORECASE), r"http\1"),
)


@dataclass(frozen=True, slots=True)
class Indicator:
    """A value that a feed calls hostile from `valid_from_us` until before `valid_until_us`.

    Times: microseconds since 1970, UTC; `valid_until_us` None = no end. `confidence`: 0..100.
    `value` is normal already (`normal`); `pattern_id` is the STIX id, or ''.
    """

    type: IndicatorType
    value: str
    valid_from_us: int
    valid_until_us: int | None
    confidence: int
    feed: str
    labels: tuple[str, ...] = ()
    tlp: str = ""
    pattern_id: str = ""

    def __post_init__(self) -> None:
        """Refuse what no matcher could use."""
        if not 0 <= self.confidence <= 100:
            raise InvalidInput(f"confidence {self.confidence} is outside 0..100: correct the feed")
        if self.valid_until_us is not None and self.valid_until_us <= self.valid_from_us:
            raise InvalidInput("the indicator ends before it begins: correct valid_until")


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A tenant's indicators, made ready to be asked.

    `frame`: type, value, feed, valid_from_us, valid_until_us (null = no end), confidence;
    `values`: all values; `prefixes`: lengths of the IPv4 networks among them; `wide`: the IPv6
    ones: length -> leading bits as a number -> value; `has_ipv6`: single IPv6 addresses too.
    """

    frame: pl.DataFrame
    values: frozenset[str]
    prefixes: frozenset[int]
    wide: Mapping[int, Mapping[int, str]]
    has_ipv6: bool

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Self:
        """Take the columns above."""
        networks = frame.filter(pl.col("type") == "cidr")["value"]
        is_wide = networks.str.contains(":", literal=True)
        lengths = networks.filter(~is_wide).str.extract(r"/(\d+)$", 1).unique().drop_nulls()
        wide: dict[int, dict[int, str]] = {}
        for value in networks.filter(is_wide).unique():
            net = ipaddress.IPv6Network(value)
            bits = int(net.network_address) >> (128 - net.prefixlen)
            wide.setdefault(net.prefixlen, {})[bits] = value
        values, has_ipv6 = frozenset(frame["value"]), bool((frame["type"] == "ipv6").any())
        return cls(frame, values, frozenset(map(int, lengths)), wide, has_ipv6)

    def __contains__(self, value: str) -> bool:
        """Answer whether any indicator has this value."""
        return value in self.values


def normal(kind: str, value: str) -> tuple[IndicatorType, str]:
    """Give type and value as compared: refanged, lower case, IDNA; InvalidInput says why not.

    An address with a prefix is a cidr; a cidr of one address is that address.
    """
    if kind not in TYPES:
        raise InvalidInput(
            f"indicator type {kind[:40]!r} is unknown: use {', '.join(sorted(TYPES))}"
        )
    if not value.isascii() and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise InvalidInput("the value holds half a character: correct the feed")
    if len(value) > MAX_VALUE:
        raise InvalidInput(f"a value of {len(value)} characters is over {MAX_VALUE}: shorten it")
    text = value.strip()
    for pattern, plain in _DEFANGED:
        text = pattern.sub(plain, text)
    if kind in ("ipv4", "ipv6", "cidr"):
        return _network(kind, text)
    if kind == "domain":
        return "domain", _domain(text)
    if kind == "url":
        return "url", _url(text)
    if kind == "email":
        local, at, host = text.rpartition("@")
        if not (local and at) or re.search(r"[\s@\x00-\x1f]", local):
            raise InvalidInput(f"{value[:80]!r} is no mail address: write name@domain")
        return "email", f"{local.lower()}@{_domain(host)}"
    return _digest(kind, text)


def _network(kind: str, text: str) -> tuple[IndicatorType, str]:
    try:
        net = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise InvalidInput(
            f"{text[:80]!r} is no address: write 192.0.2.1 or 2001:db8::/32"
        ) from None
    if kind != "cidr" and kind != f"ipv{net.version}":
        raise InvalidInput(f"{text[:80]!r} is IPv{net.version}, not {kind}: correct the type")
    if net.prefixlen < (8 if net.version == 4 else 16):
        raise InvalidInput(f"{text[:80]!r} spans too much of the internet: narrow the prefix")
    if net.prefixlen == net.max_prefixlen:
        return ("ipv4" if net.version == 4 else "ipv6"), str(net.network_address)
    return "cidr", str(net)


def _domain(text: str) -> str:
    bad = InvalidInput(f"{text[:80]!r} is no domain: write example.com")
    name = text.rstrip(".").lower()
    try:
        name = name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise bad from None
    labels = name.split(".")
    if len(name) > 253 or len(labels) < 2 or labels[-1].isdigit():
        raise bad
    if not all(_LABEL.fullmatch(one) for one in labels):
        raise bad
    return name


def _url(text: str) -> str:
    bad = InvalidInput(f"{text[:80]!r} is no url: write https://example.com/path")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise bad from None
    if not parts.scheme or not host or re.search(r"[\s\x00-\x1f]", text):
        raise bad
    try:
        address = ipaddress.ip_address(host)
        host = f"[{address}]" if address.version == 6 else str(address)
    except ValueError:
        host = _domain(host)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    where = host if port is None or port == usual else f"{host}:{port}"
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{where}{parts.path or '/'}{query}"


def _digest(kind: str, text: str) -> tuple[IndicatorType, str]:
    if not re.fullmatch(rf"[0-9a-fA-F]{{{_HASH[kind]}}}", text):
        raise InvalidInput(f"{text[:80]!r} is no {kind}: write {_HASH[kind]} hexadecimal digits")
    if kind == "md5":
        return "md5", text.lower()
    return ("sha1" if kind == "sha1" else "sha256"), text.lower()
