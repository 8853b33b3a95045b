"""Each tenant keeps what it says, class by class; nobody's policy touches another's rows."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from pipelines.windows import WINDOW_S, count_windows
from storage.database import Database
from storage.database.commit import add_window_counts, copy_events, insert_lake_files
from storage.database.dialect import ensure_days
from storage.database.rollups import fold
from storage.errors import InvalidInput, NotAllowed, NotFound
from storage.lake import Lake
from storage.retention import forget_lake, forget_old, policies, set_policy, unset_policy
from storage.settings import Settings
from storage.tenant import Actor, Role, Scope
from tests.storage.made_events import START, batch_of

NOW = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
NOW_US = int(NOW.timestamp()) * 1_000_000
DAY = timedelta(days=1)
OWN = (1007, 3002)


@pytest.fixture
def kept(database: Database, two_tenants: tuple[Scope, Scope]) -> Iterator[Database]:
    """Lend a database with an event of each class of both tenants, of each of the last 30 days."""
    database.looked_through.clear()
    first = int((NOW - 30 * DAY - START).total_seconds())
    today = NOW_US // 86_400_000_000
    ensure_days(database, list(range(today - 10, today + 1)))  # the older lie in the rest
    for scope in two_tenants:
        for n in range(31):
            batch = batch_of(scope.tenant_id, 2, first=first + n * 86_400)
            counts = count_windows(batch.frame, WINDOW_S)
            with database.writer() as tx:
                copy_events(tx, batch)
                add_window_counts(tx, counts)
    fold(database)
    yield database
    with database.owner() as tx:  # the extension makes no chunk where others lie across
        tx.execute("DELETE FROM events")


def _days(database: Database, scope: Scope, table: str = "events") -> dict[int, int]:
    """Give class -> how many days it is kept of, as the tenant sees it."""
    at = '"time"' if table == "events" else "start"
    query = (
        f"SELECT class_uid, count(DISTINCT ({at} AT TIME ZONE 'UTC')::date)"
        f" FROM {table} GROUP BY 1 ORDER BY 1"
    )
    with database.app(scope) as tx:
        return dict(tx.execute(query.encode()).fetchall())


def test_a_class_of_a_tenant_is_kept_as_it_says(
    kept: Database, two_tenants: tuple[Scope, Scope], settings: Settings
) -> None:
    acme, bolt = two_tenants
    set_policy(kept, acme, "events", 20)
    set_policy(kept, acme, "events", 5, 3002)
    gone = forget_old(kept, settings, NOW_US)
    assert _days(kept, acme) == {1007: 21, 3002: 6}
    assert _days(kept, bolt) == {1007: 31, 3002: 31}
    assert gone["events"] == 10 + 25


def test_the_settings_count_where_a_tenant_says_nothing(
    kept: Database, two_tenants: tuple[Scope, Scope], settings: Settings
) -> None:
    acme, bolt = two_tenants
    set_policy(kept, acme, "events", 0)
    set_policy(kept, acme, "events", 2, 1007)
    forget_old(kept, replace(settings, hot_days=7), NOW_US)
    assert _days(kept, acme) == {1007: 3, 3002: 31}
    assert _days(kept, bolt) == {1007: 8, 3002: 8}


@pytest.mark.parametrize(
    ("kind", "table"),
    [("minutes", "entity_minutes"), ("hours", "entity_hours"), ("days", "entity_days")],
)
def test_counts_go_by_their_own_policies(
    kept: Database, two_tenants: tuple[Scope, Scope], settings: Settings, kind: str, table: str
) -> None:
    acme, bolt = two_tenants
    whole = replace(settings, minute_days=0, hour_days=0, day_days=0)
    set_policy(kept, acme, kind, 3)
    set_policy(kept, acme, kind, 0, 1007)
    forget_old(kept, whole, NOW_US)
    assert _days(kept, acme, table) == {1007: 31, 3002: 4}
    assert _days(kept, bolt, table) == {1007: 31, 3002: 31}
    others = {"entity_minutes", "entity_hours", "entity_days", "events"} - {table}
    assert [_days(kept, acme, other)[3002] for other in sorted(others)] == [31, 31, 31]


def test_whole_days_go_when_nobody_keeps_them(
    kept: Database, two_tenants: tuple[Scope, Scope], settings: Settings
) -> None:
    acme, bolt = two_tenants
    set_policy(kept, acme, "events", 4)
    set_policy(kept, bolt, "events", 6)
    gone = forget_old(kept, settings, NOW_US)
    assert gone["dropped"] >= 4  # of the ten days before today that have a place of their own
    assert _days(kept, acme) == {1007: 5, 3002: 5}
    assert _days(kept, bolt) == {1007: 7, 3002: 7}


def test_files_of_the_lake_go_class_by_class(
    database: Database, two_tenants: tuple[Scope, Scope], settings: Settings, tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "lake")
    first = int((NOW - 30 * DAY - START).total_seconds())
    for place, scope in enumerate(two_tenants):
        for n in (0, 25):
            batch = batch_of(scope.tenant_id, 4, first=first + n * 86_400)
            with database.writer() as tx:
                insert_lake_files(tx, lake.write(batch, "raw", place, n, n))
    acme, bolt = two_tenants
    set_policy(database, acme, "lake", 10)
    set_policy(database, acme, "lake", 0, 1007)
    set_policy(database, bolt, "lake", 3, 3002)
    assert forget_lake(database, lake, settings, NOW_US) == 1 + 2
    kept = [
        dict(lake.scan(database, scope).collect()["class_uid"].value_counts().rows())
        for scope in two_tenants
    ]
    assert kept == [{1007: 4, 3002: 2}, {1007: 4}]
    assert forget_lake(database, lake, settings, NOW_US) == 0


def test_a_look_is_not_repeated_the_same_day_but_after_a_change(
    kept: Database, two_tenants: tuple[Scope, Scope], settings: Settings
) -> None:
    acme, _ = two_tenants
    set_policy(kept, acme, "events", 20)
    assert forget_old(kept, settings, NOW_US)
    late = batch_of("acme", 2, first=int((NOW - 28 * DAY - START).total_seconds()), source="late")
    with kept.writer() as tx:
        copy_events(tx, late)
    assert forget_old(kept, settings, NOW_US) == {}
    assert forget_old(kept, settings, NOW_US + 86_400_000_000)["events"] == 2 + 2
    set_policy(kept, acme, "events", 9)
    assert forget_old(kept, settings, NOW_US + 86_400_000_000)["events"] > 0


def test_a_policy_is_seen_changed_and_audited_by_its_tenant_alone(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    acme, bolt = two_tenants
    set_policy(database, acme, "events", 30)
    set_policy(database, acme, "events", 40)
    set_policy(database, acme, "hours", 90, 4001)
    told = [(p.kind, p.class_uid, p.keep_days, p.set_by) for p in policies(database, acme)]
    assert told == [("events", 0, 40, "ann"), ("hours", 4001, 90, "ann")]
    assert policies(database, bolt) == []
    with pytest.raises(NotFound):
        unset_policy(database, bolt, "events")
    unset_policy(database, acme, "events")
    with pytest.raises(NotFound):
        unset_policy(database, acme, "events")
    with psycopg.connect(database._logins.owner) as admin:
        rows = admin.execute(
            "SELECT tenant_id, action, object, detail->>'keep_days' FROM inopsio.audit_entries"
            " ORDER BY entry_id"
        ).fetchall()
    assert rows == [
        ("acme", "retention.set", "events", "30"),
        ("acme", "retention.set", "events", "40"),
        ("acme", "retention.set", "hours", "90"),
        ("acme", "retention.unset", "events", None),
    ]


@pytest.mark.parametrize(
    ("kind", "keep_days", "class_uid"),
    [("lake; --", 1, 0), ("events", -1, 0), ("events", 36_501, 0), ("events", 1, -1)],
)
def test_odd_policies_are_refused(
    database: Database, two_tenants: tuple[Scope, Scope], kind: str, keep_days: int, class_uid: int
) -> None:
    with pytest.raises(InvalidInput):
        set_policy(database, two_tenants[0], kind, keep_days, class_uid)


def test_only_an_operator_changes_what_is_kept(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    admin = Scope("acme", Actor("user", "ada"), frozenset({Role.ADMIN}))
    assert policies(database, admin) == []
    with pytest.raises(NotAllowed):
        set_policy(database, admin, "events", 1)
    with pytest.raises(NotAllowed):
        unset_policy(database, admin, "events")
