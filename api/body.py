"""Take request bodies apart: decompress under caps, cut into self-contained messages."""

import re
import zlib
from collections.abc import Iterator
from typing import Final

import zstandard

from api.problems import TooLarge, UnknownEncoding
from storage.errors import InvalidInput

PIECE: Final = 64 << 10
FREE_BYTES: Final = 256 << 10
"""Up to this size the ratio is not looked at: a few hundred equal lines are no bomb."""
LARGEST_MESSAGE: Final = 1 << 20
LARGEST_WINDOW: Final = 8 << 20
ZSTD_BITE: Final = 256
"""Compressed bytes at once: at most 64 blocks of 128 KiB, so one bite makes 8 MiB at most."""
GZIP_BITE: Final = 1 << 10
"""Compressed bytes at once at a member's begin: what follows a short member is copied back."""
MOST_PARTS: Final = 4096
"""Gzip members or zstd frames in one body: a million empty ones cost minutes and say nothing."""
_SEVERAL: Final = re.compile(rb'\{\s*"Records"\s*:')
"""Begin of a line that holds many records: a CloudTrail delivery."""
_LINE_STARTS: Final = (b"{", b"<", b"type=", b"node=", b"CEF:", b"#")


def decompress(body: bytes, encoding: str, max_bytes: int, max_ratio: int) -> bytes:
    """Give the plain bytes of a body sent as '', identity, gzip or zstd.

    TooLarge when the output passes `max_bytes`, or `max_ratio` times the input (looked at from
    256 KiB on); UnknownEncoding for others; InvalidInput for a broken stream.
    """
    match encoding.strip().lower():
        case "" | "identity":
            pieces: Iterator[bytes] = iter((body,))
        case "gzip" | "x-gzip":
            pieces = _gunzip(body)
        case "zstd":
            pieces = _unzstd(body)
        case _:
            raise UnknownEncoding("Content-Encoding is not supported; send gzip, zstd or none")
    out: list[bytes] = []
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > max_bytes:
            raise TooLarge(f"the body is over {max_bytes} bytes after decompression")
        if size > FREE_BYTES and size > max_ratio * len(body):
            raise TooLarge(f"the body grows over {max_ratio} times when decompressed")
        out.append(piece)
    return b"".join(out)


def _gunzip(body: bytes) -> Iterator[bytes]:
    start, rest = 0, b""
    try:
        for _ in range(MOST_PARTS):
            member = zlib.decompressobj(wbits=31)
            bite = GZIP_BITE
            while not member.eof:
                if not rest:
                    rest = body[start : start + bite]
                    start, bite = start + len(rest), min(2 * bite, PIECE)
                piece = member.decompress(rest, PIECE)
                if not piece and not rest and not member.eof:
                    raise InvalidInput("the gzip body ends early")
                rest = member.unconsumed_tail
                yield piece
            rest = member.unused_data
            if not rest and start >= len(body):
                return
    except zlib.error:
        raise InvalidInput("the body is not gzip") from None
    raise InvalidInput(f"the body has over {MOST_PARTS} gzip members")


def _unzstd(body: bytes) -> Iterator[bytes]:
    # The stream reader would bound each piece for us, but does not notice a stream cut short.
    reader = zstandard.ZstdDecompressor(max_window_size=LARGEST_WINDOW)
    start, parts = 0, 0
    try:
        while start < len(body):
            parts += 1
            if parts > MOST_PARTS:
                raise InvalidInput(f"the body has over {MOST_PARTS} zstd frames")
            frame = reader.decompressobj()
            while not frame.eof:
                if start >= len(body):
                    raise InvalidInput("the zstd body ends early")
                yield frame.decompress(body[start : start + ZSTD_BITE])
                start += ZSTD_BITE
            start = min(start, len(body)) - len(frame.unused_data)
    except zstandard.ZstdError:
        raise InvalidInput("the body is not zstd, or its window is over 8 MiB") from None


def is_cuttable(body: bytes) -> bool:
    """Answer whether every line of the body is a record by itself, judged by its first line."""
    first = body[: 64 << 10].split(b"\n", 1)[0].strip()
    if first.startswith(b"{"):
        return first.endswith(b"}") and not _SEVERAL.match(first)
    return first.startswith(_LINE_STARTS)


def cut(body: bytes, largest: int = LARGEST_MESSAGE) -> Iterator[tuple[int, bytes]]:
    r"""Yield (position of the first line, piece): whole lines, each piece about `largest` at most.

    Leading '#' lines (Zeek, W3C) are repeated in each piece, so that each can be read alone. A
    body that is no line format is one piece. The same body is always cut the same way.

    >>> list(cut(b'{"a":1}\n{"a":2}\n{"a":3}\n', largest=16))
    [(0, b'{"a":1}\n{"a":2}\n'), (2, b'{"a":3}\n')]
    """
    if len(body) <= largest or not is_cuttable(body):
        yield 0, body
        return
    head = _head(body)
    start, position = 0, 0
    while start < len(body):
        room = largest - (len(head) if start else 0)
        end = _line_end(body, start, max(room, largest // 2))
        piece = (head if start else b"") + body[start:end]
        yield position, piece
        # Counts repeated head lines too: a parser may number them, and numbers must not overlap.
        # With a head there is a gap of one, so that no reader takes the pieces for one stream.
        position += lines_of(piece) + bool(head)
        start = end


def lines_of(piece: bytes) -> int:
    r"""Count lines; the last one may lack its end.

    >>> lines_of(b"a\nb"), lines_of(b"a\nb\n")
    (2, 2)
    """
    return piece.count(b"\n") + (not piece.endswith(b"\n"))


def most_records(piece: bytes) -> int:
    r"""Say how many records the piece can hold at most: its lines, or its bytes if it is no lines.

    >>> most_records(b'{"a":1}\n{"a":2}\n'), most_records(b'[{},{}]')
    (2, 7)
    """
    head = piece[: 64 << 10].lstrip(b"\xef\xbb\xbf \t\r\n")
    is_json = head.startswith((b"{", b"["))
    is_lines = is_cuttable(piece) if is_json else b"\x00" not in head
    return lines_of(piece) if is_lines else len(piece)


def _head(body: bytes) -> bytes:
    end = 0
    while body.startswith(b"#", end) and end < PIECE:
        stop = body.find(b"\n", end)
        if stop < 0:
            break
        end = stop + 1
    return body[:end]


def _line_end(body: bytes, start: int, room: int) -> int:
    if start + room >= len(body):
        return len(body)
    cut_at = body.rfind(b"\n", start, start + room)
    if cut_at < 0:
        cut_at = body.find(b"\n", start + room)
    return len(body) if cut_at < 0 else cut_at + 1
