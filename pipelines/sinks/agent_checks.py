"""Keep the verdicts that agents give of their hosts' settings, and how to mend what failed."""

from typing import Final

import polars as pl
from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.queries import execute
from storage.outcome import Outcome
from storage.schema import EventBatch

NAME: Final = "agent_checks"
MOST: Final = 5000
"""Verdicts of a step."""
MOST_HELD: Final = 5000
"""Verdicts of an agent; over it the oldest go. There are some thirty checks."""
_AGENT: Final = r"^agent:([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})[.:]"
_PASSED, _FAILED = 1, 2
_TEXTS: Final = {
    "check_uid": ("unmapped.check.uid", 100),
    "title": ("unmapped.check.title", 300),
    "detail": ("status_detail", 500),
    "why": ("unmapped.check.why", 1000),
    "fix": ("unmapped.check.fix", 1000),
}
_NEEDED: Final = {"metadata.event_code", "status_id", "unmapped.check.uid"}


def write(tx: Connection[TupleRow], outcome: Outcome) -> None:
    """Add what the outcome's events say; a verdict that is known changes nothing."""
    told = [frame for batch in outcome.batches if not (frame := told_by(batch)).is_empty()]
    if told:
        rows = pl.concat(told).head(MOST).write_json()
        if execute(tx, "agent_checks_add", told=rows):
            execute(tx, "agent_checks_trim", told=rows, most=MOST_HELD)


def told_by(batch: EventBatch) -> pl.DataFrame:
    """Give the verdicts of a batch as `agent_checks` has them, `at_us` for `at`."""
    frame = batch.frame
    if not set(frame.columns) >= _NEEDED:
        return pl.DataFrame()
    told = frame.filter(
        (pl.col("metadata.event_code") == "check")
        & (pl.col("class_uid") == 5002)
        & pl.col("status_id").is_in((_PASSED, _FAILED))
        & pl.col("source").str.contains(_AGENT)
    )
    return told.select(
        "tenant_id",
        "event_id",
        pl.col("source").str.extract(_AGENT, 1).alias("agent_id"),
        pl.col("time").dt.epoch("us").alias("at_us"),
        (pl.col("status_id") == _PASSED).alias("is_passed"),
        _or_null(frame, "severity_id", pl.Int32()).fill_null(0).alias("severity_id"),
        *(
            _or_null(frame, column, pl.String())
            .fill_null("")
            .str.replace_all("\x00", "", literal=True)
            .str.slice(0, most)
            .alias(name)
            for name, (column, most) in _TEXTS.items()
        ),
    ).filter(pl.col("check_uid") != "")


def _or_null(frame: pl.DataFrame, column: str, kind: pl.DataType) -> pl.Expr:
    if column not in frame.columns:
        return pl.lit(None, kind)
    return pl.col(column).cast(kind, strict=False)
