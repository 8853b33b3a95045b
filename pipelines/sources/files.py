"""Read files and folders, archives included; follow growing files through rotation."""

import hashlib
import io
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from pipelines.archives import PIECE_BYTES, Limits, Member, members
from pipelines.formats import HEAD_BYTES, detect_format
from pipelines.parsing import split_stream
from pipelines.sources import Chunk
from storage.errors import InvalidBatch
from storage.settings import Settings

NAME: Final = "files"
_WAIT_S: Final = 0.5
_MAX_HELD_BYTES: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Input:
    """Hold one stream to read: a file, or a member of an archive.

    `file`: as given, for a folder the given path joined with the relative one; `member`: `file`, or
    `a.zip!member`; `reason`: why it was refused, then there are no chunks. `chunks` can be read
    once, before the next Input is asked for, and may raise InvalidBatch in the middle.
    `fingerprint`: identity of the content (BLAKE2b of the file, with the member's name).
    """

    file: str
    member: str
    chunks: Iterator[bytes] = field(default_factory=lambda: iter(()))
    reason: str | None = None
    fingerprint: str = ""

    def source(self, format: str) -> str:
        """Give the source id: the same content read as the same format is the same source."""
        return hashlib.blake2b(
            f"{self.fingerprint}\x1f{format}".encode(), digest_size=16
        ).hexdigest()

    def detected(self, format: str | None = None) -> tuple[str, Iterator[bytes]]:
        """Give (format, all chunks); InvalidBatch where the content fits no parser."""
        head = b""
        for piece in self.chunks:
            head += piece
            if len(head) >= HEAD_BYTES:
                break
        found = format or detect_format(head, self.member)
        return found, _after(head, self.chunks)


def _after(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def walk(paths: Iterable[str | Path], limits: Limits | None = None) -> Iterator[Input]:
    """Give every stream under the paths, folders sorted and in depth, members of archives too.

    Symbolic links inside a folder are followed only to files inside the same folder. What cannot be
    read is an Input with a reason.
    """
    for given in paths:
        for label, path in _files(str(given)):
            yield from _inputs(label, path, limits or Limits())


def _files(given: str) -> Iterator[tuple[str, Path]]:
    root = Path(given)
    if not root.is_dir():
        yield given, root
        return
    inside = root.resolve()
    for folder, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_symlink() and not path.resolve().is_relative_to(inside):
                continue
            yield os.path.join(given, path.relative_to(root)), path  # noqa: PTH118  keep './' as given


def _inputs(label: str, path: Path, limits: Limits) -> Iterator[Input]:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            yield Input(label, label, reason="not a regular file")
            return
        with path.open("rb") as file:
            content = _fingerprint(file)
            for member in members(file, label, limits):
                yield _input(label, member, content)
    except OSError as wrong:
        yield Input(label, label, reason=f"cannot be read: {wrong.strerror or wrong}")


def _input(label: str, member: Member, content: str) -> Input:
    mark = content + member.name[len(label) :]
    return Input(label, member.name, member.chunks, member.reason, mark)


def _fingerprint(file: io.BufferedReader) -> str:
    digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    file.seek(0)
    return digest


@dataclass(slots=True)
class FileSource:
    """Read files and folders as chunks for the log.

    Without `follow`: every stream once, archives unfolded; `offset` counts the stream's chunks.
    With `follow`: regular files as they grow, never archives; `offset` and `position` are byte
    places, so a resumed reader needs nothing but the offset. A file that shrank or was replaced
    (another inode) is a new source and read from its start.
    """

    paths: tuple[str, ...]
    format: str | None = None
    follow: bool = False
    max_bytes: int = 1 << 20
    limits: Limits = field(default_factory=Limits)
    refused: list[tuple[str, str]] = field(default_factory=list)
    """(file or member, reason) of what could not be read, in order."""
    wait: Callable[[float], None] = time.sleep
    is_closed: bool = False

    def chunks(self, resume: Mapping[str, int]) -> Iterator[Chunk]:
        """Give chunks after the resume points (source id -> offset); with `follow` it waits."""
        if self.follow:
            yield from self._followed(resume)
            return
        for found in walk(self.paths, self.limits):
            try:
                yield from self._whole(found, resume)
            except InvalidBatch as wrong:
                self.refused.append((found.member, str(wrong)))

    def close(self) -> None:
        """Stop following; files are open only while they are read."""
        self.is_closed = True

    def _whole(self, found: Input, resume: Mapping[str, int]) -> Iterator[Chunk]:
        if found.reason is not None:
            raise InvalidBatch(found.reason)
        log_format, pieces = found.detected(self.format)
        source = found.source(log_format)
        done = resume.get(source, 0)
        for n, (position, value) in enumerate(split_stream(log_format, pieces, self.max_bytes)):
            if n >= done:
                yield Chunk(source, position, log_format, found.member, value, n + 1)

    def _followed(self, resume: Mapping[str, int]) -> Iterator[Chunk]:
        places = dict(resume)
        told: set[str] = set()
        while not self.is_closed:
            moved = False
            for label, path in (f for given in self.paths for f in _files(given)):
                try:
                    for chunk in self._grown(label, path, places):
                        places[chunk.source] = chunk.offset
                        moved = True
                        yield chunk
                except (OSError, InvalidBatch) as wrong:
                    if label not in told:
                        told.add(label)
                        self.refused.append((label, str(wrong)))
            if not moved and not self.is_closed:
                self.wait(_WAIT_S)

    def _grown(self, label: str, path: Path, places: dict[str, int]) -> Iterator[Chunk]:
        """Give the whole lines that a file has beyond its place."""
        with path.open("rb") as file:
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode) or not facts.st_size:
                return
            head = file.read(HEAD_BYTES)
            source = self._identity(path, facts, head, places)
            at = places.get(source, 0)
            if at >= facts.st_size:
                return
            log_format = self.format or detect_format(head, label)
            file.seek(at)
            while (block := _lines(file, self.max_bytes)) and not self.is_closed:
                yield Chunk(source, at, log_format, label, block, at + len(block))
                at += len(block)

    def _identity(
        self, path: Path, facts: os.stat_result, head: bytes, places: dict[str, int]
    ) -> str:
        """Name a followed file: device, inode and first line; a truncated one by its turn too."""
        first = head[: head.find(b"\n") + 1] or head
        base = f"{path}\x1f{facts.st_dev}\x1f{facts.st_ino}\x1f".encode() + first
        turn = 0
        while True:
            mark = hashlib.blake2b(base + str(turn).encode(), digest_size=16).hexdigest()
            if places.get(mark, 0) <= facts.st_size:
                return mark
            turn += 1


def _lines(file: BinaryIO, max_bytes: int) -> bytes:
    """Read whole lines of about `max_bytes`; nothing where the last line has no end yet."""
    text = file.read(max_bytes)
    cut = text.rfind(b"\n") + 1
    while text and not cut:
        more = file.read(PIECE_BYTES)
        if not more:
            break
        text += more
        cut = len(text) if len(text) > _MAX_HELD_BYTES else text.rfind(b"\n") + 1
    file.seek(cut - len(text), io.SEEK_CUR)
    return text[:cut]


def open(settings: Settings) -> FileSource:  # noqa: A001  the contract's name
    """Follow whatever is dropped into the folder `inbox` of the data folder."""
    limits = Limits(ratio=settings.ingest_max_ratio)
    return FileSource((str(settings.data_dir / "inbox"),), follow=True, limits=limits)
