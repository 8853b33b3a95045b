"""Look into archives (zip, gz, zst, tar, nested) as streams; nothing is ever written by name.

Names of members are labels only, so a name that leads out of the folder leads nowhere. What has to
be sought in (a zip inside an archive) lies in an unnamed temporary file of bounded size.
"""

import io
import re
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, NamedTuple

import zstandard

from storage.errors import InvalidBatch

PIECE_BYTES: Final = 256 << 10
_HEAD_BYTES: Final = 512
_NAME_BYTES: Final = 64 << 10
_SPOOL_BYTES: Final = 16 << 20
_ZIP_ENTRY_BYTES: Final = 512
_MAX_WINDOW_BYTES: Final = 128 << 20
_ZSTD_PIECE_BYTES: Final = 1 << 10
_MAC_FORK: Final = b"\x00\x05\x16\x07"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound what one archive may unfold to, over all its levels.

    `ratio` (unfolded : size of the file) counts only beyond `ratio_floor` bytes, because honest
    logs repeat themselves.
    """

    member_bytes: int = 8 << 30
    total_bytes: int = 32 << 30
    ratio: int = 100
    ratio_floor: int = 64 << 20
    members: int = 10_000
    depth: int = 3


class Member(NamedTuple):
    """Hold one stream found: read `chunks` before asking for the next member.

    `reason` says why it was refused (then there are no chunks). `chunks` may raise InvalidBatch in
    the middle, when the rest turns out broken or too large; the next members can still be read.
    """

    name: str
    chunks: Iterator[bytes]
    reason: str | None = None


class _Stream:
    """Read forward from chunks, with a look ahead."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._kept = b""

    def peek(self, size: int) -> bytes:
        while len(self._kept) < size and (piece := next(self._chunks, b"")):
            self._kept += piece
        return self._kept[:size]

    def read(self, size: int) -> bytes:
        found = self.peek(size)
        self._kept = self._kept[len(found) :]
        return found

    def upto(self, size: int) -> Iterator[bytes]:
        """Give at most `size` bytes in pieces; fewer where the stream ends."""
        while size > 0 and (piece := self.some(min(size, PIECE_BYTES))):
            size -= len(piece)
            yield piece

    def some(self, size: int = PIECE_BYTES) -> bytes:
        found = self._kept or next(self._chunks, b"")
        while not found:
            try:
                found = next(self._chunks)
            except StopIteration:
                return b""
        self._kept = found[size:]
        return found[:size]

    def rest(self) -> Iterator[bytes]:
        while piece := self.some():
            yield piece


