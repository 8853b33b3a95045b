"""Run a rule text over a tenant's history, as the flows would have run it, and count what it says.

The same compiled rules and the same evaluation as on the stream, with the tenant's own filters and
values. Nothing is written; what comes of it is a count by day, the entities, the first hits.
"""

import resource
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, Final

from api.rule_check import house_rules
from deploy.house import House
from detectors import correlation, sigma
from detectors.sigma import RuleSet, compile_texts, is_over_claims
from pipelines.detecting import States, fold, meta_of
from pipelines.flow import FLOW, find_detectors
from pipelines.signals import frame_of
from storage.errors import InvalidRule
from storage.rules import tenant_rules
from storage.schema import MAX_BATCH_ROWS, Context, EventBatch, Finding
from storage.tenant import Scope

DAY_US: Final = 86_400_000_000
SHOWN: Final = 50
"""First hits that are told one by one; as many entities."""
_TEXT: Final = "rule"
_CHAINS: Final = correlation.META.name
_ENDED_US: Final = 2**62
_NO_EVENTS: Final = EventBatch.of(frame_of([], 0))


@dataclass(frozen=True, slots=True)
class Limits:
    """Bound a back-test: events read and seconds of the wall's clock."""

    events: int = 10_000_000
    wall_s: float = 600.0


