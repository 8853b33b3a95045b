"""Newer schemas are refused, breaking changes named, batches of events read by anybody."""

import copy
import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

from storage.errors import InvalidInput
from storage.log import Message
from storage.schema import ENVELOPE
from storage.wire import EVENTS, check_schema
from storage.wire.batches import batch_of, written
from storage.wire.changes import refusals
from storage.wire.documents import documents

Edit = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize("told", ["finding/1.0", "finding/1.99", None])
def test_schema_of_the_known_major_version_is_taken(told: str | None) -> None:
    check_schema({} if told is None else {"schema": told}, "finding")


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("finding/2.0", "reads finding/1 and older; use the newer version"),
        ("mark/1.0", "message is a 'mark', not a 'finding'"),
        ("finding", "not 'name/major.minor'"),
        ("finding/1", "not 'name/major.minor'"),
        ("\x00", "not 'name/major.minor'"),
    ],
)
def test_schema_that_cannot_be_read_is_refused_with_the_way_out(told: str, reason: str) -> None:
    with pytest.raises(InvalidInput, match=reason):
        check_schema({"schema": told}, "finding")


def data_of(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["properties"]["data"]
    return found


BREAKING: list[tuple[str, Edit]] = [
    (r"data lost field 'title' \(removed", lambda d: data_of(d)["properties"].pop("title")),
    (
        "data.time_us is retyped",
        lambda d: data_of(d)["properties"]["time_us"].update(type="string"),
    ),
    ("newly requires 'parts'", lambda d: data_of(d)["required"].append("parts")),
    ("no longer promises 'level'", lambda d: data_of(d)["required"].remove("level")),
    ("no longer takes", lambda d: data_of(d)["properties"]["level"]["enum"].remove("low")),
    ("data.reasons\\[\\].name is retyped", lambda d: reason(d)["name"].update(type="integer")),
    ("reasons\\[\\] lost field 'value'", lambda d: reason(d).pop("value")),
    ("lost field 'subject'", lambda d: d["properties"].pop("subject")),
    ("id is retyped: format", lambda d: d["properties"]["id"].pop("format")),
    ("type no longer takes", lambda d: d["properties"]["type"].update(const="inopsio.claim")),
]


def reason(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["$defs"]["Reason"]["properties"]
    return found


@pytest.mark.parametrize(("told", "edit"), BREAKING)
def test_breaking_change_is_refused_even_under_a_new_minor_version(told: str, edit: Edit) -> None:
    released = documents()["finding"]
    now = copy.deepcopy(released)
    edit(now)
    now["$id"] = "urn:inopsio:schema:finding:1.1"
    lines = refusals("finding", released, now)
    assert len(lines) == 1
    with pytest.raises(AssertionError, match=told):
        raise AssertionError(lines[0])
    assert "raise the version to 2.0" in lines[0]
    now["$id"] = "urn:inopsio:schema:finding:2.0"
    assert refusals("finding", released, now) == []


def test_new_field_needs_a_new_minor_version_and_no_more() -> None:
    released = documents()["finding"]
    now = copy.deepcopy(released)
    data_of(now)["properties"]["confidence"] = {"type": "number"}
    assert refusals("finding", released, now) == [
        "finding: changed, but still of version 1.0; name it 1.1 in the code"
    ]
    now["$id"] = "urn:inopsio:schema:finding:1.1"
    assert refusals("finding", released, now) == []
    assert refusals("finding", now, released) == [
        "finding: version 1.0 is older than the released 1.1"
    ]


def test_new_value_of_a_list_needs_a_new_minor_version_and_no_more() -> None:
    released = documents()["finding"]
    now = copy.deepcopy(released)
    data_of(now)["properties"]["level"]["enum"].append("fatal")
    now["$id"] = "urn:inopsio:schema:finding:1.1"
    assert refusals("finding", released, now) == []


def test_list_where_any_value_was_taken_is_refused() -> None:
    released = documents()["finding"]
    now = copy.deepcopy(released)
    data_of(now)["properties"]["entity_type"]["enum"] = ["host"]
    now["$id"] = "urn:inopsio:schema:finding:1.1"
    assert "no longer takes any value" in refusals("finding", released, now)[0]


def test_renamed_column_of_the_events_is_refused() -> None:
    released = documents()["events"]
    now = copy.deepcopy(released)
    now["properties"]["host"] = now["properties"].pop("device.hostname")
    (line,) = refusals("events", released, now)
    assert "lost field 'device.hostname' (removed or renamed)" in line


def test_schema_that_is_gone_is_refused() -> None:
    assert refusals("finding", documents()["finding"], None)


def a_frame(rows: int = 3) -> pl.DataFrame:
    at = datetime(2026, 11, 30, tzinfo=UTC)
    given: dict[str, object] = {"tenant_id": "acme", "event_id": "e", "time": at, "class_uid": 1007}
    base = [pl.lit(given.get(c.name), c.dtype).alias(c.name) for c in ENVELOPE]
    own = [pl.lit("x").alias("unmapped.Image"), pl.lit(None, pl.String).alias("unmapped.Secret")]
    return pl.DataFrame({"n": range(rows)}).with_columns(*base, *own).drop("n")


def as_message(value: bytes, schema: str = EVENTS) -> Message:
    return Message("events.acme", 0, 0, b"acme", value, {"tenant": "acme", "schema": schema}, 0)


def test_batch_comes_back_and_shows_no_column_that_no_row_fills() -> None:
    ((rows, value),) = written(a_frame())
    assert rows == 3
    back = batch_of(as_message(value)).frame
    assert back.equals(a_frame().drop("unmapped.Secret"))


def test_reader_that_knows_nothing_of_us_reads_the_promised_types() -> None:
    ((_, value),) = written(a_frame())
    schema = pa.ipc.open_stream(io.BytesIO(value)).read_all().schema
    promised = documents()["events"]["properties"]
    for field in schema:
        if not field.name.startswith("unmapped."):
            assert str(field.type) == promised[field.name]["x-arrow"]


def test_large_batch_is_cut_and_a_large_row_shortened() -> None:
    parts = list(written(a_frame(8), most_bytes=1))
    assert [rows for rows, _ in parts] == [1] * 8
    whole = pl.concat([batch_of(as_message(value)).frame for _, value in parts])
    assert whole.height == 8


def test_bytes_that_are_no_batch_or_a_newer_one_are_invalid_input() -> None:
    ((_, value),) = written(a_frame())
    odd = as_message(next(written(a_frame().rename({"time": "when"})))[1])
    for message in (as_message(b"garbage"), as_message(b""), as_message(value[:200]), odd):
        with pytest.raises(InvalidInput):
            batch_of(message)
    with pytest.raises(InvalidInput, match="newer version"):
        batch_of(as_message(value, "events/2.0"))


def test_column_of_a_newer_minor_version_is_left_out() -> None:
    ((_, value),) = written(a_frame().with_columns(pl.lit(0.5).alias("confidence.new")))
    assert "confidence.new" not in batch_of(as_message(value, "events/1.7")).frame.columns
