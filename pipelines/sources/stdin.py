"""Read standard input as one stream, archives included."""

import hashlib
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO, Final

from pipelines.formats import HEAD_BYTES, detect_format
from pipelines.parsing import split_stream
from pipelines.sources import Chunk
from storage.settings import Settings

NAME: Final = "stdin"


@dataclass(slots=True)
class StdinSource:
    """Cut one stream into chunks as it comes; `offset` counts them.

    The source id is the hash of the first 64 KiB: the same stream sent again is the same source.
    """

    file: BinaryIO
    format: str | None = None
    max_bytes: int = 1 << 20

    def chunks(self, resume: Mapping[str, int]) -> Iterator[Chunk]:
        """Give chunks after the resume point; InvalidBatch where the content fits no parser."""
        head = self.file.read(HEAD_BYTES)
        log_format = self.format or detect_format(head, "standard input")
        mark = head + b"\x1f" + log_format.encode()
        source = hashlib.blake2b(mark, digest_size=16).hexdigest()
        pieces = chain((head,), iter(lambda: self.file.read(HEAD_BYTES), b""))
        done = resume.get(source, 0)
        for n, (position, value) in enumerate(split_stream(log_format, pieces, self.max_bytes)):
            if n >= done:
                yield Chunk(source, position, log_format, "standard input", value, n + 1)

    def close(self) -> None:
        """Leave standard input to its owner."""


def open(settings: Settings) -> StdinSource:  # noqa: A001, ARG001  the contract
    """Read what is piped into the process."""
    return StdinSource(sys.stdin.buffer)
