"""Read what others call hostile: feeds' bytes in, indicators and refusals out."""

from dataclasses import dataclass

from storage.schema.indicator import Indicator


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that is no indicator: its number from 0 or its id, and why it was left out."""

    record: str
    reason: str


@dataclass(frozen=True, slots=True)
class Feed:
    """What one document of a feed gave: the good, and the bad with their reasons."""

    indicators: tuple[Indicator, ...]
    refused: tuple[Refusal, ...]
