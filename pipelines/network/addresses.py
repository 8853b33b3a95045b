"""Write addresses that are held as number halves as bytes and as text."""

import socket
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np

from pipelines.network.packets import Int64s, UInt64s

MAX_KNOWN: Final = 4_096


def packed(version: Int64s, high: UInt64s, low: UInt64s) -> list[bytes]:
    r"""Give addresses as 4 or 16 bytes in network order.

    >>> packed(np.array([4]), np.array([0], np.uint64), np.array([0x7F000001], np.uint64))
    [b'\x7f\x00\x00\x01']
    """
    whole = np.stack([high, low], axis=1).astype(">u8").tobytes()
    return [
        whole[i * 16 + 12 : i * 16 + 16] if four else whole[i * 16 : i * 16 + 16]
        for i, four in enumerate((version == 4).tolist())
    ]


def texts(addresses: Sequence[bytes]) -> list[str]:
    """Give packed addresses as text; each distinct one is written once.

    >>> texts([bytes([127, 0, 0, 1]), bytes(15) + bytes([1])])
    ['127.0.0.1', '::1']
    """
    known = {address: _written(address) for address in set(addresses)}
    return [known[address] for address in addresses]


@lru_cache(maxsize=MAX_KNOWN)
def text(address: bytes) -> str:
    """Give one packed address as text; the latest MAX_KNOWN are kept."""
    return _written(address)


def _written(address: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(address) == 4 else socket.AF_INET6, address)
