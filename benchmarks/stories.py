"""Judge the house on whole months: are the planted stories found, and how much else is claimed?

    .venv/bin/python -m benchmarks.stories [--seeds 1,2] [--days 30] [--people 300] [--calm]

For each seed the demo company's month goes by the front door into a house of its own; then what
stands in it is held against the truth of the seed. Without `--seeds` five are taken from the commit
hash, so that nobody can have tuned on them. `--calm`: months without any story or near miss.
"""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from api.auth import create_token
from deploy.demo.calendar import Calendar
from deploy.demo.company import Company, found
from deploy.demo.feeding import Feeder, steps
from deploy.demo.month import Ledger, by_day, stream, truth
from deploy.demo.plan import planned
from deploy.demo.rows import MINUTE, Row
from deploy.demo.tale import PLANTED
from deploy.ground import FIRST_TENANT
from deploy.house import database_of
from deploy.running import settings_for
from storage.database import Database
from storage.settings import Settings
from storage.tenant import Role, system_scope

FIRST_US: Final = 1_780_272_000_000_000
"""2026-06-01, a Monday."""
STEP_US: Final = 10 * MINUTE
SETTLED_S: Final = 20.0
MOST_OTHERS: Final = 5.0
MOST_FALSE: Final = 0.05
LEAST_RATIO: Final = 10.0
_SURROUNDINGS: Final = {"INOPSIO_LATENESS_S": "900", "INOPSIO_PAYMENT_WAIT_S": "15"}

_STEP_LINES: Final = """
SELECT event_id::text FROM events WHERE source = %(source)s AND position = ANY(%(positions)s)
"""
_STEP_FACTS: Final = """
SELECT event_id::text FROM events
WHERE class_uid = %(class_uid)s AND activity_id = %(activity_id)s AND document_uid = %(uid)s
"""
_CLAIMS: Final = """
SELECT f.finding_id::text, f.kind, f.level, f.rule_id, f.detector, f.title, f.entity,
    f.event_ids::text[] AS event_ids, i.incident_id
FROM findings AS f
LEFT JOIN LATERAL (
    SELECT coalesce(i.merged_into, i.incident_id)::text AS incident_id
    FROM incident_findings AS x JOIN incidents AS i USING (tenant_id, incident_id)
    WHERE x.finding_id = f.finding_id
    ORDER BY i.merged_into IS NULL DESC LIMIT 1
) AS i ON true
"""
_SETTLED: Final = """
SELECT (SELECT count(*) FROM findings) + (SELECT count(*) FROM incident_findings)
    + (SELECT coalesce(sum(version), 0) FROM incidents)
"""


@dataclass(frozen=True, slots=True)
class Claim:
    """One finding or signal, and the incident that holds it (the one it was merged into)."""

    finding_id: str
    kind: str
    level: str
    rule_id: str
    detector: str
    title: str
    entity: str
    event_ids: list[str]
    incident: str | None

    def called(self) -> str:
        """Give the name of what claimed it: a rule's title has no entity in it."""
        told = self.title if self.detector in ("sigma", "correlation") else self.rule_id
        return f"{told} [{self.detector}]"


@dataclass(slots=True)
class Verdict:
    """What the house made of one seed's month."""

    seed: int
    whole: int = 0
    planted: int = 0
    missing: list[str] = field(default_factory=list)
    flagged: list[str] = field(default_factory=list)
    others_a_day: float = 0.0
    false_share: float = 0.0
    is_calm: bool = False
    hits: int = 0
    incidents: int = 0
    is_held: bool = False
    others: Counter[str] = field(default_factory=Counter)
    strays: Counter[str] = field(default_factory=Counter)

    def is_good(self) -> bool:
        """Answer whether every bar is reached."""
        if self.is_calm:
            return self.others_a_day <= MOST_OTHERS
        return (
            self.whole == self.planted
            and not self.flagged
            and self.others_a_day <= MOST_OTHERS
            and self.false_share < MOST_FALSE
            and self.hits >= LEAST_RATIO * self.incidents
            and self.is_held
        )

    def lines(self) -> Iterator[str]:
        """Give the verdict for people."""
        yield f"seed {self.seed}: {'GOOD' if self.is_good() else 'NOT GOOD'}"
        if self.is_calm:
            said = f"{self.others_a_day:.2f} a day and 1,000 entities (<= 5)"
            yield f"  findings, calm month    {said}"
            yield from (f"    {n:>5}  {rule}" for rule, n in self.others.most_common(8))
            return
        yield f"  stories found whole     {self.whole} of {self.planted}"
        yield from (f"    {m}" for m in self.missing)
        yield f"  near misses flagged     {len(self.flagged)} (0 wanted)"
        yield from (f"    {m}" for m in self.flagged)
        yield f"  other findings          {self.others_a_day:.2f} a day and 1,000 entities (<= 5)"
        yield from (f"    {n:>5}  {rule}" for rule, n in self.others.most_common(8))
        yield f"  false among findings    {100 * self.false_share:.1f} % (< 5 %)"
        yield f"  hits : incidents        {self.hits} : {self.incidents} (>= 10 : 1)"
        yield from (f"    {n:>5}  incidents by {rule}" for rule, n in self.strays.most_common(8))
        yield f"  fraud held, never paid  {'yes' if self.is_held else 'NO'}"


