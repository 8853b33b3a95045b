"""Commit what one step of a flow made: offsets, rows, findings, state, manifest, or nothing.

The offsets move only if they still stand where this worker read them: of two workers that both
believe they own a partition, the slower one is fenced and its whole step vanishes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import polars as pl
from psycopg import Connection, Cursor
from psycopg.rows import TupleRow

from storage.database.connections import Database
from storage.database.dialect import ensure_days
from storage.database.queries import ask, execute, select
from storage.database.rollups import add_window_counts, fold_if_many
from storage.database.rows import (
    as_rows,
    copy_events,
    insert_findings,
    insert_lake_files,
    tell_dead_letters,
    tell_marks,
)
from storage.errors import PluginError, Unavailable
from storage.outcome import ALL, Mark, Outcome, PartitionStep, SourceProgress

__all__ = [
    "Fenced",
    "Sink",
    "add_window_counts",
    "claim_lane",
    "commit",
    "copy_events",
    "end_lanes",
    "flow_position",
    "flow_state",
    "insert_findings",
    "insert_lake_files",
    "lanes_of",
    "source_positions",
]

Sink = Callable[[Connection[TupleRow], Outcome], None]


class Fenced(Unavailable):
    """Another worker moved this partition; start again from `flow_position`."""


def commit(db: Database, outcome: Outcome, sinks: Sequence[Sink]) -> None:
    """Write the outcome and call each sink, in one transaction of the writer.

    Fenced if an offset is not at `expected`; Unavailable if the database is away; InvalidInput if
    a row cannot be stored. After any error nothing of the outcome is there.
    """
    ensure_days(db, _days(outcome))
    with db.writer() as tx:
        _fence(tx, outcome)
        sources = _one_each(outcome.sources)
        with tx.pipeline():
            _put_state(tx, outcome)
            if sources:
                execute(tx, "sources_move", rows=as_rows(sources))
            tell_dead_letters(tx, outcome.dead_letters)
        for sink in sinks:
            sink(tx, outcome)
        # Behind the claims, which a sink has told: the order is what a mark proves.
        tell_marks(tx, sources)
        if outcome.marks:
            execute(tx, "screened_move", rows=as_rows(_furthest(outcome.marks)))
    if outcome.window_counts is not None:
        fold_if_many(db, outcome.window_counts.height)


def flow_position(db: Database, flow: str) -> dict[tuple[str, int], tuple[int, int]]:
    """Give (topic, partition) -> (next_offset, watermark_us), for partitions ever committed."""
    with db.writer() as tx:
        return {
            (str(r["topic"]), int(str(r["partition"]))): (
                int(str(r["next_offset"])),
                int(str(r["watermark_us"])),
            )
            for r in select(tx, "flow_position", flow=flow)
        }


def claim_lane(db: Database, flow: str, lane: int, owner: str) -> int:
    """Take the lane over from whoever had it; give the epoch to commit under.

    Waits for a commit that is under way. A lane never claimed begins with the state over all
    partitions.
    """
    with db.writer() as tx:
        (row,) = select(tx, "flow_lane_claim", flow=flow, lane=lane, owner=owner)
        epoch = int(str(row["epoch"]))
        if epoch == 1:
            execute(tx, "flow_lane_begin", flow=flow, lane=lane)
        return epoch


def lanes_of(db: Database, flow: str) -> dict[int, tuple[int, str]]:
    """Give lane -> (epoch, owner), of all lanes ever claimed."""
    with db.writer() as tx:
        rows = select(tx, "flow_lanes_of", flow=flow)
        return {int(str(r["lane"])): (int(str(r["epoch"])), str(r["owner"])) for r in rows}


def end_lanes(db: Database, flow: str) -> None:
    """Let one state over all partitions begin anew, if lanes had taken over."""
    with db.writer() as tx:
        execute(tx, "flow_lanes_end", flow=flow)


def _fence(tx: Connection[TupleRow], outcome: Outcome) -> None:
    """Hold the lane and move the offsets, in one round trip; Fenced if either is another's."""
    flow, lane, epoch = outcome.flow, outcome.lane, outcome.epoch
    with tx.pipeline():
        if epoch is None:
            lanes = ask(tx, "flow_lanes_of", flow=flow)
        else:
            lanes = ask(tx, "flow_lane_hold", flow=flow, lane=lane, epoch=epoch)
        moves = _move(tx, flow, outcome.steps)
    found = lanes.fetchone()
    if epoch is not None and found is None:
        raise Fenced(f"flow '{flow}', lane {lane}: another process has claimed it")
    if epoch is None and found is not None:
        raise PluginError(f"flow '{flow}' is shared by processes: set INOPSIO_SHARE here too")
    moved = {(row["topic"], row["partition"]) for cursor in moves for row in cursor}
    for step in outcome.steps:
        if (step.topic, step.partition) not in moved:
            raise Fenced(
                f"flow '{flow}' {step.topic}/{step.partition} is no longer at {step.expected}: "
                "another worker moved it"
            )


