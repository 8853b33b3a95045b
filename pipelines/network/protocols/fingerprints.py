"""Name TLS clients and servers by how they speak: JA3, JA3S and JA4.

Sources: github.com/salesforce/ja3 (BSD-3), github.com/FoxIO-LLC/ja4 (JA4 itself: BSD-3). The other
methods of the JA4+ family have a licence that forbids selling them; none is here. MD5 is JA3's
choice; nothing is protected by it.
"""

import hashlib
from collections.abc import Iterable
from typing import Final

from pipelines.network.protocols.tls import ClientHello, ServerHello, is_grease

_SNI, _ALPN = 0, 16
_NONE: Final = "0" * 12
_JA4_VERSIONS: Final = {
    0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10", 0x0300: "s3", 0x0002: "s2",
    0xFEFF: "d1", 0xFEFD: "d2", 0xFEFC: "d3",
}  # fmt: skip


def ja3(hello: ClientHello) -> str:
    """Give the JA3 of a client."""
    lists = (hello.ciphers, hello.extensions, hello.groups, hello.formats)
    parts = [str(hello.version), *("-".join(_plain(numbers)) for numbers in lists)]
    return _md5(",".join(parts))


def ja3s(hello: ServerHello) -> str:
    """Give the JA3S of a server's choice."""
    return _md5(f"{hello.version},{hello.cipher},{'-'.join(map(str, hello.extensions))}")


def ja4(hello: ClientHello, *, over: str = "t") -> str:
    """Give the JA4 of a client; `over`: t for TCP, q for QUIC."""
    ciphers = [f"{n:04x}" for n in hello.ciphers if not is_grease(n)]
    extensions = [n for n in hello.extensions if not is_grease(n)]
    offered = max((n for n in hello.versions if n in _JA4_VERSIONS), default=hello.version)
    head = (
        f"{over}{_JA4_VERSIONS.get(offered, '00')}{'d' if _SNI in extensions else 'i'}"
        f"{min(len(ciphers), 99):02}{min(len(extensions), 99):02}{_alpn(hello.alpn)}"
    )
    kinds = ",".join(sorted(f"{n:04x}" for n in extensions if n not in (_SNI, _ALPN)))
    algorithms = ",".join(f"{n:04x}" for n in hello.algorithms if not is_grease(n))
    both = f"{kinds}_{algorithms}" if algorithms else kinds
    second = _sha256(",".join(sorted(ciphers))) if ciphers else _NONE
    return f"{head}_{second}_{_sha256(both) if both else _NONE}"


def _alpn(names: list[bytes]) -> str:
    """Give the first and last letter of the first name; of other bytes the hexadecimal ends."""
    first = names[0] if names else b""
    if not first:
        return "00"
    ends = chr(first[0]) + chr(first[-1])
    if ends.isascii() and ends.isalnum():
        return ends
    digits = first.hex()
    return digits[0] + digits[-1]


def _plain(numbers: Iterable[int]) -> list[str]:
    return [str(n) for n in numbers if not is_grease(n)]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
