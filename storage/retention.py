"""Say how long a tenant keeps what of which class, and forget what is older.

A tenant's policy for a class counts before its policy for every class (class_uid 0), and that
before the settings. 0 days = keep for good. Days are UTC days of event time.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from storage.audit import write_audit
from storage.database import Database
from storage.database.dialect import drop_before, partitions
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotFound
from storage.lake import Lake
from storage.settings import Settings
from storage.tenant import Scope

KINDS: Final = ("events", "minutes", "hours", "days", "lake")
"""What is kept apart: events of the hot table, counts by the minute, hour and day, and the lake."""
LONGEST_DAYS: Final = 36_500
EVERY_CLASS: Final = 0
_ROLLUPS: Final = {
    "minutes": "retention_forget_minutes",
    "hours": "retention_forget_hours",
    "days": "retention_forget_days",
}
_NEVER: Final = "-infinity"

Policies = Mapping[str, Mapping[int, int]]
"""Kind -> class_uid -> days kept; class 0 stands for every other class."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Describe one policy of a tenant."""

    kind: str
    class_uid: int
    keep_days: int
    set_by: str
    set_at: datetime


def defaults(settings: Settings) -> dict[str, int]:
    """Give kind -> days kept, where a tenant says nothing."""
    return {
        "events": settings.hot_days,
        "minutes": settings.minute_days,
        "hours": settings.hour_days,
        "days": settings.day_days,
        "lake": settings.lake_days,
    }


def policies(database: Database, scope: Scope) -> list[Policy]:
    """List the tenant's policies, by kind and class."""
    scope.require("ops:read")
    with database.app(scope) as tx:
        rows = select(tx, "retention_list")
    return [Policy(**row) for row in rows]  # type: ignore[arg-type]  # the query's columns are its fields


def set_policy(
    database: Database, scope: Scope, kind: str, keep_days: int, class_uid: int = EVERY_CLASS
) -> None:
    """Keep `kind` of that class so many days from now on; written to the audit trail.

    What is older goes with the keeper's next round. NotAllowed without `tenants:write`.
    """
    scope.require("tenants:write")
    if not 0 <= keep_days <= LONGEST_DAYS:
        raise InvalidInput(
            f"keep {keep_days} days is out of bounds; 0 (for good) to {LONGEST_DAYS}"
        )
    with database.app(scope) as tx:
        execute(
            tx,
            "retention_set",
            kind=_known(kind),
            class_uid=_class(class_uid),
            keep_days=keep_days,
            set_by=scope.actor.name[:200].replace("\x00", ""),
        )
        told = {"class_uid": class_uid, "keep_days": keep_days}
        write_audit(tx, scope, "retention.set", kind, detail=told)


def unset_policy(database: Database, scope: Scope, kind: str, class_uid: int = EVERY_CLASS) -> None:
    """Take a policy away, so that what stands above it counts; NotFound if there is none."""
    scope.require("tenants:write")
    with database.app(scope) as tx:
        if not execute(tx, "retention_unset", kind=_known(kind), class_uid=_class(class_uid)):
            raise NotFound(f"there is no policy for {kind} of class {class_uid}")
        write_audit(tx, scope, "retention.unset", kind, detail={"class_uid": class_uid})


def _known(kind: str) -> str:
    if kind not in KINDS:
        raise InvalidInput(f"'{kind[:80]}' is not kept apart; one of: {', '.join(KINDS)}")
    return kind


def _class(class_uid: int) -> int:
    if not 0 <= class_uid < 1 << 31:
        raise InvalidInput(f"{class_uid} is no class_uid; 0 stands for every class")
    return class_uid


