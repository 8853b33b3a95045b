"""Every type of correlation against the definition by the book, however the stream is cut."""

import itertools
import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from detectors import correlation
from detectors._correlation import columns, memory
from pipelines.signals import frame_of
from storage.schema import Context, EventBatch, Finding, State
from tests.detectors.test_correlation import A, B, C, S, claim, ruleset
from tests.detectors.windows import Rule, Said, matches

STEPS = [A, B, C]
START = 1_780_000_000
OPEN, ENDED = 0, 2**62
_WORDS = {
    "step_1 and (step_2 or step_3)": [(0, 1), (0, 2)],
    "step_1 and step_2 or step_3": [(0, 1), (2,)],
    "(step_1 or step_2) and step_3": [(0, 2), (1, 2)],
}
_SILENT: dict[str, list[tuple[tuple[int, ...], tuple[int, ...]]]] = {
    "step_1 and not step_2 or step_3 and not step_2": [((0,), (1,)), ((2,), (1,))],
    "step_1 and step_3 and not step_2": [((0, 2), (1,))],
    "step_1 and not (step_2 or step_3)": [((0,), (1, 2))],
    "not step_1 and (step_2 or step_3)": [((1,), (0,)), ((2,), (0,))],
    "step_2 and not (step_1 and step_3)": [((1,), (0,)), ((1,), (2,))],
    "not step_1 and step_2 and step_3": [((1, 2), (0,))],
    "step_1 and step_2 or step_3 and not step_1": [((0, 1), ()), ((2,), (0,))],
}
"""Words -> (steps that must be there, steps that must not) of each way to a match."""
NUMERIC = ["value_sum", "value_avg", "value_percentile", "value_median"]


def silent_rule(kind: str, span: int, words: str) -> Rule:
    clauses, absent = ([way[n] for way in _SILENT[words]] for n in (0, 1))
    told = {"type": kind, "timespan": span, "condition": words}
    return told | {"clauses": clauses, "absent": absent}


@st.composite
def silent_rules(draw: st.DrawFn) -> Rule:
    kind = draw(st.sampled_from(["temporal", "temporal_ordered"]))
    return silent_rule(kind, draw(st.sampled_from([5, 20])), draw(st.sampled_from(sorted(_SILENT))))


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    kind = draw(
        st.sampled_from(["event_count", "value_count", "temporal", "temporal_ordered", *NUMERIC])
    )
    span = draw(st.sampled_from([5, 20, 60]))
    if kind.startswith("temporal"):
        if draw(st.booleans()):
            return draw(silent_rules())
        words = draw(st.sampled_from(sorted(_WORDS)))
        return {"type": kind, "timespan": span, "condition": words, "clauses": _WORDS[words]}
    condition: dict[str, Any] = {} if kind == "event_count" else {"field": "amount"}
    if kind == "value_percentile":
        condition["percentile"] = draw(st.sampled_from([0, 25, 95, 100]))
    limits = st.integers(2, 6) if kind.endswith("count") else st.integers(-5, 30)
    shape = draw(
        st.sampled_from([("gte",), ("gt",), ("lt",), ("lte",), ("eq",), ("neq",), ("gte", "lte")])
    )
    limit = draw(limits)
    condition |= {op: limit + 3 * n for n, op in enumerate(shape)}
    return {"type": kind, "timespan": span, "condition": condition}


STREAMS = st.lists(
    st.tuples(
        st.sampled_from([0, 0, 1, 2]),
        st.integers(0, 80),
        st.sampled_from(["ann", "bob"]),
        st.sampled_from(["acme", "bolt"]),
        st.sampled_from(["1", "2", "3.5", "-4", "10", "ten", "40"]),
    ),
    max_size=25,
)
Row = tuple[int, int, str, str, str]


def compiled(rule: Rule) -> Any:  # noqa: ANN401  the rule set of the tests
    inside = {k: v for k, v in rule.items() if k not in {"clauses", "absent"}} | {
        "timespan": f"{rule['timespan']}s"
    }
    names = [f"step_{n}" for n in (1, 2, 3)]
    words = rule.get("condition") if rule["type"].startswith("temporal") else None
    inside |= {"rules": [n for n in names if n in (words or names)], "group-by": ["user"]}
    made = ruleset(json.dumps(inside))
    assert len(made.correlations) == 1
    return made


