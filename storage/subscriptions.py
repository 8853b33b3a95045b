"""Keep which feeds a tenant polls: where, with what secret, how often, and how the last one ended.

A poll is a row taken for a while by an id of its own. What it brings is kept together with how far
it is, as long as the row is still that poll's: paused, dropped or left behind, it brings nothing
more. The secret is sealed for its row; no function but `poll_of` opens it.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

from psycopg import Connection
from psycopg.rows import TupleRow

from storage.audit import write_audit
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotFound
from storage.identity import new_id
from storage.indicators import GRANT, checked_feed
from storage.sealing import Seal
from storage.settings import Secret
from storage.tenant import Scope

FeedKind = Literal["taxii", "misp", "stix", "csv"]
AuthKind = Literal["none", "basic", "bearer", "key"]
"""How the secret is sent: name:password, a bearer token, or bare (MISP)."""

MOST: Final = 50
"""Subscriptions of one tenant."""
LEAST_MINUTES: Final = 5
MOST_MINUTES: Final = 10_080
LONGEST_URL: Final = 2048
LONGEST_COLLECTION: Final = 256
LONGEST_SECRET: Final = 4096
DEAD_S: Final = 60.0
"""Without a beat for so long, whoever polls is dead."""
_TABLE: Final = "subscriptions"
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class NewSubscription:
    """A feed to poll. `collection`: of TAXII, its id, alias or title; '' = the only one."""

    feed: str
    kind: str
    url: str = field(repr=False)
    collection: str = ""
    auth: str = "none"
    secret: Secret = Secret("")
    every_minutes: int = 60


@dataclass(frozen=True, slots=True)
class Poll:
    """A subscription taken to be polled; `cursor` says how far the one before came."""

    subscription_id: str
    poll_id: str
    feed: str
    kind: str
    url: str = field(repr=False)
    collection: str
    auth: str
    secret: Secret
    cursor: Mapping[str, Any]


def add_subscription(
    scope: Scope, tx: Connection[TupleRow], seal: Seal, new: NewSubscription
) -> str:
    """Keep a subscription, due at once; give its id. Needs `rules:write`, audited.

    InvalidInput for what could never be polled, a feed's name that is taken, or one too many.
    """
    scope.require(GRANT)
    feed = checked_feed(new.feed)
    _check(new)
    counted = select(tx, "subscriptions_count", feed=feed)[0]
    if int(str(counted["same"])):
        raise InvalidInput(f"there is a subscription '{feed[:80]}' already: take another name")
    if int(str(counted["subscriptions"])) >= MOST:
        raise InvalidInput(f"a tenant has at most {MOST} subscriptions: drop one first")
    subscription_id = new_id(time.time_ns() // 1000)
    execute(
        tx,
        "subscription_add",
        subscription_id=subscription_id,
        feed=feed,
        kind=new.kind,
        url=new.url.strip(),
        collection=new.collection.strip(),
        auth=new.auth,
        secret=_sealed(scope, seal, subscription_id, new.secret),
        every_minutes=new.every_minutes,
        created_by=scope.actor.name,
    )
    detail = {"kind": new.kind, "url": shown_url(new.url)[:300], "auth": new.auth}
    write_audit(tx, scope, "intel.subscribe", feed, detail=detail)
    return subscription_id


def _check(new: NewSubscription) -> None:
    if new.kind not in get_args(FeedKind):
        raise InvalidInput(f"a feed is one of {', '.join(get_args(FeedKind))}")
    if not LEAST_MINUTES <= new.every_minutes <= MOST_MINUTES:
        raise InvalidInput(f"a feed is polled every {LEAST_MINUTES} to {MOST_MINUTES} minutes")
    if len(new.collection) > LONGEST_COLLECTION or not (new.collection or " ").isprintable():
        raise InvalidInput(f"a collection has at most {LONGEST_COLLECTION} printable characters")
    checked_url(new.url)
    _check_secret(new.auth, new.secret)


def checked_url(url: str) -> str:
    """Give the URL if it could be a feed's; whether it may be reached is seen when it is polled."""
    text = url.strip()
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        raise InvalidInput("this is no url: write https://host/path") from None
    if not text.isascii() or not text.isprintable() or " " in text or len(text) > LONGEST_URL:
        raise InvalidInput(f"a url has at most {LONGEST_URL} plain characters, without blanks")
    if parts.scheme not in {"https", "http"} or not host:
        raise InvalidInput("the url is not of the web: write https://host/path")
    if "@" in parts.netloc:
        raise InvalidInput("the url holds a name or password: give it as the secret")
    return text


def _check_secret(auth: str, secret: Secret) -> None:
    if auth not in get_args(AuthKind):
        raise InvalidInput(f"a secret is sent as one of {', '.join(get_args(AuthKind))}")
    text = secret.reveal()
    if (auth == "none") != (not text):
        raise InvalidInput("say both how the secret is sent and the secret, or none")
    if len(text) > LONGEST_SECRET or not (text or " ").isprintable():
        raise InvalidInput(f"a secret has at most {LONGEST_SECRET} printable characters")
    if auth in {"bearer", "key"} and not text.isascii():
        raise InvalidInput("a token has plain ASCII characters only")
    if auth == "basic" and ":" not in text:
        raise InvalidInput("write the secret as name:password")


def _sealed(scope: Scope, seal: Seal, subscription_id: str, secret: Secret) -> bytes | None:
    return seal.close(secret, scope.tenant_id, _TABLE, subscription_id) if secret else None


def list_subscriptions(scope: Scope, tx: Connection[TupleRow]) -> list[Row]:
    """Give all by feed, without their secrets. Needs `findings:read`."""
    scope.require("findings:read")
    rows = select(tx, "subscriptions_all", dead_s=DEAD_S)
    return [row | {"url": shown_url(str(row["url"]))} for row in rows]


