"""Pair the TLS hellos of a connection, over TCP or in QUIC, to one row a handshake.

Over TCP, up to TLS 1.2, the row waits for the server's certificate, which follows its hello.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from pipelines.network.protocols.certificates import NAMES, certificate_fields
from pipelines.network.protocols.fingerprints import fingerprints, ja3s
from pipelines.network.protocols.tls import (
    CLIENT_HELLO,
    LAST_WITH_CERTIFICATE,
    MAX_NUMBERS,
    ClientHello,
    ServerHello,
    read_client,
    read_server,
    version_name,
)
from pipelines.network.sightings import TLS, Ends, Sighting, Value, sighting

_UNKNOWN: Final[dict[str, Value]] = dict.fromkeys(
    ("sni", "version", "alpn", "ja3", "ja3s", "ja4", "cipher", *NAMES)
)
"""A row of which nothing is known; its fields in their order."""


HELD_COST: Final = 1_536
"""Bytes of memory that a row takes while it waits, beside its longer texts."""


class _Row(NamedTuple):
    """Hold what a row says so far: the hellos themselves may be twenty times as large."""

    time_ns: int
    ends: Ends
    fields: dict[str, Value]

    @property
    def held_bytes(self) -> int:
        return HELD_COST + len(str(self.fields["sni"])) + len(str(self.fields["alpn"]))


class Handshake:
    """Hold a client's hello until the server's comes, and both until the certificate does."""

    __slots__ = ("_asked", "_chosen", "_over")

    def __init__(self, over: str) -> None:
        """Begin with nothing; `over`: t for TCP, q for QUIC, d for DTLS, as JA4 writes it."""
        self._over = over
        self._asked: _Row | None = None
        self._chosen: _Row | None = None

    @property
    def awaits_certificate(self) -> bool:
        """Tell whether a row waits for the server's certificate."""
        return self._chosen is not None

    @property
    def held_bytes(self) -> int:
        """Give the bytes of the rows that wait."""
        return sum(row.held_bytes for row in (self._asked, self._chosen) if row is not None)

    def add(self, time_ns: int, ends: Ends, message: bytes) -> Iterator[Sighting]:
        """Take a hello that was sent so; give the rows that are complete with it."""
        if message[0] == CLIENT_HELLO:
            client = read_client(message)
            if client is not None:
                if self._over != "d":
                    yield from self.close()  # in DTLS it is the same one again, with a cookie
                self._asked = _Row(time_ns, ends, _of_client(client, self._over))
            return
        server = read_server(message)
        if server is None:
            return
        yield from self.certify(b"")
        row = self._asked or _Row(time_ns, ends.turned(), dict(_UNKNOWN))
        row.fields.update(_of_server(server))
        self._asked = None
        if self._over == "t" and server.chosen <= LAST_WITH_CERTIFICATE:
            self._chosen = row
        else:
            yield sighting(TLS, *row)

    def certify(self, certificate: bytes) -> Iterator[Sighting]:
        """Give the row that waits, with the certificate; b"" where none came."""
        if self._chosen is not None:
            if certificate:
                self._chosen.fields.update(certificate_fields(certificate))
            yield sighting(TLS, *self._chosen)
            self._chosen = None

    def close(self) -> Iterator[Sighting]:
        """Give the row of a client that got no answer, or none with a certificate."""
        yield from self.certify(b"")
        if self._asked is not None:
            yield sighting(TLS, *self._asked)
            self._asked = None


def _of_client(client: ClientHello, over: str) -> dict[str, Value]:
    lists = client.ciphers, client.extensions, client.groups, client.algorithms
    is_usual = max(map(len, lists)) <= MAX_NUMBERS
    named = fingerprints(client, over=over) if is_usual else None
    return _UNKNOWN | {
        "sni": client.sni,
        "alpn": _names(client.alpn),
        "ja3": named.ja3 if named else None,
        "ja4": named.ja4 if named else None,
    }


def _of_server(server: ServerHello) -> dict[str, Value]:
    found: dict[str, Value] = {
        "version": version_name(server.chosen),
        "ja3s": ja3s(server),
        "cipher": f"0x{server.cipher:04x}",
    }
    return found | {"alpn": _names(server.alpn)} if server.alpn else found


def _names(alpn: list[bytes]) -> str | None:
    return ",".join(name.decode("utf-8", "replace") for name in alpn) or None
