"""Counts by the minute, hour and day are exact through folds, late events, repeats and crashes."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import polars as pl
import psycopg
import pytest
from psycopg import Connection
from psycopg.rows import TupleRow

from pipelines.windows import WINDOW_S, count_windows
from storage.database import Database
from storage.database.commit import Fenced, commit
from storage.database.rollups import FOLD_AT, add_window_counts, fold, fold_if_many
from storage.errors import Unavailable
from storage.outcome import Outcome, PartitionStep
from storage.tenant import Scope
from tests.storage.made_events import START, batch_of

Tx = Connection[TupleRow]


def _count(tx: Tx, outcome: Outcome) -> None:
    if outcome.window_counts is not None:
        add_window_counts(tx, outcome.window_counts)


def _step(expected: int, tenant: str, rows: int, first: int = 0) -> Outcome:
    batch = batch_of(tenant, rows, first=first)
    moved = PartitionStep("raw", 0, expected, expected + 1, 0)
    return Outcome("f", (moved,), window_counts=count_windows(batch.frame, WINDOW_S))


def _seen(database: Database, scope: Scope, query: str) -> list[tuple[object, ...]]:
    with database.app(scope) as tx:
        return tx.execute(query.encode()).fetchall()


_ADDED = "SELECT window_s, sum(events)::bigint FROM window_counts GROUP BY 1 ORDER BY 1"


def test_counts_are_the_same_before_during_and_after_a_fold(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    acme, bolt = two_tenants
    whole = [(60, 4000), (3600, 4000), (86400, 4000)]
    commit(database, _step(0, "acme", 4000), [_count])
    assert _seen(database, acme, _ADDED) == whole
    assert fold(database) > 0
    assert _seen(database, acme, _ADDED) == whole
    commit(database, _step(1, "acme", 1000, first=500), [_count])  # late: into windows that stand
    more = [(width, events + 1000) for width, events in whole]
    assert _seen(database, acme, _ADDED) == more
    fold(database)
    assert fold(database) == 0
    assert _seen(database, acme, _ADDED) == more
    assert _seen(database, bolt, _ADDED) == []


def test_each_window_holds_the_events_of_its_own_time(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    for step, (rows, first) in enumerate(((4000, 3600), (3600, 0), (100, 86_400))):
        commit(database, _step(step, "acme", rows, first), [_count])
        fold(database)
    hours = _seen(
        database,
        two_tenants[0],
        "SELECT start, sum(events)::bigint, min(first_minute), max(last_minute)"
        " FROM entity_hours GROUP BY 1 ORDER BY 1",
    )
    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    assert hours == [
        (START, 3600, START, START + 59 * minute),
        (START + hour, 3600, START + hour, START + hour + 59 * minute),
        (START + 2 * hour, 400, START + 2 * hour, START + 2 * hour + 6 * minute),
        (START + 24 * hour, 100, START + 24 * hour, START + 24 * hour + minute),
    ]
    days = _seen(
        database,
        two_tenants[0],
        "SELECT start, sum(events)::bigint FROM entity_days GROUP BY 1 ORDER BY 1",
    )
    midnight = datetime(2024, 5, 1, tzinfo=UTC)
    assert days == [(midnight, 7600), (midnight + timedelta(days=1), 100)]


def test_a_step_that_comes_again_does_not_count_again(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    commit(database, _step(0, "acme", 50), [_count])
    fold(database)
    with pytest.raises(Fenced):
        commit(database, _step(0, "acme", 50), [_count])
    fold(database)
    assert _seen(database, two_tenants[0], _ADDED) == [(60, 50), (3600, 50), (86400, 50)]


def _cut_who_waits(admin: Tx) -> None:
    """End the backend that waits for a lock, once there is one."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        cut = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'"
        ).fetchall()
        if cut:
            return
        time.sleep(0.02)
    raise AssertionError("nobody waits")


