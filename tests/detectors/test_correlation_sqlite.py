"""Correlations over a stream against pySigma's SQLite backend over the same claims, stored."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sigma.backends.sqlite.sqlite import sqliteBackend
from sigma.collection import SigmaCollection

from tests.detectors.test_correlation import RULE, S
from tests.detectors.test_correlation_windows import START, claims, told

CONDITIONS = [
    ("event_count", {"gte": 3}),
    ("event_count", {"gt": 3}),
    ("value_count", {"gte": 3, "field": "amount"}),
    ("value_sum", {"gt": 20, "field": "amount"}),
    ("value_avg", {"gte": 8, "field": "amount"}),
    ("value_median", {"lte": 2, "field": "amount"}),
    ("value_percentile", {"gte": 9, "field": "amount", "percentile": 75}),
]
# Numbers only: the backend also looks back from a claim without one, the stream does not.
STREAMS = st.lists(
    st.tuples(
        st.just(0),
        st.integers(0, 300),
        st.sampled_from(["ann", "bob"]),
        st.just("acme"),
        st.sampled_from(["1", "2", "3", "4", "5", "10", "12"]),
    ),
    max_size=25,
    unique_by=lambda row: row[1],  # of two at one moment, the stream tells after the first
).map(lambda rows: sorted(rows, key=lambda row: row[1]))


def stored(
    rule: dict[str, Any], rows: list[tuple[int, int, str, str, str]]
) -> set[tuple[str, int]]:
    """Give (group, second) of every claim up to which the backend finds a match.

    With words: from which on.
    """
    words = isinstance(rule["condition"], str)
    steps = [n for n in (1, 2, 3) if f"step_{n}" in rule["condition"]] if words else [1]
    names = [f"step_{n}" for n in steps]
    inside = {**rule, "timespan": f"{rule['timespan']}s", "rules": names, "group-by": ["user"]}
    story = f"title: s\nid: f0000001-0000-4000-8000-000000000000\ncorrelation: {json.dumps(inside)}"
    text = "---\n".join([*(RULE.format(n=n, level="low") for n in steps), story])
    backend = sqliteBackend()  # type: ignore[no-untyped-call]  # not typed
    (query,) = backend.convert(SigmaCollection.from_yaml(text))
    origin = datetime.fromtimestamp(START, UTC)
    with sqlite3.connect(":memory:") as store:
        store.execute("create table logs (timestamp text, activity_id int, user text, amount text)")
        store.executemany(
            "insert into logs values (?, ?, ?, ?)",
            [
                ((origin + timedelta(seconds=at)).isoformat(), step + 1, u, v)
                for step, at, u, _, v in rows
            ],
        )
        found = store.execute(query).fetchall()
    store.close()
    return {
        (json.loads(keys)["user"], round(start if words else end) - START)
        for _, keys, end, start, *_ in found
    }


@pytest.mark.parametrize(("kind", "condition"), CONDITIONS)
@settings(max_examples=40, deadline=None)
@given(rows=STREAMS)
def test_the_stream_tells_first_what_the_store_finds_first_and_nothing_else(
    kind: str, condition: dict[str, Any], rows: list[tuple[int, int, str, str, str]]
) -> None:
    rule = {"type": kind, "timespan": 60, "condition": condition}
    ours = [(f.entity, f.time_us // S - START) for f in told(rule, [claims(rows)])]
    theirs = stored(rule, rows)
    assert set(ours) <= theirs
    for group in ("ann", "bob"):
        first = min((at for who, at in theirs if who == group), default=None)
        assert min((at for who, at in ours if who == group), default=None) == first


LAST = 1_000
"""Second of a claim of nobody: the backend judges no window that ends after the last event."""
STEPPED = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2]),
        st.integers(0, 300),
        st.sampled_from(["ann", "bob"]),
        st.just("acme"),
        st.just("1"),
    ),
    max_size=25,
    unique_by=lambda row: row[1],
).map(lambda rows: sorted(rows, key=lambda row: row[1]))


@pytest.mark.parametrize(
    ("kind", "words", "is_same"),
    [
        ("temporal_ordered", "step_1 and not step_2", True),
        ("temporal", "step_1 and not step_2", False),
        ("temporal", "step_1 and not (step_2 or step_3)", False),
        ("temporal", "step_1 and step_3 and not step_2", False),
    ],
)
@settings(max_examples=40, deadline=None)
@given(rows=STEPPED)
def test_what_is_absent_in_the_stream_is_absent_in_the_store(
    kind: str, words: str, is_same: bool, rows: list[tuple[int, int, str, str, str]]
) -> None:
    # The backend looks forward only, as a sequence does: what came before excuses nothing there.
    rule = {"type": kind, "timespan": 60, "condition": words}
    found = told(rule, [claims(rows)])
    starts = {c.finding_id: c.time_us // S - START for c in claims(rows)}
    ours = {(f.entity, starts[f.parts[0]]) for f in found}
    theirs = stored(rule | {"type": "temporal"}, [*rows, (0, LAST, "nobody", "acme", "1")])
    assert ours <= theirs
    if is_same:  # all others begin less than a timespan after one that was told
        assert all(any(who == w and 0 <= at - t < 60 for w, t in ours) for who, at in theirs)
