"""Bring bytes in: one file a source, found by folder.

A source is a module with `NAME: str` and `open(settings) -> Source`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

CONTRACT: Final = ("NAME", "open")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A self-contained piece of one origin: parseable alone, in order within its origin.

    `source`: stable id of the origin (a file's content hash, a listener); `position`: number of
    its first record; `format`: parser name; `name`: what people call the origin; `offset`: where
    to resume after this chunk.
    """

    source: str
    position: int
    format: str
    name: str
    value: bytes
    offset: int


class Source(Protocol):
    """Read chunks from where one left off."""

    def chunks(self, resume: Mapping[str, int]) -> Iterator[Chunk]:
        """Give chunks after the resume points (source id -> offset); ends, or waits to follow."""

    def close(self) -> None:
        """Let go of files."""
