"""Decode NDJSON, JSON arrays and pretty-printed JSON into text columns, every key discovered.

Rows of one shape (same keys in the same order) are transposed together, so the work per event is
done by C loops; only a line that the fast decoder refuses is looked at alone.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl

from pipelines.parsers import Reject
from pipelines.parsers._json_columns import columns_of
from pipelines.parsers._lines import (
    MAX_LINE_BYTES,
    RAW_BYTES,
    Block,
    blocks,
    pieces_of,
    utf8,
    with_heads,
)

MAX_KEYS: Final = 2000
MAX_DEPTH: Final = 32
FLAT_DEPTH: Final = 8
MORE: Final = "_more"
_MAX_CELLS: Final = 6_000_000
_Rows = npt.NDArray[np.uint32]
_Parts = dict[str, list[tuple[_Rows, list[str | None]]]]
# Everything up to and including the next bracket outside a string; possessive: never quadratic.
_TO_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+([{}\[\]])', re.DOTALL)
_FAST: Final = msgspec.json.Decoder(float_hook=str)
_PLAIN: Final = {str, type(None)}
_TEXT: Final[dict[bool | None, str | None]] = {True: "true", False: "false", None: None}


class Records(NamedTuple):
    """Hold decoded records: `position` (Int64) and `fields`, row by row; all fields are String.

    A nested object's fields have dotted names; a list of plain values is joined by newlines, any
    other list is JSON text. Numbers are as written, booleans `true`/`false`, null = absent.
    """

    position: pl.Series
    fields: pl.DataFrame
    rejects: list[Reject]


def decode(chunks: Iterable[bytes], *, max_line_bytes: int = MAX_LINE_BYTES) -> Iterator[Records]:
    """Decode a stream of JSON objects: one a line, in an array, or one after the other.

    Frames have at most 8,192 rows. Refused with a reason: what is no JSON object, a line over
    `max_line_bytes`, nesting over 32. Beyond 2,000 keys in a batch, the rarest go as JSON text into
    the field `_more`. Broken UTF-8, lone surrogates and NUL become U+FFFD: a byte of an attacker
    must not hide an event.
    """
    for block in json_blocks(chunks, max_line_bytes=max_line_bytes):
        yield from decode_block(block)


def decode_block(block: Block) -> Iterator[Records]:
    """Decode a block that has one JSON object a line."""
    nul = b"\\u0000" in block.text
    known = columns_of(block.text, block.lines, FLAT_DEPTH, MAX_KEYS)
    if known is not None and not block.rejects and known.height * known.width <= _MAX_CELLS:
        places = np.arange(block.position, block.position + block.lines, dtype=np.int64)
        yield Records(pl.Series("position", places), _without_nul(known) if nul else known, [])
        return
    position, rows, rejects = _objects(block)
    yield from _records(position, rows, block.rejects + rejects, nul=nul)


def split(chunks: Iterable[bytes], max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Cut a stream of JSON objects into NDJSON messages: (number of the first object, bytes).

    A line over the limit travels as its first 64 KiB, which `decode` then refuses.
    """
    for block in json_blocks(chunks, max_bytes=max_bytes):
        yield block.position, with_heads(block)


def json_blocks(
    chunks: Iterable[bytes], *, max_bytes: int = 24 << 20, max_line_bytes: int = MAX_LINE_BYTES
) -> Iterator[Block]:
    """Give blocks with one JSON document a line, whatever the layout of the stream."""
    stream = utf8(chunks)
    head = b""
    for piece in stream:
        head += piece
        if len(head) >= 4096:
            break
    stream = chain((head,), stream)
    if is_ndjson(head[:4096]):
        yield from blocks(stream, max_bytes=max_bytes, max_line_bytes=max_line_bytes)
        return
    documents = _documents(stream, max_line_bytes)
    yield from blocks(documents, max_bytes=max_bytes, max_line_bytes=max_line_bytes)


def is_ndjson(head: bytes) -> bool:
    """Answer whether a stream that begins so has one document a line."""
    text = head.lstrip()
    if text.startswith(b"["):
        return False
    lines = text.split(b"\n", 2)
    first = lines[0].rstrip()
    if first == b"{":
        return False
    wrapped = len(lines) > 1 and lines[1][:1] in b' \t"}' and lines[1][:1] != b""
    return not (first[:1] == b"{" and not first.endswith(b"}") and wrapped)


