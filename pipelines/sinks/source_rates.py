"""Count what arrives from which source, for the console's live pages, and tell whoever listens.

A tenant that sends under thousands of names is counted under the first fifty of a step and `other`;
hours beyond a year back or a day ahead are not counted. Rows are trimmed as new ones come: steps of
10 s after an hour, minutes after eight days.
"""

from typing import Final

import polars as pl
from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.queries import execute
from storage.outcome import Outcome

NAME: Final = "source_rates"
MOST_SOURCES: Final = 50
MOST_HOURS: Final = 200
MOST_LETTERS: Final = 60
_US_AN_HOUR: Final = 3_600_000_000
_NUL: Final = "\x00"


def write(tx: Connection[TupleRow], outcome: Outcome) -> None:
    """Add the outcome's events to the counts; NOTIFY goes out when the transaction commits.

    The message is a tenant's name and nothing else: who listens reads in that tenant's scope.
    Counting twice would count twice: the commit's offset check lets an outcome through only once.
    """
    frames = [b.frame.select("tenant_id", "source", "time") for b in outcome.batches if len(b)]
    tenants = {finding.tenant_id for finding in outcome.findings}
    rates, hours, sent = "[]", "[]", list[str]()
    if frames:
        counts = counts_of(pl.concat(frames))
        counted = hours_of(counts)
        rates, hours = rates_of(counts).write_json(), counted.write_json()
        sent = counted.get_column("tenant_id").unique().to_list()
        tenants.update(sent)
    if tenants:
        execute(tx, "live_add", rates=rates, hours=hours, sent=sent, tenants=sorted(tenants))


def counts_of(events: pl.DataFrame) -> pl.DataFrame:
    """Give tenant_id, source, hour_us, events (Int64) and the newest time: a row for each three."""
    hour = pl.col("time").dt.epoch("us") // _US_AN_HOUR * _US_AN_HOUR
    return events.group_by("tenant_id", "source", hour.alias("hour_us")).agg(
        pl.len().cast(pl.Int64).alias("events"), pl.col("time").max()
    )


def rates_of(counts: pl.DataFrame) -> pl.DataFrame:
    """Give tenant_id, source, events (Int64) and newest_us: the largest sources, the rest as other.

    A source's name ends at its first '/' or ' ' and after 60 letters: what follows is one file or
    one machine among many.
    """
    name = (
        pl.col("source").fill_null("unknown").str.replace_all(_NUL, "", literal=True)
        .str.replace(r"[/\s].*$", "").str.head(MOST_LETTERS)
    )  # fmt: skip
    counted = (
        # By the whole text first: a name is cut once a source, not once an event.
        counts.group_by("tenant_id", "source")
        .agg(pl.col("events").sum(), pl.col("time").max())
        .with_columns(source=pl.when(name == "").then(pl.lit("files")).otherwise(name))
        .group_by("tenant_id", "source")
        .agg(pl.col("events").sum(), pl.col("time").max().dt.epoch("us").alias("t"))
        .sort("tenant_id", "events", "source", descending=[False, True, False])
        .with_columns(place=pl.int_range(pl.len()).over("tenant_id"))
    )
    few = pl.when(pl.col("place") < MOST_SOURCES).then(pl.col("source")).otherwise(pl.lit("other"))
    return (
        counted.with_columns(source=few)
        .group_by("tenant_id", "source")
        .agg(pl.col("events").sum(), pl.col("t").max().alias("newest_us"))
        .sort("tenant_id", "source")  # two writers that lock the same rows do it in the same order
    )


def hours_of(counts: pl.DataFrame) -> pl.DataFrame:
    """Give tenant_id, hour_us and events: the fullest hours of each tenant."""
    return (
        counts.group_by("tenant_id", "hour_us")
        .agg(pl.col("events").sum())
        .sort("tenant_id", "events", "hour_us", descending=[False, True, False])
        .group_by("tenant_id", maintain_order=True)
        .head(MOST_HOURS)
        .sort("tenant_id", "hour_us")
    )
