"""HTTP connections with an end: an exchange takes so long as a whole, whatever trickles meanwhile.

A time-out of the socket is for one read: a server that sends a byte now and then, or `100 Continue`
without end, would hold the agent for ever.
"""

import http.client
import io
import socket
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import ssl

PAUSE_S: Final = 30.0
"""The longest that nothing may come."""
WHOLE_S: Final = 120.0
SLOWEST: Final = 4096
"""Bytes a second that a link has at least: what is sent has so much more time."""
_PIECE: Final = 16 << 10


class Until:
    """When an exchange has to be over, by the monotonic clock."""

    def __init__(self, whole_s: float = WHOLE_S, pause_s: float = PAUSE_S) -> None:
        """Begin now."""
        self.whole_s, self.pause_s = whole_s, pause_s
        self.begin(0)

    def begin(self, size_bytes: int) -> None:
        """Begin an exchange that sends so much."""
        self._end_s = time.monotonic() + self.whole_s + size_bytes / SLOWEST

    def bound(self, sock: socket.socket) -> None:
        """Let the next step on the socket take what is left; TimeoutError if nothing is."""
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the exchange takes too long as a whole")
        sock.settimeout(min(left_s, self.pause_s))


class _Reading(io.RawIOBase):
    """Read from a socket's file, each time for as long as is left."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, until: Until) -> None:
        self._raw, self._sock, self._until = raw, sock, until

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any, /) -> int | None:  # noqa: ANN401  what can be written into
        self._until.bound(self._sock)
        return self._raw.readinto(into)

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
        super().close()


class _Timed(http.client.HTTPConnection):
    """A connection whose requests and answers end by `until`."""

    def __init__(self, *words: Any, until: Until | None = None, **more: Any) -> None:  # noqa: ANN401  as the one below
        super().__init__(*words, **more)
        self.until = until or Until()

    def response_class(  # type: ignore[override]  # called as a class is
        self,
        sock: socket.socket,
        debuglevel: int = 0,
        method: str | None = None,
        url: str | None = None,
    ) -> http.client.HTTPResponse:
        made = http.client.HTTPResponse(sock, debuglevel, method, url)
        raw = made.fp.detach()
        made.fp = io.BufferedReader(_Reading(raw, sock, self.until))
        return made

    def send(self, data: Any) -> None:  # noqa: ANN401  bytes, as http.client has them
        if self.sock is None:
            self.connect()
        rest = memoryview(data)
        for start in range(0, len(rest), _PIECE):
            self.until.bound(self.sock)
            super().send(rest[start : start + _PIECE])


class TimedHTTP(_Timed):
    """A connection in the clear, to this machine."""


class TimedHTTPS(_Timed, http.client.HTTPSConnection):
    """A connection over TLS."""


def linked(host: str, port: int, context: "ssl.SSLContext", until: Until) -> TimedHTTPS:
    """Connect over TLS; what is said on it ends by `until`."""
    link = TimedHTTPS(host, port, timeout=until.pause_s, context=context, until=until)
    link.connect()
    return link