def _documents(chunks: Iterable[bytes], max_bytes: int) -> Iterator[bytes]:
    """Give each top-level object as one line; brackets of an enclosing array are passed over."""
    kept = bytearray()
    start, at, depth = -1, 0, 0
    for piece in pieces_of(chunks):
        kept += piece
        while found := _TO_BRACKET.match(kept, at):
            at = found.end()
            if found[1] in b"{[" and (depth or found[1] == b"{"):
                start = at - 1 if depth == 0 else start
                depth += 1
            elif found[1] in b"}]" and depth:
                depth -= 1
                if depth == 0:
                    yield _one_line(kept[start:at])
                    start = -1
        done = at if start < 0 else start
        del kept[:done]
        at, start = at - done, -1 if start < 0 else 0
        if len(kept) > max_bytes:
            # Too long, or a quote that never closes: hand it on as one bad line and find the next.
            next_at = kept.find(b"\n{", 1)
            end = len(kept) if next_at < 0 else next_at
            yield _one_line(kept[:end])
            del kept[:end]
            start, at, depth = -1, 0, 0
    if kept.strip(b" \t\r\n,]"):
        yield _one_line(kept)


def _one_line(document: bytearray) -> bytes:
    return bytes(document).replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"


def _objects(block: Block) -> tuple[npt.NDArray[np.int64], list[dict[str, Any]], list[Reject]]:
    """Decode the block's lines: at once, or where that fails in halves down to the bad lines."""
    rows: list[dict[str, Any]] = []
    places: list[npt.NDArray[np.int64]] = []
    rejects: list[Reject] = []
    found = _fast(block.text)
    if found is not None and len(found) == block.lines:
        return np.arange(block.position, block.position + block.lines), found, rejects
    lines = block.text.split(b"\n")[: block.lines]
    todo = [(0, block.lines)]
    while todo:
        low, high = todo.pop()
        part = [n for n in range(low, high) if lines[n] and not lines[n].isspace()]
        found = _fast(b"\n".join(lines[n] for n in part)) if part else []
        if found is not None and len(found) == len(part):
            rows += found
            places.append(np.asarray(part, np.int64) + block.position)
        elif len(part) > 1:
            middle = (low + high) // 2
            todo += [(middle, high), (low, middle)]
        else:
            one = _slow(lines[part[0]])
            if isinstance(one, str):
                raw = lines[part[0]][:RAW_BYTES]
                rejects.append(Reject(block.position + part[0], one, raw))
            else:
                rows.append(one)
                places.append(np.asarray(part, np.int64) + block.position)
    return np.concatenate(places) if places else np.empty(0, np.int64), rows, rejects


def _fast(text: bytes) -> list[dict[str, Any]] | None:
    try:
        rows = _FAST.decode_lines(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return rows if set(map(type, rows)) <= {dict} else None


def _slow(line: bytes) -> dict[str, Any] | str:
    """Decode one line that the fast decoder refused; give the object, or the reason against it."""
    text = line.rstrip(b"\r\n, \t").decode("utf-8", "replace").lstrip("\ufeff")
    try:
        found = json.loads(text, parse_float=str, parse_int=str, strict=False)
    except RecursionError:
        return f"nested deeper than {MAX_DEPTH}"
    except ValueError as wrong:
        return f"not JSON: {str(wrong)[:200]}"
    if not isinstance(found, dict):
        return f"JSON {type(found).__name__}, not an object"
    return found


def _whole(value: Any) -> Any:  # noqa: ANN401  any JSON value
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, dict):
        return {_whole(k): _whole(v) for k, v in value.items()}
    return [_whole(v) for v in value] if isinstance(value, list) else value


def _records(
    position: npt.NDArray[np.int64], rows: list[dict[str, Any]], rejects: list[Reject], *, nul: bool
) -> Iterator[Records]:
    if not all(rows):
        bare = [n for n, row in enumerate(rows) if not row]
        rejects += [Reject(int(position[n]), "object without a field", b"{}") for n in bare]
        keep = [n for n, row in enumerate(rows) if row]
        position, rows = position[keep], [rows[n] for n in keep]
    parts: _Parts = {}
    deep: set[int] = set()
    _collect("", np.arange(len(rows), dtype=np.uint32), rows, 1, parts, deep)
    if deep:
        bad = sorted(deep)
        raws = (json.dumps(rows[n], default=str)[:RAW_BYTES].encode() for n in bad)
        reason = f"nested deeper than {MAX_DEPTH}"
        rejects += [Reject(int(position[n]), reason, raw) for n, raw in zip(bad, raws, strict=True)]
        keep = [n for n in range(len(rows)) if n not in deep]
        yield from _records(position[keep], [rows[n] for n in keep], rejects, nul=nul)
        return
    if len(rows) > 1 and len(rows) * min(len(parts), MAX_KEYS) > _MAX_CELLS:
        half = len(rows) // 2
        yield from _records(position[:half], rows[:half], rejects, nul=nul)
        yield from _records(position[half:], rows[half:], [], nul=nul)
        return
    try:
        fields = _frame(_capped(parts), len(rows))
    except UnicodeEncodeError:  # lone surrogates, which JSON may escape and UTF-8 cannot hold
        yield from _records(position, [_whole(row) for row in rows], rejects, nul=nul)
        return
    if nul:
        fields = _without_nul(fields)
    yield Records(pl.Series("position", position, dtype=pl.Int64), fields, rejects)


