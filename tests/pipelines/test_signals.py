"""The second flow: claims of the first become correlations once, also if repeated or killed."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from detectors import correlation
from pipelines.flow import flow_of, house_of, run_flow, signals_of
from pipelines.runners import loop
from pipelines.signals import frame_of, told_of
from storage.database import Database
from storage.database.commit import flow_position
from storage.lake import Lake
from storage.log import EventLog, Record
from storage.log.memory import MemoryLog
from storage.log.sqlite import SqliteLog
from storage.outbox import relay
from storage.outcome import dead_letter_of, finding_message, finding_of
from storage.schema import Context, EventBatch, Finding, Reason
from storage.settings import Settings, variable
from storage.tenant import Scope
from tests.pipelines.windows_events import RULE, messages
from tests.shared import ROOT

CORRELATION = """---
title: Whoami again and again
id: 22222222-2222-4333-8444-555555555555
level: high
correlation:
  type: event_count
  rules: 11111111-2222-4333-8444-555555555555
  group-by: [Computer]
  timespan: 5m
  condition: {gte: 2}
"""


def ruled(settings: Settings) -> Settings:
    """Give settings whose rule folder holds a rule and a correlation on it."""
    folder = settings.data_dir / "rules"
    folder.mkdir(exist_ok=True)
    (folder / "whoami.yml").write_text(RULE + CORRELATION)
    return replace(settings, rules_dirs=str(folder))


def test_a_claim_is_read_as_the_finding_that_it_is_without_its_reasons() -> None:
    claim = Finding(
        *("f-1", "acme", "sigma", "1", "r-1", "T\u00e4ter \x1f?", "high", 7, "user", "ann"),
        event_ids=("e-1",),
        reasons=(Reason("a", "b"),),
        links=(("host", "w\x1es"),),
        fields=(("src_ip", "10.0.0.1"),),
    )
    told = told_of(finding_message(claim))
    same = [name for name in told.__struct_fields__ if getattr(told, name) != getattr(claim, name)]
    assert same == []
    assert frame_of([told], 0).equals(frame_of([finding_of(finding_message(claim))], 0))


def run_both(settings: Settings, database: Database, log: EventLog) -> None:
    """Run the first flow, tell the log, run the second; each to the end of what there is."""
    lake, house = Lake(settings.data_dir / "lake"), house_of(settings)
    run_flow(settings, database, log, lake, "loop", once=True, house=house)
    while relay(database.writer, log):
        pass
    run_flow(settings, database, log, lake, "loop", once=True, house=signals_of(house))


def found(database: Database, scope: Scope) -> list[tuple[str, str, str, int]]:
    with database.app(scope) as tx:
        rows = tx.execute(
            "SELECT detector, kind, entity, cardinality(parts) FROM findings"
            " ORDER BY detector, kind, entity, finding_id"
        )
        return [(str(d), str(k), str(e), int(n)) for d, k, e, n in rows.fetchall()]


def test_claims_of_the_first_flow_become_correlations_of_the_second(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    settings, log = ruled(settings), MemoryLog(2)
    log.append("raw.events", messages(500, 50, "acme", "one"))
    run_both(settings, database, log)
    acme, bolt = two_tenants
    signals = [("sigma", "signal", "host2", 0)] * 10
    assert found(database, acme) == [("correlation", "finding", "host2", 2), *signals]
    assert found(database, bolt) == []
    with database.writer() as tx:
        told = tx.execute("SELECT topic, count(*) FROM outbox GROUP BY topic").fetchall()
        assert told == [("findings", 1)]
        assert tx.execute("SELECT source FROM sources").fetchall() == [("one",)]
    with database.app(acme) as tx:
        assert tx.execute("SELECT count(*) FROM events WHERE class_uid = 2004").fetchone() == (0,)
        (parts,) = tx.execute(
            "SELECT count(*) FROM findings AS s JOIN findings AS c ON s.finding_id = ANY (c.parts)"
        ).fetchone() or (0,)
    assert parts == 2


def test_what_is_told_twice_or_is_no_claim_changes_nothing(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    settings, log = ruled(settings), MemoryLog(1)
    log.append("raw.events", messages(500, 50, "acme", "one"))
    run_both(settings, database, log)
    before = found(database, two_tenants[0])
    again = [Record(m.key, m.value, m.headers) for m in log.read("signals", 0, 0)]
    foreign = replace(again[0], headers=dict(again[0].headers) | {"tenant": "bolt"})
    log.append("signals", [*again, Record(b"acme", b"nonsense", {"tenant": "acme"}), foreign])
    run_both(settings, database, log)
    assert found(database, two_tenants[0]) == before
    assert found(database, two_tenants[1]) == []
    while relay(database.writer, log):
        pass
    letters = [dead_letter_of(m.value) for m in log.read("dead-letter", 0, 0)]
    assert [(x.tenant_id, x.log_format) for x in letters] == [("acme", ""), ("bolt", "")]


def _claim(tenant: str, n: int) -> Finding:
    return Finding(
        finding_id=f"{n:08d}-0000-4000-8000-{len(tenant):012d}",
        tenant_id=tenant,
        detector="sigma",
        detector_version="1",
        rule_id="11111111-2222-4333-8444-555555555555",
        title="Whoami was started",
        level="medium",
        time_us=1_780_000_000_000_000 + n * 40_000_000,
        entity_type="host",
        entity=f"host{n % 7}",
        event_ids=(f"{n:08d}-0000-4000-8000-000000000001",),
        kind="signal",
        fields=(("Computer", f"host{n % 7}"),),
    )


def _committed(database: Database) -> int:
    return sum(offset for offset, _ in flow_position(database, "signals").values())


@pytest.mark.slow
def test_a_killed_second_flow_leaves_what_an_uninterrupted_one_leaves(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    settings, dice = ruled(settings), random.Random(11)
    log = SqliteLog(settings.data_dir / "log.sqlite", partitions=4)
    claims = [_claim(tenant, n) for n in range(400) for tenant in ("acme", "boltx")]
    claims = [replace(c, tenant_id=c.tenant_id.rstrip("x")) for c in claims]
    log.append(
        "signals",
        [Record(c.tenant_id.encode(), finding_message(c), {"tenant": c.tenant_id}) for c in claims],
    )
    environment = os.environ | {
        variable("data_dir"): str(settings.data_dir),
        variable("database_url"): settings.database_url.reveal(),
        variable("rules_dirs"): settings.rules_dirs,
    }
    words = [sys.executable, "-m", "tests.pipelines.flow_child", "loop", "3", "signals"]
    for _ in range(3):
        before = _committed(database)
        child = subprocess.Popen(words, cwd=ROOT, env=environment)
        try:
            deadline = time.monotonic() + 60
            while _committed(database) == before < 800 and time.monotonic() < deadline:
                assert child.poll() is None, "the flow ended by itself"
                time.sleep(0.01)
            time.sleep(dice.uniform(0, 0.3))
        finally:
            child.kill()
            child.wait()
    assert 0 < _committed(database) < 800
    house = signals_of(house_of(settings))
    lake = Lake(settings.data_dir / "lake")
    loop.run(flow_of(settings, database, log, lake, house=house), once=True)
    for scope in two_tenants:
        own = [c for c in claims if c.tenant_id == scope.tenant_id]
        with database.app(scope) as tx:
            rows = tx.execute("SELECT finding_id FROM findings").fetchall()
        expected = _uninterrupted(own, house.context.rules)
        assert expected
        assert sorted(str(r[0]) for r in rows) == expected
    log.close()


def _uninterrupted(claims: list[Finding], rules: Mapping[str, Any]) -> list[str]:
    batch, state = EventBatch.of(frame_of(claims, 0)), correlation.META.empty_state()
    return sorted(f.finding_id for f in correlation.detect(state, batch, Context(0, rules))[1])
