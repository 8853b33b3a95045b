"""Cut byte streams into blocks of whole lines, with bounds on everything."""

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, NamedTuple

from pipelines.parsers import Reject

MAX_LINE_BYTES: Final = 1 << 20
RAW_BYTES: Final = 64 << 10
_PIECE: Final = 256 << 10
_MIN_PIECE: Final = 64 << 10
_BOMS: Final = ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be"), (b"\xef\xbb\xbf", ""))


class Block(NamedTuple):
    """Hold whole lines: the n-th line of `text` is record `position` + n.

    `lines` counts them; a refused line stands in `text` as an empty line and in `rejects`.
    """

    position: int
    text: bytes
    lines: int
    rejects: list[Reject]


def utf8(chunks: Iterable[bytes]) -> Iterator[bytes]:
    r"""Give the stream as UTF-8: drop its byte-order mark, turn UTF-16 into UTF-8.

    >>> b"".join(utf8([b"\xff\xfea", b"\x00b\x00"]))
    b'ab'
    """
    pieces = iter(chunks)
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= 4:
            break
    mark, encoding = next(((m, e) for m, e in _BOMS if head.startswith(m)), (b"", ""))
    if not mark and len(head) >= 4 and head[1] == head[3] == 0 and head[0] and head[2]:
        encoding = "utf-16-le"
    if not mark and len(head) >= 4 and head[0] == head[2] == 0 and head[1] and head[3]:
        encoding = "utf-16-be"
    rest = chain((head[len(mark) :],), pieces)
    if not encoding:
        yield from rest
        return
    decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
    for piece in rest:
        yield decoder.decode(piece).encode("utf-8", "replace")
    yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def blocks(
    chunks: Iterable[bytes],
    *,
    max_lines: int = 8192,
    max_bytes: int = 16 << 20,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Iterator[Block]:
    r"""Give the stream's lines in blocks of at most `max_lines` lines and `max_bytes` bytes
    (more only for a single longer line), cut by the bytes alone, never by how they were chunked.

    Every physical line counts for the position, an empty one too. A line longer than
    `max_line_bytes` becomes a reject with its first 64 KiB. At most one block and one line are
    held in memory.

    >>> [(b.position, b.text) for b in blocks([b"a\nb", b"b\nc"], max_lines=2)]
    [(0, b'a\nbb\n'), (2, b'c')]
    """
    position, lines, size = 0, 0, 0
    parts: list[bytes] = []
    rejects: list[Reject] = []
    for text, long_line in _whole_lines(chunks, max_line_bytes):
        if long_line is not None:
            reason = f"line is longer than {max_line_bytes} bytes"
            rejects.append(Reject(position + lines, reason, long_line))
        while text:
            part, count = _first_lines(text, max_lines - lines, max_bytes - size)
            if not part and not parts:
                part, count = text[: text.find(b"\n") + 1] or text, 1
            text = text[len(part) :]
            parts.append(part)
            lines, size = lines + count, size + len(part)
            if text or lines >= max_lines or size >= max_bytes:
                yield Block(position, b"".join(parts), lines, rejects)
                position, lines, size, parts, rejects = position + lines, 0, 0, [], []
    if parts:
        yield Block(position, b"".join(parts), lines, rejects)


def with_heads(block: Block) -> bytes:
    """Give the block's text with the kept head of every refused line in its place."""
    if not block.rejects:
        return block.text
    lines = block.text.split(b"\n")
    for reject in block.rejects:
        lines[reject.position - block.position] = reject.raw.replace(b"\n", b" ")
    return b"\n".join(lines)


def _first_lines(text: bytes, limit: int, room: int) -> tuple[bytes, int]:
    """Give as many whole lines as fit, and their number."""
    if len(text) > room:
        text = text[: text.rfind(b"\n", 0, max(room, 0)) + 1]
    count = text.count(b"\n") + (len(text) > 0 and not text.endswith(b"\n"))
    if count <= limit:
        return text, count
    end = 0
    for _ in range(limit):
        end = text.index(b"\n", end) + 1
    return text[:end], limit


def _whole_lines(
    chunks: Iterable[bytes], max_line_bytes: int
) -> Iterator[tuple[bytes, bytes | None]]:
    """Give (whole lines, None), or (an empty line, head of the overlong line it stands for)."""
    kept = bytearray()
    lost: bytes | None = None
    for piece in pieces_of(chunks):
        if lost is not None:
            end = piece.find(b"\n")
            if end < 0:
                continue
            yield b"\n", lost
            lost, piece = None, piece[end + 1 :]
        kept += piece
        first = kept.find(b"\n")
        if first > max_line_bytes:
            yield b"\n", bytes(kept[:RAW_BYTES])
            del kept[: first + 1]
        cut = kept.rfind(b"\n") + 1
        if cut:
            yield bytes(kept[:cut]), None
            del kept[:cut]
        if len(kept) > max_line_bytes:
            lost = bytes(kept[:RAW_BYTES])
            kept.clear()
    if lost is not None:
        yield b"\n", lost
    elif kept:
        yield bytes(kept), None


def pieces_of(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Give the stream in pieces of 64 to 256 KiB; tiny chunks would make searches quadratic."""
    kept = bytearray()
    for chunk in chunks:
        kept += chunk
        if len(kept) < _MIN_PIECE:
            continue
        for start in range(0, len(kept), _PIECE):
            yield bytes(kept[start : start + _PIECE])
        kept.clear()
    if kept:
        yield bytes(kept)
