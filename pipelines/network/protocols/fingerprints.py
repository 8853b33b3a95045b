"""Name TLS clients and servers by how they speak: JA3, JA3S and JA4.

Sources: github.com/salesforce/ja3 (BSD-3), github.com/FoxIO-LLC/ja4 (JA4 itself: BSD-3). The other
methods of the JA4+ family have a licence that forbids selling them; none is here. MD5 is JA3's
choice; nothing is protected by it.
"""

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from typing import Final, NamedTuple

from pipelines.network.protocols.tls import GREASE, ClientHello, ServerHello

Numbers = tuple[int, ...]
MAX_KNOWN: Final = 1_024
"""Hellos whose fingerprints are kept: the same programs greet again and again. Some 1 KB each."""
MAX_USUAL: Final = 256
"""Numbers of a hello whose fingerprint is kept: a hello of 7,000 would take half a megabyte."""

_SNI, _ALPN = 0, 16
_NONE: Final = "0" * 12
_JA4_VERSIONS: Final = {
    0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2",
    0xFEFF: "d1", 0xFEFD: "d2", 0xFEFC: "d3",
}  # fmt: skip


class Fingerprints(NamedTuple):
    """Hold the names of one client."""

    ja3: str
    ja4: str


def fingerprints(hello: ClientHello, *, over: str = "t") -> Fingerprints:
    """Give the names of a client; `over`: t for TCP, q for QUIC, d for DTLS."""
    offered = max((n for n in hello.versions if n in _JA4_VERSIONS), default=hello.version)
    first = hello.alpn[0] if hello.alpn else b""
    lists = hello.ciphers, hello.extensions, hello.groups, hello.formats, hello.algorithms
    give = _named if sum(map(len, lists)) <= MAX_USUAL else _named.__wrapped__
    return give(over, hello.version, offered, first, *map(tuple, lists))


@lru_cache(maxsize=MAX_KNOWN)
def _named(
    over: str,
    version: int,
    offered: int,
    alpn: bytes,
    ciphers: Numbers,
    extensions: Numbers,
    groups: Numbers,
    formats: Numbers,
    schemes: Numbers,
) -> Fingerprints:
    return Fingerprints(
        _ja3(version, ciphers, extensions, groups, formats),
        _ja4(over, offered, ciphers, extensions, schemes, alpn),
    )


def _ja3(
    version: int, ciphers: Numbers, extensions: Numbers, groups: Numbers, formats: Numbers
) -> str:
    lists = (ciphers, extensions, groups, formats)
    return _md5(",".join([str(version), *("-".join(_plain(numbers)) for numbers in lists)]))


@lru_cache(maxsize=MAX_KNOWN)
def _ja3s(version: int, cipher: int, extensions: Numbers) -> str:
    return _md5(f"{version},{cipher},{'-'.join(map(str, extensions))}")


def ja3s(hello: ServerHello) -> str:
    """Give the JA3S of a server's choice."""
    give = _ja3s if len(hello.extensions) <= MAX_USUAL else _ja3s.__wrapped__
    return give(hello.version, hello.cipher, tuple(hello.extensions))


def _ja4(
    over: str, offered: int, offers: Numbers, kinds: Numbers, schemes: Numbers, alpn: bytes
) -> str:
    ciphers = [f"{n:04x}" for n in offers if n not in GREASE]
    extensions = [n for n in kinds if n not in GREASE]
    head = (
        f"{over}{_JA4_VERSIONS.get(offered, '00')}{'d' if _SNI in extensions else 'i'}"
        f"{min(len(ciphers), 99):02}{min(len(extensions), 99):02}{_alpn(alpn)}"
    )
    plain = ",".join(sorted(f"{n:04x}" for n in extensions if n not in (_SNI, _ALPN)))
    algorithms = ",".join(f"{n:04x}" for n in schemes if n not in GREASE)
    both = f"{plain}_{algorithms}" if algorithms else plain
    second = _sha256(",".join(sorted(ciphers))) if ciphers else _NONE
    return f"{head}_{second}_{_sha256(both) if both else _NONE}"


def _alpn(first: bytes) -> str:
    """Give the first and last letter of the first name; of other bytes the hexadecimal ends."""
    if not first:
        return "00"
    ends = chr(first[0]) + chr(first[-1])
    if ends.isascii() and ends.isalnum():
        return ends
    digits = first.hex()
    return digits[0] + digits[-1]


def _plain(numbers: Iterable[int]) -> list[str]:
    return [str(n) for n in numbers if n not in GREASE]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