def test_a_fold_that_is_cut_off_loses_nothing_and_doubles_nothing(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    commit(database, _step(0, "acme", 500), [_count])
    whole = [(60, 500), (3600, 500), (86400, 500)]
    owner = database._logins.owner
    with (
        psycopg.connect(owner, autocommit=True) as admin,
        psycopg.connect(owner) as lock,
        ThreadPoolExecutor(1) as pool,
    ):
        lock.execute("LOCK TABLE inopsio.entity_days IN EXCLUSIVE MODE")
        folding = pool.submit(fold, database)
        _cut_who_waits(admin)
        with pytest.raises(Unavailable):
            folding.result(20)
    assert _seen(database, two_tenants[0], _ADDED) == whole
    assert fold(database) > 0
    assert _seen(database, two_tenants[0], _ADDED) == whole


def test_only_one_process_folds_at_a_time(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    commit(database, _step(0, "acme", 10), [_count])
    with database.writer() as tx:
        tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('inopsio.rollups', 0))")
        assert fold(database) == 0
    assert fold(database) > 0


def test_a_process_folds_when_it_has_appended_many(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    database.counts_appended = 0
    commit(database, _step(0, "acme", 10), [_count])
    fold_if_many(database, FOLD_AT - 100)
    assert _seen(database, two_tenants[0], "SELECT FROM entity_days") == []
    fold_if_many(database, 100)
    assert _seen(database, two_tenants[0], "SELECT FROM entity_days") != []
    assert database.counts_appended == 0


def test_hostile_names_are_counted(database: Database, two_tenants: tuple[Scope, Scope]) -> None:
    names = ["", '"', '\\"', "NULL", "{}", "a,b\nc", "\\N", "\\.", "nul\x00", "x" * 5000, "ü" * 600]
    counts = pl.DataFrame(
        {
            "tenant_id": ["acme"] * len(names),
            "entity_type": ["host"] * len(names),
            "entity": names,
            "class_uid": pl.Series([1007] * len(names), dtype=pl.Int32),
            "window_start": [START] * len(names),
            "window_s": pl.Series([60] * len(names), dtype=pl.Int32),
            "events": [1] * len(names),
        }
    )
    with database.writer() as tx:
        add_window_counts(tx, counts)
    fold(database)
    found = _seen(database, two_tenants[0], "SELECT entity FROM entity_minutes")
    told = [name.replace("\x00", "\ufffd")[:512] for name in names]
    assert sorted(str(name) for (name,) in found) == sorted(told)


def test_counts_of_an_older_process_are_folded_too(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    commit(database, _step(0, "acme", 10), [_count])
    with database.writer() as tx:
        tx.execute(
            "INSERT INTO entity_deltas (tenant_id, entity_type, entity, class_uid, minute, events)"
            " VALUES ('acme', 'host', 'old', 1007, %s, 7)",
            (START,),
        )
    whole = [(60, 17), (3600, 17), (86400, 17)]
    assert _seen(database, two_tenants[0], _ADDED) == whole
    assert fold(database) > 0
    assert _seen(database, two_tenants[0], _ADDED) == whole


def test_a_commit_appends_a_row_for_many_counts(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    counts = pl.DataFrame(
        {
            "tenant_id": ["acme"] * 120 + ["bolt"] * 5,
            "entity_type": ["host"] * 125,
            "entity": [f"h{n}" for n in range(125)],
            "class_uid": pl.Series([1007] * 125, dtype=pl.Int32),
            "window_start": [START] * 125,
            "window_s": pl.Series([60] * 125, dtype=pl.Int32),
            "events": [n + 1 for n in range(125)],
        }
    )
    with database.writer() as tx:
        add_window_counts(tx, counts)
    packs = "SELECT count(*), sum(cardinality(entities)) FROM entity_packs"
    acme, bolt = two_tenants
    assert _seen(database, acme, packs) == [(1, 120)]
    assert _seen(database, bolt, packs) == [(1, 5)]
    last = "SELECT events FROM window_counts WHERE window_s = 60 AND entity = 'h124'"
    assert _seen(database, bolt, last) == [(125,)]
