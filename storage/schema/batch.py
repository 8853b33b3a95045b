"""Carry events as columns: one frozen frame with a checked envelope."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import polars as pl

from storage.errors import InvalidBatch
from storage.schema.columns import ENVELOPE, UNMAPPED, column_named

MAX_BATCH_ROWS: Final = 8192


@dataclass(frozen=True, slots=True, eq=False)
class EventBatch:
    """Hold events of one or more tenants as columns; never change the frame in place.

    `of` takes up to 8,192: what is handled at once. What a step leaves behind is one batch of all.

    `frame`: envelope columns of `storage.schema.columns` with their exact dtypes and no nulls in
    `tenant_id`, `event_id`, `time` and `class_uid`; any further columns of the schema; and
    `unmapped.*` columns of dtype String.
    """

    frame: pl.DataFrame

    @classmethod
    def of(cls, frame: pl.DataFrame) -> "EventBatch":
        """Check the frame and wrap it; InvalidBatch names the column that is wrong."""
        schema = frame.schema
        for column in ENVELOPE:
            if column.name not in schema:
                raise InvalidBatch(f"column '{column.name}' is missing", column=column.name)
        for name, dtype in schema.items():
            known = column_named(name)
            want = known.dtype if known else pl.String()
            if known is None and not name.startswith(UNMAPPED):
                raise InvalidBatch(
                    f"column '{name}' is not in the schema; name it '{UNMAPPED}{name}'", column=name
                )
            if dtype != want:
                raise InvalidBatch(f"column '{name}' is {dtype}, not {want}", column=name)
        for name in ("tenant_id", "event_id", "time", "class_uid"):
            if frame.get_column(name).null_count():
                raise InvalidBatch(f"column '{name}' has empty values", column=name)
        if frame.height > MAX_BATCH_ROWS:
            raise InvalidBatch(f"{frame.height} rows are more than {MAX_BATCH_ROWS}; split first")
        return cls(frame)

    def __len__(self) -> int:
        return self.frame.height

    def only(self, mask: pl.Series | pl.Expr) -> "EventBatch":
        """Keep the rows where `mask` (Boolean, one value a row) is true."""
        return EventBatch(self.frame.filter(mask))

    def by_tenant(self) -> Iterator[tuple[str, "EventBatch"]]:
        """Give each tenant's rows apart, in order of first appearance."""
        tenants = self.frame.get_column("tenant_id").unique(maintain_order=True)
        if len(tenants) == 1:
            yield str(tenants[0]), self
            return
        for tenant in tenants:
            yield str(tenant), self.only(pl.col("tenant_id") == tenant)
