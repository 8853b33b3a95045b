"""What must be absent: told once that is known, from any cut and order, and only then."""

from dataclasses import replace

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import correlation
from detectors._correlation import columns
from detectors._sigma.rules import RuleSet
from pipelines.signals import frame_of
from storage.schema import Context, EventBatch, Finding, State
from tests.detectors.test_correlation import A, B, C, S, claim, ruleset
from tests.detectors.test_correlation_windows import (
    ENDED,
    START,
    STREAMS,
    Row,
    claims,
    compiled,
    counted,
    on_roll,
    silent_rules,
    spans,
)
from tests.detectors.windows import Rule, Said, matches

HOUR = 3_600
LATENESS_S = 10


def run(
    rules: RuleSet, *batches: tuple[list[Finding], int], is_late: bool = False
) -> tuple[State, list[list[Finding]]]:
    """Fold batches, each with the watermark after it in seconds; give what each told."""
    state: State = correlation.META.empty_state()
    told: list[list[Finding]] = []
    for n, (batch, mark_s) in enumerate(batches):
        frame = frame_of(batch, 0)
        if is_late and n:
            frame = frame.with_columns(is_late=pl.lit(value=True))
        context = Context((START + mark_s) * S, rules={"": rules})
        state, found = correlation.detect(state, EventBatch.of(frame), context)
        told.append(found)
        assert on_roll(state) == counted(state)
    return state, told


def words(condition: str, kind: str = "temporal", group: str = "user") -> RuleSet:
    names = [n for n in ("step_1", "step_2", "step_3") if n in condition]
    return ruleset(
        f"{{type: {kind}, rules: [{', '.join(names)}], group-by: {group}, timespan: 1h, "
        f"condition: {condition}}}"
    )


WITHOUT = words("step_1 and not step_2")
BETWEEN = words("step_1 and not step_2 and step_3", "temporal_ordered")
BEFORE = words("not step_1 and step_2", "temporal_ordered")
AFTER = words("step_1 and not step_2", "temporal_ordered")


def test_it_is_told_when_the_watermark_has_passed_the_window_and_not_before() -> None:
    _, told = run(WITHOUT, ([claim(A, 0)], 10), ([], HOUR), ([], HOUR + 1), ([], 9 * HOUR))
    assert [len(found) for found in told] == [0, 0, 1, 0]
    (found,) = told[2]
    assert [(r.name, r.value, r.expected) for r in found.reasons] == [
        ("Step 1", "host h-ann, 2026-05-28 20:26:40 UTC", "part 1 of 1"),
        ("Step 2", "none from 2026-05-28 19:26:40 UTC to 2026-05-28 21:26:40 UTC", "absent"),
    ]
    assert found.parts == (claim(A, 0).finding_id,)


@pytest.mark.parametrize(
    ("at", "is_told"), [(-HOUR - 1, 1), (-HOUR, 0), (0, 0), (HOUR, 0), (HOUR + 1, 1)]
)
def test_what_comes_within_the_timespan_before_or_after_excuses(at: int, is_told: int) -> None:
    stream = [claim(A, 0), claim(B, at)]
    for order in (stream, stream[::-1]):
        assert len(run(WITHOUT, (order, -2 * HOUR), ([], 3 * HOUR))[1][1]) == is_told


@pytest.mark.parametrize(
    ("at", "is_told"), [(599 - HOUR, 1), (600 - HOUR, 0), (300, 0), (HOUR, 0), (HOUR + 1, 1)]
)
def test_of_several_parts_it_must_share_a_window_with_all(at: int, is_told: int) -> None:
    rules = words("step_1 and step_3 and not step_2")
    stream = [claim(A, 0), claim(B, at), claim(C, 600)]
    assert len(run(rules, (stream, 9 * HOUR))[1][0]) == is_told


