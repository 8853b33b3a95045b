"""Hold rows that the encoder made against what the server keeps of them."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from storage.database import Database
from storage.database.binary_copy import binary_copy
from storage.errors import InvalidInput

TABLE = (
    "CREATE TEMP TABLE kept (id uuid, at timestamptz, small integer, big bigint, one text,"
    " two text, none text)"
)
KINDS: dict[str, pl.DataType | pl.datatypes.DataTypeClass] = {
    "id": pl.String,
    "at": pl.Datetime("us", "UTC"),
    "small": pl.Int32,
    "big": pl.Int64,
    "one": pl.String,
    "two": pl.String,
    "none": pl.Null,
}
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ROWS = st.tuples(
    st.uuids().map(str),
    st.none() | st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001  the strategy adds the zone
    st.none() | st.integers(-(2**31), 2**31 - 1),
    st.none() | st.integers(-(2**63), 2**63 - 1),
    _TEXTS,
    st.none() | _TEXTS | st.sampled_from(["", "\x00", "\\N", "a\x00\x00b", "\n", "\u00e4" * 300]),
    st.none(),
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(ROWS, max_size=40), st.integers(0, 12))
def test_the_server_keeps_what_the_frame_has(
    database: Database, rows: list[tuple[object, ...]], cut: int
) -> None:
    whole = pl.DataFrame(rows, KINDS, orient="row")
    frames = [whole[:cut], whole[cut:]]
    with database.owner() as tx:
        tx.execute("RESET ROLE")
        tx.execute(TABLE.encode())
        with tx.cursor() as cursor, cursor.copy(b"COPY kept FROM STDIN (FORMAT binary)") as copy:
            for piece in binary_copy(frames, uuid="id"):
                copy.write(piece)
        kept = tx.execute("SELECT id::text, at, small, big, one, two, none FROM kept").fetchall()
        tx.execute("DROP TABLE kept")
    expected = whole.with_columns(pl.col("one", "two").str.replace_all("\x00", "\ufffd"))
    assert_frame_equal(pl.DataFrame(kept, KINDS, orient="row"), expected)


@pytest.mark.parametrize("bad", ["x", None, "g" * 36, "0" * 36 + "0", ""])
def test_what_is_no_uuid_is_refused(bad: str | None) -> None:
    good = "0190163d-8694-739b-aea5-966c26f8ad90"
    frame = pl.DataFrame({"id": [good, bad]}, {"id": pl.String})
    with pytest.raises(InvalidInput, match="'id' has a value that is no uuid"):
        b"".join(binary_copy([frame], uuid="id"))


def test_pieces_are_of_one_size_however_many_rows_there_are() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    rows = 10_000
    frame = pl.DataFrame({"at": [start + timedelta(seconds=n) for n in range(rows)]})
    pieces = [len(piece) for piece in binary_copy([frame], uuid="")]
    assert pieces == [19, 4096 * 14, 4096 * 14, (rows - 8192) * 14, 2]
