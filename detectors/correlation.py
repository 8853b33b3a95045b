"""Claim what several claims say together: Sigma correlations over the signals of all detectors.

The rules stand beside the others in `context.rules`. A pure fold, claim by claim in the order of
the stream, so that cutting it into other batches changes nothing; windows are of event time and
slide, and claims may come in any order: a match is found with its last part to arrive. State: at
most `max_keys` groups a tenant, 256 claims a group (twice the count asked for, if more).
"""

import bisect
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple

import msgspec
import polars as pl

from detectors._correlation import columns
from detectors._correlation.absence import Gap, judge
from detectors._correlation.claim import Claim, Pair, counted, groups, is_about
from detectors._correlation.memory import TABLES, Group, Memory, longest_held_us, most_held
from detectors._correlation.rule import TEMPORAL, Correlation
from detectors._correlation.say import finding_of
from detectors._correlation.window import Held, close, find, find_again
from detectors._sigma.rules import RuleSet
from storage.schema import Context, DetectorMeta, EventBatch, Finding, State

META: Final = DetectorMeta(
    name="correlation",
    version="1",
    title="Claims that say more together",
    classes=frozenset({2004}),
    tables=TABLES,
    max_keys=20_000,
    bytes_per_key=1_500,
    flow="signals",
)
DEEPEST: Final = 8
"""Correlations upon correlations that one claim may set off."""


@dataclass(frozen=True, slots=True)
class _Turn:
    """A claim under one group of one correlation; `key`: rule id and group."""

    rule: Correlation
    step: int
    key: str
    value: str
    may_match: bool = True


class _Arrived(NamedTuple):
    """A claim as it came; `text`: as JSON.

    `is_late`: its window may have been closed, so that it counts in none that waits for that.
    """

    tenant_id: str
    time_us: int
    finding_id: str
    text: str
    is_late: bool