@dataclass(slots=True)
class Tally:
    """Count what was claimed. `removed`: what a filter takes away, None where the text is none;
    `spent_s`: CPU of the rule and of what it rests on.
    """

    events: int = 0
    spent_s: float = 0.0
    hits: int = 0
    removed: int | None = None
    by_day: Counter[int] = field(default_factory=Counter)
    entities: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: list[Finding] = field(default_factory=list)

    def add(self, found: Iterable[Finding]) -> None:
        """Count claims."""
        for one in found:
            self.hits += 1
            self.by_day[one.time_us // DAY_US] += 1
            self.entities[one.entity_type, one.entity] += 1
            if len(self.first) < SHOWN:
                self.first.append(one)


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is run: `rules` with what they rest on, `filters` of the tenant, ids that count,
    detectors in code on whose claims they rest.
    """

    rules: RuleSet
    filters: RuleSet
    wanted: frozenset[str]
    is_filter: bool
    coded: Mapping[str, ModuleType] = field(default_factory=dict)


def backtest(
    house: House,
    scope: Scope,
    text: str,
    since_us: int,
    until_us: int,
    tell: Callable[[int], None] = lambda _events: None,
    limits: Limits = Limits(),
) -> dict[str, Any]:
    """Give what the text says of the scope's events with since <= time < until (UTC µs).

    `tell` hears of the events read, about once a second. InvalidRule if the text cannot run.
    """
    plan = _planned(house, scope, text)
    tally = Tally(removed=0 if plan.is_filter else None)
    states: States = {name: meta_of(one).empty_state() for name, one in plan.coded.items()}
    states = {**states, _CHAINS: correlation.META.empty_state()}
    latest_us = 0
    began, told, cut = time.monotonic(), time.monotonic(), ""
    for batch in house.lake.restore_batches(house.database, scope, since_us, until_us):
        latest_us = max(latest_us, int(batch.frame["time"].dt.epoch("us").max() or 0))  # type: ignore[arg-type]  # Int64
        states = _step(plan, states, batch, tally, scope, latest_us)
        tally.events += len(batch)
        now = time.monotonic()
        if now - told >= 1.0:
            tell(tally.events)
            told = now
        if tally.events >= limits.events or now - began >= limits.wall_s:
            cut = f"stopped after {tally.events:,} events and {now - began:.0f} s"
            break
    _ended(plan, states, tally)
    return _result(tally, since_us, until_us, cut)


def _planned(house: House, scope: Scope, text: str) -> _Plan:
    every = house_rules(house.settings)
    with house.database.app(scope) as tx:
        kept = {str(r["rule_id"]): str(r["text"]) for r in tenant_rules(tx) if r["enabled"]}
    alone = compile_texts({_TEXT: text.encode()}, beside=every)
    mine = {r.rule_id for r in alone.reports if r.rule_id}
    texts = {name: own.encode() for name, own in kept.items() if name not in mine}
    own = compile_texts({**texts, _TEXT: text.encode()}, beside=every)
    told = [r for r in own.reports if r.file == _TEXT]
    if not any(r.executable for r in told):
        reason = next((r.reason for r in told if r.reason), "it holds no rule")
        raise InvalidRule(f"the rule cannot run: {reason}")
    sieves = [f for f in own.filters if f.rule.file == _TEXT]
    if any(is_over_claims(f.rule) for f in sieves):
        raise InvalidRule(
            "a filter over claims is not tried on events; the finding's page says what it takes out"
        )
    wanted = {r.rule_id for r in told if r.executable and r.rule_id} - {f.rule_id for f in sieves}
    taken = {r.rule_id for r in own.rules} | {c.rule_id for c in own.correlations}
    rules = [*own.rules, *(r for r in every.rules if r.rule_id not in taken)]
    chains = [*own.correlations, *(c for c in every.correlations if c.rule_id not in taken)]
    if sieves and not wanted:
        wanted = _filtered([name for f in sieves for name in f.rules], rules)
    needed = _needed(wanted, chains)
    return _Plan(
        RuleSet(
            [r for r in rules if r.rule_id in needed],
            correlations=[c for c in chains if c.rule_id in needed],
        ),
        RuleSet([], filters=own.filters),
        frozenset(wanted),
        bool(sieves) and not any(r.rule_id in mine for r in own.rules),
        _coded(needed),
    )


def _coded(needed: Iterable[str]) -> dict[str, ModuleType]:
    """Give the detectors in code that make claims which the rules rest on."""
    named = {rule_id.partition(".")[0] for rule_id in needed}
    return {
        name: module
        for name, module in find_detectors().items()
        if name in named and meta_of(module).flow == FLOW and module is not sigma
    }


def _filtered(names: Sequence[str], rules: Sequence[sigma.CompiledRule]) -> set[str]:
    """Give the ids of the rules that a filter names; of every rule if it names none."""
    return {r.rule_id for r in rules if not names or r.rule_id in names or r.name in names}


def _needed(wanted: Iterable[str], chains: Sequence[Any]) -> set[str]:
    """Give these ids and those of everything that they rest on."""
    by_id = {c.rule_id: c for c in chains}
    needed, waiting = set(wanted), list(wanted)
    while waiting:
        chain = by_id.get(waiting.pop())
        fresh = set(chain.rules) - needed if chain is not None else set()
        needed |= fresh
        waiting += fresh
    return needed


def _step(
    plan: _Plan, states: States, batch: EventBatch, tally: Tally, scope: Scope, latest_us: int
) -> States:
    began = time.thread_time()
    rules: Mapping[str, RuleSet] = {"": plan.rules, scope.tenant_id: plan.filters}
    made = sigma.detect({}, batch, Context(0, rules))[1]
    if plan.is_filter and tally.removed is not None:
        bare = sigma.detect({}, batch, Context(0, {"": plan.rules}))[1]
        tally.removed += len(bare) - len(made)
    tally.add(f for f in made if f.rule_id in plan.wanted)
    done = fold(plan.coded, {n: states[n] for n in plan.coded}, [(batch, latest_us)], Context(0))
    states = _chained({**states, **done.states}, [*made, *done.findings], plan, tally)
    tally.spent_s += time.thread_time() - began
    return states


def _chained(states: States, made: Sequence[Finding], plan: _Plan, tally: Tally) -> States:
    """Show claims to the correlations."""
    if not plan.rules.correlations:
        return states
    state = states[_CHAINS]
    for piece in frame_of(made, 0).iter_slices(MAX_BATCH_ROWS):
        context = Context(0, {"": plan.rules})
        state, new = correlation.detect(state, EventBatch.of(piece), context)
        tally.add(f for f in new if f.rule_id in plan.wanted)
    return {**states, _CHAINS: state}


def _ended(plan: _Plan, states: States, tally: Tally) -> None:
    """Close every window that waits for its end."""
    mine = {name: states[name] for name in plan.coded}
    done = fold(plan.coded, mine, [(_NO_EVENTS, _ENDED_US)], Context(0))
    states = _chained(states, done.findings, plan, tally)
    if plan.rules.correlations:
        rules = {"": plan.rules}
        _, new = correlation.detect(states[_CHAINS], _NO_EVENTS, Context(_ENDED_US, rules))
        tally.add(f for f in new if f.rule_id in plan.wanted)


def _result(tally: Tally, since_us: int, until_us: int, cut: str) -> dict[str, Any]:
    days = max((until_us - since_us) / DAY_US, 1e-9)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "events": tally.events,
        "hits": tally.hits,
        "removed": tally.removed,
        "a_day": round(tally.hits / days, 3),
        "by_day": [
            [datetime.fromtimestamp(day * 86_400, UTC).date().isoformat(), count]
            for day, count in sorted(tally.by_day.items())
        ],
        "entities": [[kind, name, n] for (kind, name), n in tally.entities.most_common(SHOWN)],
        "first": [
            {
                "time_us": one.time_us,
                "title": one.title,
                "level": one.level,
                "entity_type": one.entity_type,
                "entity": one.entity,
                "event_ids": list(one.event_ids[:1]),
            }
            for one in tally.first
        ],
        "cut": cut,
        "cost_us": round(tally.spent_s / max(tally.events, 1) * 1e9, 1),
        "cpu_s": round(usage.ru_utime + usage.ru_stime, 2),
    }
