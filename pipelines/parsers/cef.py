r"""Read ArcSight Common Event Format, bare or inside syslog, one event a line.

Source: "Implementing ArcSight Common Event Format (CEF)", version 26. In the header `\|` and `\\`
are escapes, in the extension `\=`, `\\`, `\n` and `\r`. Extension keys stay addressable as
`unmapped.<key>`; the well-known ones also fill OCSF columns. Without `rt`, `start` or `end` the
time is the syslog header's where it has a year, else null. The device that reports (`dvchost`, the
syslog header) is the host only where nothing on the wire says otherwise: of traffic and alerts it
is the sensor, kept as `unmapped.dvchost` and `unmapped.syslog_host`.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl

from pipelines.parsers import Parsed, Reject
from pipelines.parsers._text import finish, groups, parsed, pivot_pairs, read_lines, refuse
from pipelines.parsers._time import parse_times
from storage.schema import UNMAPPED

FORMAT: Final = "cef"

_PART: Final = r"((?:[^|\\]|\\.)*)\|"
_HEADER: Final = r"^(.*?)CEF:\s?([01])\|" + _PART * 6 + r"(?s:(.*))$"
_COLUMNS: Final = (
    "prefix",
    "unmapped.cef_version",
    "unmapped.device_vendor",
    "unmapped.device_product",
    "unmapped.device_version",
    "metadata.event_code",
    "message",
    "unmapped.severity",
    "extension",
)
_PREFIX: Final = (
    r"^(?:<\d{1,3}>)?(?:[1-9]\d? )?"
    r"(?:([A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\S+) (\S+) )?"
)
# Stand-ins while `key=` marks are searched; no text has them, NUL lines being refused before.
_SLASH, _EQUALS, _PAIR, _VALUE = "\x00\x01", "\x00\x02", "\x00\x03", "\x00\x04"
_TEXTS: Final = {
    "src": "src_endpoint.ip",
    "spt": "src_endpoint.port",
    "shost": "src_endpoint.hostname",
    "dst": "dst_endpoint.ip",
    "dpt": "dst_endpoint.port",
    "dhost": "dst_endpoint.hostname",
    "suser": "actor.user.name",
    "suid": "actor.user.uid",
    "sntdom": "actor.user.domain",
    "duser": "user.name",
    "duid": "user.uid",
    "dntdom": "user.domain",
    "sproc": "actor.process.file.path",
    "spid": "actor.process.pid",
    "dproc": "process.file.path",
    "dpid": "process.pid",
    "fname": "file.name",
    "filePath": "file.path",
    "fileHash": "file.hashes",
    "fsize": "file.size",
    "fileType": "file.mime_type",
    "request": "http_request.url.path",
    "requestMethod": "http_request.http_method",
    "requestClientApplication": "http_request.user_agent",
    "in": "traffic.bytes_in",
    "out": "traffic.bytes_out",
    "reason": "status_detail",
}
_SEVERITIES: Final = {
    **dict.fromkeys(("0", "1", "2", "3", "low"), 2),
    **dict.fromkeys(("4", "5", "6", "medium"), 3),
    **dict.fromkeys(("7", "8", "high"), 4),
    **dict.fromkeys(("9", "10", "very-high"), 5),
}
_GRAVE: Final = ("7", "8", "9", "10", "high", "very-high")
_THREAT: Final = (
    r"threat|intrusion|exploit|malware|virus|trojan|worm|ransom|botnet|spyware|vulnerabilit"
    r"|brute.?force|attack|\bips\b|\bids\b|\butm:"
)
_TIMES: Final = ("%b %e %Y %H:%M:%S%.f", "%b %e %Y %H:%M:%S")


def matches(head: bytes) -> float:
    """Count how many of the first 20 lines have a CEF header.

    >>> matches(b"CEF:0|V|P|1|100|name|5|src=10.0.0.1")
    0.98
    """
    lines = [line for line in head.split(b"\n")[:20] if line.strip()]
    found = sum((b"CEF:0|" in line or b"CEF:1|" in line) for line in lines)
    return 0.98 * found / len(lines) if lines else 0.0


def parse(chunks: Iterable[bytes]) -> Iterator[Parsed]:
    """Read one line as one event; `position` is the line number."""
    for block in read_lines(chunks):
        rejects = list(block.rejects)
        yield parsed(_events(block.frame, rejects), rejects)


def _events(lines: pl.DataFrame, rejects: list[Reject]) -> pl.DataFrame:
    frame = lines.with_columns(groups("line", _HEADER, _COLUMNS))
    frame = refuse(frame, pl.col("unmapped.cef_version").is_null(), "no CEF header", rejects)
    plain = [pl.col(name).str.replace_all(r"\\([|\\])", "$1") for name in _COLUMNS[2:8]]
    frame = frame.with_columns(
        *plain,
        *groups("prefix", _PREFIX, ("stamp", "host")),
        pl.col("line").alias("raw_data"),
    )
    wide = _extension(frame)
    frame = frame.join(wide, on="position", how="left", maintain_order="left")
    has = set(frame.columns)
    grave = pl.col("unmapped.severity").str.to_lowercase()
    severity = grave.replace_strict(_SEVERITIES, default=None, return_dtype=pl.Int32)
    columns: dict[str, pl.Expr] = {
        "severity_id": severity,
        "metadata.log_name": pl.lit("cef"),
        "metadata.log_provider": pl.col("unmapped.device_product"),
        "unmapped.syslog_host": pl.col("host"),
    }
    for key, target in _TEXTS.items():
        if UNMAPPED + key in has:
            columns[target] = pl.col(UNMAPPED + key)
    if spoken := [pl.col(UNMAPPED + key) for key in ("proto", "app") if UNMAPPED + key in has]:
        columns["connection_info.protocol_name"] = pl.coalesce(spoken).str.to_lowercase()
    columns |= _meaning(has)
    frame = frame.with_columns(_time(frame)).with_columns(**columns).with_columns(**_place(has))
    if "actor.user.name" in columns:
        own = [pl.col("user.name")] if "user.name" in columns else []
        signed_in = pl.when(pl.col("class_uid") == 3002).then("actor.user.name")
        frame = frame.with_columns(pl.coalesce(*own, signed_in).alias("user.name"))
    product = pl.col("unmapped.device_vendor").str.to_lowercase()
    return finish(frame, FORMAT, product)


def _extension(frame: pl.DataFrame) -> pl.DataFrame:
    text = (
        pl.col("extension")
        .str.replace_all("\\\\", _SLASH, literal=True)
        .str.replace_all("\\=", _EQUALS, literal=True)
        .str.replace_all(r"(?:^|\s)([A-Za-z0-9_][A-Za-z0-9_.\-\[\]]*)=", f"{_PAIR}${{1}}{_VALUE}")
    )
    pairs = frame.select("position", text.str.split(_PAIR).alias("pair")).explode("pair")
    cells = pl.col("pair").str.splitn(_VALUE, 2)
    value = cells.struct[1].str.strip_chars_end(" ").str.replace_all("\\n", "\n", literal=True)
    value = value.str.replace_all("\\r", "\r", literal=True)
    value = value.str.replace_all(_SLASH, "\\", literal=True)
    pairs = pairs.select(
        "position",
        pl.concat_str(pl.lit(UNMAPPED), cells.struct[0]).alias("key"),
        value.str.replace_all(_EQUALS, "=", literal=True).alias("value"),
    ).drop_nulls("value")
    if pairs.is_empty():
        return frame.select("position")
    wide = pivot_pairs(pairs, UNMAPPED)
    taken = [name for name in wide.columns if name in frame.columns and name != "position"]
    return wide.rename({name: f"{UNMAPPED}ext.{name[len(UNMAPPED) :]}" for name in taken})


def _meaning(has: set[str]) -> dict[str, pl.Expr]:
    """Tell the class: login and grave threat by words, request by method, else traffic by ends."""
    name = pl.col("message").str.to_lowercase()
    is_login = name.str.contains(r"\b(log[io]n|sign.?in|authenticat\w+)\b")
    failed = name.str.contains(r"fail|denied|invalid|reject|block")
    none = pl.lit(None, pl.String)
    method = pl.col("unmapped.requestMethod") if "unmapped.requestMethod" in has else none
    both = {"unmapped.src", "unmapped.dst"} <= has
    ends = pl.col("unmapped.src") + pl.col("unmapped.dst") if both else none
    outcome = pl.col("unmapped.outcome") if "unmapped.outcome" in has else none
    act = pl.col("unmapped.act") if "unmapped.act" in has else none
    cat = pl.col("unmapped.cat") if "unmapped.cat" in has else none
    grave = pl.col("unmapped.severity").str.to_lowercase().is_in(_GRAVE)
    is_threat = grave & pl.concat_str(
        name, pl.lit(" "), cat.fill_null("")
    ).str.to_lowercase().str.contains(_THREAT)
    failed = (failed | outcome.str.to_lowercase().str.contains("fail")).fill_null(value=False)
    refused = act.str.to_lowercase().str.contains("block|drop|den|reject").fill_null(value=False)
    is_http, is_net = method.is_not_null(), ends.is_not_null()
    known = {"CONNECT": 1, "GET": 3, "POST": 6}
    by_method = method.replace_strict(known, default=0, return_dtype=pl.Int32)
    by_act = pl.when(refused).then(5).otherwise(6)
    return {
        "class_uid": pl.when(is_login)
        .then(3002)
        .when(is_threat)
        .then(2004)
        .when(is_http)
        .then(4002)
        .when(is_net)
        .then(4001)
        .otherwise(0),
        "activity_id": pl.when(is_login | is_threat)
        .then(1)
        .when(is_http)
        .then(by_method)
        .when(is_net)
        .then(by_act)
        .otherwise(0),
        "finding_info.uid": pl.when(is_threat & ~is_login).then("metadata.event_code"),
        "finding_info.title": pl.when(is_threat & ~is_login).then("message"),
        "status_id": pl.when(failed | refused).then(2).when(outcome.is_not_null()).then(1),
    }


def _place(has: set[str]) -> dict[str, pl.Expr]:
    """Tell the host on which it happened; reads `class_uid`."""
    none = pl.lit(None, pl.String)
    name, ip, of = (
        pl.col(n) if n in has else none
        for n in ("unmapped.dvchost", "unmapped.dvc", "unmapped.dhost")
    )
    is_seen = pl.col("class_uid").is_in([2004, 4001, 4002])
    return {
        "device.hostname": pl.when(~is_seen).then(pl.coalesce(of, name, "host")),
        "device.ip": pl.when(~is_seen & of.is_null()).then(ip),
    }


def _time(frame: pl.DataFrame) -> pl.Series:
    """Read `rt`, `start`, `end` (milliseconds since 1970, or text), then the syslog header."""
    names = [n for n in ("unmapped.rt", "unmapped.start", "unmapped.end", "stamp") if n in frame]
    numbers = parse_times([frame[name] for name in names], frame.height)
    texts: list[pl.Expr] = []
    for name in names[:-1]:
        for form in _TIMES:
            when = pl.col(name).str.to_datetime(form, strict=False, time_unit="us")
            texts.append(when.dt.replace_time_zone("UTC"))
    return frame.select(pl.coalesce(*texts, numbers).alias("time"))["time"]
