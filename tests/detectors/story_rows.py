"""Give recorded stories as rows of the conformance stream, after its own last event."""

from typing import Any, Final

import polars as pl

from tests.detectors.recorded import scenario
from tests.walks.months import stream_of

TOLD: Final = (
    "03-self-approval-by-proxy",
    "07-campaign-hijack",
    "08-supplier-compromise",
    "09-ransomware",
    "10-books-walk-out",
    "11-stock-shrinkage",
    "12-shadow-service",
)
WEEKS_LATER_US: Final = 30 * 7 * 86_400_000_000
"""Whole weeks, so that a Monday stays one."""
_OWN: Final = ("tenant_id", "event_id", "ingested_at", "source", "position", "time", "is_late")


def story_rows(tenant: str) -> list[dict[str, Any]]:
    """Give the rows of all of them, with the columns that each has."""
    rows: list[dict[str, Any]] = []
    for name in TOLD:
        frame = stream_of(scenario(f"{name}.positive").records())
        later = frame.with_columns(time_us=pl.col("time").cast(pl.Int64) + WEEKS_LATER_US)
        rows += [
            {k: v for k, v in row.items() if v is not None} | {"tenant_id": tenant}
            for row in later.drop(_OWN).iter_rows(named=True)
        ]
    return rows
