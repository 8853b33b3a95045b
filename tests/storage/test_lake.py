"""The lake writes once, lists what is committed, merges without loss."""

import os
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from storage.database import Database
from storage.database.commit import insert_lake_files
from storage.errors import InvalidInput, Unavailable
from storage.lake import Lake
from storage.outcome import LakeFile
from storage.schema import EventBatch
from storage.tenant import Scope
from tests.storage.made_events import START, batch_of

_US = pl.Datetime("us", "UTC")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def _enter(db: Database, files: list[LakeFile]) -> None:
    with db.writer() as tx:
        insert_lake_files(tx, files)


def _micros(time: datetime) -> int:
    return int(time.timestamp()) * 1_000_000


def test_files_lie_by_tenant_class_and_day_and_come_out_the_same_twice(lake: Lake) -> None:
    batch = batch_of("acme", 20, step=timedelta(hours=3))
    files = lake.write(batch, "raw", 2, 5, 9)
    assert [f.path.rpartition("-")[0] for f in files[:2]] == [
        "tenant=acme/class=1007/day=2024-05-01/raw-2-5-9",
        "tenant=acme/class=1007/day=2024-05-02/raw-2-5-9",
    ]
    assert sum(f.events for f in files) == 20
    first = {f.path: (lake.root / f.path).read_bytes() for f in files}
    assert lake.write(batch, "raw", 2, 5, 9) == files
    assert {f.path: (lake.root / f.path).read_bytes() for f in files} == first
    assert {f.path: len(b) for f in files for b in [first[f.path]]} == {
        f.path: f.size_bytes for f in files
    }


def test_a_worker_that_was_overtaken_changes_no_file_of_another(lake: Lake) -> None:
    (kept,) = lake.write(batch_of("acme", 9, classes=(1007,)), "raw", 0, 0, 8)
    before = (lake.root / kept.path).read_bytes()
    (other,) = lake.write(batch_of("acme", 5, classes=(1007,)), "raw", 0, 0, 8)
    assert other.path != kept.path
    assert (lake.root / kept.path).read_bytes() == before


def test_a_file_holds_sorted_rows_and_no_empty_column(lake: Lake) -> None:
    frame = batch_of("acme", 9, classes=(1007,)).frame.reverse()
    frame = frame.with_columns(pl.lit(None, dtype=pl.String).alias("unmapped.Nothing"))
    (file,) = lake.write(EventBatch.of(frame), "raw", 0, 0, 0)
    stored = pl.read_parquet(lake.root / file.path, hive_partitioning=False)
    assert stored["time"].is_sorted()
    assert "unmapped.Nothing" not in stored.columns
    assert not list(lake.root.rglob(".*"))


def test_odd_clocks_and_classes_do_not_make_a_thousand_files(lake: Lake) -> None:
    far = batch_of("acme", 900, step=timedelta(days=3), classes=tuple(range(50_000, 50_100)))
    files = lake.write(far, "raw", 0, 0, 0)
    assert len(files) <= 64
    assert sum(f.events for f in files) == 900


def test_a_tenant_or_topic_cannot_leave_the_folder(lake: Lake) -> None:
    frame = batch_of("acme", 1).frame
    stray = EventBatch(frame.with_columns(pl.lit("../x").alias("tenant_id")))
    with pytest.raises(InvalidInput):
        lake.write(stray, "raw", 0, 0, 0)
    with pytest.raises(InvalidInput):
        lake.write(batch_of("acme", 1), "../raw", 0, 0, 0)


