"""Read the Linux audit log: each record an event, completed by the other records of its event.

Lines are `type=... msg=audit(SECONDS.MILLIS:SERIAL): key=value ...`, raw or enriched (names after
a 0x1D byte), with or without `node=`. Records with one id at most 64 lines apart are one audit
event: an EXECVE record gets its program, user and directory from the SYSCALL and CWD records
beside it. SYSCALL, EXECVE, PATH, SOCKADDR and user records are events of their own, so that a
rule's `type: PATH` meets that record's own fields; CWD, PROCTITLE and EOE only complete others.
Hex is decoded where the kernel writes untrusted text so. `position` is the line number.
"""

import ipaddress
import re
from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
import polars as pl

from pipelines.parsers import Parsed, Reject
from pipelines.parsers._audit_records import EVENT, meaning, with_context, with_syscall_name
from pipelines.parsers._lines import Block, blocks, utf8, with_heads
from pipelines.parsers._text import (
    MAX_ROWS,
    finish,
    groups,
    parsed,
    pivot_pairs,
    read_lines,
    refuse,
)
from storage.schema import COLUMNS, UNMAPPED
from storage.schema.columns import TIME

FORMAT: Final = "auditd"
NEAR: Final = 64
"""Lines between two records of one event, at most."""

_LINE: Final = (
    r"^(?:node=(\S+) )?type=(\S+) msg=audit\((\d{1,11})\.(\d{1,3}):(\d{1,18})\):\s?(?s:(.*))$"
)
_COLUMNS: Final = ("node", "type", "seconds", "millis", "serial", "body")
_PAIR: Final = r"""[A-Za-z0-9_\-\[\]]+=(?:"[^"]*"|[^\s'"][^\s]*)"""
_HEAD: Final = re.compile(rb"^(node=\S+ )?type=\S+ msg=audit\(\d+\.\d+:\d+\):", re.MULTILINE)
_HEX: Final = r"^(?:[0-9A-Fa-f]{2})+$"
# Names that the frame needs for itself: a record's own field of that name is set aside.
_TAKEN: Final = (
    *(c.name for c in COLUMNS),
    *("line", "cmd_line", "saddr_ip", "saddr_port", "folded", "starts", "event", "node", "serial"),
)
_TEXT_KEYS: Final = (
    *("acct", "cmd", "comm", "cwd", "data", "exe", "key", "name", "path", "proctitle"),
)


def matches(head: bytes) -> float:
    """Be sure of lines that begin with an audit record's type and id."""
    lines = [line for line in head.split(b"\n")[:20] if line.strip()]
    found = sum(_HEAD.match(line) is not None for line in lines)
    return 0.99 * found / len(lines) if lines else 0.0


def parse(chunks: Iterable[bytes]) -> Iterator[Parsed]:
    """Give an event a record, in the order of the lines."""
    for piece in _pieces(chunks, 4 << 20):
        rejects = list(piece.rejects)
        for lines in read_lines([piece.text]):
            frame = lines.frame.with_columns(pl.col("position") + piece.position)
            rejects += [r._replace(position=r.position + piece.position) for r in lines.rejects]
            yield parsed(_events(frame, rejects), rejects)
            rejects = []


def split(chunks: Iterable[bytes], max_bytes: int) -> Iterator[tuple[int, bytes]]:
    """Cut between audit events, never within one: (number of the first line, bytes)."""
    for piece in _pieces(chunks, max_bytes):
        yield piece.position, with_heads(piece)