def test_what_was_excused_stays_so_when_its_excuse_is_let_go() -> None:
    stream = [claim(B, 0), claim(A, HOUR), claim(A, HOUR + 1800)]
    marks = [2 * HOUR + 600, 2 * HOUR + 1200, 9 * HOUR]
    state, told = run(WITHOUT, (stream, marks[0]), ([], marks[1]))
    assert (told, state["held"].height) == ([[], []], 2)
    _, told = run(WITHOUT, (stream, marks[0]), ([], marks[1]), ([], marks[2]))
    assert [f.parts for f in told[2]] == [(stream[2].finding_id,)]


def test_an_excuse_is_held_as_long_as_it_may_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectors._correlation.memory.LATE_US", 0)
    stream = [claim(B, 0), claim(A, HOUR), claim(A, 2 * HOUR)]
    _, told = run(WITHOUT, (stream, 0), ([], 2 * HOUR + 1), ([], 9 * HOUR))
    assert [[f.parts for f in found] for found in told] == [[], [], [(stream[2].finding_id,)]]


def test_of_another_group_or_tenant_it_excuses_nothing() -> None:
    others = [claim(B, 5, "bob"), claim(B, 5, tenant="bolt")]
    assert len(run(WITHOUT, ([claim(A, 0), *others], 2 * HOUR))[1][0]) == 1


@pytest.mark.parametrize(
    ("rules", "at", "is_told"),
    [
        (BETWEEN, -1, 1),
        (BETWEEN, 5, 0),
        (BETWEEN, 601, 1),
        (BEFORE, -1, 1),
        (BEFORE, 5, 1),
        (AFTER, -1, 1),
        (AFTER, 5, 0),
    ],
)
def test_in_a_sequence_it_must_be_absent_at_its_own_place(
    rules: RuleSet, at: int, is_told: int
) -> None:
    if rules is BEFORE:
        stream = [claim(B, 0), claim(A, at)]
        is_told = int(at > 0)
    else:
        stream = [claim(A, 0), claim(B, at), claim(C, 600)]
    assert len(run(rules, (stream, 9 * HOUR))[1][0]) == is_told


def test_one_event_that_is_both_steps_does_not_follow_itself() -> None:
    one = [claim(A, 0, event="one"), claim(B, 0, event="one")]
    two = [claim(A, 0, event="one"), claim(B, 0, event="two")]
    assert len(run(AFTER, (one, 9 * HOUR))[1][0]) == 1
    assert run(AFTER, (two, 9 * HOUR))[1] == [[]]


def test_what_must_not_come_before_is_known_at_once() -> None:
    _, told = run(BEFORE, ([claim(B, 0)], 0), ([], 1), ([claim(A, 5)], 9 * HOUR))
    assert [len(found) for found in told] == [0, 1, 0]
    assert run(BEFORE, ([claim(A, 0), claim(B, HOUR)], 9 * HOUR))[1] == [[]]
    assert len(run(BEFORE, ([claim(A, 0), claim(B, HOUR + 1)], 9 * HOUR))[1][0]) == 1


def test_what_comes_late_neither_excuses_nor_is_told_and_is_counted() -> None:
    state, told = run(WITHOUT, ([claim(A, 0)], 10), ([claim(B, 5), claim(A, 1)], 20), is_late=True)
    assert told == [[], []]
    assert state["evicted"]["claims"].to_list() == [2]
    _, told = run(WITHOUT, ([claim(A, 0)], 10), ([claim(B, 5)], 2 * HOUR), is_late=True)
    assert len(told[1]) == 1


def test_one_story_is_told_once_a_timespan() -> None:
    stream = [claim(A, at) for at in range(0, 3 * HOUR, 600)]
    _, told = run(WITHOUT, *[([one], 600 * n) for n, one in enumerate(stream)], ([], 9 * HOUR))
    starts = [int(f.parts[0].split("-")[1]) for found in told for f in found]
    assert starts == [0, HOUR, 2 * HOUR]


