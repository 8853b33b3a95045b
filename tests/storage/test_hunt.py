"""A hunt answers over one tenant's files; no statement gets further, none runs on."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from storage.database import Database
from storage.database.commit import insert_lake_files
from storage.errors import InvalidInput, NotAllowed, Overloaded
from storage.lake import HuntLimits, Lake
from storage.lake.hunt import _CHILD, AT_ONCE, AT_ONCE_OF_ONE, Hunters
from storage.schema import EventBatch
from storage.tenant import Actor, Role, Scope
from tests.storage.made_events import batch_of


class Ground(NamedTuple):
    lake: Lake
    db: Database
    acme: Scope
    bolt_file: Path
    secret: Path


@pytest.fixture
def ground(
    tmp_path: Path, database: Database, two_tenants: tuple[Scope, Scope]
) -> Iterator[Ground]:
    lake = Lake(tmp_path / "lake")
    marked = batch_of("bolt", 3).frame.with_columns(source=pl.lit("BOLT-CANARY"))
    files = lake.write([batch_of("acme", 40), EventBatch.of(marked)], "raw", 0, 0, 1)
    with database.writer() as tx:
        insert_lake_files(tx, files)
    secret = tmp_path / "secret.csv"
    secret.write_text("word\nSECRET-CANARY\n")
    inside = lake.root / "tenant=acme"
    (inside / "link.csv").symlink_to(secret)
    (inside / "folder").symlink_to(tmp_path)
    (inside / "unlisted.csv").write_text("word\nSECRET-CANARY\n")
    bolt = next(f.path for f in files if f.tenant_id == "bolt")
    yield Ground(lake, database, two_tenants[0], lake.root / bolt, secret)
    lake.close()


def test_a_select_sees_the_tenants_events(ground: Ground) -> None:
    sql = 'SELECT "device.hostname" AS host, count(*) AS n FROM events GROUP BY 1 ORDER BY 1'
    result = ground.lake.hunt(ground.db, ground.acme, sql)
    assert result.columns == ("host", "n")
    assert result.rows == tuple((f"host{i}", 8) for i in range(5))
    assert result.truncated == ""
    times = ground.lake.hunt(ground.db, ground.acme, "SELECT min(time) FROM events")
    assert times.rows == (("2024-05-01 12:00:00+00:00",),)


def test_a_hunt_is_cut_by_time(ground: Ground) -> None:
    start = 1_714_564_800_000_000  # 2024-05-01 12:00
    limits = HuntLimits(since_us=start + 5_000_000, until_us=start + 9_000_000)
    result = ground.lake.hunt(ground.db, ground.acme, "SELECT position FROM events", limits)
    assert sorted(result.rows) == [(5,), (6,), (7,), (8,)]


def test_a_tenant_without_files_gets_an_empty_answer(ground: Ground) -> None:
    ground.db.create_tenant("calm")
    calm = Scope("calm", ground.acme.actor, ground.acme.roles)
    assert ground.lake.hunt(ground.db, calm, "SELECT tenant_id, time FROM events").rows == ()


def test_the_answer_is_cut_and_says_so(ground: Ground) -> None:
    ten = HuntLimits(rows=10)
    result = ground.lake.hunt(ground.db, ground.acme, "SELECT event_id FROM events", ten)
    assert len(result.rows) == 10
    assert result.truncated == "only the first 10 rows are shown"
    small = HuntLimits(size_bytes=100_000)
    wide = "SELECT repeat('x', 1000) FROM range(100000)"
    result = ground.lake.hunt(ground.db, ground.acme, wide, small)
    assert 0 < len(result.rows) < 1200
    assert "bytes" in result.truncated


def test_a_role_without_the_grant_is_refused(ground: Ground) -> None:
    auditor = Scope("acme", Actor("user", "eve"), frozenset({Role.AUDITOR}))
    with pytest.raises(NotAllowed):
        ground.lake.hunt(ground.db, auditor, "SELECT 1")


ESCAPES = (
    # another tenant, by every way to name a file
    "SELECT * FROM '{bolt}'",
    "SELECT * FROM read_parquet('{bolt}')",
    "SELECT * FROM read_parquet(['{bolt}'])",
    "SELECT * FROM parquet_scan('{bolt}')",
    "SELECT * FROM read_parquet('{root}/*/*/*/*.parquet')",
    "SELECT * FROM read_parquet('{root}/tenant=acme/../tenant=bolt/**/*.parquet')",
    "SELECT * FROM glob('{root}/**')",
    "SELECT * FROM parquet_metadata('{bolt}')",
    "SELECT * FROM parquet_schema('{bolt}')",
    "SELECT * FROM parquet_file_metadata('{bolt}')",
    "SELECT * FROM parquet_kv_metadata('{bolt}')",
    "SELECT * FROM query('SELECT * FROM ''{bolt}''')",
    "SELECT * FROM query_table('{bolt}')",
    "SELECT * FROM read_blob('{bolt}')",
    "SELECT * FROM read_text('{root}/tenant=acme/folder/secret.csv')",
    # files outside, and inside but not in the manifest
    "SELECT * FROM '{secret}'",
    "SELECT * FROM read_csv('{secret}')",
    "SELECT * FROM read_csv_auto('{secret}')",
    "SELECT * FROM sniff_csv('{secret}')",
    "SELECT * FROM read_text('{secret}')",
    "SELECT * FROM read_blob('{secret}')",
    "SELECT * FROM read_json('{secret}')",
    "SELECT * FROM read_json_objects('{secret}')",
    "SELECT * FROM read_ndjson('{secret}')",
    "SELECT * FROM read_text('{root}/tenant=acme/link.csv')",
    "SELECT * FROM read_csv('{root}/tenant=acme/folder/secret.csv')",
    "SELECT * FROM read_csv('{root}/tenant=acme/unlisted.csv')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_text('file:///etc/passwd')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM read_text('/proc/self/cmdline')",
    "SELECT * FROM read_text('/proc/1/cmdline')",
    "SELECT * FROM read_blob('/proc/self/mem')",
    "SELECT * FROM read_text('/proc/self/root/etc/passwd')",
    "SELECT * FROM read_text('/proc/self/cwd/etc/passwd')",
    "SELECT * FROM read_text('/proc/self/fd/0')",
    "SELECT * FROM read_text('/dev/stdin')",
    "SELECT * FROM glob('/*')",
    "SELECT getenv('HOME')",
    "SELECT * FROM read_duckdb('{secret}')",
    # writing
    "COPY (SELECT 1) TO '{root}/tenant=acme/out.csv'",
    "COPY events TO '/tmp/out.parquet'",
    "COPY (SELECT 1) TO '/dev/stdout'",
    "EXPORT DATABASE '{root}/tenant=acme/out'",
    "ATTACH '{root}/tenant=acme/new.db' AS n",
    "ATTACH ':memory:' AS n",
    "ATTACH '{secret}' AS n",
    "CREATE TABLE t AS SELECT 1",
    "CREATE VIEW t AS SELECT 1",
    "CREATE MACRO f() AS 1",
    "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "CREATE TEMP TABLE t (a INTEGER)",
    "INSERT INTO events SELECT * FROM events",
    "DELETE FROM events",
    "DROP VIEW events",
    "CHECKPOINT",
    "VACUUM",
    "CALL enable_logging(storage = 'file')",
    "CALL enable_profiling()",
    "SELECT * FROM enable_logging(storage = 'file')",
    "PRAGMA enable_profiling = 'json'",
    # the network and foreign code
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '{secret}'",
    "INSTALL spatial FROM community",
    "SELECT * FROM read_csv('https://127.0.0.1/a.csv')",
    "SELECT * FROM read_parquet('s3://bucket/a.parquet')",
    "SELECT * FROM 'http://127.0.0.1/a.parquet'",
    "SELECT * FROM postgres_scan('host=/tmp', 'public', 'events')",
    "SELECT * FROM sqlite_scan('{secret}', 't')",
    # the configuration
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "RESET lock_configuration",
    "SET memory_limit = '100GB'",
    "SET threads = 64",
    "SET allowed_directories = ['/']",
    "SET allowed_paths = ['/etc/passwd']",
    "SET python_enable_replacements = true",
    "PRAGMA memory_limit = '100GB'",
    "USE memory",
    # several statements, names of the host program, other statement kinds
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY (SELECT 1) TO '/tmp/out'",
    "SELECT * FROM request",
    "SELECT * FROM sys",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "BEGIN",
    "EXPLAIN ANALYZE SELECT 1",
    "",
    ";",
)


@pytest.mark.slow
def test_no_statement_of_the_escape_corpus_succeeds(ground: Ground) -> None:
    assert len(ESCAPES) >= 60
    places = {
        "bolt": str(ground.bolt_file),
        "root": str(ground.lake.root),
        "secret": str(ground.secret),
    }
    before = sorted(ground.lake.root.rglob("*"))
    reached = []
    for template in ESCAPES:
        sql = template.format(**places)
        try:
            result = ground.lake.hunt(ground.db, ground.acme, sql)
        except InvalidInput:
            continue
        reached.append((sql, result.rows[:3]))
    assert reached == []
    assert sorted(ground.lake.root.rglob("*")) == before


def test_what_duckdb_would_tell_of_itself_holds_nothing_of_others(ground: Ground) -> None:
    for sql in (
        "SELECT * FROM duckdb_settings()",
        "SELECT * FROM duckdb_views()",
        "SELECT * FROM duckdb_databases()",
        "SELECT * FROM information_schema.tables",
    ):
        shown = str(ground.lake.hunt(ground.db, ground.acme, sql).rows)
        assert "tenant=bolt" not in shown
        assert "CANARY" not in shown


ENDLESS = (
    "SELECT count(*) FROM range(1000000000) a, range(1000000000) b",
    "WITH RECURSIVE t(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM t) SELECT max(i) FROM t",
    "SELECT sum(length(repeat('x', 100000000))) FROM range(10000)",
    "SELECT length(lpad('x', 2000000000, 'y'))",
    "SELECT count(*) FROM (SELECT unnest(range(500000000)))",
    "SELECT levenshtein(repeat('a', 100000), repeat('b', 100000))",
    "SELECT format('{:>2000000000}', 'x')",
    "SELECT a.i FROM range(100000000) a(i) ORDER BY hash(a.i), random()",
    "SELECT list(i) FROM range(1000000000) t(i)",
    "SELECT length(string_agg(repeat('z', 1000), ',')) FROM range(100000000)",
    "SELECT regexp_matches(repeat('a', 50000000), '(a+)+$') FROM range(1000)",
    "SELECT bitstring('1', 2000000000)::varchar",
)


@pytest.mark.slow
def test_every_endless_query_ends_in_time(ground: Ground) -> None:
    limits = HuntLimits(wall_s=1.5, cpu_s=3, memory_bytes=1 << 30, rows=10)
    late = []
    for sql in ENDLESS:
        start = time.monotonic()
        with suppress(InvalidInput):
            ground.lake.hunt(ground.db, ground.acme, sql, limits)
        if time.monotonic() - start > limits.wall_s + 3:  # generous: the machine is shared
            late.append((sql, time.monotonic() - start))
    assert late == []


_PROBE = """
import runpy, socket, sys, os
inside, outside = sys.argv[2:]
shut_in = runpy.run_path(sys.argv[1])["_shut_in"]
print(shut_in([os.path.dirname(inside)]), open(inside).read().strip())
for attempt in (
    lambda: open(outside).read(),
    lambda: open(inside, "w"),
    lambda: open(inside + ".new", "w"),
    lambda: os.listdir("/"),
    lambda: os.kill(os.getppid(), 0),
    lambda: socket.create_connection(("127.0.0.1", 9)),
):
    try:
        attempt()
        print("reached")
    except PermissionError:
        print("refused")
