"""Say in words what a match rests on: the finding of a correlation."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from detectors._correlation.absence import Gap
from detectors._correlation.claim import Claim, Pair, values
from detectors._correlation.measure import measure, number
from detectors._correlation.rule import COUNTING, NUMERIC, Correlation, Op, Type
from detectors._correlation.window import Held, value_of
from storage.schema import DetectorMeta, Finding, Reason, canonical, finding_id
from storage.schema.entity import JOINING

MOST_EVENTS: Final = 100
MOST_PARTS: Final = 200
MOST_LINKS: Final = 50
MOST_EACH: Final = 10
"""Further claims of one step that are told beside the one that made the match."""
_SHOWN: Final = 10
_BOUND: Final[Mapping[Op, str]] = {
    "gt": "more than",
    "gte": "at least",
    "lt": "less than",
    "lte": "at most",
    "eq": "exactly",
    "neq": "other than",
}
_SAID: Final[Mapping[Type, str]] = {
    "value_sum": "sum",
    "value_avg": "average",
    "value_median": "median",
    "value_percentile": "nth percentile",
}


def finding_of(
    meta: DetectorMeta,
    tenant_id: str,
    rule: Correlation,
    group: Sequence[Pair],
    spine: Sequence[Held],
    held: Sequence[Held],
    wanted: Iterable[str],
    *,
    is_again: bool = False,
    absent: Sequence[tuple[str, Gap]] = (),
) -> Finding:
    """Make the finding. `spine`: the parts that make the match; `held`: all of the group;
    `wanted`: fields that further correlations ask of it; `is_again`: it was told already and ends
    anew, which is a signal for those; `absent`: titles of base rules, and when they were silent.
    """
    parts = _with_company(rule, spine, held)
    claims = list({p.finding_id: p.claim for p in parts}.values())
    version = f"{meta.version}.{rule.version}"
    key = "\x1f".join(f"{kind}:{name}" for kind, name in group)
    about = _entity(group, spine)
    group_key = f"{key}\x1f{spine[0].finding_id}"
    group_key += f"\x1f{spine[-1].finding_id}" if is_again else ""
    ids = [i for c in claims for i in (*c.parts, c.finding_id)]
    return Finding(
        finding_id=finding_id(tenant_id, meta.name, version, rule.rule_id, group_key),
        tenant_id=tenant_id,
        detector=meta.name,
        detector_version=version,
        rule_id=rule.rule_id,
        title=rule.title,
        level=rule.level,
        time_us=spine[-1].time_us,
        entity_type=about[0],
        entity=about[1],
        event_ids=_events(claims),
        event_count=sum(c.event_count for c in claims),
        reasons=(*_reasons(rule, spine, parts, held), *map(_silence, absent)),
        attack=tuple(dict.fromkeys((*rule.attack, *(t for c in claims for t in c.attack)))),
        links=_links(about, group, claims),
        kind="signal" if is_again else rule.kind,
        parts=tuple(dict.fromkeys(ids))[:MOST_PARTS],
        fields=tuple(_fields(rule, group, spine, wanted)),
    )


def _with_company(rule: Correlation, spine: Sequence[Held], held: Sequence[Held]) -> list[Held]:
    """Add the other claims of the steps between first and last part, some of each step."""
    if not rule.type.startswith("temporal"):
        return list(spine)
    count: dict[int, int] = {}
    found = list(spine)
    chosen = {(h.finding_id, h.step) for h in spine}
    for h in held:
        is_within = spine[0].time_us <= h.time_us <= spine[-1].time_us
        if is_within and (h.finding_id, h.step) not in chosen:
            count[h.step] = count.get(h.step, 0) + 1
            if count[h.step] <= MOST_EACH:
                found.append(h)
    return sorted(found)


def _entity(group: Sequence[Pair], spine: Sequence[Held]) -> Pair:
    for kind, name in group:
        if kind:
            return kind, name
    last = spine[-1].claim
    return last.entity_type, last.entity


def _events(claims: Sequence[Claim]) -> tuple[str, ...]:
    """Give every part's first event, then the others, as far as there is room."""
    firsts = [e for c in claims for e in c.event_ids[:1]]
    others = [e for c in claims for e in c.event_ids[1:]]
    return tuple(dict.fromkeys((*firsts, *others)))[:MOST_EVENTS]


