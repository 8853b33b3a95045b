"""What correlations hold is bounded the same in columns as claim by claim, and by number."""

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import correlation
from detectors._correlation import bounds, columns, memory
from detectors._correlation.lexicon import Lexicon
from detectors._correlation.roll import Roll
from pipelines.signals import frame_of
from storage.schema import Context, DetectorMeta, EventBatch, Finding, State
from tests.detectors.test_correlation import A, B, claim, ruleset
from tests.detectors.test_correlation_windows import counted, on_roll

DAY_S = 86_400
RULES = ruleset(
    "{type: event_count, rules: [step_1, step_2], group-by: [user], timespan: 10m, "
    "condition: {gte: 3}}",
    "{type: temporal_ordered, rules: [step_1, step_2], group-by: [host], timespan: 1h}",
)
STREAMS = st.lists(
    st.tuples(
        st.sampled_from([A, B]),
        st.sampled_from([0, 1, 2, 2, 300, 301, 40 * DAY_S, 40 * DAY_S + 1, 90 * DAY_S]),
        st.sampled_from(["ann", "bob", "eve", "joe"]),
        st.sampled_from(["acme", "bolt"]),
    ),
    max_size=40,
)


def states(stream: list[Finding], size: int) -> Iterator[tuple[State, list[Finding]]]:
    state: State = correlation.META.empty_state()
    for begin in range(0, len(stream), size):
        batch = EventBatch.of(frame_of(stream[begin : begin + size], 0))
        state, found = correlation.detect(state, batch, Context(0, rules={"": RULES}))
        yield state, found


def plain(state: State) -> list[object]:
    return [sorted(state[name].rows()) for name in ("held", "groups", "fired", "evicted")]


@settings(max_examples=150, deadline=None)
@given(STREAMS, st.integers(1, 20), st.sampled_from([2, 3, 256]), st.sampled_from([3, 20_000]))
def test_columns_hold_and_let_go_what_the_fold_does(
    rows: list[tuple[str, int, str, str]], size: int, most: int, max_keys: int
) -> None:
    stream = [claim(*row, event=str(n)) for n, row in enumerate(rows)]
    small = {f: getattr(correlation.META, f) for f in DetectorMeta.__slots__}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(correlation, "META", DetectorMeta(**small | {"max_keys": max_keys}))
        patch.setattr(memory, "LEAST_HELD", most)
        folded = list(states(stream, size))
        patch.setattr(columns, "FROM_ROWS", 0)
        held = list(states(stream, size))
    assert [plain(state) for state, _ in held] == [plain(state) for state, _ in folded]
    assert [found for _, found in held] == [found for _, found in folded]


@pytest.mark.parametrize("from_rows", [0, 256])
def test_of_a_tenant_with_too_many_claims_the_oldest_go(
    monkeypatch: pytest.MonkeyPatch, from_rows: int
) -> None:
    monkeypatch.setattr(bounds, "MOST_ROWS", 20)
    monkeypatch.setattr(bounds, "_MOST_ROWS", 22)
    monkeypatch.setattr(columns, "FROM_ROWS", from_rows)
    own = [claim(A, 900 * n, f"user{n % 7}") for n in range(30)]
    others = [claim(A, n, "ann", "bolt") for n in range(2)]
    *_, (state, _) = states([*others, *own], 32)
    kept = state["held"].filter(tenant_id="acme")["finding_id"].unique().to_list()
    assert sorted(kept) == sorted(c.finding_id for c in own[-10:])
    assert state["held"].filter(tenant_id="bolt").height == 4
    assert state["evicted"]["claims"].sum() == 40
    assert on_roll(state) == counted(state)


def test_an_older_state_without_a_roll_is_counted() -> None:
    stream = [claim(A, 400 * n, f"user{n % 3}") for n in range(9)]
    *_, (state, _) = states(stream, 9)
    roll = Roll(state["groups"].clear(), state["held"])
    assert sorted(roll.table().rows()) == counted(state)


def test_texts_of_one_hash_are_not_taken_for_each_other() -> None:
    said = pl.Series(["user\x1fann", "host\x1fws-1", "user\x1fann", "user\x1fbob", "ip\x1f"])
    for lexicon in (Lexicon(), Lexicon(lambda texts: np.zeros(len(texts), dtype=np.uint64))):
        for _ in range(2):
            entries = lexicon.entries("entities", said)
            _, codes = lexicon.codes("entities", entries)
            told = ["user:ann", "host:ws-1", "user:ann", "user:bob"]
            assert lexicon.texts[codes].to_list() == told
            assert lexicon.named("entities", "user", entries).tolist() == [0, 2, 3]
