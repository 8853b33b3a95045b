"""Read Zeek's tab-separated logs by their own headers (`#separator`, `#fields`, `#path`, ...).

Logs may follow each other in one stream, and a rotated file may lack `#close`. `position` counts
data lines, not headers, so that a message that repeats its header keeps the places. A data line
with another number of fields than its header names is refused, as is one before any header.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import polars as pl

from pipelines.parsers import Parsed, Reject
from pipelines.parsers._lines import blocks, utf8
from pipelines.parsers._text import MAX_BLOCK_BYTES, MAX_ROWS, lines_of, parsed, refuse
from pipelines.parsers._zeek import normalise
from storage.schema.columns import TIME

FORMAT: Final = "zeek_tsv"
MAX_FIELDS: Final = 1024
MAX_HEADERS: Final = 64
"""Different headers read within 8,192 lines; real streams have a handful."""

_HEX: Final = re.compile(r"(?:\\x[0-9a-fA-F]{2})+")


@dataclass(frozen=True, slots=True)
class Header:
    """Hold what the lines beginning with '#' said; a new `#separator` begins a new header."""

    separator: str = "\t"
    set_separator: str = ","
    empty: str = "(empty)"
    unset: str = "-"
    path: str | None = None
    fields: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def matches(head: bytes) -> float:
    r"""Be sure of `#separator \x09`, nearly so of `#fields`.

    >>> matches(b"#separator \\x09\n")
    1.0
    """
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"#separator"):
        return 1.0
    return 0.9 if text.startswith(b"#") and b"\n#fields" in b"\n" + text else 0.0


def parse(chunks: Iterable[bytes]) -> Iterator[Parsed]:
    """Give a frame for each block of lines; lines under equal headers are read together."""
    header, first = Header(), 0
    for block in blocks(utf8(chunks), max_lines=MAX_ROWS, max_bytes=MAX_BLOCK_BYTES):
        lines, rejects = lines_of(block)
        lost = pl.DataFrame(
            {"position": [r.position for r in rejects], "lost": range(len(rejects))},
            schema={"position": pl.Int64, "lost": pl.Int64},
        )
        lines = pl.concat([lines, lost], how="diagonal").sort("position")
        headers, header, rows = _under_headers(lines, header)
        rows = rows.with_columns(pl.int_range(first, first + rows.height).alias("position"))
        first += rows.height
        gone = rows.filter(pl.col("lost").is_not_null()).select("position", "lost").rows()
        bad = [rejects[n]._replace(position=place) for place, n in gone]
        rows = rows.filter(pl.col("lost").is_null())
        yield parsed(_frame(rows, headers, bad), bad)


def _under_headers(
    lines: pl.DataFrame, header: Header
) -> tuple[list[Header], Header, pl.DataFrame]:
    """Tell which header each data line stands under, as `header`: an index into the list."""
    is_head = pl.col("line").str.starts_with("#").fill_null(value=False)
    lines = lines.with_columns(is_head.alias("head"), is_head.cum_sum().alias("heads"))
    seen = [header]
    for line in lines.filter(pl.col("head"))["line"].to_list():
        seen.append(_read_head(seen[-1], line))
    numbers: dict[Header, int] = {}
    rows = lines.filter(~pl.col("head"))
    places = rows["heads"].unique(maintain_order=True).to_list()
    used = {n: numbers.setdefault(seen[n], len(numbers)) for n in places}
    which = pl.col("heads").replace_strict(used, return_dtype=pl.Int64).alias("header")
    rows = rows.with_columns(which) if used else rows.with_columns(pl.lit(0).alias("header"))
    return list(numbers), seen[-1], rows


def _frame(rows: pl.DataFrame, headers: list[Header], rejects: list[Reject]) -> pl.DataFrame:
    frames = [_section(rows.clear(), Header(), rejects)]
    for number, header in enumerate(headers[:MAX_HEADERS]):
        frames.append(_section(rows.filter(pl.col("header") == number), header, rejects))
    refuse(rows, pl.col("header") >= MAX_HEADERS, "too many different headers nearby", rejects)
    return pl.concat(frames, how="diagonal").sort("position")


def split(chunks: Iterable[bytes], max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Cut into messages that repeat the header in force: (number of first data line, bytes)."""
    header, first = Header(), 0
    for block in blocks(utf8(chunks), max_lines=MAX_ROWS, max_bytes=max(max_bytes, 1)):
        before = "".join(f"{line}\n" for line in header.lines).encode()
        count = 0
        for line in block.text.split(b"\n"):
            if line.startswith(b"#"):
                header = _read_head(header, line.decode("utf-8", "replace").rstrip("\r"))
            elif line.strip():
                count += 1
        yield first, before + block.text
        first += count