def house_of(folder: Path) -> Settings:
    """Bring a house up in the folder, in the background."""
    settings = settings_for(folder, _free_port())
    words = [sys.executable, "-m", "deploy", "up", "--detach", "--data", str(folder)]
    subprocess.run(
        [*words, "--port", str(settings.http_port)],
        check=True,
        capture_output=True,
        env={**os.environ, **_SURROUNDINGS},
    )
    return settings


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def feed(
    feeder: Feeder, rows: Iterator[Row], ledger: Ledger, days: int, note: Sequence[str]
) -> None:
    """Send the month step by step; say now and then how far it is."""
    began, said = time.monotonic(), 0.0
    for end_us, found_rows in steps(rows, STEP_US, FIRST_US):
        for row in found_rows:
            ledger.take(row)
        feeder.send(found_rows)
        feeder.keep_close(1000)
        if time.monotonic() - said > 5:
            said = time.monotonic()
            day = (end_us - FIRST_US) / 86_400e6
            _progress(f"{note[0]}: day {day:5.1f} of {days}, {said - began:4.0f} s")
    feeder.settle()
    _progress("")


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


def wait_until_settled(feeder: Feeder, database: Database) -> None:
    """Wait until everything is read and neither findings nor incidents change any more."""
    feeder.drain()
    scope = system_scope(FIRST_TENANT, "judge")
    seen, since = -1, time.monotonic()
    while time.monotonic() - since < SETTLED_S:
        with database.app(scope) as tx:
            now = int(_rows(tx, _SETTLED)[0][0])
        if now != seen:
            seen, since = now, time.monotonic()
        time.sleep(1)


def _rows(tx: Any, query: str, **given: Any) -> list[Any]:  # noqa: ANN401  psycopg's rows
    return list(tx.execute(query, given).fetchall())


def judge(
    database: Database, told: list[dict[str, Any]], company: Company, days: int, seed: int
) -> Verdict:
    """Hold findings and incidents against the truth."""
    verdict = Verdict(seed)
    with database.app(system_scope(FIRST_TENANT, "judge")) as tx:
        claims = [Claim(*row) for row in _rows(tx, _CLAIMS)]
        wanted = [(t, _steps_of(tx, t)) for t in told]
    by_event: dict[str, set[str]] = {}
    for claim in claims:
        for event in claim.event_ids if claim.incident else ():
            by_event.setdefault(event, set()).add(str(claim.incident))
    good = _stories(verdict, wanted, by_event)
    _near_misses(verdict, wanted, by_event, good, claims)
    others = [c for c in claims if c.kind == "finding" and c.incident not in good]
    findings = sum(c.kind == "finding" for c in claims)
    verdict.false_share = len(others) / max(findings, 1)
    entities = 2 * len(company.people) + len(company.servers)
    verdict.others_a_day = len(others) / days / entities * 1000
    verdict.others = Counter(f"{c.level:8} {c.called()}" for c in others)
    verdict.strays = Counter(
        c.called() for c in others if c.incident and c.level in ("high", "critical")
    )
    verdict.hits = len(claims)
    verdict.incidents = len({c.incident for c in claims if c.incident})
    return verdict


def _stories(
    verdict: Verdict,
    wanted: list[tuple[dict[str, Any], dict[str, set[str]]]],
    by_event: Mapping[str, set[str]],
) -> set[str]:
    """Look for each planted story; give the incidents that hold one."""
    good: set[str] = set()
    for story, places in wanted:
        if story["kind"] != PLANTED:
            continue
        verdict.planted += 1
        best, lacking = _best(places, by_event)
        if best:
            good.add(best)
        if lacking:
            verdict.missing.append(f"{story['story']}: no {', '.join(lacking)}")
        else:
            verdict.whole += 1
    return good


def _near_misses(
    verdict: Verdict,
    wanted: list[tuple[dict[str, Any], dict[str, set[str]]]],
    by_event: Mapping[str, set[str]],
    good: set[str],
    claims: list["Claim"],
) -> None:
    """Look for incidents that a near miss has opened."""
    for story, places in wanted:
        if story["kind"] == PLANTED:
            continue
        own = {i for events in places.values() for e in events for i in by_event.get(e, ())}
        for incident in sorted(own - good):
            found_ = {c.called() for c in claims if c.incident == incident and c.kind == "finding"}
            verdict.flagged.append(f"{story['story']}: {'; '.join(sorted(found_))[:200]}")