def _links(about: Pair, group: Sequence[Pair], claims: Sequence[Claim]) -> tuple[Pair, ...]:
    """Give the other entities of the parts, those by which stories join first, each once."""
    every = [
        *((kind, name) for kind, name in group if kind),
        *((c.entity_type, c.entity) for c in claims),
        *(link for c in claims for link in c.links),
    ]
    once: dict[Pair, Pair] = {}
    for kind, name in every:
        once.setdefault(canonical(kind, name), (kind, name))
    once.pop(canonical(*about), None)
    return tuple(sorted(once.values(), key=lambda link: link[0] not in JOINING))[:MOST_LINKS]


def _fields(
    rule: Correlation, group: Sequence[Pair], spine: Sequence[Held], wanted: Iterable[str]
) -> Iterator[Pair]:
    own = dict(zip(rule.group_by, group, strict=True))
    for name in wanted:
        if name in own:
            yield name, own[name][1]
            continue
        found = dict.fromkeys(pair for h in spine for pair in values(name, h.claim))
        yield from ((name, value) for _, value in list(found)[:MOST_EVENTS])


def _reasons(
    rule: Correlation, spine: Sequence[Held], parts: Sequence[Held], held: Sequence[Held]
) -> Iterator[Reason]:
    if rule.type.startswith("temporal"):
        steps = len(spine) if rule.clauses else len(rule.rules)
        for place, h in enumerate(spine, 1):
            more = sum(p.step == h.step for p in parts) - 1
            also = f" (and {more} more)" if more else ""
            said = f"{h.claim.entity_type} {h.claim.entity}, {_moment(h.time_us)}{also}"
            word = "step" if rule.type == "temporal_ordered" else "part"
            yield Reason(h.claim.title, said, f"{word} {place} of {steps}")
        return
    yield from _measures(rule, spine, held)
    span = _span(spine[-1].time_us - spine[0].time_us)
    for step in sorted({h.step for h in spine}):
        mine = [h for h in spine if h.step == step]
        said = f"{len(mine)} within {span}, from {_moment(mine[0].time_us)}"
        wanted = _wanted(rule) if rule.type == "event_count" else ""
        yield Reason(mine[-1].claim.title, said, wanted)


def _silence(absent: tuple[str, Gap]) -> Reason:
    """Say what did not come, and when it should have."""
    title, gap = absent
    said = f"none from {_moment(gap.since_us)} to {_moment(gap.until_us)}"
    return Reason(title, said, "absent")


def _measures(rule: Correlation, spine: Sequence[Held], held: Sequence[Held]) -> Iterator[Reason]:
    """Say what came out: the different values, or the sum, average or percentile."""
    span = _span(spine[-1].time_us - spine[0].time_us)
    name = ", ".join(rule.value)
    if rule.type == "value_count":
        seen = list(dict.fromkeys(value_of(h) for h in spine))
        shown = ", ".join(seen[:_SHOWN]) + (", ..." if len(seen) > _SHOWN else "")
        yield Reason(name, f"{len(seen)} different within {span}: {shown}", _wanted(rule))
    elif rule.type in NUMERIC:
        numbers = [n for h in spine if (n := number(value_of(h))) is not None]
        said = f"{_SAID[rule.type]} {measure(rule, numbers):.12g} of {len(numbers)} within {span}"
        yield Reason(name, said.replace("nth", f"{rule.percentile:g}th"), _wanted(rule))
        end_us = spine[-1].time_us
        strange = [
            value_of(h)
            for h in held
            if end_us - rule.timespan_us
            <= h.time_us
            <= max(end_us, spine[0].time_us + rule.timespan_us)
            and number(value_of(h)) is None
        ]
        if strange:
            shown = ", ".join(dict.fromkeys(strange[:_SHOWN]))
            yield Reason(name, f"{len(strange)} left out, being no number: {shown}")


def _wanted(rule: Correlation) -> str:
    """Say what the condition asks for."""
    what = "different " if rule.type == "value_count" else ""
    told = " and ".join(_bound(rule, op, n) for op, n in rule.bounds)
    return f"{told} {what}within {_span(rule.timespan_us)}"


def _bound(rule: Correlation, op: Op, limit: float) -> str:
    if op == "gt" and rule.type in COUNTING:
        op, limit = "gte", limit + 1
    return f"{_BOUND[op]} {limit:.12g}"


def _moment(time_us: int) -> str:
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


def _span(span_us: int) -> str:
    """Say a length of time in words.

    >>> _span(90_000_000), _span(0), _span(3 * 86_400_000_000)
    ('90 s', '0 s', '3 d')
    """
    seconds = span_us // 1_000_000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size} {unit}"
    if seconds >= 2 * 86_400:
        return f"{seconds / 86_400:.1f} d"
    if seconds >= 2 * 3_600:
        return f"{seconds / 3_600:.1f} h"
    return f"{seconds} s" if seconds < 600 else f"{seconds / 60:.0f} min"