def flow_state(db: Database, flow: str, lane: int = ALL) -> dict[tuple[str, int], bytes]:
    """Give (detector, shard) -> Arrow IPC bytes."""
    with db.writer() as tx:
        found: dict[tuple[str, int], bytes] = {}
        for row in select(tx, "flow_state", flow=flow, lane=lane):
            state = row["state"]
            assert isinstance(state, bytes)  # noqa: S101  the column is bytea
            found[str(row["detector"]), int(str(row["shard"]))] = state
        return found


def source_positions(
    db: Database, origins: Iterable[tuple[str, str]] | None = None
) -> dict[tuple[str, str], int]:
    """Give (tenant_id, source) -> next_position, of all origins or of those named."""
    with db.writer() as tx:
        if origins is None:
            rows = select(tx, "source_positions")
        else:
            asked = list(origins)
            rows = select(
                tx,
                "source_positions_of",
                tenants=[tenant for tenant, _ in asked],
                sources=[source for _, source in asked],
            )
        return {(str(r["tenant_id"]), str(r["source"])): int(str(r["next_position"])) for r in rows}


def _move(
    tx: Connection[TupleRow], flow: str, steps: Sequence[PartitionStep]
) -> list[Cursor[dict[str, object]]]:
    """Ask to begin or move the offsets; the cursors give those that moved."""
    new = [step for step in steps if not step.expected]
    old = [step for step in steps if step.expected]
    asked = []
    if new:
        asked.append(ask(tx, "flow_offsets_begin", flow=flow, **_columns(new)))
    if old:
        expected = [step.expected for step in old]
        asked.append(ask(tx, "flow_offsets_move", flow=flow, expected=expected, **_columns(old)))
    return asked


def _columns(steps: Sequence[PartitionStep]) -> dict[str, list[str] | list[int]]:
    return {
        "topics": [step.topic for step in steps],
        "partitions": [step.partition for step in steps],
        "next_offsets": [step.next_offset for step in steps],
        "watermarks": [step.watermark_us for step in steps],
    }


def _put_state(tx: Connection[TupleRow], outcome: Outcome) -> None:
    if outcome.state:
        execute(
            tx,
            "flow_state_put",
            flow=outcome.flow,
            lane=outcome.lane,
            detector=[detector for detector, _ in outcome.state],
            shard=[shard for _, shard in outcome.state],
            state=list(outcome.state.values()),
        )


def _one_each(steps: Sequence[SourceProgress]) -> list[SourceProgress]:
    """Add up what is said of one origin more than once: an upsert takes each row once."""
    merged: dict[tuple[str, str], SourceProgress] = {}
    for step in steps:
        before = merged.get((step.tenant_id, step.source))
        merged[step.tenant_id, step.source] = (
            step
            if before is None
            else replace(
                step,
                next_position=max(before.next_position, step.next_position),
                events=before.events + step.events,
                rejected=before.rejected + step.rejected,
                last_reason=step.last_reason or before.last_reason,
            )
        )
    return list(merged.values())


def _furthest(marks: Sequence[Mark]) -> list[Mark]:
    """Give the furthest mark of each source: an upsert takes each row once."""
    found: dict[tuple[str, str], Mark] = {}
    for mark in marks:
        before = found.get((mark.tenant_id, mark.source))
        if before is None or before.next_position < mark.next_position:
            found[mark.tenant_id, mark.source] = mark
    return list(found.values())


def _days(outcome: Outcome) -> list[int]:
    """Give the UTC days (since 1970) of the events, most events first."""
    times = [batch.frame.get_column("time") for batch in outcome.batches if len(batch)]
    if not times:
        return []
    days = pl.concat(times).dt.epoch("d").value_counts(sort=True)
    return [int(day) for day in days.get_column(days.columns[0])]