def _read_head(header: Header, line: str) -> Header:
    if line.startswith("#separator"):
        text = line[len("#separator") :].strip()
        separator = _unescaped(text) if text.startswith("\\x") else text
        return Header(separator=separator or "\t", lines=(line,))
    name, _, rest = line.partition(header.separator)
    if name == "#fields":
        fields = tuple(rest.split(header.separator))[:MAX_FIELDS]
        header = replace(header, fields=tuple(dict.fromkeys(fields)))
    elif name == "#path":
        header = replace(header, path=rest)
    elif name == "#set_separator":
        header = replace(header, set_separator=rest or ",")
    elif name == "#empty_field":
        header = replace(header, empty=rest)
    elif name == "#unset_field":
        header = replace(header, unset=rest)
    elif name == "#types":
        header = replace(header, types=tuple(rest.split(header.separator)))
    else:
        return header
    kept = tuple(known for known in header.lines if known.split(header.separator)[0] != name)
    return replace(header, lines=(*kept, line)[-16:])


def _section(lines: pl.DataFrame, header: Header, rejects: list[Reject]) -> pl.DataFrame:
    width = len(header.fields)
    if width < 2:
        lines = refuse(lines, pl.lit(value=True), "no #fields header before this line", rejects)
        nothing = lines.clear()
        return nothing.select(
            "position",
            pl.lit(None, TIME).alias("time"),
            pl.lit(0, pl.Int32).alias("class_uid"),
        )
    found = pl.col("line").str.count_matches(header.separator, literal=True) + 1
    lines = refuse(lines, found != width, f"not the {width} fields of the header", rejects)
    cells = pl.col("line").str.split_exact(header.separator, width - 1)
    fields = lines.select(cells.struct.rename_fields(list(header.fields))).unnest("line")
    value = pl.when(pl.all() != header.unset).then(pl.all().replace({header.empty: ""}))
    fields = _plain(fields.select(value))
    for name in {"answers", "rcptto", "tx_hosts", "rx_hosts"} & set(header.fields):
        fields = fields.with_columns(
            pl.col(name).str.replace_all(header.set_separator, "\n", literal=True)
        )
    flags = [n for n, t in zip(header.fields, header.types, strict=False) if t == "bool"]
    fields = fields.with_columns(pl.col(flags).replace({"T": "true", "F": "false"}))
    path = pl.Series("path", [header.path], dtype=pl.String).new_from_index(0, lines.height)
    return normalise(lines["position"], fields, path, FORMAT)


def _plain(fields: pl.DataFrame) -> pl.DataFrame:
    r"""Undo Zeek's \xHH escapes; they are rare, so only the distinct ones are looked at."""
    marked = fields.select(pl.all().str.contains("\\x", literal=True).any())
    names = [name for name, found in zip(marked.columns, marked.row(0), strict=True) if found]
    for name in names:
        runs = fields[name].str.extract_all(_HEX.pattern).explode().drop_nulls().unique()
        known = sorted(runs.to_list(), key=len, reverse=True)
        plain = [_unescaped(run) for run in known]
        fields = fields.with_columns(pl.col(name).str.replace_many(known, plain, leftmost=True))
    return fields


def _unescaped(text: str) -> str:
    def plain(found: re.Match[str]) -> str:
        raw = bytes.fromhex(found[0].replace("\\x", ""))
        return raw.decode("utf-8", "replace").replace("\0", "\ufffd")

    return _HEX.sub(plain, text)
