"""Claim what several claims say together: Sigma correlations over the signals of all detectors.

The rules stand beside the others in `context.rules`. A pure fold, claim by claim in the order of
the stream, so that cutting it into other batches changes nothing; windows are of event time and
slide, and claims may come in any order: a match is found with its last part to arrive. State: at
most `max_keys` groups a tenant, 256 claims a group (twice the count asked for, if more).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec
import polars as pl

from detectors._correlation.claim import Claim, Pair, groups, is_about, slim, values
from detectors._correlation.memory import TABLES, Memory, Place
from detectors._correlation.rule import Correlation
from detectors._correlation.say import finding_of
from detectors._correlation.window import Held, find, find_again
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
    """A claim under one group of one correlation."""

    rule: Correlation
    step: int
    group: tuple[Pair, ...]
    value: str

    def place(self, tenant_id: str) -> Place:
        """Give where its group is held."""
        named = (f"{kind}:{name}" for kind, name in self.group)
        return tenant_id, "\x1f".join((self.rule.rule_id, *named))


class _Desk:
    """Fold claims into groups, and what they make into further ones."""

    def __init__(self, rules: Mapping[str, RuleSet], memory: Memory) -> None:
        self._rules = rules
        self._memory = memory
        self.findings: list[Finding] = []

    def take(self, tenant_id: str, claim: Claim, depth: int = 0) -> None:
        """Hold the claim wherever it counts; claim in turn what that completes."""
        for turn in _turns(self._rules, tenant_id, claim):
            place = turn.place(tenant_id)
            group = self._memory.group(place)
            new = Held(claim.time_us, claim.finding_id, turn.step, turn.value, slim(claim))
            gone = group.add(turn.rule, new)
            if gone is None:
                continue
            self._memory.evict(tenant_id, turn.rule.rule_id, gone)
            parts = find(turn.rule, group.held, new, group.fired)
            is_again = not parts and self._is_base(tenant_id, turn.rule)
            if is_again:
                parts = find_again(turn.rule, group.held, new, group.fired)
            if parts:
                group.fired.append((parts[0].time_us, parts[-1].time_us))
                wanted = _carried(self._rules, tenant_id, turn.rule.rule_id)
                made = finding_of(
                    META,
                    tenant_id,
                    turn.rule,
                    turn.group,
                    parts,
                    group.held,
                    wanted,
                    is_again=is_again,
                )
                self.findings.append(made)
                if depth < DEEPEST:
                    self.take(tenant_id, as_claim(made), depth + 1)

    def _is_base(self, tenant_id: str, rule: Correlation) -> bool:
        own = (self._rules.get(owner) for owner in ("", tenant_id))
        return any(r.correlations_on(rule.rule_id, META.name) for r in own if r is not None)


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Add the batch's claims to their groups; claim each match once a timespan.

    `batch`: rows of class 2004 whose `raw_data` is the claim as JSON (see `pipelines.signals`);
    `context.rules[""]`: the house's RuleSet, `context.rules[tenant]`: a tenant's own.
    """
    rules = {t: r for t, r in context.rules.items() if isinstance(r, RuleSet)}
    if "raw_data" not in batch.frame.columns or not any(r.correlations for r in rules.values()):
        return state, []
    rows = batch.frame.filter(pl.col("raw_data").is_not_null()).select("tenant_id", "raw_data")
    claims = [(str(t), msgspec.json.decode(raw, type=Claim)) for t, raw in rows.rows()]
    places = [turn.place(t) for t, claim in claims for turn in _turns(rules, t, claim)]
    if not places:
        return state, []
    desk = _Desk(rules, memory := Memory(state, places))
    for tenant_id, claim in claims:
        desk.take(tenant_id, claim)
    return memory.state(META.max_keys), desk.findings


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
                counted = [("", "")]
                if rule.value:
                    counted = values(rule.field(rule.value, base), claim)
                for group in groups(rule, base, claim):
                    for kind, value in counted:
                        yield _Turn(rule, step, group, f"{kind}:{value}" if rule.value else "")


def _carried(rules: Mapping[str, RuleSet], tenant_id: str, rule_id: str) -> tuple[str, ...]:
    wanted = [rules[owner].carried(rule_id) for owner in ("", tenant_id) if owner in rules]
    return tuple(dict.fromkeys(name for names in wanted for name in names))
