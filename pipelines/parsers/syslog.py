"""Read syslog lines: RFC 5424, RFC 3164, and the files that rsyslog and syslog-ng write.

RFC 3164 has no year and this parser has no clock: `time` stays null, `unmapped.timestamp` keeps
the text, and `resolve_times` finds the year once the time of arrival is known. Structured data
becomes `unmapped.<SD-ID>.<name>`. Known programs (sshd, sudo, su, cron, iptables, useradd, ...)
get a class of their own, everything else is a base event with `message`. Continuation lines,
which have no header, are refused.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl

from pipelines.parsers import Parsed, Reject
from pipelines.parsers._text import finish, groups, parsed, pivot_pairs, read_lines, refuse
from pipelines.parsers._unix_programs import read_sayings
from storage.schema.columns import TIME

FORMAT: Final = "syslog"

_SD: Final = r'(?:\[[^\s\]="]+(?: [^\s=\]"]+="(?:[^"\\]|\\.)*")*\])+'
_RFC5424: Final = (
    r"^<(\d{1,3})>[1-9]\d? (\S+) (\S+) (\S+) (\S+) (\S+) (-|"
    + _SD
    + r")(?: (?:\x{feff})?(?s:(.*)))?$"
)
_ISO: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:?\d\d)"
_RFC3164: Final = (
    r"^(?:<(\d{1,3})>)?((?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ \d]\d \d\d:\d\d:\d\d|"
    + _ISO
    + r") (\S+) (?:([^\s:\[]+)(?:\[([^\]\s]*)\])?: ?)?(?s:(.*))$"
)
_HEADER: Final = (
    "unmapped.pri",
    "unmapped.timestamp",
    "device.hostname",
    "metadata.log_provider",
    "unmapped.pid",
)
_SD_ELEMENT: Final = r'\[([^\s\]="]+)((?: [^\s=\]"]+="(?:[^"\\]|\\.)*")*)\]'
_SD_PARAM: Final = r'([^\s=\]"]+)="((?:[^"\\]|\\.)*)"'
# fmt: off
_FACILITIES: Final = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news",
    "uucp", "cron", "authpriv", "ftp", "ntp", "audit", "alert", "clock",
    "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
]
# fmt: on
_SEVERITIES: Final = (6, 5, 5, 4, 3, 1, 1, 1)
"""OCSF severity of syslog's emergency .. debug."""

_HEAD_5424: Final = re.compile(rb"^<\d{1,3}>[1-9]\d? (-|\d{4}-\d\d-\d\dT\S+) \S+ \S+ \S+ \S+ [-\[]")
_HEAD_3164: Final = re.compile(
    rb"^(<\d{1,3}>)?([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*) \S+ "
)


def matches(head: bytes) -> float:
    """Count how many of the first 20 lines have a syslog header; CEF inside is CEF's."""
    lines = [line for line in head.removeprefix(b"\xef\xbb\xbf").split(b"\n")[:20] if line.strip()]
    if not lines:
        return 0.0
    found = sum(bool(_HEAD_5424.match(line) or _HEAD_3164.match(line)) for line in lines)
    return 0.9 * found / len(lines)


def parse(chunks: Iterable[bytes]) -> Iterator[Parsed]:
    """Read one line as one event; `position` is the line number."""
    for block in read_lines(chunks):
        rejects = list(block.rejects)
        yield parsed(_events(block.frame, rejects), rejects)


def resolve_times(frame: pl.DataFrame, ingested_us: int) -> pl.DataFrame:
    """Give `time` to rows that only know month, day and clock (read as UTC).

    The year is the latest that puts the event no more than a day after `ingested_us` (UTC µs).
    """
    if "unmapped.timestamp" not in frame.columns:
        return frame
    latest = pl.lit(ingested_us + 86_400_000_000).cast(TIME)
    # Only the year is wanted: civil-from-days arithmetic without touching a clock.
    this_year = pl.select(pl.lit(ingested_us + 86_400_000_000).cast(TIME).dt.year()).item()
    tries = []
    for year in range(this_year, this_year - 9, -1):
        text = pl.lit(f"{year} ") + pl.col("unmapped.timestamp")
        when = text.str.to_datetime("%Y %b %e %H:%M:%S", strict=False, time_unit="us")
        when = when.dt.replace_time_zone("UTC")
        tries.append(pl.when(when <= latest).then(when))
    return frame.with_columns(pl.coalesce("time", *tries).alias("time"))


def _events(lines: pl.DataFrame, rejects: list[Reject]) -> pl.DataFrame:
    new = lines.filter(pl.col("line").str.contains(_RFC5424)).with_columns(
        groups("line", _RFC5424, (*_HEADER, "metadata.event_code", "sd", "message"))
    )
    rest = lines.join(new.select("position"), on="position", how="anti", maintain_order="left")
    rest = rest.with_columns(groups("line", _RFC3164, (*_HEADER, "message")))
    rest = refuse(
        rest, pl.col("unmapped.timestamp").is_null(), "no syslog header (RFC 3164 or 5424)", rejects
    )
    frame = pl.concat([new, rest], how="diagonal").sort("position")
    pri = pl.col("unmapped.pri").cast(pl.Int32)
    frame = refuse(frame, pri > 191, "priority is over 191", rejects)
    frame = frame.with_columns(
        _iso_time(pl.col("unmapped.timestamp")).alias("time"),
        pl.col("message").str.strip_chars_start(" "),
        (pri // 8)
        .replace_strict(dict(enumerate(_FACILITIES)), default=None)
        .alias("metadata.log_name"),
        (pri % 8).replace_strict(dict(enumerate(_SEVERITIES)), default=None).alias("severity_id"),
        *(
            pl.when(pl.col(name) != "-").then(name).alias(name)
            for name in (*_HEADER[1:], "metadata.event_code")
        ),
        pl.col("line").alias("raw_data"),
    )
    frame = read_sayings(frame)
    return finish(_with_structured_data(frame), FORMAT, "linux")


def _iso_time(text: pl.Expr) -> pl.Expr:
    zoned = text.str.replace("Z$", "+0000").str.replace(r"([+-]\d\d):(\d\d)$", "$1$2")
    when = zoned.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f%z", strict=False, time_unit="us")
    return when.dt.convert_time_zone("UTC")


def _with_structured_data(frame: pl.DataFrame) -> pl.DataFrame:
    elements = (
        frame.select("position", pl.col("sd").str.extract_all(_SD_ELEMENT))
        .explode("sd")
        .with_columns(groups("sd", _SD_ELEMENT, ("id", "params")))
        .with_columns(pl.col("params").str.extract_all(_SD_PARAM))
        .explode("params")
        .drop_nulls("params")
    )
    if elements.is_empty():
        return frame
    name, value = groups("params", _SD_PARAM, ("name", "value"))
    pairs = elements.select(
        "position",
        pl.concat_str(pl.lit("unmapped."), "id", pl.lit("."), name).alias("key"),
        value.str.replace_all(r'\\(["\\\]])', "$1"),
    )
    wide = pivot_pairs(pairs, "unmapped.")
    known = [
        column for column in wide.columns if column not in frame.columns or column == "position"
    ]
    return frame.join(wide.select(known), on="position", how="left", maintain_order="left")