def test_state_is_let_go_when_nothing_of_it_can_count_any_more() -> None:
    state, _ = run(WITHOUT, ([claim(A, 0), claim(B, HOUR)], 2 * HOUR))
    assert (state["held"].height, state["judged"].height) == (2, 1)
    state, _ = run(WITHOUT, ([claim(A, 0), claim(B, HOUR)], 2 * HOUR), ([], 3 * HOUR + 1))
    assert [state[name].height for name in ("held", "groups", "fired", "judged")] == [0] * 4
    idle = correlation.detect(state, EventBatch.of(frame_of([], 0)), Context(ENDED, {"": WITHOUT}))
    assert idle[0] is state


def test_a_group_s_claims_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("detectors._correlation.rule.NUMBERS_HELD", 128)
    state, _ = run(WITHOUT, ([claim(A, at) for at in range(300)], 0))
    assert state["held"].height == 256
    assert state["evicted"]["claims"].to_list() == [44]


def test_a_state_without_the_table_is_taken_on() -> None:
    state, _ = run(WITHOUT, ([claim(A, 0)], 10))
    older = {name: table for name, table in state.items() if name != "judged"}
    end = Context((START + 2 * HOUR) * S, rules={"": WITHOUT})
    assert len(correlation.detect(older, EventBatch.of(frame_of([], 0)), end)[1]) == 1


def test_a_correlation_may_be_what_must_be_absent() -> None:
    rules = ruleset(
        "{type: event_count, rules: step_2, group-by: user, timespan: 1h, condition: {gte: 2}}",
        "{type: temporal, group-by: user, timespan: 1h, condition: step_1 and not story_0}",
    )
    once, twice = [claim(A, 0), claim(B, 5)], [claim(A, 0), claim(B, 5), claim(B, 6)]
    assert [f.title for f in run(rules, (once, 9 * HOUR))[1][0]] == ["Story 1"]
    assert [f.title for f in run(rules, (twice, 9 * HOUR))[1][0]] == ["Story 0"]


DENSE = st.lists(
    st.tuples(
        st.sampled_from([0, 1, 2]),
        st.integers(0, 50),
        st.just("ann"),
        st.just("acme"),
        st.just("1"),
    ),
    max_size=8,
)
JITTERED = st.lists(st.integers(0, LATENESS_S), min_size=25, max_size=25)


@pytest.mark.parametrize("from_rows", [0, 256], ids=["columns", "fold"])
@settings(max_examples=150, deadline=None)
@given(silent_rules(), STREAMS | DENSE, JITTERED, st.integers(1, 7))
def test_a_stream_in_disorder_tells_what_the_book_says_as_the_watermark_moves(
    from_rows: int, rule: Rule, rows: list[Row], delays: list[int], size: int
) -> None:
    numbered = list(enumerate(rows))
    numbered.sort(key=lambda one: one[1][1] + delays[one[0]])
    arriving = [row for _, row in numbered]
    stream = [replace(c, event_ids=(f"e{n}",)) for n, c in enumerate(claims(arriving))]
    batches, newest = list[tuple[list[Finding], int]](), 0
    for begin in range(0, len(stream), size):
        newest = max(newest, *(at for _, at, *_ in arriving[begin : begin + size]))
        batches.append((stream[begin : begin + size], newest - LATENESS_S))
    expected = [
        (tenant, *one)
        for tenant in ("acme", "bolt")
        for one in matches(
            rule,
            [
                Said(step, at, user, value, n)
                for n, (step, at, user, of, value) in enumerate(arriving)
                if of == tenant
            ],
        )
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(columns, "FROM_ROWS", from_rows)
        state, told = run(compiled(rule), *batches, ([], 10_000))
    found = [f for batch in told for f in batch]
    assert sorted(spans(found, stream).elements()) == sorted(expected)
    assert state["held"].height == state["judged"].height == state["fired"].height == 0
