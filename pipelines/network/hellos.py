"""Pair the TLS hellos of a connection, over TCP or in QUIC, to one row a handshake.

Over TCP, up to TLS 1.2, the row waits for the server's certificate, which follows its hello.
"""

from collections.abc import Iterator
from typing import Final

from pipelines.network.protocols.certificates import NAMES, certificate_fields
from pipelines.network.protocols.fingerprints import ja3, ja3s, ja4
from pipelines.network.protocols.tls import (
    CLIENT_HELLO,
    LAST_WITH_CERTIFICATE,
    ClientHello,
    ServerHello,
    read_client,
    read_server,
    version_name,
)
from pipelines.network.sightings import TLS, Ends, Sighting, Value, sighting

_NO_CERTIFICATE: Final[dict[str, Value]] = dict.fromkeys(NAMES)


class Handshake:
    """Hold a client's hello until the server's comes, and both until the certificate does."""

    __slots__ = ("_asked", "_chosen", "_over")

    def __init__(self, over: str) -> None:
        """Begin with nothing; `over`: t for TCP, q for QUIC, d for DTLS, as JA4 writes it."""
        self._over = over
        self._asked: tuple[int, Ends, ClientHello] | None = None
        self._chosen: tuple[int, Ends, ClientHello | None, ServerHello] | None = None

    @property
    def awaits_certificate(self) -> bool:
        """Tell whether a row waits for the server's certificate."""
        return self._chosen is not None

    def add(self, time_ns: int, ends: Ends, message: bytes) -> Iterator[Sighting]:
        """Take a hello that was sent so; give the rows that are complete with it."""
        if message[0] == CLIENT_HELLO:
            client = read_client(message)
            if client is not None:
                if self._over != "d":
                    yield from self.close()  # in DTLS it is the same one again, with a cookie
                self._asked = time_ns, ends, client
            return
        server = read_server(message)
        if server is None:
            return
        yield from self.certify(b"")
        asked = self._asked or (time_ns, ends.turned(), None)
        row = *asked, server
        self._asked = None
        if self._over == "t" and server.chosen <= LAST_WITH_CERTIFICATE:
            self._chosen = row
        else:
            yield self._row(*row)

    def certify(self, certificate: bytes) -> Iterator[Sighting]:
        """Give the row that waits, with the certificate; b"" where none came."""
        if self._chosen is not None:
            yield self._row(*self._chosen, certificate)
            self._chosen = None

    def close(self) -> Iterator[Sighting]:
        """Give the row of a client that got no answer, or none with a certificate."""
        yield from self.certify(b"")
        if self._asked is not None:
            yield self._row(*self._asked, None)
            self._asked = None

    def _row(
        self,
        time_ns: int,
        ends: Ends,
        client: ClientHello | None,
        server: ServerHello | None,
        certificate: bytes = b"",
    ) -> Sighting:
        chosen = server.chosen if server else None
        alpn = server.alpn if server and server.alpn else client.alpn if client else []
        fields: dict[str, Value] = {
            "sni": client.sni if client else None,
            "version": version_name(chosen) if chosen is not None else None,
            "alpn": ",".join(name.decode("utf-8", "replace") for name in alpn) or None,
            "ja3": ja3(client) if client else None,
            "ja3s": ja3s(server) if server else None,
            "ja4": ja4(client, over=self._over) if client else None,
            "cipher": f"0x{server.cipher:04x}" if server else None,
            **(certificate_fields(certificate) if certificate else _NO_CERTIFICATE),
        }
        return sighting(TLS, time_ns, ends, fields)
