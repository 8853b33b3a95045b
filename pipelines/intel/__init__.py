"""Read what others call hostile: feeds' bytes in, indicators and refusals out."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from storage.schema.indicator import Indicator


@dataclass(frozen=True, slots=True)
class Refusal:
    """A record that is no indicator: its number from 0 or its id, and why it was left out."""

    record: str
    reason: str


@dataclass(frozen=True, slots=True)
class Feed:
    """What one document of a feed gave: the good, and the bad with their reasons.

    `told`: ids of the patterns that it tells whole, those that were revoked too: of these the feed
    says nothing else any more.
    """

    indicators: tuple[Indicator, ...]
    refused: tuple[Refusal, ...]
    told: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """What a poll brings at once, and how far it is when that is kept.

    `is_whole`: it is all that the feed has. `has_more`: the feed has more, and the poll stops here.
    """

    feed: Feed
    cursor: Mapping[str, Any]
    is_whole: bool = False
    has_more: bool = False
