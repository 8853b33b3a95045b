"""Kill the flow's process at random moments, then compare with an uninterrupted run."""

import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass, replace

from pipelines.flow import flow_of, house_of
from pipelines.runners import loop
from pipelines.running import Flow
from storage.database import Database
from storage.database.commit import flow_position
from storage.lake import Lake
from storage.log import EventLog
from storage.settings import Settings, variable
from storage.tenant import Scope
from tests.pipelines.memory import MemoryLedger
from tests.pipelines.windows_events import RULE, messages
from tests.shared import ROOT


@dataclass(frozen=True)
class Left:
    """What a flow left behind, comparable."""

    events: list[tuple[object, ...]]
    findings: list[str]
    told: list[str]
    counts: list[tuple[object, ...]]


def with_rule(settings: Settings) -> Settings:
    """Give settings whose rule folder holds one rule."""
    folder = settings.data_dir / "rules"
    folder.mkdir(exist_ok=True)
    (folder / "whoami.yml").write_text(RULE)
    return replace(settings, rules_dirs=str(folder))


def fill(log: EventLog, per_source: int, per_message: int) -> None:
    """Put three sources of two tenants on the raw topic, mixed."""
    streams = [
        messages(per_source, per_message, tenant, source)
        for tenant, source in (("acme", "one"), ("bolt", "one"), ("bolt", "two"))
    ]
    for together in zip(*streams, strict=True):
        log.append("raw.events", together)


def committed(database: Database) -> int:
    """Give how many messages the flow has committed."""
    return sum(offset for offset, _ in flow_position(database, "events").values())


def kill_at_random(
    settings: Settings, database: Database, dice: random.Random, runner: str, total: int
) -> int:
    """Start the flow's process, kill -9 it a random moment after its first commit; give progress.

    It takes three messages a step, so that most moments lie within a step or a commit.
    """
    before = committed(database)
    environment = os.environ | {
        variable("data_dir"): str(settings.data_dir),
        variable("database_url"): settings.database_url.reveal(),
        variable("rules_dirs"): settings.rules_dirs,
    }
    words = [sys.executable, "-m", "tests.pipelines.flow_child", runner, "3"]
    child = subprocess.Popen(words, cwd=ROOT, env=environment)
    try:
        deadline = time.monotonic() + 60
        while committed(database) == before and before < total and time.monotonic() < deadline:
            assert child.poll() is None, "the flow ended by itself"
            time.sleep(0.01)
        time.sleep(dice.uniform(0, 0.5))
    finally:
        child.kill()
        child.wait()
    return committed(database) - before


def finish(settings: Settings, database: Database, log: EventLog) -> None:
    """Let the flow run to the end of the log, in this process."""
    loop.run(flow_of(settings, database, log, Lake(settings.data_dir / "lake")), once=True)


def uninterrupted(settings: Settings, log: EventLog) -> Left:
    """Give what the flow leaves when nothing ever fails, on a ledger in memory."""
    ledger = MemoryLedger()
    loop.run(Flow(house_of(settings), settings, log, ledger), once=True)
    events = ledger.events().select("tenant_id", "source", "position", "event_id").rows()
    findings = sorted(ledger.findings)
    return Left(sorted(events), findings, findings, sorted(ledger.window_counts()))


def left(database: Database, scopes: tuple[Scope, ...]) -> Left:
    """Give what the ledger holds, as each tenant sees it."""
    events: list[tuple[object, ...]] = []
    findings: list[str] = []
    counts: list[tuple[object, ...]] = []
    for scope in scopes:
        with database.app(scope) as tx:
            events += tx.execute("SELECT tenant_id, source, position, event_id FROM events")
            findings += [r[0] for r in tx.execute("SELECT finding_id FROM findings")]
            counts += tx.execute(
                "SELECT tenant_id, entity_type, entity, class_uid, window_start, window_s,"
                " sum(events)::bigint FROM window_counts WHERE window_s = 60"
                " GROUP BY 1, 2, 3, 4, 5, 6"
            )
    with database.writer() as tx:
        rows = tx.execute("SELECT headers->>'id' FROM outbox WHERE topic = 'findings'").fetchall()
    return Left(sorted(events), sorted(findings), sorted(r[0] for r in rows), sorted(counts))


def lake_rows(settings: Settings, database: Database, scopes: tuple[Scope, ...]) -> list[str]:
    """Give the ids of all events that the lake's readers see."""
    lake = Lake(settings.data_dir / "lake")
    try:
        return sorted(
            event_id
            for scope in scopes
            for event_id in lake.scan(database, scope).select("event_id").collect()["event_id"]
        )
    finally:
        lake.close()