def _without_nul(fields: pl.DataFrame) -> pl.DataFrame:
    return fields.with_columns(pl.all().str.replace_all("\0", "\ufffd", literal=True))


def _collect(
    prefix: str,
    place: _Rows,
    rows: list[dict[str, Any]],
    depth: int,
    parts: _Parts,
    deep: set[int],
) -> None:
    """Transpose rows shape by shape into `parts`: field -> [(row numbers, values)]."""
    shapes: dict[tuple[str, ...], list[int]] = {}
    for n, shape in enumerate(map(tuple, rows)):
        shapes.setdefault(shape, []).append(n)
    for shape, members in shapes.items():
        mine = place[members]
        columns = zip(*map(dict.values, map(rows.__getitem__, members)), strict=True)
        for key, values in zip(shape, columns, strict=False):
            kinds = set(map(type, values))
            if dict in kinds and depth < FLAT_DEPTH:
                inner = [n for n, v in enumerate(values) if type(v) is dict]
                nested = [values[n] for n in inner]
                _collect(f"{prefix}{key}.", mine[inner], nested, depth + 1, parts, deep)
                if kinds == {dict}:
                    continue
                values = tuple(None if type(v) is dict else v for v in values)
            texts = _texts(values, kinds, mine, deep)
            parts.setdefault(prefix + key, []).append((mine, texts))


def _texts(
    values: tuple[Any, ...], kinds: set[type], rows: _Rows, deep: set[int]
) -> list[str | None]:
    if kinds <= _PLAIN:
        return list(values)
    if kinds == {int}:
        return list(map(str, values))
    if kinds == {bool}:
        return list(map(_TEXT.__getitem__, values))
    if kinds == {list}:
        with suppress(TypeError):
            return list(map("\n".join, values))
    out: list[str | None] = []
    for row, value in zip(rows.tolist(), values, strict=True):
        if isinstance(value, dict | list) and _depth(value) > MAX_DEPTH - FLAT_DEPTH:
            deep.add(row)
            out.append(None)
        else:
            out.append(_text(value))
    return out


def _text(value: Any) -> str | None:  # noqa: ANN401  any JSON value
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return _TEXT[value]
    if isinstance(value, list) and all(type(v) is not dict and type(v) is not list for v in value):
        return "\n".join(_text(v) or "" for v in value)
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return str(value)


def _depth(value: Any) -> int:  # noqa: ANN401  any JSON value
    """Count the levels of a decoded value without recursion."""
    level, here = 0, [value]
    while here and level <= MAX_DEPTH:
        level += 1
        inner = (v.values() if isinstance(v, dict) else v for v in here)
        here = [v for v in chain.from_iterable(inner) if isinstance(v, dict | list)]
    return level


def _capped(parts: _Parts) -> _Parts:
    if len(parts) <= MAX_KEYS:
        return parts
    by_use = sorted(parts, key=lambda k: -sum(len(p[0]) for p in parts[k]))
    rare = by_use[MAX_KEYS - 1 :]
    more: dict[int, dict[str, str]] = {}
    for key in rare:
        for rows, values in parts[key]:
            for row, value in zip(rows.tolist(), values, strict=True):
                if value is not None:
                    more.setdefault(row, {})[key] = value
    kept = {key: parts[key] for key in by_use[: MAX_KEYS - 1]}
    texts: list[str | None] = [json.dumps(v, ensure_ascii=False) for v in more.values()]
    kept[MORE] = [(np.fromiter(more, np.uint32, len(more)), texts)]
    return kept


def _frame(parts: Mapping[str, list[tuple[_Rows, list[str | None]]]], height: int) -> pl.DataFrame:
    """Lay the parts side by side; fields that occur in the same rows are placed together."""
    together: dict[tuple[int, ...], list[str]] = {}
    for key, pieces in parts.items():
        together.setdefault(tuple(id(rows) for rows, _ in pieces), []).append(key)
    columns: list[pl.Series] = []
    for keys in together.values():
        rows = np.concatenate([rows for rows, _ in parts[keys[0]]])
        # A null after the values is what the rows without the field point at.
        last: list[str | None] = [None]
        dense = pl.DataFrame(
            [
                pl.Series(k, list(chain.from_iterable(v for _, v in parts[k])) + last, pl.String)
                for k in keys
            ]
        )
        where = np.full(height, len(rows), np.uint32)
        where[rows] = np.arange(len(rows), dtype=np.uint32)
        columns += dense[where].get_columns()
    return pl.DataFrame(columns)
