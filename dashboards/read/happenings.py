"""Read what befell entities, over security and business: the hot days and the lake as one list."""

import functools
import operator
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl
from psycopg import Connection
from psycopg.rows import TupleRow

from dashboards.read.names import Key, among
from storage.database import Database
from storage.database.queries import select
from storage.lake import Lake
from storage.tenant import Scope

Row = dict[str, Any]
LANES: Final = {
    "endpoint": "Endpoint",
    "network": "Network",
    "identity": "Identity",
    "mail": "Mail",
    "business": "Business",
}
"""Where things happen, in the order in which they are shown."""
MAIL: Final = 4009
_API: Final = 6003
_NETWORK: Final = frozenset({4001, 4002, 4003, 4004, 4007, 4010, 4014})
_IDENTITY: Final = frozenset({3001, 3002, 3003, 3005, 3006})
FACTS: Final = (999001, 999002, 999003, 999004, 999005, 999011, 999012, 999013, 999014)
_TOLD_BY_LAKE: Final = (MAIL, _API, *FACTS)
"""Classes whose telling columns are not in the hot table."""
MOST_FACTS: Final = 200
_MAILBOXES: Final = frozenset({"mailbox", "mailgate", "exchange", "office 365", "m365"})
_COLUMNS: Final = {
    "event_id": "event_id",
    "time": "time",
    "class_uid": "class_uid",
    "activity_id": "activity_id",
    "product": "metadata.product.name",
    "source": "source",
    "hostname": "device.hostname",
    "device_uid": "device.uid",
    "actor_user": "actor.user.name",
    "user_name": "user.name",
    "src_ip": "src_endpoint.ip",
    "document_uid": "document.uid",
    "document_type": "document.type",
    "document_status": "document.status",
    "vendor_uid": "vendor.uid",
    "vendor_name": "vendor.name",
    "bank_account": "vendor.bank_account",
    "customer_uid": "customer.uid",
    "customer_name": "customer.name",
    "person_name": "person.name",
    "item_name": "item.name",
    "record_count": "record_count",
    "discount_percent": "discount_percent",
    "amount_cents": "amount_cents",
    "currency": "currency",
    "operation": "api.operation",
    "email_from": "email.from",
    "email_to": "email.to",
    "email_subject": "email.subject",
    "message": "message",
}
_PEOPLE: Final = ("actor.user.name", "user.name", "email.to", "email.from")
_NAMED: Final = {
    "vendor": ("vendor.uid",),
    "document": ("document.uid",),
    "customer": ("customer.uid",),
    "item": ("item.uid",),
    "device": ("device.uid",),
    "ip": ("src_endpoint.ip", "dst_endpoint.ip"),
}


def lane_of(event: Mapping[str, Any]) -> str:
    """Say where an event happened: a key of `LANES`.

    >>> lane_of({"class_uid": 999002}), lane_of({"class_uid": 4003})
    ('business', 'network')
    """
    uid = int(event.get("class_uid") or 0)
    product = str(event.get("product") or "").lower()
    if 999000 < uid < 1000000:
        return "business"
    if uid == MAIL or (uid == _API and product in _MAILBOXES):
        return "mail"
    if uid in _NETWORK:
        return "network"
    return "identity" if uid in _IDENTITY or uid == _API else "endpoint"


def lane_of_claim(claim: Mapping[str, Any], event: Mapping[str, Any] | None) -> str:
    """Say where a finding happened: where its first event did, else what its entity says."""
    if event is not None:
        return lane_of(event)
    kinds = {"vendor": "business", "document": "business", "customer": "business"}
    kinds |= {"item": "business", "user": "identity", "ip": "network", "domain": "network"}
    kinds |= {"mailbox": "mail", "person": "business"}
    return kinds.get(str(claim.get("entity_type")), "endpoint")


def events_near(
    tx: Connection[TupleRow],
    keys: Sequence[Key],
    at: datetime,
    span: timedelta,
    limit: int,
    before: timedelta | None = None,
) -> list[Row]:
    """Give the hot events of any of the entities within `span` of a moment, nearest first."""
    edges = {"since": at - (before if before is not None else span), "until": at + span}
    return select(tx, "investigate_events", **among(keys), **edges, at=at, limit=limit)


def facts_near(
    database: Database,
    lake: Lake,
    scope: Scope,
    keys: Sequence[Key],
    since: datetime,
    until: datetime,
    limit: int,
) -> list[Row]:
    """Give mails, mailbox acts and business facts of the entities, from the lake, oldest first.

    Columns as `_COLUMNS`. A file that compaction has just replaced gives nothing.
    """
    scope.require("events:read")
    try:
        frame = lake.scan(database, scope, us(since), us(until), _TOLD_BY_LAKE)
        have = set(frame.collect_schema().names())
        wanted = _about(keys, have)
        if wanted is None:
            return []
        shown = [pl.col(c).alias(n) for n, c in _COLUMNS.items() if c in have]
        found = frame.filter(wanted).select(shown).sort("time").tail(limit).collect()
    except (pl.exceptions.PolarsError, OSError):
        return []
    return found.to_dicts()


def facts_of(database: Database, lake: Lake, scope: Scope, events: Sequence[Row]) -> dict[str, Row]:
    """Give event id -> what the lake says of mails and business facts among hot events."""
    scope.require("events:read")
    wanted = [e for e in events if e["class_uid"] in _TOLD_BY_LAKE][:MOST_FACTS]
    if not wanted:
        return {}
    times, ids = [us(e["time"]) for e in wanted], [str(e["event_id"]) for e in wanted]
    classes = sorted({int(e["class_uid"]) for e in wanted})
    try:
        frame = lake.scan_at(database, scope, times, classes)
        have = set(frame.collect_schema().names())
        shown = [pl.col(c).alias(n) for n, c in _COLUMNS.items() if c in have]
        found = frame.filter(pl.col("event_id").is_in(ids)).select(shown).collect()
    except (pl.exceptions.PolarsError, OSError):
        return {}
    return {str(row["event_id"]): row for row in found.to_dicts()}


def _about(keys: Iterable[Key], have: set[str]) -> pl.Expr | None:
    users = [k.name for k in keys if k.kind == "user"]
    tests: list[pl.Expr] = []
    for column in _PEOPLE if users else ():
        if column not in have:
            continue
        text = pl.col(column).str.to_lowercase()
        if column == "email.to":  # several, joined by "; "
            each = pl.element().str.split("@").list.first().is_in(users)
            tests.append(text.str.split("; ").list.eval(each).list.any())
        else:
            tests.append(text.str.split("\\").list.last().str.split("@").list.first().is_in(users))
    for kind, columns in _NAMED.items():
        names = [k.name for k in keys if k.kind == kind]
        tests += [pl.col(c).is_in(names) for c in columns if names and c in have]
    if not tests:
        return None
    return functools.reduce(operator.or_, [t.fill_null(value=False) for t in tests])


def merged(hot: Iterable[Row], facts: Iterable[Row]) -> list[Row]:
    """Put both together, oldest first; of an event that both know, the richer is kept."""
    found = {str(e["event_id"]): e for e in hot}
    found |= {str(e["event_id"]): {**found.get(str(e["event_id"]), {}), **e} for e in facts}
    return sorted(found.values(), key=lambda e: (e["time"], str(e["event_id"])))


def us(at: datetime) -> int:
    """Give a moment as microseconds since 1970, never before."""
    return max(0, int(at.timestamp() * 1_000_000))
