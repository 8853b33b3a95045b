"""Keep the beginning of an HTTP body, and name it by its hash."""

import hashlib
import re
from typing import Final

from pipelines.network.protocols.http import HttpHead, behind_chunks, held_bytes

MAX_BODY: Final = 16_384
_ROOM: Final = MAX_BODY + 4_096
"""Of a body in chunks: their lengths stand between."""
_TYPE: Final = re.compile(rb"\ncontent-type:[ \t]*([^\r\n;]*)", re.IGNORECASE)
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]*\r?\n")


class Body:
    """Collect up to MAX_BODY bytes; `length` None: in chunks, or until the connection ends.

    `asked`: the request that it belongs to; `next_chunk`: how far behind the body's beginning the
    chunk stands that was not looked at yet; `is_left`: the other side asked again behind a body
    without an end.
    """

    __slots__ = (
        "_kept", "asked", "is_chunked", "is_left", "is_over", "length", "mime_type", "next_chunk",
    )  # fmt: skip

    def __init__(
        self, head: bytes, length: int | None, asked: HttpHead | None, *, is_chunked: bool
    ) -> None:
        """Begin behind a head."""
        self.asked, self.next_chunk = asked, 0
        found = _TYPE.search(head)
        self.mime_type = found.group(1).strip().decode("utf-8", "replace") if found else None
        self.length, self.is_chunked = length, is_chunked
        self.is_over = self.is_left = False
        self._kept = bytearray()

    def __len__(self) -> int:
        return len(self._kept)

    @property
    def held_bytes(self) -> int:
        """Give the bytes that this takes, its request with them."""
        return len(self._kept) + (held_bytes(self.asked) if self.asked else 0)

    @property
    def is_endless(self) -> bool:
        """Tell whether only the connection's end, or the next request, ends the body."""
        return self.length is None and not self.is_chunked

    @property
    def wanted(self) -> int:
        """Give how many bytes more are to be kept."""
        most = _ROOM if self.is_chunked else MAX_BODY
        return (most if self.length is None else min(most, self.length)) - len(self._kept)

    def add(self, data: bytes) -> None:
        """Keep bytes, of which there are at most `wanted`."""
        self._kept += data

    def surplus(self) -> int:
        """Give how many of the kept bytes lie behind the last chunk, and let them go.

        0 while the body goes on, or ends here; ValueError where the bytes are no chunks.
        """
        end, is_over = behind_chunks(bytes(self._kept), 0)
        self.next_chunk = end
        if not is_over:
            return 0
        more = len(self._kept) - end
        del self._kept[end:]
        self.is_over = True
        return more

    def behind(self, at: int) -> bytes:
        """Give the kept bytes from there on."""
        return bytes(self._kept[at:])

    def fields(self) -> dict[str, str | int | bool | None]:
        """Give what can be said of the body: `sha256` only where all of it was seen."""
        data, is_whole = bytes(self._kept), len(self._kept) == self.length
        if self.is_chunked:
            data, is_whole = _joined(data)
        digest = hashlib.sha256(data).hexdigest()
        return {
            "mime_type": self.mime_type,
            "size": self.length,
            "seen_bytes": len(data),
            "sha256": digest if is_whole else None,
            "sha256_16k": digest,
        }


def _joined(data: bytes) -> tuple[bytes, bool]:
    """Take the lengths out of a body in chunks; tell whether its end was seen."""
    found, at = bytearray(), 0
    while len(found) < MAX_BODY and (told := _CHUNK.match(data, at)):
        size = int(told.group(1), 16)
        if size == 0:
            return bytes(found), True
        found += data[told.end() : told.end() + min(size, MAX_BODY - len(found))]
        at = told.end() + size + (2 if data[told.end() + size :][:1] == b"\r" else 1)
    return bytes(found), False
