"""Tell the application who the other end of a TLS connection is (ASGI TLS extension)."""

import asyncio
import ssl
from typing import ClassVar, Final

from deploy.process._hasty import Hasty

MOST_STRANGERS: Final = 64
"""Connections without a certificate at a time: who enrols needs one for a second."""


class Peer(Hasty):
    """Speak HTTP as `Hasty` does, and put the verified client certificate into each scope.

    Strangers share few places of their own, so that no number of them takes an agent's.
    """

    strangers: ClassVar[set["Peer"]] = set()
    _tls: dict[object, object] = {}  # noqa: RUF012  replaced, never changed

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        """Read what the handshake verified, once a connection; one stranger too many is let go."""
        end = transport.get_extra_info("ssl_object")
        der = end.getpeercert(binary_form=True) if end is not None else None
        shown = [ssl.DER_cert_to_PEM_cert(der)] if der else []
        self._tls = {"client_cert_chain": shown, "tls_version": end and end.version()}
        super().connection_made(transport)
        if not shown:
            if len(self.strangers) >= MOST_STRANGERS:
                transport.abort()
            else:
                self.strangers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Give its place to the next."""
        self.strangers.discard(self)
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Put it into the scope of the next request."""
        super().on_message_begin()
        self.scope["extensions"] = {"tls": self._tls}
