"""Subscribe to feeds of indicators, and read how their polls and searches of the past ended."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from api.auth import require
from api.desk import desk_of
from storage import indicators
from storage import subscriptions as kept
from storage.errors import InvalidInput
from storage.indicator_matches import newest_matches
from storage.sealing import Seal
from storage.settings import Secret
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["intel"])
Reader = Annotated[Scope, require("findings:read")]
Writer = Annotated[Scope, require(indicators.GRANT)]
FeedName = Annotated[str, Path(min_length=1, max_length=indicators.LONGEST_FEED)]
Word = Annotated[SecretStr, Field(max_length=kept.LONGEST_SECRET)]


class NewSubscription(BaseModel):
    """A feed to poll; the secret is kept sealed and never shown again."""

    model_config = ConfigDict(extra="forbid")
    feed: str = Field(min_length=1, max_length=indicators.LONGEST_FEED)
    kind: kept.FeedKind
    url: str = Field(min_length=1, max_length=kept.LONGEST_URL)
    collection: str = Field(
        "", max_length=kept.LONGEST_COLLECTION, description="of TAXII: id, alias or title"
    )
    auth: kept.AuthKind = Field("none", description="basic: name:password; key: sent bare (MISP)")
    secret: Word = SecretStr("")
    every_minutes: int = Field(60, ge=kept.LEAST_MINUTES, le=kept.MOST_MINUTES)


class SubscriptionChange(BaseModel):
    """Let it rest or run, or give another secret; what is left out stays."""

    model_config = ConfigDict(extra="forbid")
    paused: bool | None = None
    auth: kept.AuthKind | None = Field(None, description="with the secret, or none of both")
    secret: Word | None = None


class SubscriptionMade(BaseModel):
    """The id of the subscription."""

    subscription_id: str


class PollResult(BaseModel):
    """What the last poll that ended well brought."""

    indicators: int
    refused: int
    pages: int
    reasons: list[str] = Field(description="of the first that were refused")


class SubscriptionView(BaseModel):
    """A feed that is polled, and how the last poll ended."""

    subscription_id: str
    feed: str
    kind: kept.FeedKind
    url: str
    collection: str
    auth: kept.AuthKind
    has_secret: bool
    every_minutes: int
    paused: bool
    is_polling: bool
    due_at: datetime
    polled_at: datetime | None
    failures: int = Field(description="polls in a row that did not end well")
    last_error: str = Field(description="why, and what to do; '' if it ended well")
    last_result: PollResult | None
    created_by: str
    created_at: datetime


class MatchView(BaseModel):
    """A search of the past for indicators that were new."""

    match_id: str
    days: int
    until: datetime
    reached: datetime | None = Field(description="everything from then on is searched")
    status: str = Field(description="queued, running, done, failed")
    indicators: int
    events: int = Field(description="read so far")
    findings: int = Field(description="that are new")
    reason: str
    created_at: datetime


@router.get("/subscriptions", summary="List the feeds that are polled")
def listed(request: Request, scope: Reader) -> list[SubscriptionView]:
    """Give them by feed, with how the last poll ended."""
    with desk_of(request).database.app(scope) as tx:
        rows = kept.list_subscriptions(scope, tx)
    return [SubscriptionView.model_validate(row) for row in rows]


@router.post("/subscriptions", summary="Subscribe to a feed", status_code=201)
def subscribe(request: Request, scope: Writer, new: NewSubscription) -> SubscriptionMade:
    """Keep it; the first poll begins within seconds."""
    desk = desk_of(request)
    given: dict[str, Any] = new.model_dump() | {"secret": Secret(new.secret.get_secret_value())}
    with desk.database.app(scope) as tx:
        made = kept.add_subscription(
            scope, tx, Seal.of(desk.settings), kept.NewSubscription(**given)
        )
    return SubscriptionMade(subscription_id=made)


@router.patch("/subscriptions/{feed}", summary="Change a subscription", status_code=204)
def change(request: Request, scope: Writer, feed: FeedName, wanted: SubscriptionChange) -> None:
    """Pause it, let it run, or give it another secret."""
    desk = desk_of(request)
    if (wanted.auth is None) != (wanted.secret is None):
        raise InvalidInput("say both how the secret is sent and the secret")
    with desk.database.app(scope) as tx:
        if wanted.auth is not None and wanted.secret is not None:
            secret = Secret(wanted.secret.get_secret_value())
            kept.change_secret(scope, tx, Seal.of(desk.settings), feed, wanted.auth, secret)
        if wanted.paused is not None:
            kept.pause_subscription(scope, tx, feed, paused=wanted.paused)


@router.post("/subscriptions/{feed}/poll", summary="Poll a feed now", status_code=202)
def poll(request: Request, scope: Writer, feed: FeedName) -> None:
    """Let the next poll begin within seconds."""
    with desk_of(request).database.app(scope) as tx:
        kept.poll_now(scope, tx, feed)


@router.delete("/subscriptions/{feed}", summary="Poll a feed no more", status_code=204)
def drop(request: Request, scope: Writer, feed: FeedName) -> None:
    """End the subscription; the feed's indicators stay until they are forgotten."""
    with desk_of(request).database.app(scope) as tx:
        kept.drop_subscription(scope, tx, feed)


@router.get("/indicator-matches", summary="List searches of the past for new indicators")
def matches(
    request: Request, scope: Reader, limit: Annotated[int, Query(ge=1, le=50)] = 20
) -> list[MatchView]:
    """Give the newest, with how far they are and what they found."""
    with desk_of(request).database.app(scope) as tx:
        return [MatchView.model_validate(row) for row in newest_matches(scope, tx, limit)]
