"""Write a picture as a PNG of at most 256 colours: what a screen shows needs no more."""

import struct
import zlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
_MOST: Final = 256
_HEAD: Final = b"\x89PNG\r\n\x1a\n"
_APART: Final = 60
"""Squared distance under which two colours are shown as one, the commoner one."""


def palette_png(pixels: Bytes) -> bytes:
    """Give the PNG of pixels (height, width, 3), its colours brought down to 256.

    The commonest colours stay exactly as they are (text and grounds do not shift); each other
    pixel takes the nearest of them.
    """
    height, width, _ = pixels.shape
    packed = (
        pixels[:, :, 0].astype(np.uint32) << 16
        | pixels[:, :, 1].astype(np.uint32) << 8
        | pixels[:, :, 2]
    )
    found, inverse, counts = np.unique(packed, return_inverse=True, return_counts=True)
    colours = np.stack([found >> 16, found >> 8 & 255, found & 255], axis=1).astype(np.int32)
    kept = _kept(colours, counts)
    places = _nearest(colours, colours[kept])
    index = places[inverse.reshape(-1)].astype(np.uint8).reshape(height, width)
    lines = np.zeros((height, width + 1), np.uint8)
    lines[:, 1:] = index
    return b"".join(
        (
            _HEAD,
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", colours[kept].astype(np.uint8).tobytes()),
            _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)),
            _chunk(b"IEND", b""),
        )
    )


def _kept(colours: NDArray[np.int32], counts: NDArray[Any]) -> list[int]:
    """Choose the palette: the commonest first, then what is far from all chosen so far."""
    order = np.argsort(-counts, kind="stable")
    kept: list[int] = []
    for place in order:
        chosen = colours[kept] - colours[place] if kept else None
        if chosen is not None and int((chosen * chosen).sum(axis=1).min()) < _APART:
            continue
        kept.append(int(place))
        if len(kept) == _MOST:
            break
    return kept


def _nearest(colours: NDArray[np.int32], palette: NDArray[np.int32]) -> NDArray[np.int64]:
    found = np.empty(len(colours), np.int64)
    for start in range(0, len(colours), 4096):
        apart = colours[start : start + 4096, None, :] - palette[None, :, :]
        found[start : start + 4096] = (apart * apart).sum(axis=2).argmin(axis=1)
    return found


def _chunk(kind: bytes, data: bytes) -> bytes:
    check = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", check)
