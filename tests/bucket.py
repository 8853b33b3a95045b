"""Start an S3-compatible server (moto) on loopback and give settings that lead to it."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

KEY_ID = "made-up-id"
SECRET = "made-up-secret"


@contextmanager
def served() -> Iterator[str]:
    """Give the address of a server without buckets; it ends with the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, server)
        yield address
    finally:
        server.kill()
        server.wait()


def _wait(address: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and server.poll() is None:
        try:
            httpx.get(address, timeout=5)
        except httpx.TransportError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("moto did not start")


def environment(address: str, bucket: str, prefix: str = "house/one") -> dict[str, str]:
    """Make the bucket; give the variables that put a lake there."""
    httpx.put(f"{address}/{bucket}", timeout=60).raise_for_status()
    return {
        "INOPSIO_LAKE_URL": f"s3://{bucket}/{prefix}",
        "INOPSIO_LAKE_ENDPOINT": address,
        "INOPSIO_LAKE_KEY_ID": KEY_ID,
        "INOPSIO_LAKE_SECRET": SECRET,
    }
