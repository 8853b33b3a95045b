"""Carry what one step of a flow made, to be committed all together or not at all."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from storage.schema import EventBatch, Finding


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused record: whose, from where, why, and its bytes (cut at 64 KiB).

    `letter_id` is derived from (tenant, source, position), so that a repeat is recognised.
    """

    letter_id: str
    tenant_id: str
    source: str
    name: str
    log_format: str
    position: int
    reason: str
    raw: bytes


@dataclass(frozen=True, slots=True)
class SourceProgress:
    """How far one origin was read by this step; `events` and `rejected` are this step's share."""

    tenant_id: str
    source: str
    name: str
    log_format: str
    next_position: int
    events: int
    rejected: int
    last_reason: str | None = None


@dataclass(frozen=True, slots=True)
class LakeFile:
    """One row of the lake's manifest. `path` is relative to the lake's root; times are UTC µs."""

    tenant_id: str
    path: str
    class_uid: int
    day: str
    events: int
    size_bytes: int
    first_time_us: int
    last_time_us: int
    topic: str
    partition: int
    first_offset: int
    last_offset: int


@dataclass(frozen=True, slots=True)
class PartitionStep:
    """How a step moves one partition: committed only if the ledger still stands at `expected`."""

    topic: str
    partition: int
    expected: int
    next_offset: int
    watermark_us: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that one step of `flow` leaves behind; sinks write it inside one transaction.

    `window_counts`: columns tenant_id, entity_type, entity, class_uid (Int32), window_start
    (Datetime us UTC), window_s (Int32), events (Int64: what to ADD to the stored count).
    `state`: (detector, shard) -> Arrow IPC bytes of the changed shards.
    """

    flow: str
    steps: tuple[PartitionStep, ...]
    batches: tuple[EventBatch, ...] = ()
    findings: tuple[Finding, ...] = ()
    window_counts: pl.DataFrame | None = None
    state: Mapping[tuple[str, int], bytes] = field(default_factory=dict)
    lake_files: tuple[LakeFile, ...] = ()
    sources: tuple[SourceProgress, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