class _Desk:
    """Fold claims into groups, and what they make into further ones."""

    def __init__(self, rules: Mapping[str, RuleSet], memory: Memory) -> None:
        """Begin with what is held."""
        self._rules = rules
        self._memory = memory
        self._bounds: dict[int, tuple[bool, int, int]] = {}
        self.findings: list[Finding] = []

    def take(self, claim: _Arrived, turns: Iterable[_Turn], depth: int = 0) -> None:
        """Hold the claim wherever it counts; claim in turn what that completes."""
        for turn in turns:
            is_waiting, most, longest_us = self._bounds_of(turn.rule)
            if is_waiting and claim.is_late:
                self._memory.evict(claim.tenant_id, turn.rule.rule_id, 1)
                continue
            group = self._memory.group((claim.tenant_id, turn.key))
            new = Held(claim.time_us, claim.finding_id, turn.step, turn.value, claim.text)
            gone = group.add(new, most, longest_us)
            if gone is None:
                continue
            self._memory.evict(claim.tenant_id, turn.rule.rule_id, gone)
            if turn.may_match and not is_waiting:
                made = self._match(claim.tenant_id, turn, group, new)
                if made is not None and depth < DEEPEST:
                    told = as_claim(made)
                    text = msgspec.json.encode(told).decode()
                    own = _Arrived(
                        told.tenant_id, told.time_us, told.finding_id, text, claim.is_late
                    )
                    self.take(own, _turns(self._rules, told.tenant_id, told), depth + 1)

    def _bounds_of(self, rule: Correlation) -> tuple[bool, int, int]:
        """Give whether it waits, and how many claims a group holds for how long."""
        found = self._bounds.get(id(rule))
        if found is None:
            found = rule.is_waiting, most_held(rule), longest_held_us(rule)
            self._bounds[id(rule)] = found
        return found

    def _match(self, tenant_id: str, turn: _Turn, group: Group, new: Held) -> Finding | None:
        """Tell the match that `new` completes, or that goes on with it."""
        rule = turn.rule
        parts = find(rule, group.held, new, group.fired)
        is_again = not parts and rule.type in TEMPORAL and self._is_base(tenant_id, rule)
        if is_again:
            parts = find_again(rule, group.held, new, group.fired)
        if not parts:
            return None
        bisect.insort(group.fired, (parts[0].time_us, parts[-1].time_us))
        return self._tell(tenant_id, rule, _pairs(turn.key), parts, group.held, is_again=is_again)

    def close(self, watermark_us: int) -> None:
        """Tell the matches of windows that have ended; what stood in those is let go."""
        waiting = {
            (tenant, rule.rule_id): rule
            for tenant, own in self._rules.items()
            for rule in own.correlations
            if rule.is_waiting
        }
        for tenant_id, key in self._memory.opened(waiting, watermark_us):
            rule_id, pairs = key.partition("\x1f")[0], _pairs(key)
            rule = waiting.get((tenant_id, rule_id)) or waiting.get(("", rule_id))
            if rule is None or len(pairs) != len(rule.group_by):
                continue
            group = self._memory.group((tenant_id, key))
            if rule.absent:
                self._judge(tenant_id, rule, pairs, group, watermark_us)
                continue
            whole = group.held
            windows, group.held = close(rule, whole, watermark_us)
            for parts in windows:
                self._tell(tenant_id, rule, pairs, parts, whole, is_again=False)

    def _judge(
        self, tenant_id: str, rule: Correlation, pairs: list[Pair], group: Group, watermark_us: int
    ) -> None:
        """Tell the matches of which something is absent, as far as that is known."""
        whole = group.held
        done = judge(rule, whole, group.fired, group.until_us, watermark_us)
        for parts, gaps in done.matches:
            own = {h.step for h in parts}
            held = [h for h in whole if h.step in own]
            self._tell(tenant_id, rule, pairs, parts, held, is_again=False, gaps=gaps)
            bisect.insort(group.fired, (parts[0].time_us, parts[-1].time_us))
        kept_us = done.until_us - rule.timespan_us
        group.fired = [span for span in group.fired if span[0] >= kept_us]
        group.held, group.until_us = done.held, done.until_us

    def _tell(
        self,
        tenant_id: str,
        rule: Correlation,
        group: Sequence[Pair],
        parts: Sequence[Held],
        held: Sequence[Held],
        *,
        is_again: bool,
        gaps: Sequence[Gap] = (),
    ) -> Finding:
        wanted = _carried(self._rules, tenant_id, rule.rule_id)
        absent = [(self._title(tenant_id, rule, gap.step), gap) for gap in gaps]
        made = finding_of(
            META, tenant_id, rule, group, parts, held, wanted, is_again=is_again, absent=absent
        )
        self.findings.append(made)
        return made

    def _title(self, tenant_id: str, rule: Correlation, step: int) -> str:
        """Give a base rule's title, as none of its claims is there to say it."""
        own = [self._rules[owner] for owner in (tenant_id, "") if owner in self._rules]
        titles = {one.rule_id: one.title for rules in own for one in rules.correlations}
        titles |= {one.rule_id: one.title for rules in own for one in rules.rules}
        return titles.get(rule.rules[step], rule.named[step])

    def _is_base(self, tenant_id: str, rule: Correlation) -> bool:
        own = (self._rules.get(owner) for owner in ("", tenant_id))
        return any(r.correlations_on(rule.rule_id, META.name) for r in own if r is not None)


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Add the batch's claims to their groups; claim each match once a timespan.

    `batch`: rows of class 2004 whose `raw_data` is the claim as JSON (see `pipelines.signals`);
    `context.rules[""]`: the house's RuleSet, `context.rules[tenant]`: a tenant's own.
    """
    rules = {t: r for t, r in context.rules.items() if isinstance(r, RuleSet)}
    if not any(r.correlations for r in rules.values()):
        return state, []
    frame, memory = _claimed(batch.frame), Memory(state)
    desk = _Desk(rules, memory)
    take = _take_suspects if frame.height >= columns.FROM_ROWS else _take_all
    take(desk, rules, frame, memory)
    desk.close(context.watermark_us)
    return memory.state(META.max_keys), desk.findings


def _take_all(
    desk: _Desk, rules: Mapping[str, RuleSet], frame: pl.DataFrame, memory: Memory
) -> None:
    """Fold the batch claim by claim."""
    claims = [(claim, list(_turns(rules, claim.tenant_id, claim))) for claim in _read(frame)]
    memory.read({(c.tenant_id, turn.key) for c, turns in claims for turn in turns})
    told = frame.select("raw_data", "is_late").rows()
    for (claim, turns), (text, is_late) in zip(claims, told, strict=True):
        arrived = _Arrived(claim.tenant_id, claim.time_us, claim.finding_id, text, bool(is_late))
        desk.take(arrived, turns)


def _take_suspects(
    desk: _Desk, rules: Mapping[str, RuleSet], frame: pl.DataFrame, memory: Memory
) -> None:
    """Hold the batch as columns, and fold the groups that may match."""
    own = {owner: r.correlations for owner, r in rules.items()}
    listed = [rule for one in own.values() for rule in one]
    left = columns.apart(own, _chained(rules), frame, memory)
    memory.read({(one.tenant_id, one.key) for one in left})
    numbers = list(dict.fromkeys(one.row for one in left))
    told = frame.select(
        "tenant_id", pl.col("time").to_physical(), "event_id", "raw_data", "is_late"
    )[numbers]
    claims = dict(zip(numbers, told.rows(), strict=True))
    for row, places in itertools.groupby(left, key=attrgetter("row")):
        turns = [_Turn(listed[p.rule], p.step, p.key, p.value, p.may_match) for p in places]
        desk.take(_Arrived(*claims[row]), turns)


def _read(frame: pl.DataFrame) -> list[Claim]:
    decoder = msgspec.json.Decoder(Claim)
    return [decoder.decode(raw) for raw in frame.get_column("raw_data").to_list()]


def _claimed(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the claims' rows; none if the batch is of another topic."""
    if not _CLAIMED.issubset(frame.columns):
        return pl.DataFrame(schema=dict.fromkeys(("tenant_id", "raw_data", "is_late"), pl.String))
    return frame.filter(pl.col("raw_data").is_not_null())


