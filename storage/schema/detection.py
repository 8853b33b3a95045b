"""Fix the contract of a detector: pure fold over batches, state as tables.

A detector is one file in `detectors/` with two names:

    META: DetectorMeta
    detect(state, batch, context) -> (state, findings)

State is data only: named polars frames, each beginning with the columns `tenant_id` and `key`
(the entity), so that the flow can cut it into 64 shards of hash(tenant, key), store the changed
shards as Arrow IPC and put them together again. A detector without state uses `{}` throughout.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from storage.schema.indicator import Known

State = Mapping[str, pl.DataFrame]


@dataclass(frozen=True, slots=True)
class DetectorMeta:
    """Describe a detector.

    `name`: the module's name; `version`: part of every finding id, raise it when claims change;
    `classes`: class_uids it reads, empty = all; `tables`: state table -> {column: dtype}, each
    with `tenant_id` and `key` first; `max_keys`: entities kept per tenant before the longest
    unseen are evicted; `bytes_per_key`: what one entity costs; `flow`: which flow shows it events,
    `events` (everything) or `signals` (the claims of the first, as events of class 2004).
    """

    name: str
    version: str
    title: str
    classes: frozenset[int] = frozenset()
    tables: Mapping[str, Mapping[str, pl.DataType]] = field(default_factory=dict)
    max_keys: int = 100_000
    bytes_per_key: int = 0
    flow: str = "events"

    def empty_state(self) -> dict[str, pl.DataFrame]:
        """Give the state before the first event: every table, no rows."""
        return {name: pl.DataFrame(schema=dict(cols)) for name, cols in self.tables.items()}


@dataclass(frozen=True, slots=True)
class Context:
    """Hand a detector what it may know besides the events; frozen for the batch.

    `watermark_us`: event time (UTC µs) before which no more in-order events will come, after this
    batch; windows that end at or before it close now. Rows with `is_late` were behind it when read.
    `rules`: compiled rule sets by tenant id, with "" for the house's own; opaque to the flow, but
    that their method `sieve(claims, tenant_id)`, if they have it, says which claims stay.
    `values`: tenant id -> named lists (placeholders, exceptions).
    `verdicts`: tenant id -> feedback.
    `indicators`: tenant id -> what its feeds call hostile.
    """

    watermark_us: int
    rules: Mapping[str, Any] = field(default_factory=dict)
    values: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    verdicts: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    indicators: Mapping[str, Known] = field(default_factory=dict)
