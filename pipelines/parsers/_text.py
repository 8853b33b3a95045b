"""Cut a stream into blocks of lines, and finish frames: what all text parsers share."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import polars as pl

from pipelines.parsers import Parsed, Reject
from pipelines.parsers._lines import RAW_BYTES, Block, blocks, utf8
from storage.schema import UNMAPPED, column_named

MAX_ROWS: Final = 8192
MAX_BLOCK_BYTES: Final = 8 * 1024 * 1024
MAX_KEYS: Final = 512
"""Distinct source fields that one frame keeps as columns of their own."""


class Lines(NamedTuple):
    """Hold lines as a frame (`position` Int64, `line` String) and the lines refused already."""

    frame: pl.DataFrame
    rejects: list[Reject]


def read_lines(chunks: Iterable[bytes]) -> Iterator[Lines]:
    """Give the stream's lines in blocks of at most 8,192 lines and about 8 MiB.

    `position` counts every line from 0; blank ones count and are left out. Bytes that are not
    UTF-8 become U+FFFD: one wrong byte must not hide a line from the rules. A line over 1 MiB or
    with a NUL byte is refused.
    """
    for block in blocks(utf8(chunks), max_lines=MAX_ROWS, max_bytes=MAX_BLOCK_BYTES):
        yield lines_of(block)


def lines_of(block: Block) -> Lines:
    """Give a block's lines without blank ones."""
    text = block.text.decode("utf-8", "replace")
    lines = pl.Series("line", [text]).str.split("\n").explode().head(block.lines)
    places = pl.int_range(block.position, block.position + block.lines, eager=True)
    frame = pl.DataFrame({"position": places, "line": lines})
    frame = frame.with_columns(pl.col("line").str.strip_suffix("\r"))
    frame = frame.filter(pl.col("line").str.strip_chars() != "")
    rejects = list(block.rejects)
    if "\0" in text:
        frame = refuse(frame, pl.col("line").str.contains("\0", literal=True), "NUL byte", rejects)
    return Lines(frame, rejects)


def refuse(
    frame: pl.DataFrame, is_bad: pl.Expr, reason: str, rejects: list[Reject]
) -> pl.DataFrame:
    """Move the rows where `is_bad` (null = false) to `rejects`; give the others."""
    mask = frame.select(is_bad.fill_null(value=False)).to_series()
    if not mask.any():
        return frame
    bad = frame.filter(mask).select("position", "line")
    rejects += [
        Reject(position, reason, line.encode("utf-8", "replace")[:RAW_BYTES])
        for position, line in bad.rows()
    ]
    return frame.filter(~mask)


def groups(column: str, pattern: str, names: Mapping[str, str] | Iterable[str]) -> list[pl.Expr]:
    """Give one expression a group of `pattern`, named in order; null where it does not match."""
    found = pl.col(column).str.extract_groups(pattern)
    return [found.struct[i].alias(name) for i, name in enumerate(names)]


def pivot_pairs(pairs: pl.DataFrame, prefix: str = "") -> pl.DataFrame:
    """Turn `position`, `key`, `value` rows into one row a position with a column a key.

    The first value of a repeated key stays. Beyond 512 distinct keys the rarest are kept as
    text in the column `prefix` + 'other': a sender must not be able to make frames of any width.
    """
    counts = pairs.group_by("key").len().sort(["len", "key"], descending=[True, False])
    if counts.height > MAX_KEYS:
        kept = pairs["key"].is_in(counts["key"][: MAX_KEYS - 1].implode())
        rest = pairs.filter(~kept).group_by("position", maintain_order=True)
        other = rest.agg(
            pl.lit(f"{prefix}other").alias("key"),
            pl.concat_str("key", pl.lit("="), "value").str.join("; ").alias("value"),
        )
        pairs = pl.concat([pairs.filter(kept), other])
    wide = pairs.pivot(on="key", index="position", values="value", aggregate_function="first")
    return wide.sort("position")


def finish(
    frame: pl.DataFrame, log_format: str, product: str | pl.Expr | None = None
) -> pl.DataFrame:
    """Cast to the schema's dtypes, stamp format and product, drop columns without a value.

    Columns that are neither of the schema nor `unmapped.*` are dropped.
    """
    stamps = [pl.lit(log_format).alias("metadata.log_format")]
    if product is not None:
        given = pl.lit(product) if isinstance(product, str) else product
        stamps.append(given.alias("metadata.product.name"))
    frame = frame.with_columns(stamps)
    kept: list[pl.Expr] = []
    nulls = frame.null_count().row(0)
    for (name, dtype), empty in zip(frame.schema.items(), nulls, strict=True):
        column = column_named(name)
        is_needed = name in ("position", "time", "class_uid")
        if (column is None and not name.startswith(UNMAPPED)) or (
            empty == frame.height and not is_needed
        ):
            continue
        want = column.dtype if column else pl.String()
        kept.append(pl.col(name) if dtype == want else pl.col(name).cast(want, strict=False))
    return frame.select(kept)


def parsed(frame: pl.DataFrame, rejects: list[Reject]) -> Parsed:
    """Wrap a frame and its rejects, these in order of position."""
    return Parsed(frame, sorted(rejects))