def test_a_scan_reads_the_manifest_only_and_one_tenant(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    mine, other = batch_of("acme", 50), batch_of("bolt", 50)
    _enter(database, lake.write([mine, other], "raw", 0, 0, 9))
    lake.write(batch_of("acme", 7, first=100), "raw", 0, 10, 12)  # never committed
    frame = lake.scan(database, two_tenants[0]).sort("position").collect()
    assert frame.height == 50
    assert frame["tenant_id"].unique().to_list() == ["acme"]
    assert_frame_equal(frame.select(mine.frame.columns), mine.frame)


def test_a_scan_is_cut_by_time_and_class(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    _enter(database, lake.write(batch_of("acme", 100), "raw", 0, 0, 9))
    since, until = _micros(START + timedelta(seconds=10)), _micros(START + timedelta(seconds=20))
    part = lake.scan(database, two_tenants[0], since, until, classes=[1007]).collect()
    assert sorted(part["position"]) == [10, 12, 14, 16, 18]
    assert lake.scan(database, two_tenants[1]).collect().is_empty()


def test_a_damaged_file_is_told_and_nothing_is_merged(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    for i in range(5):
        _enter(database, lake.write(batch_of("acme", 10, first=i * 10), "raw", 0, i, i))
    damaged = next(iter(lake.root.rglob("*.parquet")))
    damaged.write_bytes(b"PAR1 and then nothing")
    with pytest.raises(Unavailable, match="cannot be read"):
        lake.compact(database, "acme")


def test_merging_loses_nothing_and_sweeps_later(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    for i in range(5):
        _enter(database, lake.write(batch_of("acme", 10, first=i * 10), "raw", 0, i, i))
    stray = lake.write(batch_of("acme", 3, first=900), "raw", 0, 900, 900)
    before = lake.scan(database, two_tenants[0]).sort("position").collect()
    old = [p for p in lake.root.rglob("*.parquet") if "-900-" not in p.name]
    made = lake.compact(database, "acme")
    assert [f.events for f in made] == [25, 25]
    after = lake.scan(database, two_tenants[0]).sort("position").collect()
    assert_frame_equal(after, before, check_column_order=False)
    assert all(p.exists() for p in old)
    for path in stray:
        os.utime(lake.root / path.path, (0, 0))
    assert lake.compact(database, "acme", grace_s=0) == []
    assert len(list(lake.root.rglob("*.parquet"))) == 2
    again = lake.scan(database, two_tenants[0]).sort("position").collect()
    assert_frame_equal(again, before, check_column_order=False)


def test_files_merge_with_files_of_their_size_until_they_rest(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    sizes = [600, 600, *[5] * 4]
    for i, rows in enumerate(sizes):
        one = batch_of("acme", rows, first=i * 1000, classes=(1007,))
        _enter(database, lake.write(one, "raw", 0, i, i))
    before = lake.scan(database, two_tenants[0]).sort("position").collect()
    assert lake.crowded(database) == ["acme"]
    assert [f.events for f in lake.merge(database, "acme")] == [20]
    assert lake.crowded(database) == []
    assert lake.merge(database, "acme") == []
    assert [f.events for f in lake.merge(database, "acme", quiet_s=-1)] == [1220]
    after = lake.scan(database, two_tenants[0]).sort("position").collect()
    assert_frame_equal(after, before, check_column_order=False)


def test_a_merge_that_fails_midway_leaves_every_event_once(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    for i in range(5):
        _enter(database, lake.write(batch_of("acme", 10, first=i * 10), "raw", 0, i, i))
    with database.owner() as tx:  # the second class's merge fails between its file and its row
        tx.execute(
            "ALTER TABLE lake_files ADD CONSTRAINT stop CHECK "
            "(class_uid <> 3002 OR path NOT LIKE '%merged-%')"
        )
    with suppress(Exception):
        lake.merge(database, "acme")
    assert lake.scan(database, two_tenants[0]).collect()["event_id"].n_unique() == 50
    assert lake.scan(database, two_tenants[0]).collect().height == 50
    with database.owner() as tx:
        tx.execute("ALTER TABLE lake_files DROP CONSTRAINT stop")
    lake.compact(database, "acme", grace_s=0)
    assert lake.scan(database, two_tenants[0]).collect().height == 50
    assert len(list(lake.root.rglob("*.parquet"))) == 2


def test_a_merge_that_lost_the_race_changes_nothing(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    for i in range(4):
        one = batch_of("acme", 10, first=i * 10, classes=(1007,))
        _enter(database, lake.write(one, "raw", 0, i, i))
    (made,) = lake.compact(database, "acme")
    with database.writer() as tx:
        tx.execute("UPDATE lake_files SET replaced_by = NULL, replaced_at = NULL")
    with database.writer() as tx:
        tx.execute("DELETE FROM lake_files WHERE path = %s", (made.path,))
    assert [f.path for f in lake.compact(database, "acme")] == [made.path]
    assert lake.scan(database, two_tenants[0]).collect().height == 40


def test_batches_come_back_in_order_of_time(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    late = batch_of("acme", 8000, first=20_000, classes=(3002,)).frame
    for i, frame in enumerate((late, batch_of("acme", 8000, step=timedelta(minutes=7)).frame)):
        halves = [EventBatch.of(frame[:5000]), EventBatch.of(frame[5000:])]
        _enter(database, lake.write(halves, "raw", 0, i, i))
    batches = list(lake.restore_batches(database, two_tenants[0]))
    together = pl.concat([b.frame for b in batches], how="diagonal")
    assert together.height == 16_000
    assert together["time"].is_sorted()
    assert together["event_id"].n_unique() == 16_000
    some = lake.restore_batches(database, two_tenants[0], classes=[3002], until_us=_micros(START))
    assert list(some) == []


def test_restoring_a_long_history_holds_one_window(
    lake: Lake,
    database: Database,
    two_tenants: tuple[Scope, Scope],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("storage.lake.read._WINDOW_EVENTS", 500)
    batch = batch_of("acme", 8000, step=timedelta(minutes=1))
    _enter(database, lake.write(batch, "raw", 0, 0, 0))
    batches = list(lake.restore_batches(database, two_tenants[0]))
    assert max(len(b) for b in batches) <= 1000
    assert pl.concat([b.frame for b in batches])["position"].to_list() == list(range(8000))
    assert batches[0].frame["time"][0] == datetime(2024, 5, 1, 12, tzinfo=UTC)


def test_a_large_file_is_not_written_again_for_a_few_late_events(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    for i, rows in enumerate((5000, 30, 20)):
        one = batch_of("acme", rows, first=i * 10_000, classes=(1007,))
        _enter(database, lake.write(one, "raw", 0, i, i))
    assert [f.events for f in lake.merge(database, "acme", quiet_s=-1)] == [50]
    assert lake.merge(database, "acme", quiet_s=-1) == []
    assert lake.scan(database, two_tenants[0]).collect().height == 5050


def test_what_is_expired_is_out_of_sight_and_then_gone(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    for tenant in ("acme", "bolt"):
        batch = batch_of(tenant, 10, step=timedelta(days=1))
        _enter(database, lake.write(batch, "raw", 0, 0, 0))
    before = _micros(START + timedelta(days=4))
    assert lake.expire(database, "acme", before, classes=[1007]).events == 2
    assert lake.expire(database, "acme", before, but=[3002]).events == 0
    told = lake.expire(database, "acme", before)
    assert (told.files, told.events) == (2, 2)
    left = lake.scan(database, two_tenants[0]).collect()
    assert sorted(left["position"]) == [4, 5, 6, 7, 8, 9]
    assert len(list(lake.root.rglob("*.parquet"))) == 20
    lake.compact(database, "acme", grace_s=0)
    assert len(list((lake.root / "tenant=acme").rglob("*.parquet"))) == 6
    assert lake.scan(database, two_tenants[1]).collect().height == 10


def test_an_unset_windows_time_is_kept_and_found(
    lake: Lake, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    unset = pl.lit(datetime(1601, 1, 1, tzinfo=UTC)).cast(_US)
    batch = EventBatch.of(batch_of("acme", 2).frame.with_columns(unset.alias("time")))
    _enter(database, lake.write(batch, "raw", 0, 0, 0))
    assert lake.scan(database, two_tenants[0]).collect().height == 2
    assert sum(len(b) for b in lake.restore_batches(database, two_tenants[0])) == 2
    found = lake.hunt(database, two_tenants[0], "SELECT count(*) FROM events")
    lake.close()
    assert found.rows == ((2,),)
