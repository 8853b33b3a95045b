"""Kill by plan while the stream is fed, settle, and hold what is left against a calm run."""

import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from tests.faults.feeder import Answers
from tests.faults.house import House, standing, until
from tests.faults.left import Left, left, settle
from tests.faults.plan import Fault, Plan
from tests.faults.stream import request

_AT_WORK_S: Final = 180.0
ALLOWED: Final = frozenset({0, 201, 202, 429, 503})
"""What the door may answer under any fault; 0 is no answer: the door itself was killed."""
_WRITING: Final = """
    SELECT 1 FROM pg_stat_activity
    WHERE usename = 'inopsio_writer' AND state IN ('active', 'idle in transaction')
      AND xact_start IS NOT NULL AND query ~* 'flow_|copy|sources|findings|lake_files'
"""
_COMMITTED: Final = "SELECT coalesce(sum(next_offset), 0) FROM inopsio.flow_offsets"
_HANDLED: Final = "SELECT count(*) FROM inopsio.inbox"


@dataclass(frozen=True, slots=True)
class Kill:
    """One kill: what, when since the start, and how long until the house was at work again."""

    kind: str
    at_s: float
    waited_s: float
    """How long it took until the victim was seen at work."""
    away_s: float
    """How long the kill and the start again took."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a house was left with after its faults, beside what a calm one is left with."""

    answers: Answers
    sizes: dict[str, int]
    lost: int
    doubled: dict[str, int]
    differences: dict[str, str]
    missing: int
    """Acknowledged records that are neither an event nor a told refusal."""
    settled_s: float

    @property
    def is_good(self) -> bool:
        """Answer whether every promise held."""
        odd = set(self.answers.statuses) - ALLOWED
        return not (self.differences or self.lost or self.doubled or self.missing or odd)

    def text(self) -> str:
        """Show it."""
        lines = [
            (
                f"{self.answers.kept} requests kept, {self.sizes['events']} events, "
                f"{self.sizes['findings']} findings, {self.sizes['incidents']} incidents, "
                f"{self.sizes['state']} states"
            ),
            (
                f"lost {self.lost}, acknowledged and missing {self.missing}, "
                f"doubled {sum(self.doubled.values())}, differing tables {len(self.differences)}"
            ),
            (
                f"answers {dict(sorted(self.answers.statuses.items()))}, slowest "
                f"{self.answers.slowest_s:.1f} s; settled {self.settled_s:.0f} s after the last"
            ),
        ]
        return "\n".join([*lines, *(f"{name}: {how}" for name, how in self.differences.items())])


@dataclass(frozen=True, slots=True)
class Ended:
    """What was found in a house whose feeder has ended and that has settled."""

    seed: int
    answers: Answers
    settled_s: float
    found: Left

    def judged(self) -> Verdict:
        """Run the same stream through a calm house and compare."""
        expected = calm(self.seed, self.answers.kept)
        return Verdict(
            self.answers,
            self.found.sizes(),
            self.found.lost(expected),
            self.found.doubled(),
            self.found.differences(expected),
            missing(self.found, self.seed, self.answers.kept),
            self.settled_s,
        )


def ended(house: House, seed: int) -> Ended:
    """Stop the feeder, let the house settle, read what is left."""
    answers = house.stop_feeding()
    settled_s = settle(house)
    return Ended(seed, answers, settled_s, left(house))


def campaign(plan: Plan, say: Callable[[str], None] = lambda _: None) -> tuple[Verdict, str]:
    """Do it all: kills, settling, the calm run, the comparison; give a table to read beside."""
    began_s = time.monotonic()
    with standing(plan.home) as house:
        house.feed(plan.seed, plan.per_s)
        until(lambda: house.answers().kept > 5, _AT_WORK_S, "nothing is fed")
        kills = []
        for n, fault in enumerate(plan.faults, 1):
            try:
                kills.append(strike(house, fault, began_s))
            except AssertionError as error:
                raise AssertionError(f"{error}; again: {plan.again()}") from None
            say(f"{n}/{len(plan.faults)} {kills[-1]} kept {house.answers().kept}")
        end = ended(house, plan.seed)
    took_s = time.monotonic() - began_s
    say(f"settled in {end.settled_s:.0f} s; now the calm run of {end.answers.kept} requests")
    verdict = end.judged()
    return verdict, _table(plan, kills, took_s, verdict)


def _table(plan: Plan, kills: list[Kill], took_s: float, verdict: Verdict) -> str:
    by_kind: dict[str, list[Kill]] = defaultdict(list)
    for one in kills:
        by_kind[one.kind].append(one)
    lines = [
        f"| killed on {plan.home} | times | until started again, mean s | longest s |",
        "|---|---|---|---|",
    ]
    for kind, those in by_kind.items():
        away = [one.away_s for one in those]
        lines.append(f"| {kind} | {len(away)} | {sum(away) / len(away):.1f} | {max(away):.1f} |")
    lines += ["", f"{len(kills)} kills in {took_s:.0f} s; {verdict.text()}"]
    return "\n".join([*lines, f"again: {plan.again()}"])


def calm(seed: int, kept: int) -> Left:
    """Give what a house is left with that nobody disturbs."""
    with standing("embedded") as house:
        house.feed(seed, until=kept)
        house.fed(900)
        settle(house)
        return left(house)


def missing(found: Left, seed: int, kept: int) -> int:
    """Count the acknowledged records that are neither among the events nor counted as refused."""
    sent: Counter[tuple[str, str]] = Counter()
    for n in range(kept):
        one = request(seed, n)
        sent[one.tenant, one.source] += len(one.records)
    there: dict[tuple[str, str], set[Any]] = defaultdict(set)
    for row in found.tables["events"]:
        there[row[0], row[1]].add(row[2])
    refused = {(row[0], row[1]): row[4] for row in found.tables["sources"]}
    return sum(max(0, n - len(there[place]) - refused.get(place, 0)) for place, n in sent.items())


def strike(house: House, fault: Fault, began_s: float) -> Kill:
    """Wait until the victim is at work and then a random moment; kill it and start it again."""
    waited_s = _until_at_work(house, fault.kind) if fault.is_patient else 0.0
    time.sleep(fault.wait_s)
    if fault.kind == "sink" and fault.is_patient:
        until(lambda: _count(house, _WRITING), _AT_WORK_S, "no transaction of the sinks is seen")
    at_s = time.monotonic()
    house.kill("pipelines" if fault.kind == "sink" else fault.kind)
    away_s = time.monotonic() - at_s
    return Kill(fault.kind, round(at_s - began_s, 2), round(waited_s, 2), round(away_s, 2))


def _until_at_work(house: House, kind: str) -> float:
    if kind in {"pipelines", "sink"}:
        return _until_moved(house, lambda: _count(house, _COMMITTED), "the pipelines do nothing")
    if kind == "business":
        return _until_moved(house, lambda: _count(house, _HANDLED), "business does nothing")
    return _until_moved(house, lambda: house.answers().kept, f"{kind}: nothing is kept")


def _until_moved(house: House, place: Callable[[], int], what: str) -> float:
    before = place()
    return until(lambda: place() > before, _AT_WORK_S, f"{what}: {house.answers()}")


def _count(house: House, query: str) -> int:
    try:
        with psycopg.connect(house.database.admin(), autocommit=True) as tx:
            row = tx.execute(query.encode()).fetchone()
    except psycopg.OperationalError:
        return 0
    return int(row[0]) if row else 0
