"""Decode plain NDJSON straight into columns: Arrow's reader, where it says what `_json` says.

It takes a block only if the answer is certain to be the same: one object a line, no field of two
kinds, no fractions (they are kept as written), lists of plain values only. Anything else is None,
and `_json` reads the block its own way; measured, that costs four times as much.
"""

import io
from typing import Final

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.json as pj

_SAMPLE: Final = 64
"""Lines of a block from which the kinds of its fields are guessed."""
_LEAST: Final = 32
"""Fewer lines are not worth two calls."""
_NEWLINE, _OPEN, _CLOSE = b"\n{}"
_PLAIN: Final = (pl.String(), pl.Int64(), pl.Boolean(), pl.Null())


def columns_of(text: bytes, lines: int, most_depth: int, most_keys: int) -> pl.DataFrame | None:
    """Give the block's fields, all String, as `Records.fields` has them; None if not certain.

    `text`: `lines` whole lines. Names of nested fields are dotted.
    """
    if lines < _LEAST or not text or not _is_plain(text, lines):
        return None
    try:
        table = _table(text)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowKeyError):
        return None
    if table.num_rows != lines:
        return None
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)  # noqa: S101  of a table it is
    columns: list[pl.Series] = []
    for column in frame:
        _spread(column, column.name, most_depth, columns)
    names = {column.name for column in columns}
    if len(names) < len(columns) or not 0 < len(columns) <= most_keys:
        return None
    return _texts(pl.DataFrame(columns))


def _spread(column: pl.Series, name: str, depth: int, columns: list[pl.Series]) -> None:
    """Lay a field of objects out as columns with dotted names, `depth` levels deep."""
    if depth == 1 or not isinstance(column.dtype, pl.Struct):
        columns.append(column.alias(name))
        return
    for field in column.struct.unnest():
        _spread(field, f"{name}.{field.name}", depth - 1, columns)


def _is_plain(text: bytes, lines: int) -> bool:
    """Answer whether every line begins and ends an object, and the text is UTF-8.

    A next line's `{` after a `}` is an object of its own, so none reaches over a line's end.
    """
    octets = np.frombuffer(text, dtype=np.uint8)
    ends = np.flatnonzero(octets == _NEWLINE)
    if octets[-1] != _NEWLINE:
        ends = np.append(ends, len(octets))
    if len(ends) != lines or octets[0] != _OPEN or ends[0] == 0:
        return False
    if (octets[ends[:-1] + 1] != _OPEN).any() or (octets[ends - 1] != _CLOSE).any():
        return False
    if text.isascii():
        return True
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def _table(text: bytes) -> pa.Table:
    end = 0
    for _ in range(_SAMPLE):
        end = text.find(b"\n", end) + 1
        if not end:
            break
    table = _read(text, _as_written(_read(text[:end] if end else text, None).schema, sure=False))
    if any(_is_odd(field.type) for field in table.schema):
        table = _read(text, _as_written(table.schema, sure=True))
    return table


def _read(text: bytes, schema: pa.Schema | None) -> pa.Table:
    return pj.read_json(
        io.BytesIO(text),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
        parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="infer"),
    )


def _as_written(schema: pa.Schema, *, sure: bool) -> pa.Schema:
    """Ask for text where the reader would make a time of it.

    What was empty in a sample is left open; where that was the whole block (`sure`), it is text.
    """
    fields = [pa.field(f.name, kind) for f in schema if (kind := _kind(f.type, sure)) is not None]
    return pa.schema(fields)


def _kind(kind: pa.DataType, sure: bool) -> pa.DataType | None:
    if pa.types.is_struct(kind):
        inner = [pa.field(f.name, k) for f in kind if (k := _kind(f.type, sure)) is not None]
        return pa.struct(inner) if inner else None
    if pa.types.is_list(kind):
        of = _kind(kind.value_type, sure)
        return None if of is None else pa.list_(of)
    if pa.types.is_null(kind):
        return pa.string() if sure else None
    return pa.string() if _is_odd(kind) else kind


def _is_odd(kind: pa.DataType) -> bool:
    """Answer whether the reader made of it what is not text: a time, or nothing at all."""
    if pa.types.is_struct(kind):
        return not kind.num_fields or any(_is_odd(field.type) for field in kind)
    if pa.types.is_list(kind):
        return _is_odd(kind.value_type)
    tests = (pa.types.is_timestamp, pa.types.is_date, pa.types.is_time, pa.types.is_null)
    return any(is_kind(kind) for is_kind in tests)


def _texts(frame: pl.DataFrame) -> pl.DataFrame | None:
    """Write every column as text; None where a column has a kind that is not written so simply."""
    exprs: list[pl.Expr] = []
    for name, kind in frame.schema.items():
        column = pl.col(name)
        if isinstance(kind, pl.List):
            if kind.inner not in _PLAIN:
                return None
            words = column.list.eval(pl.element().cast(pl.String).fill_null(""))
            exprs.append(words.list.join("\n"))
        elif kind in _PLAIN:
            exprs.append(column if kind == pl.String else column.cast(pl.String))
        else:
            return None
    out = frame.select(exprs)
    # An object without a field is refused, and only `_json` tells it from one with empty fields.
    if out.select(pl.all_horizontal(pl.all().is_null()).any()).item():
        return None
    return out
