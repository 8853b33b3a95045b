"""Stand between a client and a server and spoil the line: cut, delay, throttle, drop, swallow.

Runs in a thread of its own; `weather` may change at any moment and holds for all connections.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from dataclasses import dataclass
from typing import Final, Self

_PIECE: Final = 64 << 10
_RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER: close by a reset, as a dying machine does


@dataclass(frozen=True, slots=True)
class Weather:
    """How the line is; the default is a good day."""

    is_cut: bool = False
    """What is connected is reset, what comes is reset at once."""
    is_silent: bool = False
    """Half-open: connections are taken and stay, no byte passes; afterwards they are reset."""
    delay_s: float = 0.0
    bytes_s: float = 0.0
    """Most bytes a second in each direction of each connection; 0 = no limit."""
    reset_after: int = 0
    """A connection is reset after so many more bytes, in the middle of a message; 0 = never."""


FAIR: Final = Weather()
CUT: Final = Weather(is_cut=True)
SILENT: Final = Weather(is_silent=True)


class Proxy:
    """Pass TCP on loopback to `target`; `port` is where to connect instead."""

    def __init__(self, target: int, port: int = 0) -> None:
        """Listen at once."""
        self._target = target
        self._weather = FAIR
        self._changed_at = 0
        self._open: set[asyncio.StreamWriter] = set()
        self.connections = 0
        """How many were ever taken."""
        self.passed_bytes = 0
        listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port = int(listener.getsockname()[1])
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(listener,), daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        self._ready.wait()

    def __enter__(self) -> Self:
        """Give the proxy itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    @property
    def weather(self) -> Weather:
        """Say how the line is."""
        return self._weather

    @weather.setter
    def weather(self, new: Weather) -> None:
        was, self._weather = self._weather, new
        if new.is_cut or was.is_silent:
            asyncio.run_coroutine_threadsafe(self._reset_all(), self._loop).result(10)

    def close(self) -> None:
        """Reset all and end."""
        self.weather = CUT
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def _run(self, listener: socket.socket) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._taken, sock=listener))
        self._ready.set()
        self._loop.run_forever()
        server.close()
        left = asyncio.all_tasks(self._loop)
        for task in left:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self._loop.close()

    async def _reset_all(self) -> None:
        for writer in list(self._open):
            _reset(writer)

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if self._weather.is_cut:
            _reset(writer)
            return
        self._open.add(writer)
        far: asyncio.StreamWriter | None = None
        try:
            there, far = await asyncio.open_connection("127.0.0.1", self._target)
            self._open.add(far)
            await asyncio.gather(self._pass(reader, far), self._pass(there, writer))
        except OSError:
            pass
        finally:
            for end in (writer, far):
                if end is not None:
                    self._open.discard(end)
                    _reset(end)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fallen = 0
        while data := await reader.read(_PIECE):
            while self._weather.is_silent:  # noqa: ASYNC110  set from another thread
                await asyncio.sleep(0.05)
            now = self._weather
            if now.delay_s:
                await asyncio.sleep(now.delay_s)
            if now.reset_after:
                fallen += len(data)
                if fallen > now.reset_after:
                    writer.write(data[: max(1, len(data) - (fallen - now.reset_after))])
                    await writer.drain()
                    raise ConnectionResetError
            else:
                fallen = 0
            writer.write(data)
            await writer.drain()
            self.passed_bytes += len(data)
            if now.bytes_s:
                await asyncio.sleep(len(data) / now.bytes_s)
        with contextlib.suppress(OSError):
            writer.write_eof()


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