class _Budget:
    """Count what was unfolded; refuse when it is too much."""

    def __init__(self, limits: Limits, size_bytes: int) -> None:
        self.limits = limits
        self.size_bytes = max(size_bytes, 1)
        self.total = 0
        self.members = 0

    def counted(self, chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
        mine = 0
        for piece in chunks:
            mine += len(piece)
            self.total += len(piece)
            self._check(mine, name)
            yield piece

    def _check(self, mine: int, name: str) -> None:
        limits = self.limits
        if mine > limits.member_bytes:
            raise InvalidBatch(f"{name}: unfolds to more than {limits.member_bytes} bytes")
        if self.total > limits.total_bytes:
            raise InvalidBatch(f"{name}: archive unfolds to more than {limits.total_bytes} bytes")
        if self.total > max(limits.ratio_floor, limits.ratio * self.size_bytes):
            raise InvalidBatch(f"{name}: unfolds to more than {limits.ratio} times its size")

    def one_more(self, name: str) -> None:
        self.members += 1
        if self.members > self.limits.members:
            raise InvalidBatch(f"{name}: more than {self.limits.members} members")


def members(file: BinaryIO, name: str, limits: Limits = Limits()) -> Iterator[Member]:
    """Give the streams in a file: the file itself, or if it is an archive every member of it.

    `file`: seekable, read from where it stands; `name`: what people call it. A member of an archive
    is named `a.zip!member`. What cannot be read is a Member with a reason; the others go on.
    """
    start = file.tell()
    size = file.seek(0, io.SEEK_END) - start
    file.seek(start)
    yield from _look(name, _file_stream(file), file, _Budget(limits, size), 0)


def _file_stream(file: BinaryIO) -> _Stream:
    return _Stream(iter(lambda: file.read(PIECE_BYTES), b""))


def _look(
    name: str, stream: _Stream, file: BinaryIO | None, budget: _Budget, depth: int
) -> Iterator[Member]:
    """Give the stream, or what is in it. `file`: the same bytes, where they can be sought in."""
    try:
        head = stream.peek(_HEAD_BYTES)
        kind = _kind(head)
        if kind == "":
            yield Member(name, stream.rest())
        elif kind == "fork":
            yield _refused(name, "macOS resource fork, no log")
        elif depth >= budget.limits.depth:
            yield _refused(name, f"archive nested deeper than {budget.limits.depth}")
        elif kind == "zip":
            yield from _zip(name, stream, file, budget, depth)
        elif kind == "tar":
            yield from _tar(name, stream, budget, depth)
        else:
            yield from _compressed(name, kind, stream, budget, depth)
    except (InvalidBatch, zipfile.BadZipFile, OSError, EOFError, *_CODEC_ERRORS) as wrong:
        yield _refused(name, _why(wrong))


_CODEC_ERRORS: Final = (zlib.error, zstandard.ZstdError, NotImplementedError, RuntimeError)


def _why(wrong: Exception) -> str:
    return (
        f"archive is broken: {str(wrong)[:200] or type(wrong).__name__}"
        if not isinstance(wrong, InvalidBatch)
        else str(wrong)
    )


def _refused(name: str, reason: str) -> Member:
    return Member(name, iter(()), reason)


def _kind(head: bytes) -> str:
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "zip"
    if head.startswith(b"\x1f\x8b"):
        return "gz"
    if head.startswith(b"\x28\xb5\x2f\xfd"):
        return "zst"
    if head[257:262] == b"ustar":
        return "tar"
    return "fork" if head.startswith(_MAC_FORK) else ""


def _label(name: str, member: str) -> str:
    """Give `a.zip!member`; control characters of hostile names become '?'."""
    return f"{name}!" + re.sub(r"[\x00-\x1f\x7f\ud800-\udfff]", "?", member)[:1024]


def _guarded(chunks: Iterable[bytes], name: str) -> Iterator[bytes]:
    """Pass pieces on; a decoder's error becomes InvalidBatch with the member's name."""
    try:
        yield from chunks
    except (zipfile.BadZipFile, OSError, EOFError, *_CODEC_ERRORS) as wrong:
        raise InvalidBatch(f"{name}: {_why(wrong)}") from wrong


def _compressed(
    name: str, kind: str, stream: _Stream, budget: _Budget, depth: int
) -> Iterator[Member]:
    unfold: Callable[[Iterator[bytes]], Iterator[bytes]] = _gunzip if kind == "gz" else _unzstd
    inner = _Stream(_guarded(budget.counted(unfold(stream.rest()), name), name))
    budget.one_more(name)
    if _kind(inner.peek(_HEAD_BYTES)) == "tar":
        yield from _tar(name, inner, budget, depth)
        return
    stem = name.rpartition("/")[2].rpartition("!")[2]
    stem = re.sub(r"\.(gz|zst|tgz)$", "", stem) or stem
    yield from _look(_label(name, stem), inner, None, budget, depth + 1)


def _gunzip(chunks: Iterator[bytes]) -> Iterator[bytes]:
    decoder = zlib.decompressobj(31)
    ended = True
    for chunk in chunks:
        rest = chunk
        while rest:
            if decoder.eof:
                if not rest.startswith(b"\x1f") and not rest.strip(b"\0"):
                    return
                decoder = zlib.decompressobj(31)
            piece = decoder.decompress(rest, PIECE_BYTES)
            rest = decoder.unused_data if decoder.eof else decoder.unconsumed_tail
            ended = decoder.eof
            yield piece
    while not ended and (piece := decoder.decompress(decoder.unconsumed_tail, PIECE_BYTES)):
        yield piece
        ended = decoder.eof
    if not ended:
        raise InvalidBatch("gzip stream is cut off")


def _unzstd(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Unfold frame by frame. Small pieces in, because 4 bytes may unfold to 128 KiB at once."""
    context = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
    decoder = context.decompressobj()
    is_open = True
    for chunk in chunks:
        for start in range(0, len(chunk), _ZSTD_PIECE_BYTES):
            rest = chunk[start : start + _ZSTD_PIECE_BYTES]
            while rest:
                decoder = context.decompressobj() if decoder.eof else decoder
                yield decoder.decompress(rest)
                is_open = not decoder.eof
                rest = decoder.unused_data if decoder.eof else b""
    if is_open:
        raise InvalidBatch("zstd stream is cut off")


def _zip(
    name: str, stream: _Stream, file: BinaryIO | None, budget: _Budget, depth: int
) -> Iterator[Member]:
    if file is not None:
        file.seek(0)
        yield from _zip_members(name, file, budget, depth)
        return
    with tempfile.SpooledTemporaryFile(max_size=_SPOOL_BYTES) as spool:
        for piece in stream.rest():
            spool.write(piece)
        spool.seek(0)
        yield from _zip_members(name, spool, budget, depth)  # type: ignore[arg-type]  # same face


def _zip_members(name: str, file: BinaryIO, budget: _Budget, depth: int) -> Iterator[Member]:
    _check_directory(name, file, budget.limits)
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.is_dir():
                continue
            budget.one_more(name)
            label = _label(name, info.filename)
            if info.flag_bits & 0x1:
                yield _refused(label, "encrypted; unpack it with its password first")
                continue
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                yield _refused(label, f"compression method {info.compress_type} is not supported")
                continue
            pieces = _guarded(budget.counted(_entry(archive, info), label), label)
            yield from _look(label, _Stream(pieces), None, budget, depth + 1)


def _entry(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[bytes]:
    with archive.open(info) as entry:
        while piece := entry.read(PIECE_BYTES):
            yield piece


def _check_directory(name: str, file: BinaryIO, limits: Limits) -> None:
    """Refuse a directory of members that would not fit in memory, before it is read."""
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - (66 << 10)))
    tail = file.read()
    file.seek(0)
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 16:
        raise InvalidBatch(f"{name}: zip is cut off, its directory is missing")
    (directory,) = struct.unpack_from("<I", tail, at + 12)
    wide = tail.rfind(b"PK\x06\x06")
    if directory == 0xFFFFFFFF and wide >= 0 and len(tail) >= wide + 48:
        (directory,) = struct.unpack_from("<Q", tail, wide + 40)
    if directory > limits.members * _ZIP_ENTRY_BYTES:
        raise InvalidBatch(f"{name}: zip directory of {directory} bytes is too large")


def _tar(name: str, stream: _Stream, budget: _Budget, depth: int) -> Iterator[Member]:
    """Read a tar forward (POSIX ustar and pax, GNU long names); links and devices are left out."""
    long_name = ""
    while (head := stream.read(512)) and head.strip(b"\0"):
        size, kind = _tar_header(head, name)
        padding = -size % 512
        if kind in b"LKxg":
            if size > _NAME_BYTES:
                raise InvalidBatch(f"{name}: tar header of {size} bytes is too large")
            text = stream.read(size)
            stream.read(padding)
            long_name = _long_name(kind, text) or long_name
            continue
        label = _label(name, long_name or _tar_name(head))
        long_name = ""
        if kind in (b"0", b"\0", b"7"):
            budget.one_more(name)
            member = _Stream(_exactly(stream, size, label))
            yield from _look(label, member, None, budget, depth + 1)
            for _ in member.rest():
                pass
        elif kind == b"S":
            yield _refused(label, "sparse tar members are not supported")
            for _ in stream.upto(size):
                pass
        stream.read(padding)


def _exactly(stream: _Stream, size: int, label: str) -> Iterator[bytes]:
    for piece in stream.upto(size):
        size -= len(piece)
        yield piece
    if size:
        raise InvalidBatch(f"{label}: tar member is cut off, {size} bytes are missing")


def _tar_header(head: bytes, name: str) -> tuple[int, bytes]:
    """Give (size, type) of a header block whose checksum is right."""
    try:
        stated = int(head[148:156].strip(b" \0") or b"0", 8)
        text = head[124:136]
        size = int.from_bytes(text[4:]) if text[0] == 0x80 else int(text.strip(b" \0") or b"0", 8)
    except ValueError:
        raise InvalidBatch(f"{name}: tar header is broken") from None
    if len(head) < 512 or sum(head[:148]) + sum(head[156:]) + 8 * 32 != stated:
        raise InvalidBatch(f"{name}: tar header is broken")
    return size, head[156:157]


def _tar_name(head: bytes) -> str:
    prefix = head[345:500].split(b"\0")[0] if head[257:263] == b"ustar\0" else b""
    own = head[:100].split(b"\0")[0]
    return (prefix + b"/" + own if prefix else own).decode("utf-8", "replace")


def _long_name(kind: bytes, text: bytes) -> str:
    if kind == b"L":
        return text.rstrip(b"\0").decode("utf-8", "replace")
    found = re.search(rb"\d+ path=([^\n]*)\n", text) if kind == b"x" else None
    return found[1].decode("utf-8", "replace") if found else ""