def shown_url(url: str) -> str:
    """Give a URL as it may be shown: what is asked for may hold a key.

    >>> shown_url("https://feeds.example/list?key=1")
    'https://feeds.example/list?***'
    """
    place, mark, _ = url.strip().partition("?")
    return f"{place}?***" if mark else place


def pause_subscription(scope: Scope, tx: Connection[TupleRow], feed: str, *, paused: bool) -> None:
    """Let a feed rest, or be polled again at once. Needs `rules:write`, audited."""
    scope.require(GRANT)
    _one(execute(tx, "subscription_pause", feed=feed, paused=paused), feed)
    write_audit(tx, scope, "intel.pause" if paused else "intel.resume", feed[:100])


def change_secret(
    scope: Scope, tx: Connection[TupleRow], seal: Seal, feed: str, auth: str, secret: Secret
) -> None:
    """Ask with another secret from now on. Needs `rules:write`, audited."""
    scope.require(GRANT)
    _check_secret(auth, secret)
    found = select(tx, "subscription_id_of", feed=feed)
    _one(len(found), feed)
    shut = _sealed(scope, seal, str(found[0]["subscription_id"]), secret)
    select(tx, "subscription_secret", feed=feed, auth=auth, secret=shut)
    write_audit(tx, scope, "intel.secret", feed[:100], detail={"auth": auth})


def poll_now(scope: Scope, tx: Connection[TupleRow], feed: str) -> None:
    """Let a feed be polled within seconds. Needs `rules:write`, audited."""
    scope.require(GRANT)
    found = select(tx, "subscription_id_of", feed=feed)
    _one(len(found), feed)
    if found[0]["paused"]:
        raise InvalidInput(f"'{feed[:80]}' is paused: let it run first")
    execute(tx, "subscription_due", feed=feed)
    write_audit(tx, scope, "intel.poll", feed[:100])


def drop_subscription(scope: Scope, tx: Connection[TupleRow], feed: str) -> None:
    """Poll a feed no more; its indicators stay. Needs `rules:write`, audited."""
    scope.require(GRANT)
    _one(execute(tx, "subscription_drop", feed=feed), feed)
    write_audit(tx, scope, "intel.unsubscribe", feed[:100])


def _one(count: int, feed: str) -> None:
    if not count:
        raise NotFound(f"there is no subscription '{feed[:80]}'")


def waiting_subscriptions(tx: Connection[TupleRow]) -> list[tuple[str, str]]:
    """Give (tenant, id) of what is due, one a tenant; as the writer."""
    rows = select(tx, "subscriptions_waiting", dead_s=DEAD_S)
    return [(str(row["tenant_id"]), str(row["subscription_id"])) for row in rows]


def take_poll(tx: Connection[TupleRow], subscription_id: str) -> str:
    """Take one that is due; give the poll's id, '' if somebody else has it or it is not due.

    Open it with `poll_of` in a later transaction: what fails there is the taken poll's failure.
    """
    poll_id = new_id(time.time_ns() // 1000)
    told = {"subscription_id": subscription_id, "poll_id": poll_id, "dead_s": DEAD_S}
    return poll_id if execute(tx, "subscription_take", **told) else ""


def poll_of(
    scope: Scope, tx: Connection[TupleRow], seal: Seal, subscription_id: str, poll_id: str
) -> Poll:
    """Give what is to be asked, its secret opened; NotFound if it is this poll's no more."""
    scope.require(GRANT)
    found = select(tx, "subscription_to_poll", subscription_id=subscription_id, poll_id=poll_id)
    if not found:
        raise NotFound("the subscription was paused, dropped or taken by another")
    row: Row = dict(found[0])
    shut = row["secret"]
    place = (scope.tenant_id, _TABLE, subscription_id)
    return Poll(
        subscription_id,
        poll_id,
        feed=str(row["feed"]),
        kind=str(row["kind"]),
        url=str(row["url"]),
        collection=str(row["collection"]),
        auth=str(row["auth"]),
        secret=seal.open(bytes(shut), *place) if shut is not None else Secret(""),
        cursor=row["cursor"],
    )


def poll_goes_on(
    tx: Connection[TupleRow], poll: Poll, cursor: Mapping[str, Any] | None = None
) -> None:
    """Say how far the poll is, in the transaction that keeps what it brought.

    NotFound if it is this poll's no more: then nothing of it may be kept.
    """
    told = {"subscription_id": poll.subscription_id, "poll_id": poll.poll_id}
    place = None if cursor is None else json.dumps(cursor)
    if not execute(tx, "subscription_beat", cursor=place, **told):
        raise NotFound("the subscription was paused, dropped or taken by another")


def end_poll(
    tx: Connection[TupleRow], poll: Poll, result: Mapping[str, Any], *, has_more: bool
) -> None:
    """Write that it ended well; with more to come it goes on in a minute."""
    told = {"subscription_id": poll.subscription_id, "poll_id": poll.poll_id}
    execute(tx, "subscription_end", result=json.dumps(result), has_more=has_more, **told)


def fail_poll(tx: Connection[TupleRow], subscription_id: str, poll_id: str, reason: str) -> None:
    """Write why it did not; it is tried again later and later, at least once a day."""
    told = {"subscription_id": subscription_id, "poll_id": poll_id, "reason": reason[:500]}
    execute(tx, "subscription_failed", **told)


def left_poll(tx: Connection[TupleRow], subscription_id: str, reason: str) -> None:
    """Write that the process of the poll ended without a word."""
    execute(tx, "subscription_left", subscription_id=subscription_id, reason=reason[:500])
