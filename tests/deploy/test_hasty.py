"""See that half a request loses its place, on a first and on a later request of a connection."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn

from deploy.process._hasty import Hasty


class _Quick(Hasty):
    head_s = 0.3


async def _app(scope: dict[str, object], _receive: object, send: object) -> None:
    assert callable(send)
    if scope["type"] != "http":
        return
    head = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}
    await send(head)
    await send({"type": "http.response.body", "body": b"ok"})


@asynccontextmanager
async def _serving() -> AsyncIterator[int]:
    config = uvicorn.Config(_app, port=0, http=_Quick, lifespan="off", log_level="error")
    server = uvicorn.Server(config)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await running


async def _talk(port: int, *parts: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.05)
    said = await asyncio.wait_for(reader.read(), 5)
    writer.close()
    await writer.wait_closed()
    return said


def test_half_a_request_is_ended() -> None:
    async def act() -> bytes:
        async with _serving() as port:
            return await _talk(port, b"GET / HTTP/1.1\r\nHost: x\r\nX-A: ")

    assert asyncio.run(act()) == b""


def test_half_a_second_request_is_ended_after_the_first_was_answered() -> None:
    async def act() -> bytes:
        async with _serving() as port:
            whole = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
            return await _talk(port, whole, b"GET / HTTP/1.1\r\nHost: ")

    said = asyncio.run(act())
    assert said.startswith(b"HTTP/1.1 200")
    assert said.count(b"HTTP/1.1") == 1
