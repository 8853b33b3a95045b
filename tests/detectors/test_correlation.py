"""Correlations over claims: windows slide, any order matches, each story is told once."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import correlation, sigma
from detectors._correlation import memory
from pipelines.signals import frame_of
from storage.schema import Context, EventBatch, Finding, State

S = 1_000_000
A, B, C = (f"0000000{n}-0000-4000-8000-000000000000" for n in (1, 2, 3))
RULE = """title: Step {n}
id: 0000000{n}-0000-4000-8000-000000000000
name: step_{n}
logsource: {{product: inopsio, category: payment}}
detection: {{s: {{activity_id: {n}}}, condition: s}}
level: {level}
"""


def ruleset(*correlations: str, level: str = "medium") -> sigma.RuleSet:
    """Compile three base rules and the correlations, each given as the inside of its map."""
    texts = [RULE.format(n=n, level=level) for n in (1, 2, 3)]
    for n, inside in enumerate(correlations):
        name = f"title: Story {n}\nid: f000000{n}-0000-4000-8000-000000000000\nname: story_{n}\n"
        texts.append(f"{name}level: high\ncorrelation: {inside}\n")
    return sigma.compile_texts({"rules.yml": "---\n".join(texts).encode()})


def claim(
    rule: str, at_s: int, user: str = "ann", tenant: str = "acme", event: str = "", **fields: str
) -> Finding:
    name = f"{rule[:8]}-{at_s}-{user}-{event}"
    return Finding(
        finding_id=name,
        tenant_id=tenant,
        detector="sigma",
        detector_version="1",
        rule_id=rule,
        title=f"Step {rule[7]}",
        level="low",
        time_us=1_780_000_000 * S + at_s * S,
        entity_type="host",
        entity=f"h-{user.lower()[-3:]}",
        event_ids=(event or f"e-{name}",),
        links=(("user", user),),
        fields=tuple((k.replace("__", "."), v) for k, v in fields.items()),
    )


def told(
    rules: sigma.RuleSet, *batches: list[Finding], own: sigma.RuleSet | None = None
) -> list[Finding]:
    return fold(rules, *batches, own=own)[1]


def fold(
    rules: sigma.RuleSet, *batches: list[Finding], own: sigma.RuleSet | None = None
) -> tuple[State, list[Finding]]:
    state: State = correlation.META.empty_state()
    found: list[Finding] = []
    sets = {"": rules} | ({"acme": own} if own is not None else {})
    for batch in batches:
        seen = EventBatch.of(frame_of(batch, 0))
        state, new = correlation.detect(state, seen, Context(watermark_us=0, rules=sets))
        found += new
    return state, found


ORDERED = ruleset(
    "{type: temporal_ordered, rules: [step_1, step_2, step_3], group-by: [user], timespan: 1h}"
)
STORY = [claim(A, 0), claim(B, 60), claim(C, 3600)]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_a_sequence_is_found_in_whatever_order_it_arrives(order: tuple[int, ...]) -> None:
    found = told(ORDERED, *[[STORY[i]] for i in order])
    assert [f.parts for f in found] == [tuple(c.finding_id for c in STORY)]
    assert found == told(ORDERED, STORY)


def test_steps_in_another_order_or_too_far_apart_or_of_others_are_no_sequence() -> None:
    assert told(ORDERED, [claim(B, 0), claim(A, 60), claim(C, 90)]) == []
    assert told(ORDERED, [claim(A, 0), claim(B, 60), claim(C, 3601)]) == []
    assert told(ORDERED, [claim(A, 0), claim(B, 60, "bob"), claim(C, 90)]) == []


def test_two_rules_that_hit_one_event_are_not_two_steps() -> None:
    rules = ruleset(
        "{type: temporal_ordered, rules: [step_1, step_2], group-by: [user], timespan: 1h}"
    )
    assert told(rules, [claim(A, 0, event="one"), claim(B, 0, event="one")]) == []
    assert told(rules, [claim(A, 0, event="one"), claim(B, 0, event="two")])


def test_the_finding_tells_its_steps_and_joins_their_entities() -> None:
    (found,) = told(ORDERED, STORY)
    assert (found.title, found.level, found.kind) == ("Story 0", "high", "finding")
    assert (found.entity_type, found.entity) == ("user", "ann")
    assert found.links == (("host", "h-ann"),)
    assert found.event_ids == tuple(c.event_ids[0] for c in STORY)
    assert [(r.name, r.expected) for r in found.reasons] == [
        (f"Step {n}", f"step {n} of 3") for n in (1, 2, 3)
    ]
    assert found.reasons[0].value == "host h-ann, 2026-05-28 20:26:40 UTC"


def test_one_person_under_three_names_is_one_group() -> None:
    rules = ruleset(
        "{type: temporal_ordered, rules: [step_1, step_2, step_3], group-by: [who], "
        "timespan: 1h, aliases: {who: {step_1: actor.user.name, step_2: User, "
        "step_3: email.to}}}"
    )
    story = [
        claim(A, 0, "x", actor__user__name="ann.lee@corp.example"),
        claim(B, 1, "y", User="CORP\\Ann.Lee"),
        claim(C, 2, "z", email__to="bob@corp.example; ann.lee@corp.example"),
    ]
    assert [f.entity for f in told(rules, story)] == ["ann.lee"]


def test_a_claim_without_the_group_s_value_counts_nowhere() -> None:
    rules = ruleset(
        "{type: event_count, rules: step_1, group-by: vendor.uid, timespan: 1h, "
        "condition: {gte: 2}}"
    )
    assert told(rules, [claim(A, 0), claim(A, 1)]) == []
    assert told(rules, [claim(A, n, vendor__uid="V-1") for n in (0, 1)])


COUNTED = ruleset(
    "{type: event_count, rules: step_1, group-by: [user], timespan: 10m, condition: {gt: 2}}"
)


def test_windows_slide_without_edges() -> None:
    for start in range(0, 1200, 100):
        at = [start, start + 300, start + 600]
        assert len(told(COUNTED, [claim(A, t) for t in at])) == 1
        assert told(COUNTED, [claim(A, t) for t in [start, start + 300, start + 601]]) == []


def test_a_long_flood_is_told_once_a_timespan() -> None:
    found = told(COUNTED, [claim(A, t) for t in range(0, 1800, 10)])
    starts = [int(f.parts[0].split("-")[1]) for f in found]
    assert len(starts) == 3
    assert all(b - a >= 600 for a, b in itertools.pairwise(starts))


def test_different_values_are_counted_not_claims() -> None:
    rules = ruleset(
        "{type: value_count, rules: step_1, group-by: src_ip, timespan: 10m, "
        "condition: {gte: 3, field: user}}"
    )
    same = [claim(A, t, "ann", src_ip="203.0.113.9") for t in range(20)]
    assert told(rules, same) == []
    spray = [
        claim(A, t, u, src_ip="203.0.113.9") for t, u in enumerate(["ann", "bob", "CORP\\ann"])
    ]
    assert told(rules, spray) == []
    (found,) = told(rules, spray, [claim(A, 60, "eve", src_ip="203.0.113.9")])
    assert (found.entity_type, found.entity) == ("ip", "203.0.113.9")
    assert found.reasons[0].value == "3 different within 1 min: ann, bob, eve"


def test_temporal_takes_any_order_and_may_want_only_some() -> None:
    rules = ruleset(
        "{type: temporal, rules: [step_1, step_2, step_3], group-by: [user], "
        "timespan: 1h, condition: {gte: 2}}"
    )
    (found,) = told(rules, [claim(C, 0), claim(C, 5), claim(A, 10)])
    assert len(found.parts) == 2 or len(found.parts) == 3
    assert told(rules, [claim(C, 0), claim(C, 5)]) == []


def test_correlations_rest_on_correlations() -> None:
    rules = ruleset(
        "{type: value_count, rules: step_1, group-by: src_ip, timespan: 10m, "
        "condition: {gte: 3, field: user}}",
        "{type: temporal_ordered, rules: [story_0, step_2], group-by: src_ip, timespan: 1h}",
    )
    spray = [claim(A, t, u, src_ip="203.0.113.9") for t, u in enumerate(["ann", "bob", "eve"])]
    inner, outer = told(rules, spray, [claim(B, 100, "bob", src_ip="203.0.113.9")])
    assert (inner.kind, outer.kind) == ("signal", "finding")
    assert outer.parts == (*inner.parts, inner.finding_id, f"{B[:8]}-100-bob-")
    assert set(outer.event_ids) > set(inner.event_ids)


def test_a_base_sequence_that_goes_on_reaches_what_rests_on_it() -> None:
    rules = ruleset(
        "{type: temporal_ordered, rules: [step_1, step_2], group-by: user, timespan: 1d}",
        "{type: temporal_ordered, rules: [story_0, step_3], group-by: user, timespan: 1h}",
    )
    early = [claim(A, 0), claim(B, 60), claim(B, 70)]
    late = [claim(B, 20_000), claim(C, 20_100)]
    found = told(rules, early, late)
    assert [(f.title, f.kind, len(f.parts)) for f in found] == [
        ("Story 0", "signal", 2),
        ("Story 0", "signal", 4),
        ("Story 1", "finding", 6),
    ]
    assert found == told(rules, [*early, *late])


def test_a_claim_told_twice_counts_once() -> None:
    assert told(COUNTED, [claim(A, 0), claim(A, 1)], [claim(A, 0), claim(A, 1)]) == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([A, B, C]), st.integers(0, 9000)), max_size=30),
    st.integers(1, 8),
)
def test_any_cutting_gives_the_same(steps: list[tuple[str, int]], size: int) -> None:
    stream = [claim(rule, at) for rule, at in dict.fromkeys(steps)]
    cut = [stream[i : i + size] for i in range(0, len(stream), size)]
    assert told(ORDERED, *cut) == told(ORDERED, stream)


@settings(max_examples=60, deadline=None)
@given(st.permutations(range(6)))
def test_what_is_there_is_found_in_any_order(order: list[int]) -> None:
    noise = [claim(A, 500), claim(B, 9000), claim(C, 20)]
    stream = [*STORY, *noise]
    assert len(told(ORDERED, [stream[i] for i in order])) == 1


def test_groups_and_claims_are_bounded_and_what_went_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = type(correlation.META)(
        **{f: getattr(correlation.META, f) for f in correlation.META.__slots__} | {"max_keys": 5}
    )
    monkeypatch.setattr(correlation, "META", small)
    monkeypatch.setattr(memory, "LEAST_HELD", 10)
    crowd = [claim(A, t, f"user{t}") for t in range(20)]
    one = [claim(B, 100 + t, "ann") for t in range(30)]
    state, _ = fold(ORDERED, crowd, one)
    assert state["held"]["key"].n_unique() == 5
    assert state["held"].height == 4 + 10
    assert state["evicted"].rows() == [("acme", "f0000000-0000-4000-8000-000000000000", 36)]


def test_what_was_told_is_bounded_however_often_a_rule_fires() -> None:
    eager = ruleset(
        "{type: event_count, rules: step_1, group-by: user, timespan: 1s, condition: {gte: 1}}"
    )
    state, found = fold(eager, [claim(A, 10 * t) for t in range(memory.LEAST_HELD + 50)])
    assert len(found) == memory.LEAST_HELD + 50
    assert state["fired"].height <= memory.LEAST_HELD + 1


def test_a_tenant_s_own_correlation_looks_at_house_rules_and_only_its_own_claims() -> None:
    house = ruleset()
    text = (
        "title: Mine\nid: e0000000-0000-4000-8000-000000000000\nlevel: high\ncorrelation: "
        "{type: event_count, rules: step_1, group-by: user, timespan: 1h, condition: {gte: 2}}"
    )
    own = sigma.compile_texts({"mine.yml": text.encode()}, beside=house)
    stream = [claim(A, t, tenant=tenant) for t in (0, 1) for tenant in ("acme", "bolt")]
    assert [f.tenant_id for f in told(house, stream, own=own)] == ["acme"]


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("{type: temporal, rules: [step_1, nobody], timespan: 1h}", "base rule 'nobody' is not"),
        ("{type: temporal, rules: [step_1, step_2]}", "without timespan"),
        ("{type: temporal, timespan: 1h}", "has no 'rules'"),
        ("{type: event_count, rules: step_1, timespan: 1h}", "without condition"),
        ("{type: value_count, rules: step_1, timespan: 1h, condition: {gte: 2}}", "without field"),
        ("{type: value_max, rules: step_1, timespan: 1h, condition: {gte: 2}}", "is not known"),
        ("{type: event_count, rules: step_1, timespan: 1h, condition: {lt: 1}}", "nothing comes"),
        ("{type: event_count, rules: step_1, timespan: 1h, condition: {gt: 2, lt: 3}}", "nothing"),
        ("{type: event_count, rules: step_1, timespan: 1h, condition: {gt: 3, lt: 2}}", "exclude"),
        ("{type: event_count, rules: step_1, timespan: 1h, condition: {gte: 1.5}}", "whole number"),
        ("{type: event_count, rules: step_1, timespan: 1h, condition: {gte: ten}}", "is no number"),
        (
            "{type: value_percentile, rules: step_1, timespan: 1h, condition: {gt: 9, field: a}}",
            "without percentile",
        ),
        (
            "{type: value_sum, rules: step_1, timespan: 1h, condition: {gt: 9, field: [a, b]}}",
            "takes one field",
        ),
        (
            "{type: temporal, rules: [step_1, step_2], timespan: 1h, condition: {lt: 2}}",
            "say in words which",
        ),
        ("{type: temporal, timespan: 1h, condition: not step_1}", "asks that nothing comes"),
        ("{type: temporal, timespan: 1h, condition: step_1 or not step_2}", "needs a rule that"),
        ("{type: temporal, timespan: 1h, condition: step_1 and not step_1}", "can never hold"),
        ("{type: temporal, timespan: 1h, condition: step_1 and not}", "goes wrong at 'its end'"),
        ("{type: temporal, timespan: 1h, condition: step_1 and (step_2}", "without its ')'"),
        ("{type: temporal, timespan: 1h, condition: step_1 step_2}", "goes wrong at 'step_2'"),
        (
            "{type: temporal, rules: [step_1, step_2], timespan: 1h, condition: step_1}",
            "does not name it",
        ),
        (
            "{type: event_count, rules: step_1, timespan: 1h, condition: step_1 or step_1}",
            "no condition in words",
        ),
        ("{type: temporal, rules: [step_1], timespan: soon}", "Timespan 'soon' is invalid"),
        ("{type: temporal, rules: [story_0], timespan: 1h}", "rests on itself"),
        ("{type: temporal, rules: [step_1], timespan: 1h, groupby: user}", "unknown keys: groupby"),
        (
            "{type: temporal, rules: [step_1, step_2], timespan: 1h, aliases: {w: {step_1: a}}}",
            "says no field for rule 'step_2'",
        ),
    ],
)
def test_what_cannot_run_says_why(inside: str, reason: str) -> None:
    rules = ruleset(inside)
    assert reason in rules.reports[-1].reason
    assert not rules.reports[-1].executable
    assert rules.correlations == ()


@pytest.mark.parametrize(
    "waiting",
    [
        "{type: event_count, rules: step_1, timespan: 1h, condition: {lt: 5}}",
        "{type: temporal, timespan: 1h, condition: step_1 and not step_3}",
    ],
)
def test_nothing_rests_on_what_waits_for_its_window_s_end(waiting: str) -> None:
    rules = ruleset(
        waiting,
        "{type: temporal, rules: [story_0, step_2], timespan: 1h}",
    )
    assert "waits for the end of its window" in rules.reports[-1].reason
    assert [r.title for r in rules.correlations] == ["Story 0"]


def test_a_tower_of_correlations_is_refused_not_climbed() -> None:
    tower = [
        f"{{type: temporal, rules: [story_{n + 1}, step_1], timespan: 1h}}" for n in range(600)
    ]
    head = "title: T{n}\nid: f0000000-0000-4000-8000-{n:012d}\nname: story_{n}\ncorrelation: "
    texts = [head.format(n=n) + inside + "\n" for n, inside in enumerate(tower)]
    rules = sigma.compile_texts({"rules.yml": "---\n".join(texts).encode()})
    assert any("more than 32" in r.reason for r in rules.reports)


def test_base_rules_are_signals_unless_they_are_to_be_seen() -> None:
    inside = "{type: temporal, rules: [step_1, step_2], timespan: 1h, group-by: actor.user.name"
    quiet, loud = ruleset(inside + "}"), ruleset(inside + ", generate: true}")
    assert [quiet.kind(r) for r in quiet.rules] == ["signal", "signal", "finding"]
    assert [loud.kind(r) for r in loud.rules] == ["finding"] * 3
    assert {ruleset(level="low").kind(r) for r in ruleset(level="low").rules} == {"signal"}
    assert quiet.carried(A) == ("actor.user.name",)
