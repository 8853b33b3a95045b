"""Partial window counts add up to the same whole however the events were cut."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipelines.windows import SCHEMA, add_counts, count_windows

ROW = st.tuples(
    st.sampled_from(["acme", "globex"]),
    st.sampled_from(["h1", "h2", None]),
    st.sampled_from(["ann", None]),
    st.integers(0, 5000),
)


def frame(rows: list[tuple[str, str | None, str | None, int]]) -> pl.DataFrame:
    schema = {
        "tenant_id": pl.String,
        "device.hostname": pl.String,
        "actor.user.name": pl.String,
        "s": pl.Int64,
    }
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(
        (pl.col("s") * 1_000_000).cast(pl.Datetime("us", "UTC")).alias("time"),
        pl.lit(1007, pl.Int32).alias("class_uid"),
    )


def test_each_entity_of_an_event_is_counted_in_its_window() -> None:
    counts = count_windows(frame([("acme", "h1", "ann", 599), ("acme", "h1", None, 600)]), 600)
    seen = counts.select("entity_type", "entity", pl.col("window_start").dt.epoch("s"), "events")
    assert seen.rows() == [("host", "h1", 0, 1), ("host", "h1", 600, 1), ("user", "ann", 0, 1)]
    assert dict(counts.schema) == SCHEMA


@given(st.lists(ROW, max_size=30), st.integers(0, 30))
def test_partial_counts_add_up(
    rows: list[tuple[str, str | None, str | None, int]], cut: int
) -> None:
    parts = [count_windows(frame(part), 600) for part in (rows[:cut], rows[cut:])]
    assert add_counts(parts).equals(count_windows(frame(rows), 600))


def test_no_events_make_no_counts() -> None:
    assert add_counts([]).equals(count_windows(frame([]), 600))
    assert count_windows(frame([]).drop("device.hostname", "actor.user.name"), 600).is_empty()
