"""Named queries bind their parameters and are found by name."""

from pathlib import Path

import pytest

from storage.database import Database
from storage.database.queries import FOLDER, execute, load, select
from storage.errors import PluginError


def test_rows_come_as_dictionaries_with_text_ids(database: Database) -> None:
    with database.writer() as tx:
        step = {"topics": ["x'; DROP TABLE findings; --"], "partitions": [1]}
        begun = {"next_offsets": [5], "watermarks": [6]}
        assert execute(tx, "flow_offsets_begin", flow="f", **step, **begun) == 1
        (row,) = select(tx, "flow_position", flow="f")
    assert row == {
        "topic": "x'; DROP TABLE findings; --",
        "partition": 1,
        "next_offset": 5,
        "watermark_us": 6,
    }


def test_an_unknown_query_is_a_fault_of_the_house(database: Database) -> None:
    with pytest.raises(PluginError, match="nowhere"), database.writer() as tx:
        select(tx, "nowhere")


def test_a_name_given_twice_is_a_fault_of_the_house(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("-- name: one\nSELECT 1\n")
    (tmp_path / "b.sql").write_text("-- about\n-- name: one\nSELECT 2\n")
    with pytest.raises(PluginError, match="exists already"):
        load(tmp_path)


def test_sql_before_the_first_name_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text("SELECT 1\n")
    with pytest.raises(PluginError, match="before its first"):
        load(tmp_path)


def test_the_projects_own_queries_load() -> None:
    assert "flow_position" in load(FOLDER)