def _steps_of(tx: Any, story: Mapping[str, Any]) -> dict[str, set[str]]:  # noqa: ANN401  psycopg's
    found_: dict[str, set[str]] = {}
    for step in story["steps"]:
        if "positions" in step:
            places = {"source": step["source"], "positions": step["positions"]}
            rows = _rows(tx, _STEP_LINES, **places)
        else:
            fact = {k: step[k] for k in ("class_uid", "activity_id")}
            rows = _rows(tx, _STEP_FACTS, **fact, uid=step["document_uid"])
        found_.setdefault(step["name"], set()).update(r[0] for r in rows)
    return found_


def _best(
    places: Mapping[str, set[str]], by_event: Mapping[str, set[str]]
) -> tuple[str | None, list[str]]:
    """Give the incident that has most of the steps, and the steps it lacks."""
    has: Counter[str] = Counter()
    for events in places.values():
        has.update({i for e in events for i in by_event.get(e, ())})
    if not has:
        return None, list(places)
    best = min(has, key=lambda i: (-has[i], i))
    return best, [
        n for n, evs in places.items() if not any(best in by_event.get(e, ()) for e in evs)
    ]


def is_held(url: str, token: str, told: list[dict[str, Any]]) -> bool:
    """Answer whether the payment of the planted fraud is on hold, by the API."""
    fraud = next(t for t in told if (t["story"], t["kind"]) == ("vendor_fraud", PLANTED))
    document = next(name for kind, name in fraud["entities"] if kind == "document")
    headers = {"Authorization": f"Bearer {token}"}
    answer = httpx.get(f"{url}/v1/payments/{document}", headers=headers, timeout=30)
    return answer.is_success and answer.json()["status"] == "held"


def run(seed: int, days: int, people: int, *, keep: bool = False, is_calm: bool = False) -> Verdict:
    """Judge one seed in a house of its own; `is_calm`: nothing is planted."""
    company, calendar = found(seed, people), Calendar(FIRST_US)
    told = [] if is_calm else planned(seed, company, calendar, days)
    ledger = Ledger()
    rows = stream(company, calendar, seed, range(days), by_day(told, calendar))
    folder = Path(tempfile.mkdtemp(prefix="inopsio-stories-"))
    stop = threading.Event()
    settings = house_of(folder)
    try:
        with database_of(settings) as database:
            scope = system_scope(FIRST_TENANT, "judge")
            token = create_token(database, scope, "judge", {Role.INTEGRATION}, 6 * 3600)
            url = f"http://127.0.0.1:{settings.http_port}"
            feeder = Feeder(url, token, stop)
            try:
                began = time.monotonic()
                feed(feeder, rows, ledger, days, [f"seed {seed}"])
                wait_until_settled(feeder, database)
                fed = feeder.fed
                print(
                    f"seed {seed}: {fed.lines} lines and {fed.commands} commands in "
                    f"{time.monotonic() - began:.0f} s; {len(fed.held)} payments met a hold"
                )
                for reason, count in fed.refused.most_common(6):
                    print(f"    {count:>6} refused: {reason}")
                truths = truth(told, ledger, seed)
                verdict = judge(database, truths, company, days, seed)
                verdict.is_calm = is_calm
                verdict.is_held = is_calm or is_held(url, token, truths)
                return verdict
            finally:
                stop.set()
                feeder.close()
    finally:
        words = [sys.executable, "-m", "deploy", "down", "--data", str(folder)]
        subprocess.run(words, check=False, capture_output=True)
        if keep:
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)


def seeds_of_commit(count: int = 5) -> list[int]:
    """Take seeds from the hash of the commit that is judged."""
    told = subprocess.run(
        ["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    ).stdout.strip()
    return [int(told[n * 6 : n * 6 + 6], 16) for n in range(count)]


def main() -> int:
    """Judge the seeds; 0 if all reach the bars."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--seeds", default="", help="numbers separated by ','")
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--people", type=int, default=300)
    parser.add_argument("--keep", action="store_true", help="keep the data folders")
    parser.add_argument("--calm", action="store_true", help="plant nothing")
    asked = parser.parse_args()
    seeds = [int(s) for s in asked.seeds.split(",") if s] or seeds_of_commit()
    good = 0
    for seed in seeds:
        verdict = run(seed, asked.days, asked.people, keep=asked.keep, is_calm=asked.calm)
        print("\n".join(verdict.lines()), flush=True)
        good += verdict.is_good()
    print(f"{good} of {len(seeds)} seeds reach every bar")
    return 0 if good == len(seeds) else 1


if __name__ == "__main__":
    sys.exit(main())
