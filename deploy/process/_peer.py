"""Tell the application who the other end of a TLS connection is (ASGI TLS extension)."""

import asyncio
import ssl

from deploy.process._hasty import Hasty


class Peer(Hasty):
    """Speak HTTP as `Hasty` does, and put the verified client certificate into each scope."""

    _tls: dict[object, object] = {}  # noqa: RUF012  replaced, never changed

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        """Read what the handshake verified, once a connection."""
        end = transport.get_extra_info("ssl_object")
        der = end.getpeercert(binary_form=True) if end is not None else None
        shown = [ssl.DER_cert_to_PEM_cert(der)] if der else []
        self._tls = {"client_cert_chain": shown, "tls_version": end and end.version()}
        super().connection_made(transport)

    def on_message_begin(self) -> None:
        """Put it into the scope of the next request."""
        super().on_message_begin()
        self.scope["extensions"] = {"tls": self._tls}
