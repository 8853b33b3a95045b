"""Every sink found in the folder: writing the same outcome twice changes nothing."""

from dataclasses import replace
from datetime import UTC, datetime
from types import ModuleType

import pytest

from pipelines.ledger import DatabaseLedger
from pipelines.parsing import parse_stream
from pipelines.runners import loop
from pipelines.running import Flow
from pipelines.sinks import CONTRACT
from pipelines.step import House
from storage.database import Database
from storage.database.queries import execute
from storage.lake import Lake
from storage.log.memory import MemoryLog
from storage.outcome import Outcome
from storage.plugins import discover
from storage.settings import Settings
from storage.tenant import Scope
from tests.pipelines.memory import T0_US, MemoryLedger, fill, house, record

AGENT = "0196f000-0000-7000-8000-00000000000a"
SINKS = discover("pipelines.sinks", CONTRACT)


def outcome(settings: Settings) -> Outcome:
    """Give one real outcome of a flow: events, findings, counts and lake files of two tenants."""
    seen: list[Outcome] = []
    log = MemoryLog(1, lambda: T0_US)
    for tenant in ("acme", "bolt"):
        fill(log, [record([(-40_000 + i, "h1", i) for i in range(300)], 0, tenant)])
    ledger = MemoryLedger(refuse=seen.append)
    home: House = house()
    loop.run(Flow(home, settings, log, ledger, Lake(settings.data_dir / "lake")), once=True)
    word = (
        b'{"time":%d,"class_uid":0,"activity_id":0,"metadata.log_name":"capture",'
        b'"metadata.event_code":"capture_counted","device.hostname":"tap1",'
        b'"unmapped.interface":"eth0","unmapped.started_us":"1","unmapped.packets":"9",'
        b'"unmapped.dropped":"0"}\n'
        b'{"time":%d,"class_uid":0,"activity_id":0,"metadata.log_name":"arp",'
        b'"src_endpoint.ip":"10.0.0.1","unmapped.src_mac":"00:00:5e:00:53:01"}'
        % (T0_US // 1000, T0_US // 1000)
    )
    drop = (
        b'{"time":%d,"class_uid":0,"activity_id":0,"metadata.event_code":"events_dropped",'
        b'"stream":"events","first":"4","record_count":2}\n'
        b'{"time":%d,"class_uid":5002,"metadata.event_code":"check","status_id":2,'
        b'"check":{"uid":"c1","title":"C","fix":"do"}}\n' % (T0_US // 1000, T0_US // 1000)
    )
    own = f"agent:{AGENT}.0a:events.high"
    lost = parse_stream("ocsf_json", [drop], tenant_id="acme", source=own, ingested_at_us=T0_US)
    words = parse_stream("ocsf_json", [word], tenant_id="acme", source="tap1", ingested_at_us=T0_US)
    return replace(seen[0], batches=(*seen[0].batches, *(b for b, _ in [*words, *lost])))


def enrolled(database: Database, scope: Scope) -> None:
    """Let an agent in by hand."""
    told = {"host": "w", "serial": "1", "version": "", "machine": "", "hardware": "", "address": ""}
    now = datetime.now(UTC)
    with database.app(scope) as tx:
        execute(tx, "agent_add", agent_id=AGENT, now=now, not_after=now, **told)


def dump(database: Database, scopes: tuple[Scope, ...]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for scope in scopes:
        with database.app(scope) as tx:
            for query in (
                "SELECT 'events', event_id FROM events",
                "SELECT 'findings', finding_id FROM findings",
                "SELECT 'counts', entity, window_start::text, events FROM window_counts",
                "SELECT 'lake', path FROM lake_files",
                "SELECT 'captures', sensor, told_at::text, packets, dropped FROM captures",
                "SELECT 'checks', check_uid, at::text, is_passed, fix FROM agent_checks",
                "SELECT 'drops', source, first_position, records FROM agent_drops",
                "SELECT 'topology', kind, one, other, first_at::text, last_at::text FROM topology",
                "SELECT 'rates', source, bucket_s, events FROM source_rates",
            ):
                rows += tx.execute(query.encode()).fetchall()
    with database.writer() as tx:
        rows += tx.execute(b"SELECT 'outbox', topic, headers->>'id' FROM outbox").fetchall()
    return sorted(rows, key=str)


@pytest.mark.parametrize("name", sorted(SINKS))
def test_sink_that_writes_twice_changes_nothing(
    name: str, settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    made, sink = outcome(settings), SINKS[name]
    enrolled(database, two_tenants[0])
    ledger = DatabaseLedger(database, [sink.write])
    assert ledger.commit(made)
    once = dump(database, two_tenants)
    assert once
    assert not ledger.commit(made)  # the flow's offsets let an outcome through once
    assert dump(database, two_tenants) == once
    assert all(scope.tenant_id in {"acme", "bolt"} for scope in two_tenants)


@pytest.mark.parametrize("name", ["events", "findings", "lake_files"])
def test_sink_itself_leaves_what_is_there(
    name: str, settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    made, sink = outcome(settings), SINKS[name]
    assert DatabaseLedger(database, [sink.write]).commit(made)
    once = dump(database, two_tenants)
    with database.writer() as tx:
        sink.write(tx, made)
    assert dump(database, two_tenants) == once


def test_trial_leaves_nothing(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    sinks: list[ModuleType] = list(SINKS.values())
    ledger = DatabaseLedger(database, [sink.write for sink in sinks])
    made = outcome(settings)
    ledger.check(made)
    assert dump(database, two_tenants) == []
    assert ledger.standing("events", "raw.events").offsets == {}
    assert ledger.commit(made)
