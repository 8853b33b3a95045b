"""Read the lake again through the same detectors; what was claimed before is not doubled."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from pipelines.detecting import Detected, fold, meta_of
from pipelines.flow import house_of, signals_of
from pipelines.signals import frame_of
from pipelines.step import House
from pipelines.tenant_indicators import TenantIndicators
from storage.audit import write_audit
from storage.database import Database
from storage.database.rows import insert_findings
from storage.lake import Lake
from storage.schema import MAX_BATCH_ROWS, EventBatch, Finding
from storage.settings import Settings
from storage.tenant import Scope, system_scope

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay did: events read, findings made, and how many of those were new."""

    events: int
    findings: int
    new: int


def replay(
    settings: Settings,
    database: Database,
    lake: Lake,
    since_us: int,
    until_us: int,
    tenant: str | None = None,
    rules: Sequence[Path] = (),
    only: frozenset[str] = frozenset(),
) -> Replayed:
    """Run the events with since <= time < until (UTC µs) of a tenant, or of all, once more.

    `rules`: further Sigma rule folders; `only`: names of the detectors to run, none = all. Tenants'
    indicators are those of now. Detectors begin without state and leave none; windows close
    by the same watermark as in the flow; correlations see the claims of the span. A finding's id
    follows from what it claims, so one that stands already is left as it is. Each tenant's audit
    trail tells of it. Unavailable if lake or database are down; a second try is safe.
    """
    intel = TenantIndicators(database)
    intel.look()
    house = house_of(settings, rules)
    house = replace(
        house,
        detectors={n: m for n, m in house.detectors.items() if not only or n in only},
        context=replace(house.context, indicators=intel.frames),
    )
    lateness_us = settings.lateness_s * 1_000_000
    events = findings = new = 0
    for name in [tenant] if tenant is not None else database.tenants():
        scope = system_scope(name, "replay")
        before = Replayed(events, findings, new)
        batches = lake.restore_batches(database, scope, since_us, until_us)
        for batch, claims in claims_of(house, batches, lateness_us):
            events += len(batch)
            findings += len(claims)
            if claims:
                with database.writer() as tx:
                    new += len(insert_findings(tx, _of(scope, claims)))
        told = {"events": events - before.events, "new": new - before.new}
        with database.app(scope) as tx:
            span = {"from_us": since_us, "to_us": until_us}
            write_audit(tx, scope, "events.replay", name, detail=span | told)
    return Replayed(events, findings, new)


def claims_of(
    house: House, batches: Iterator[EventBatch], lateness_us: int
) -> Iterator[tuple[EventBatch, tuple[Finding, ...]]]:
    """Give each batch, in order of event time, with what the detectors claim after it."""
    second = signals_of(house)
    done, correlated = _begun(house), _begun(second)
    watermark_us = 0
    for batch in batches:
        if not len(batch):
            continue
        newest = int(batch.frame["time"].dt.epoch("us").max())  # type: ignore[arg-type]  # Int64
        watermark_us = max(watermark_us, newest - lateness_us)
        done = fold(house.detectors, done.states, [(batch, watermark_us)], house.context)
        seen = [
            (EventBatch.of(piece), watermark_us)
            for piece in frame_of(done.findings, watermark_us).iter_slices(MAX_BATCH_ROWS)
            if piece.height
        ]
        correlated = fold(second.detectors, correlated.states, seen, second.context)
        for told in (done, correlated):
            if told.poison:
                log.warning("replay_skipped_rows", rows=len(told.poison), reason=told.poison[0][1])
            if told.left_out:
                log.warning("replay_left_detectors_out", rows=dict(told.left_out))
        yield batch, (*done.findings, *correlated.findings)


def _begun(house: House) -> Detected:
    metas = [meta_of(module) for module in house.detectors.values()]
    return Detected({meta.name: meta.empty_state() for meta in metas})


def _of(scope: Scope, claims: Sequence[Finding]) -> list[Finding]:
    # A detector that mixes tenants up must not write into another one's findings.
    return [claim for claim in claims if claim.tenant_id == scope.tenant_id]