"""


def test_the_kernel_alone_holds_the_process(tmp_path: Path) -> None:
    inside, outside = tmp_path / "tenant" / "a.txt", tmp_path / "b.txt"
    inside.parent.mkdir()
    inside.write_text("own")
    outside.write_text("other")
    words = [sys.executable, "-I", "-c", _PROBE, str(_CHILD), str(inside), str(outside)]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stdout.split("\n")
    version, word = said[0].split()
    if int(version) < 6:
        pytest.skip(f"this kernel has Landlock version {version}; 6 or newer holds all of it")
    assert word == "own"
    assert said[1:-1] == ["refused"] * 6


def test_closing_ends_the_waiting_process(ground: Ground) -> None:
    hunters = Hunters()
    hunters.run(ground.lake.store, ground.db, ground.acme, "SELECT 1", HuntLimits())
    (spare,) = hunters._spares
    hunters.close()
    assert spare.poll() is not None


@pytest.mark.parametrize(
    "running", [["acme"] * AT_ONCE_OF_ONE, [f"t{n // 2}" for n in range(AT_ONCE)]]
)
def test_hunts_at_once_are_bounded_for_a_tenant_and_for_all(
    ground: Ground, running: list[str]
) -> None:
    with ExitStack() as turns:
        for tenant in running:
            turns.enter_context(ground.lake._hunters._turn(tenant))
        with pytest.raises(Overloaded):
            ground.lake.hunt(ground.db, ground.acme, "SELECT 1")
        if "acme" in running:
            turns.enter_context(ground.lake._hunters._turn("bolt"))
    assert ground.lake.hunt(ground.db, ground.acme, "SELECT 1").rows == ((1,),)


def test_small_and_large_files_are_one_view(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = batch_of("acme", 30, first=100, classes=(1007,)).frame
    other = other.with_columns(pl.lit("yes").alias("unmapped.More"))
    files = ground.lake.write(EventBatch.of(other), "raw", 0, 2, 3)
    with ground.db.writer() as tx:
        insert_lake_files(tx, files)
    sql = 'SELECT class_uid, count(*), count("unmapped.More") FROM events GROUP BY 1 ORDER BY 1'
    for small_in_all in (40_000, 25, 0):  # all of them small, some, none
        monkeypatch.setattr("storage.lake.hunt._SMALL_IN_ALL", small_in_all)
        assert ground.lake.hunt(ground.db, ground.acme, sql).rows == ((1007, 50, 30), (3002, 20, 0))