def forget_old(database: Database, settings: Settings, now_us: int) -> dict[str, int]:
    """Forget what is older than it is kept; give kind -> rows, and `dropped` -> whole days.

    A tenant is looked through once a day and after a change of its policies: late events of old
    days go with the next look. Whole days go whenever nobody keeps them.
    """
    today = datetime.fromtimestamp(now_us // 1_000_000, UTC).date()
    kept = kept_by_tenant(database, settings)
    gone = {"dropped": _drop_whole_days(database, kept, settings, today)}
    for tenant, held in kept.items():
        seen = (today, held)
        if database.looked_through.get(tenant) == seen:
            continue
        for kind, rows in _forget_rows(database, tenant, held, today).items():
            gone[kind] = gone.get(kind, 0) + rows
        database.looked_through[tenant] = seen
    return {kind: count for kind, count in gone.items() if count}


def forget_lake(database: Database, lake: Lake, settings: Settings, now_us: int) -> int:
    """Let the lake forget each tenant's files that are older than they are kept; give how many."""
    today = datetime.fromtimestamp(now_us // 1_000_000, UTC).date()
    files = 0
    for tenant, policy in kept_by_tenant(database, settings).items():
        held = policy["lake"]
        own = [class_uid for class_uid in held if class_uid != EVERY_CLASS]
        for class_uid, days in held.items():
            if not days:
                continue
            limit = datetime.combine(today - timedelta(days=days), datetime.min.time(), UTC)
            before_us = int(limit.timestamp()) * 1_000_000
            if class_uid == EVERY_CLASS:
                files += lake.expire(database, tenant, before_us, but=own).files
            else:
                files += lake.expire(database, tenant, before_us, classes=[class_uid]).files
    return files


def kept_by_tenant(database: Database, settings: Settings) -> dict[str, Policies]:
    """Give what counts for each tenant: its own policies over the settings."""
    own = defaults(settings)
    found: dict[str, dict[str, dict[int, int]]] = {
        tenant: {kind: {EVERY_CLASS: days} for kind, days in own.items()}
        for tenant in database.tenants()
    }
    with database.owner() as tx:
        rows = select(tx, "retention_all")
    for row in rows:
        tenant, kind = str(row["tenant_id"]), str(row["kind"])
        if tenant in found and kind in own:
            found[tenant][kind][int(str(row["class_uid"]))] = int(str(row["keep_days"]))
    return dict(found)


def _drop_whole_days(
    database: Database, kept: Mapping[str, Policies], settings: Settings, today: date
) -> int:
    """Drop the days of the hot table that no tenant keeps anything of."""
    held = [days for policy in kept.values() for days in policy["events"].values()]
    held = held or [settings.hot_days]
    if 0 in held:
        return 0
    limit = datetime.combine(today - timedelta(days=max(held)), datetime.min.time(), UTC)
    return len(drop_before(database, int(limit.timestamp()) * 1_000_000))


def _forget_rows(database: Database, tenant: str, held: Policies, today: date) -> dict[str, int]:
    gone = {}
    for kind, query in _ROLLUPS.items():
        if any(held[kind].values()):
            with database.owner() as tx:
                gone[kind] = execute(tx, query, tenant=tenant, **_limits(held[kind], today))
    if any(held["events"].values()):
        gone["events"] = _forget_events(database, tenant, held["events"], today)
    return gone


def _forget_events(database: Database, tenant: str, held: Mapping[int, int], today: date) -> int:
    """Delete a day at a time, each in a transaction of its own."""
    newest = max(today - timedelta(days=days) for days in held.values() if days)
    days = sorted(p.day for p in partitions(database) if p.day is not None and p.day < newest)
    bounds: Sequence[date | str] = [_NEVER, *days, newest]
    gone = 0
    for since, until in itertools.pairwise(bounds):
        with database.owner() as tx:
            gone += execute(
                tx,
                "retention_forget_events",
                tenant=tenant,
                since=str(since),
                until=str(until),
                **_limits(held, today),
            )
    return gone


def _limits(held: Mapping[int, int], today: date) -> dict[str, object]:
    """Give the moments before which is forgotten: of every class, and of classes of their own."""
    before = {
        class_uid: str(today - timedelta(days=days)) if days else _NEVER
        for class_uid, days in held.items()
    }
    own = {class_uid: at for class_uid, at in before.items() if class_uid != EVERY_CLASS}
    return {
        "before": before[EVERY_CLASS],
        "classes": list(own),
        "befores": list(own.values()),
    }