_CLAIMED: Final = frozenset({"raw_data", "unmapped.detector", "unmapped.entities"})


def _chained(rules: Mapping[str, RuleSet]) -> frozenset[str]:
    """Give the correlations that rest on others, whose claims come while a batch is folded."""
    every = [rule for own in rules.values() for rule in own.correlations]
    ids = {rule.rule_id for rule in every} | {META.name}
    return frozenset(rule.rule_id for rule in every if ids.intersection(rule.rules))


def as_claim(finding: Finding) -> Claim:
    """Give a finding as the claim that a further correlation looks at."""
    return msgspec.convert(finding, Claim, from_attributes=True)


def _turns(rules: Mapping[str, RuleSet], tenant_id: str, claim: Claim) -> Iterator[_Turn]:
    for owner in ("", tenant_id):
        own = rules.get(owner)
        for rule in own.correlations_on(claim.rule_id, claim.detector) if own is not None else ():
            for step, base in enumerate(rule.rules):
                if not is_about(base, claim):
                    continue
                values = counted(rule, base, claim)
                for group in groups(rule, base, claim):
                    for value in values:
                        named = (f"{kind}:{name}" for kind, name in group)
                        yield _Turn(rule, step, "\x1f".join((rule.rule_id, *named)), value)


def _pairs(key: str) -> list[Pair]:
    named = (name.partition(":") for name in key.split("\x1f")[1:])
    return [(kind, name) for kind, _, name in named]


def _carried(rules: Mapping[str, RuleSet], tenant_id: str, rule_id: str) -> tuple[str, ...]:
    wanted = [rules[owner].carried(rule_id) for owner in ("", tenant_id) if owner in rules]
    return tuple(dict.fromkeys(name for names in wanted for name in names))
