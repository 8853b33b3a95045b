"""Keep what agents tell that they dropped themselves, so that such a gap is no alarm."""

import hashlib
import re
from typing import Any, Final

import polars as pl
from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.queries import execute
from storage.outcome import Outcome
from storage.schema import EventBatch

NAME: Final = "agent_drops"
MOST: Final = 1000
"""Of a step; an agent tells one a stream and second at most."""
_AGENT: Final = r"^agent:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\.[^:]{1,12}:"
_STRANGE: Final = re.compile(r"[^A-Za-z0-9._:@/+=-]")
_LONGEST_STREAM: Final = 120
_NEEDED: Final = {"metadata.event_code", "unmapped.stream", "unmapped.first", "record_count"}


def write(tx: Connection[TupleRow], outcome: Outcome) -> None:
    """Add what the outcome's events tell; one that is known changes nothing."""
    told = [frame for batch in outcome.batches if not (frame := told_by(batch)).is_empty()]
    if told:
        execute(tx, "agent_drops_add", told=pl.concat(told).head(MOST).write_json())


def told_by(batch: EventBatch) -> pl.DataFrame:
    """Give tenant_id, event_id, agent_id, source, first and records of what agents dropped."""
    frame = batch.frame
    if not set(frame.columns) >= _NEEDED:
        return pl.DataFrame()
    rows = (
        frame.filter(
            (pl.col("metadata.event_code") == "events_dropped")
            & pl.col("source").str.contains(_AGENT)
        )
        .select(
            "tenant_id",
            "event_id",
            pl.col("source").str.extract(r"^(agent:[^:]*):", 1).alias("sender"),
            pl.col("unmapped.stream").alias("stream"),
            pl.col("unmapped.first").cast(pl.Int64, strict=False).alias("first"),
            pl.col("record_count").alias("records"),
        )
        .drop_nulls()
        .filter(pl.col("first").is_between(0, 2**61) & pl.col("records").is_between(1, 2**40))
    )
    return pl.DataFrame([_plain(row) for row in rows.iter_rows(named=True)])


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    sender = str(row.pop("sender"))
    source = f"{sender}:{in_source(str(row.pop('stream')))}"
    return {**row, "agent_id": sender[6:42], "source": source}


def in_source(stream: str) -> str:
    """Give a stream's name as agents write it into their source; a test compares the two.

    >>> in_source("log:/my app.log")
    'log:/my_app.log=154893c2efb26fc8'
    """
    safe = _STRANGE.sub("_", stream)
    if safe == stream and len(safe) <= _LONGEST_STREAM:
        return stream
    mark = hashlib.sha256(stream.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{safe[:_LONGEST_STREAM]}={mark}"
