"""Close connections that do not say what they want: half a request must not hold a place."""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S: Final = 10.0


class Hasty(HttpToolsProtocol):
    """Speak HTTP with those who send each request's head within `HEAD_S` seconds."""

    head_s = HEAD_S
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # uvicorn's own narrowing
        """Start the clock of the first head."""
        super().connection_made(transport)
        self._wait()

    def on_message_begin(self) -> None:
        """Start the clock of the next head."""
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        """Stop the clock: the head is whole."""
        self._heard()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop the clock: nobody is there."""
        self._heard()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._heard()
        self._waiting = self.loop.call_later(self.head_s, self.transport.close)

    def _heard(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
