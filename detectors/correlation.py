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
from typing import Final

import msgspec
import polars as pl

from detectors._correlation import columns
from detectors._correlation.claim import Claim, Pair, counted, groups, is_about
from detectors._correlation.memory import TABLES, Memory
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


class _Desk:
    """Fold claims into groups, and what they make into further ones."""

    def __init__(self, rules: Mapping[str, RuleSet], memory: Memory) -> None:
        """Begin with what is held."""
        self._rules = rules
        self._memory = memory
        self.findings: list[Finding] = []

    def take(
        self,
        tenant_id: str,
        claim: Claim,
        text: str,
        turns: Iterable[_Turn],
        *,
        is_late: bool,
        depth: int = 0,
    ) -> None:
        """Hold the claim wherever it counts; claim in turn what that completes.

        `text`: the claim as JSON; `is_late`: its window may have been closed, so that it counts in
        none that waits for that.
        """
        for turn in turns:
            if turn.rule.is_waiting and is_late:
                self._memory.evict(tenant_id, turn.rule.rule_id, 1)
                continue
            place = (tenant_id, turn.key)
            group = self._memory.group(place)
            new = Held(claim.time_us, claim.finding_id, turn.step, turn.value, text)
            gone = group.add(turn.rule, new)
            if gone is None:
                continue
            self._memory.evict(tenant_id, turn.rule.rule_id, gone)
            parts = find(turn.rule, group.held, new, group.fired)
            is_again = (
                not parts and turn.rule.type in TEMPORAL and self._is_base(tenant_id, turn.rule)
            )
            if is_again:
                parts = find_again(turn.rule, group.held, new, group.fired)
            if parts:
                bisect.insort(group.fired, (parts[0].time_us, parts[-1].time_us))
                pairs = _pairs(turn.key)
                made = self._tell(tenant_id, turn.rule, pairs, parts, group.held, is_again=is_again)
                if depth < DEEPEST:
                    told = as_claim(made)
                    own = msgspec.json.encode(told).decode()
                    further = _turns(self._rules, tenant_id, told)
                    self.take(tenant_id, told, own, further, is_late=is_late, depth=depth + 1)

    def close(self, watermark_us: int) -> None:
        """Tell the matches of windows that have ended; what stood in those is let go."""
        waiting = {
            (tenant, rule.rule_id): rule
            for tenant, own in self._rules.items()
            for rule in own.correlations
            if rule.is_waiting
        }
        spans_us = {rule_id: rule.timespan_us for (_, rule_id), rule in waiting.items()}
        for tenant_id, key in self._memory.opened(spans_us, watermark_us):
            rule_id, pairs = key.partition("\x1f")[0], _pairs(key)
            rule = waiting.get((tenant_id, rule_id)) or waiting.get(("", rule_id))
            if rule is None or len(pairs) != len(rule.group_by):
                continue
            group = self._memory.group((tenant_id, key))
            whole = group.held
            windows, group.held = close(rule, whole, watermark_us)
            for parts in windows:
                self._tell(tenant_id, rule, pairs, parts, whole, is_again=False)

    def _tell(
        self,
        tenant_id: str,
        rule: Correlation,
        group: Sequence[Pair],
        parts: Sequence[Held],
        held: Sequence[Held],
        *,
        is_again: bool,
    ) -> Finding:
        wanted = _carried(self._rules, tenant_id, rule.rule_id)
        made = finding_of(META, tenant_id, rule, group, parts, held, wanted, is_again=is_again)
        self.findings.append(made)
        return made

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
    memory.read((c.tenant_id, turn.key) for c, turns in claims for turn in turns)
    told = frame.select("raw_data", "is_late").rows()
    for (claim, turns), (text, is_late) in zip(claims, told, strict=True):
        desk.take(claim.tenant_id, claim, text, turns, is_late=bool(is_late))


def _take_suspects(
    desk: _Desk, rules: Mapping[str, RuleSet], frame: pl.DataFrame, memory: Memory
) -> None:
    """Hold the batch as columns, and fold the groups that may match."""
    own = {owner: r.correlations for owner, r in rules.items()}
    listed = [rule for one in own.values() for rule in one]
    left = columns.apart(own, _chained(rules), frame, memory)
    memory.read(left.select("tenant_id", "key").unique().rows())
    numbers = left.get_column("row").unique().sort()
    claims = dict(zip(numbers.to_list(), _read(frame[numbers]), strict=True))
    texts, late = frame.get_column("raw_data"), frame.get_column("is_late")
    told = left.select("row", "rule", "step", "key", "value").rows()
    for row, places in itertools.groupby(told, key=lambda one: one[0]):
        turns = [_Turn(listed[rule], *place) for _, rule, *place in places]
        claim = claims[row]
        desk.take(claim.tenant_id, claim, texts[row], turns, is_late=bool(late[row]))


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
