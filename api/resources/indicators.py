"""Keep indicators, and read where they were seen."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from api.auth import require
from api.desk import desk_of
from storage import indicators
from storage.errors import InvalidInput
from storage.schema.indicator import MAX_VALUE, Indicator, IndicatorType, normal
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["intel"])
Reader = Annotated[Scope, require("findings:read")]
Writer = Annotated[Scope, require(indicators.GRANT)]
MOST_AT_ONCE: Final = 10_000
FeedName = Annotated[str, Path(min_length=1, max_length=indicators.LONGEST_FEED)]


class IndicatorGiven(BaseModel):
    """One value that a feed calls hostile; brackets around dots are taken away."""

    model_config = ConfigDict(extra="forbid")
    type: IndicatorType
    value: str = Field(min_length=1, max_length=MAX_VALUE)
    valid_from: AwareDatetime
    valid_until: AwareDatetime | None = None
    confidence: int = Field(50, ge=0, le=100)
    labels: list[Annotated[str, Field(max_length=100)]] = Field(default=[], max_length=20)


class NewIndicators(BaseModel):
    """Indicators of one feed; those that are there already take the new times."""

    model_config = ConfigDict(extra="forbid")
    feed: str = Field(min_length=1, max_length=indicators.LONGEST_FEED)
    indicators: list[IndicatorGiven] = Field(min_length=1, max_length=MOST_AT_ONCE)


class Kept(BaseModel):
    """How many were kept, and what was refused, by its place from 0."""

    kept: int
    refused: list[tuple[int, str]]


class IndicatorView(BaseModel):
    """An indicator as it is compared."""

    type: str
    value: str
    feed: str
    valid_from: datetime
    valid_until: datetime | None
    confidence: int
    labels: list[str]
    tlp: str
    changed_at: datetime


class FeedView(BaseModel):
    """A feed and how much it brought."""

    feed: str
    indicators: int
    expired: int
    changed_at: datetime


class SightingView(BaseModel):
    """An indicator that was seen."""

    value: str
    feed: str
    sightings: int
    entities: int
    first_time: datetime
    last_time: datetime


@router.post("/indicators", summary="Keep indicators of a feed", status_code=201)
def put(request: Request, scope: Writer, new: NewIndicators) -> Kept:
    """Keep the good ones and name the others; the flows match them within ten seconds."""
    good: list[Indicator] = []
    bad: list[tuple[int, str]] = []
    for place, one in enumerate(new.indicators):
        try:
            good.append(_indicator(one, new.feed))
        except InvalidInput as wrong:
            bad.append((place, str(wrong)))
    with desk_of(request).database.app(scope) as tx:
        kept = indicators.put_indicators(scope, tx, new.feed, good) if good else 0
    return Kept(kept=kept, refused=bad)


def _indicator(given: IndicatorGiven, feed: str) -> Indicator:
    kind, value = normal(given.type, given.value)
    return Indicator(
        kind,
        value,
        int(given.valid_from.timestamp() * 1_000_000),
        int(given.valid_until.timestamp() * 1_000_000) if given.valid_until else None,
        given.confidence,
        feed,
        tuple(given.labels),
    )


@router.get("/indicators", summary="List indicators by value")
def listed(
    request: Request,
    scope: Reader,
    text: Annotated[str | None, Query(max_length=200, description="anywhere in the value")] = None,
    feed: Annotated[str | None, Query(max_length=indicators.LONGEST_FEED)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> list[IndicatorView]:
    """Give the first ones."""
    with desk_of(request).database.app(scope) as tx:
        rows = indicators.find_indicators(scope, tx, text, feed, limit)
    return [IndicatorView.model_validate(row) for row in rows]


@router.get("/indicators/feeds", summary="List feeds of indicators")
def feeds(request: Request, scope: Reader) -> list[FeedView]:
    """Give each feed and how much it brought."""
    with desk_of(request).database.app(scope) as tx:
        return [FeedView.model_validate(r) for r in indicators.indicator_feeds(scope, tx)]


@router.delete("/indicators/feeds/{feed}", summary="Forget a feed's indicators", status_code=204)
def drop(request: Request, scope: Writer, feed: FeedName) -> None:
    """Forget them; what was claimed by them stays."""
    with desk_of(request).database.app(scope) as tx:
        indicators.drop_feed(scope, tx, feed)


@router.get("/sightings", summary="List indicators that were seen, the latest first")
def seen(
    request: Request, scope: Reader, limit: Annotated[int, Query(ge=1, le=500)] = 100
) -> list[SightingView]:
    """Give how often, when and on how many entities."""
    with desk_of(request).database.app(scope) as tx:
        return [SightingView.model_validate(r) for r in indicators.sightings(scope, tx, limit)]
