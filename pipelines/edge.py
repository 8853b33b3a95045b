"""Turn a stream into messages for the raw topic: as sent, or as OCSF where read at the edge."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

import polars as pl

from pipelines.parsers import CONTRACT, Parsed
from storage.errors import InvalidBatch, InvalidInput
from storage.plugins import discover

EDGE_FORMAT: Final = "ocsf_json"
ROWS_PER_MESSAGE: Final = 2048

Split = Callable[[str, Iterable[bytes], int], Iterator[tuple[int, bytes]]]


def as_messages(
    format: str, chunks: Iterable[bytes], max_bytes: int, split: Split
) -> tuple[str, Iterator[tuple[int, bytes]]]:
    """Give the format the messages have, and the messages as (first position, bytes).

    A parser with `AT_EDGE` (captures) is run here; its events travel as OCSF NDJSON, from 0 on.
    What it could not read is raised as InvalidBatch after the last readable message was given.
    """
    for module in discover("pipelines.parsers", CONTRACT).values():
        if format == module.FORMAT:
            if getattr(module, "AT_EDGE", False):
                return EDGE_FORMAT, as_ocsf(format, module.parse(chunks))
            return format, split(format, chunks, max_bytes)
    raise InvalidInput(f"format '{format}' is unknown; see: inopsio ingest --help")


def as_ocsf(format: str, parsed: Iterable[Parsed]) -> Iterator[tuple[int, bytes]]:
    """Write parsed events as OCSF NDJSON: (first position, up to ROWS_PER_MESSAGE lines)."""
    position = 0
    refused = None
    for frame, rejects in parsed:
        refused = refused or (rejects[0] if rejects else None)
        if "metadata.product.name" not in frame.columns:
            frame = frame.with_columns(pl.lit(format).alias("metadata.product.name"))
        for piece in frame.iter_slices(ROWS_PER_MESSAGE):
            empty = [c for c in piece.columns if piece.get_column(c).null_count() == piece.height]
            text = piece.drop("position", *empty).with_columns(
                pl.col("time").dt.to_string("%Y-%m-%dT%H:%M:%S%.6fZ")
            )
            yield position, text.write_ndjson().encode()
            position += piece.height
    if refused is not None:
        raise InvalidBatch(f"record {refused.position}: {refused.reason}")