def claims(stream: list[Row]) -> list[Finding]:
    return [
        claim(STEPS[step], at, user, tenant, event=str(n), amount=value)
        for n, (step, at, user, tenant, value) in enumerate(stream)
    ]


def told(rule: Rule, batches: list[list[Finding]], final: int = ENDED) -> list[Finding]:
    sets, found = {"": compiled(rule)}, list[Finding]()
    state: State = correlation.META.empty_state()
    for n, batch in enumerate([*batches, []]):
        context = Context(final if n == len(batches) else OPEN, rules=sets)
        state, new = correlation.detect(state, EventBatch.of(frame_of(batch, 0)), context)
        found += new
        assert on_roll(state) == counted(state)
    return found


def on_roll(state: State) -> list[tuple[Any, ...]]:
    return sorted(state["groups"].rows())


def counted(state: State) -> list[tuple[Any, ...]]:
    """Count what each group holds, claim by claim."""
    groups: dict[tuple[str, str, int], list[int]] = {}
    for tenant, key, slot, time_us, *_ in state["held"].rows():
        groups.setdefault((tenant, key, slot), []).append(time_us)
    return sorted((*name, len(times), min(times), max(times)) for name, times in groups.items())


def spans(found: list[Finding], stream: list[Finding]) -> Counter[tuple[str, str, int, int]]:
    at = {c.finding_id: c.time_us // S - START for c in stream}
    return Counter((f.tenant_id, f.entity, at[f.parts[0]], at[f.parts[-1]]) for f in found)


SAME_MOMENT: Rule = {
    "type": "temporal",
    "timespan": 5,
    "condition": "step_1 and (step_2 or step_3)",
    "clauses": [(0, 1), (0, 2)],
}


@settings(max_examples=300, deadline=None)
@given(rules(), STREAMS, st.integers(1, 9))
@example(
    SAME_MOMENT,
    [(0, 0, "bob", "bolt", "1"), (0, 1, "bob", "bolt", "1"), (1, 0, "bob", "bolt", "1")],
    1,
)
def test_each_type_tells_what_the_book_says_however_the_stream_is_cut(
    rule: Rule, rows: list[Row], size: int
) -> None:
    stream = claims(rows)
    expected: Counter[tuple[str, str, int, int]] = Counter()
    for tenant in ("acme", "bolt"):
        own = [
            Said(step, at, user, value, n)
            for n, (step, at, user, of, value) in enumerate(rows)
            if of == tenant
        ]
        expected.update((tenant, *one) for one in matches(rule, own))
    whole = told(rule, [stream])
    assert spans(whole, stream) == expected
    assert (
        told(rule, [list(b) for b in [stream[i : i + size] for i in range(0, len(stream), size)]])
        == whole
    )


LATE_START: Rule = {
    "type": "temporal_ordered",
    "timespan": 20,
    "condition": "(step_1 or step_2) and step_3",
    "clauses": [(0, 2), (1, 2)],
}
"""A sequence that was told gets, late, an earlier start just so far before that it is another."""


@settings(max_examples=300, deadline=None)
@example(
    LATE_START,
    [(0, 29, "ann", "acme", "1"), (2, 29, "ann", "acme", "1")],
    [(0, 9, "ann", "acme", "1")],
    256,
)
@given(rules(), STREAMS, STREAMS, st.sampled_from([3, 256]))
def test_columns_tell_what_the_fold_tells(
    rule: Rule, first: list[Row], then: list[Row], most: int
) -> None:
    # Some claims name two people, and so stand in two groups.
    both = (("user", "CORP\\Ann"), ("user", "bob"), ("host", "h"))
    stream = [
        replace(c, links=both) if c.time_us // S % 5 == 0 else c for c in claims([*first, *then])
    ]
    batches = [stream[: len(first)], stream[len(first) :]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "LEAST_HELD", most)
        folded = told(rule, batches)
        patch.setattr(columns, "FROM_ROWS", 0)
        assert told(rule, batches) == folded


def test_a_number_that_is_none_is_left_out_and_said() -> None:
    rule: Rule = {"type": "value_sum", "timespan": 60, "condition": {"gte": 30, "field": "amount"}}
    stream = claims(
        [(0, 1, "ann", "acme", "10"), (0, 2, "ann", "acme", "n/a"), (0, 3, "ann", "acme", "25")]
    )
    (found,) = told(rule, [stream])
    assert [(r.name, r.value, r.expected) for r in found.reasons[:2]] == [
        ("amount", "sum 35 of 2 within 2 s", "at least 30 within 1 min"),
        ("amount", "1 left out, being no number: n/a", ""),
    ]
    assert len(found.parts) == 2


def test_several_fields_count_by_their_combinations() -> None:
    rules = ruleset(
        "{type: value_count, rules: step_1, timespan: 1h, condition: {gte: 3, field: [user, port]}}"
    )
    stream = [
        claim(A, n, user, port=port)
        for n, (user, port) in enumerate([("ann", "1"), ("ann", "2"), ("ann", "1")])
    ]
    state, found = correlation.detect(
        correlation.META.empty_state(), EventBatch.of(frame_of(stream, 0)), Context(0, {"": rules})
    )
    assert found == []
    more = EventBatch.of(frame_of([claim(A, 9, "bob", port="1")], 0))
    (one,) = correlation.detect(state, more, Context(0, {"": rules}))[1]
    assert one.reasons[0].value == "3 different within 9 s: ann / 1, ann / 2, bob / 1"


FEW: Rule = {"type": "event_count", "timespan": 10, "condition": {"lt": 3}}


def test_a_window_that_waits_is_told_when_the_watermark_has_passed_its_end() -> None:
    stream = claims([(0, 0, "ann", "acme", "1"), (0, 10, "ann", "acme", "1")])
    assert told(FEW, [stream], final=(START + 10) * S) == []
    (found,) = told(FEW, [stream], final=(START + 10) * S + 1)
    assert found.reasons[0].expected == "less than 3 within 10 s"


def test_what_waits_leaves_no_state_and_counts_what_came_late() -> None:
    sets = {"": compiled(FEW)}
    stream = frame_of(claims([(0, 0, "ann", "acme", "1")]), 0)
    late = stream.with_columns(stream["is_late"].not_())
    state, found = correlation.detect(
        correlation.META.empty_state(), EventBatch.of(stream), Context(ENDED, sets)
    )
    assert (len(found), state["held"].height) == (1, 0)
    state, found = correlation.detect(state, EventBatch.of(late), Context(ENDED, sets))
    assert (found, state["evicted"]["claims"].to_list()) == ([], [1])


@pytest.mark.parametrize(
    "words", sorted([*_WORDS, *_SILENT, "step_1 and not (step_2 or not step_3)"])
)
def test_words_mean_what_pysigma_reads(words: str) -> None:
    from sigma.correlations import (
        CorrelationConditionAND,
        CorrelationConditionNOT,
        SigmaExtendedCorrelationCondition,
    )

    def holds(node: Any, there: set[str]) -> bool:  # noqa: ANN401  pySigma's tree
        if hasattr(node, "reference"):
            return node.reference in there
        if isinstance(node, CorrelationConditionNOT):
            return not holds(node.args[0], there)
        join = all if isinstance(node, CorrelationConditionAND) else any
        return join(holds(part, there) for part in node.args)

    (rule,) = compiled({"type": "temporal", "timespan": 60, "condition": words}).correlations
    tree = SigmaExtendedCorrelationCondition(words).parsed
    for there in itertools.chain.from_iterable(
        itertools.combinations(range(3), n) for n in range(4)
    ):
        expected = holds(tree, {f"step_{n + 1}" for n in there})
        absent = rule.absent or [()] * len(rule.clauses)
        ways = zip(rule.clauses, absent, strict=True)
        assert any(set(a) <= set(there) and set(b).isdisjoint(there) for a, b in ways) == expected
