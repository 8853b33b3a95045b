"""Read the lake again through the same detectors; what was claimed before is not doubled."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from pipelines.detecting import Detected, fold, meta_of
from pipelines.flow import house_of
from pipelines.step import House
from storage.database import Database
from storage.database.rows import insert_findings
from storage.lake import Lake
from storage.schema import EventBatch, Finding
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
) -> Replayed:
    """Run the events with since <= time < until (UTC µs) of a tenant, or of all, once more.

    `rules`: further Sigma rule folders. Detectors begin without state and leave none; windows close
    by the same watermark as in the flow. A finding's id follows from what it claims, so one that
    stands already is left as it is. Unavailable if lake or database are down; a second try is safe.
    """
    house = house_of(settings, rules)
    lateness_us = settings.lateness_s * 1_000_000
    events = findings = new = 0
    for name in [tenant] if tenant is not None else database.tenants():
        scope = system_scope(name, "replay")
        batches = lake.restore_batches(database, scope, since_us, until_us)
        for batch, claims in claims_of(house, batches, lateness_us):
            events += len(batch)
            findings += len(claims)
            if claims:
                with database.writer() as tx:
                    new += len(insert_findings(tx, _of(scope, claims)))
    return Replayed(events, findings, new)


def claims_of(
    house: House, batches: Iterator[EventBatch], lateness_us: int
) -> Iterator[tuple[EventBatch, tuple[Finding, ...]]]:
    """Give each batch, in order of event time, with what the detectors claim after it."""
    metas = [meta_of(module) for module in house.detectors.values()]
    done = Detected({meta.name: meta.empty_state() for meta in metas})
    watermark_us = 0
    for batch in batches:
        if not len(batch):
            continue
        newest = int(batch.frame["time"].dt.epoch("us").max())  # type: ignore[arg-type]  # Int64
        watermark_us = max(watermark_us, newest - lateness_us)
        done = fold(house.detectors, done.states, [(batch, watermark_us)], house.context)
        if done.poison:
            log.warning("replay_skipped_rows", rows=len(done.poison), reason=done.poison[0][1])
        yield batch, done.findings
        if done.left_out:
            log.warning("replay_left_detectors_out", rows=dict(done.left_out))
        done = replace(done, batches=(), findings=(), poison=(), left_out={})


def _of(scope: Scope, claims: Sequence[Finding]) -> list[Finding]:
    # A detector that mixes tenants up must not write into another one's findings.
    return [claim for claim in claims if claim.tenant_id == scope.tenant_id]