def _pieces(chunks: Iterable[bytes], max_bytes: int) -> Iterator[Block]:
    """Give whole lines cut where no event has records within 64 lines on both sides.

    Where 8,192 lines have no such place (no kernel writes so), the cut is made anyway.
    """
    kept, first, rejects = b"", 0, list[Reject]()
    for block in blocks(utf8(chunks), max_lines=MAX_ROWS // 2, max_bytes=max(max_bytes, 1)):
        kept += block.text
        rejects += block.rejects
        count = kept.count(b"\n")
        cut = _last_cut(kept, count)
        if cut == 0 and count > MAX_ROWS // 2:
            cut = count
        if cut and kept.endswith(b"\n"):
            lines = kept.split(b"\n", cut)
            text = kept[: len(kept) - len(lines[-1])]
            mine = [r for r in rejects if r.position < first + cut]
            yield Block(first, text, cut, mine)
            kept, first, rejects = lines[-1], first + cut, rejects[len(mine) :]
    if kept:
        yield Block(first, kept, kept.count(b"\n") + (not kept.endswith(b"\n")), rejects)


def _last_cut(text: bytes, count: int) -> int:
    """Find the last place (lines before it) that surely parts no event, 0 if there is none."""
    if count <= NEAR:
        return 0
    lines = pl.Series("line", [text.decode("utf-8", "replace")]).str.split("\n").explode()
    frame = (
        lines.head(count)
        .to_frame()
        .select(
            pl.int_range(count).alias("at"),
            pl.col("line").str.extract(r"^([^(]*msg=audit\([^)]*\))").alias("id"),
        )
    )
    id_ = pl.col("id").str.replace(r"type=\S+ ", "")
    frame = frame.drop_nulls("id").with_columns(pl.col("at").shift(-1).over(id_).alias("next"))
    frame = frame.filter(pl.col("next") - pl.col("at") <= NEAR)
    steps = np.zeros(count + 1, np.int64)
    np.add.at(steps, frame["at"].to_numpy() + 1, 1)
    np.add.at(steps, frame["next"].to_numpy() + 1, -1)
    is_open = np.cumsum(steps)[: count - NEAR + 1]
    free = np.flatnonzero(is_open == 0)
    return int(free[-1]) if len(free) else 0


def _events(lines: pl.DataFrame, rejects: list[Reject]) -> pl.DataFrame:
    frame = lines.with_columns(groups("line", _LINE, _COLUMNS))
    frame = refuse(frame, pl.col("type").is_null(), "no audit record header", rejects)
    us = pl.col("seconds").cast(pl.Int64) * 1_000_000 + pl.col("millis").cast(pl.Int64) * 1000
    key = pl.concat_str(pl.col("node").fill_null(""), "seconds", "millis", "serial", separator="/")
    gap = pl.col("position") - pl.col("position").shift(1).over(key) > NEAR
    run = gap.fill_null(value=False).cast(pl.Int32).cum_sum().over(key)
    frame = frame.with_columns(
        us.cast(TIME).alias("time"), pl.concat_str(key, pl.lit("#"), run).alias(EVENT)
    )
    pairs = _pairs(frame)
    head = frame.select("position", "time", "type", "serial", "node", EVENT, "line")
    if not pairs.is_empty():
        wide = pivot_pairs(pairs)
        taken = [n for n in wide.columns if n in head.columns and n != "position"]
        head = head.join(wide.drop(taken), on="position", how="left", maintain_order="left")
        args = _command_lines(pairs)
        head = head.join(args, on="position", how="left", maintain_order="left")
    own = [
        n for n in head.columns if n not in ("position", "time", EVENT, "line", "node", "cmd_line")
    ]
    frame = meaning(_with_address(with_context(with_syscall_name(head))))
    names = dict.fromkeys([*own, *(["SYSCALL"] if "SYSCALL" in frame.columns else [])])
    frame = frame.with_columns(
        *(pl.col(name).alias(UNMAPPED + name) for name in names),
        pl.col("type").alias("metadata.event_code"),
        pl.lit("auditd").alias("metadata.log_name"),
        pl.col("node").alias("device.hostname"),
        pl.col("line").alias("raw_data"),
    )
    return finish(frame, FORMAT, "linux")


def _pairs(frame: pl.DataFrame) -> pl.DataFrame:
    """Give `position`, `key`, `value` with quotes taken off and hex decoded."""
    body = pl.col("body").str.replace_all("\x1d", " ", literal=True)
    body = body.str.replace(r"msg='(.*)'", "${1} ")
    pairs = frame.select("position", "type", body.str.extract_all(_PAIR).alias("pair"))
    pairs = pairs.explode("pair").drop_nulls("pair")
    cells = pl.col("pair").str.splitn("=", 2)
    pairs = pairs.select(
        "position",
        "type",
        cells.struct[0].replace({name: f"own.{name}" for name in _TAKEN}).alias("key"),
        cells.struct[1].alias("value"),
    )
    is_text = pl.col("key").is_in(_TEXT_KEYS)
    is_argument = (pl.col("type") == "EXECVE") & pl.col("key").str.contains(r"^a\d+(\[\d+\])?$")
    is_hex = (is_text | is_argument) & pl.col("value").str.contains(_HEX)
    encoded = pl.when(is_hex).then(pl.col("value"))
    plain = encoded.str.decode("hex", strict=False).cast(pl.String, strict=False)
    plain = plain.str.strip_chars_end("\0").str.replace_all("\0", " ", literal=True)
    plain = plain.str.replace_all("\x01", ",", literal=True)
    value = pl.coalesce(plain, pl.col("value").str.strip_chars('"'))
    pairs = pairs.with_columns(pl.when(value != "(null)").then(value).alias("value"))
    return _joined_arguments(pairs.drop_nulls("value"))


def _joined_arguments(pairs: pl.DataFrame) -> pl.DataFrame:
    """Put arguments back together that the kernel wrote in parts: a1[0], a1[1] are a1."""
    is_part = pl.col("key").str.contains(r"^a\d+\[\d+\]$")
    parts = pairs.filter(is_part)
    if parts.is_empty():
        return pairs
    whole = parts.group_by("position", pl.col("key").str.replace(r"\[.*", ""), maintain_order=True)
    joined = whole.agg(pl.col("type").first(), pl.col("value").str.join(""))
    return pl.concat([pairs.filter(~is_part), joined.select(pairs.columns)])


def _command_lines(pairs: pl.DataFrame) -> pl.DataFrame:
    """Give `position`, `cmd_line` of EXECVE records: their arguments in order."""
    number = pl.col("key").str.extract(r"^a(\d+)$").cast(pl.Int32, strict=False)
    mine = pairs.with_columns(number.alias("n")).drop_nulls("n").filter(pl.col("type") == "EXECVE")
    lines = mine.sort("position", "n").group_by("position", maintain_order=True)
    return lines.agg(pl.col("value").str.join(" ").alias("cmd_line"))


def _with_address(frame: pl.DataFrame) -> pl.DataFrame:
    """Decode `saddr`, the bytes of a struct sockaddr; only distinct ones are looked at."""
    if "saddr" not in frame.columns:
        return frame
    known = frame["saddr"].drop_nulls().unique().to_list()
    ends = {text: _address(text) for text in known}
    saddr = pl.col("saddr")
    return frame.with_columns(
        saddr.replace_strict(
            {t: e[0] for t, e in ends.items()}, default=None, return_dtype=pl.String
        ).alias("saddr_ip"),
        saddr.replace_strict(
            {t: e[1] for t, e in ends.items()}, default=None, return_dtype=pl.Int32
        ).alias("saddr_port"),
    )


def _address(text: str) -> tuple[str | None, int | None]:
    """Read family, port and address.

    >>> _address("020000350808080800000000")
    ('8.8.8.8', 53)
    """
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        return None, None
    family, port = int.from_bytes(raw[:2], "little"), int.from_bytes(raw[2:4], "big")
    if family == 2 and len(raw) >= 8:
        return str(ipaddress.IPv4Address(raw[4:8])), port
    if family == 10 and len(raw) >= 24:
        return str(ipaddress.IPv6Address(raw[8:24])), port
    return None, None
