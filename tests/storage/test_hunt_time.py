"""A hunt reads only the files of the time its own words leave, and answers as if it read all."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pytest

from storage.database import Database
from storage.database.rows import insert_lake_files
from storage.errors import InvalidInput
from storage.lake import Lake
from storage.lake.hunt import Result
from storage.schema import EventBatch
from storage.tenant import Scope
from tests.storage.made_events import batch_of

DAYS = 5


class Past(NamedTuple):
    lake: Lake
    db: Database
    acme: Scope
    ids: list[str]

    def ask(self, sql: str) -> Result:
        return self.lake.hunt(self.db, self.acme, sql)


@pytest.fixture
def past(tmp_path: Path, database: Database, two_tenants: tuple[Scope, Scope]) -> Iterator[Past]:
    """Keep one event an hour from 2024-05-01 12:00 on, in a file a day."""
    lake = Lake(tmp_path / "lake")
    frame = batch_of("acme", 24 * DAYS, step=timedelta(hours=1), classes=(1007,)).frame
    only = pl.when(pl.col("position") == 0).then(pl.lit("yes"))
    frame = frame.with_columns(only.alias("unmapped.Only"))
    files = lake.write(EventBatch.of(frame), "raw", 0, 0, 0)
    with database.writer() as tx:
        insert_lake_files(tx, files)
    assert len(files) == DAYS + 1
    yield Past(lake, database, two_tenants[0], frame["event_id"].to_list())
    lake.close()


@pytest.mark.parametrize(
    ("where", "files", "rows"),
    [
        ("time >= '2024-05-03' AND time < '2024-05-04'", 2, 24),
        ("time BETWEEN '2024-05-03 10:00' AND '2024-05-03 12:00'", 1, 3),
        ("'2024-05-05 12:00+00' <= time AND severity_id = 1", 2, 24),
        ("e.time > TIMESTAMP '2024-05-03' - INTERVAL 2 DAYS AND events.time < '2024-05-02'", 2, 12),
        ("time >= now() - INTERVAL '1 hour'", 0, 0),
        ("time = '2024-05-02 00:00:00+00'", 1, 1),
        ("event_id = '{first}'", 1, 1),
        ("event_id IN ('{first}', '{second}')", 1, 2),
        ("event_id = 'no-id-of-ours'", 6, 0),
        ("time < '2024-05-02' OR severity_id = 1", 6, 120),
        ("NOT time < '2024-05-02'", 6, 108),
        ("time >= (SELECT max(time) FROM events)", 6, 1),
        ("time >= '2024-05-06' AND position IN (SELECT position FROM events)", 6, 12),
        ("time <> '2024-05-02' AND time + INTERVAL 1 DAY < '2024-05-03'", 6, 12),
        ("time >= '2024-05-06' AND time < '2024-05-01'", 0, 0),
    ],
)
def test_words_of_time_choose_the_files(past: Past, where: str, files: int, rows: int) -> None:
    where = where.format(first=past.ids[3], second=past.ids[5])
    table = "events AS e" if where.startswith("e.") else "events"
    where = where.replace("events.time", "e.time") if where.startswith("e.") else where
    found = past.ask(f"SELECT count(*) FROM {table} WHERE {where}")
    assert (found.files, found.rows) == (files, ((rows,),))


def test_other_shapes_of_a_query_read_everything(past: Past) -> None:
    late = "WHERE time >= '2024-05-06'"
    for sql, rows in (
        (f"WITH e AS (SELECT * FROM events) SELECT count(*) FROM e {late}", 12),
        (f"SELECT count(*) FROM (SELECT * FROM events {late})", 12),
        (f"SELECT (SELECT count(*) FROM query_table('events')) FROM events {late} LIMIT 1", 120),
        (f"SELECT count(*) FROM events {late} UNION ALL SELECT count(*) FROM events LIMIT 1", 12),
    ):
        assert past.ask(sql).rows == ((rows,),)
        assert past.ask(sql).files == DAYS + 1


def test_a_column_that_the_hour_lacks_is_empty_not_unknown(past: Past) -> None:
    where = "WHERE time >= '2024-05-06'"
    found = past.ask(f'SELECT count(*), count("unmapped.Only") FROM events {where}')
    assert found.rows == ((12, 0),)
    with pytest.raises(InvalidInput, match="Nothing"):
        past.ask(f'SELECT "unmapped.Nothing" FROM events {where}')
