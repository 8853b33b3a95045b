"""Map Zeek's log fields to OCSF columns, whether they came as TSV or as JSON.

Fields: Zeek's script reference (Conn::Info, DNS::Info, HTTP::Info, SSL::Info, Files::Info,
Notice::Info). Each stays addressable as `unmapped.<field>`, for example `unmapped.id.orig_h`.
"""

from typing import Final

import polars as pl

from pipelines.parsers._text import finish
from pipelines.parsers._time import parse_times
from storage.schema import UNMAPPED

_ENDS: Final = {
    "id.orig_h": "src_endpoint.ip",
    "id.orig_p": "src_endpoint.port",
    "id.resp_h": "dst_endpoint.ip",
    "id.resp_p": "dst_endpoint.port",
    "proto": "connection_info.protocol_name",
    "community_id": "connection_info.community_uid",
}
_MAPS: Final[dict[str, tuple[int, int, dict[str, str]]]] = {
    "conn": (
        4001,
        6,
        {
            "conn_state": "connection_info.state",
            "orig_ip_bytes": "traffic.bytes_out",
            "resp_ip_bytes": "traffic.bytes_in",
            "orig_pkts": "traffic.packets_out",
            "resp_pkts": "traffic.packets_in",
        },
    ),
    "dns": (
        4003,
        6,
        {
            "query": "query.hostname",
            "qtype_name": "query.type",
            "rcode_name": "rcode",
            "answers": "answers",
        },
    ),
    "http": (
        4002,
        0,
        {
            "method": "http_request.http_method",
            "host": "http_request.url.hostname",
            "uri": "http_request.url.path",
            "user_agent": "http_request.user_agent",
            "status_code": "http_response.code",
            "username": "actor.user.name",
        },
    ),
    "ssl": (
        4014,
        1,
        {
            "server_name": "tls.sni",
            "version": "tls.version",
            "ja3": "tls.ja3_hash",
            "ja4": "tls.ja4",
            "subject": "tls.certificate.subject",
        },
    ),
    "files": (
        4010,
        0,
        {
            "filename": "file.name",
            "mime_type": "file.mime_type",
            "seen_bytes": "file.size",
            "tx_hosts": "src_endpoint.ip",
            "rx_hosts": "dst_endpoint.ip",
        },
    ),
    "notice": (
        2004,
        1,
        {
            "note": "finding_info.uid",
            "msg": "finding_info.title",
            "src": "src_endpoint.ip",
            "dst": "dst_endpoint.ip",
            "p": "dst_endpoint.port",
        },
    ),
    "ssh": (4007, 1, {"auth_success": "unmapped.auth_success"}),
    "smtp": (
        4009,
        1,
        {"mailfrom": "email.from", "rcptto": "email.to", "subject": "email.subject"},
    ),
    "smb_files": (4010, 0, {"name": "file.name", "size": "file.size"}),
}
_GRAVE_NOTICES: Final = (
    r"^(Signatures|Intel|Heartbleed|TeamCymruMalwareHashRegistry|Exploit|CVE|ATTACK|HTTP::SQL)"
    r"|Malware|Password_Guessing|Backdoor|Exfil|Ransom"
)
"""Notices (Zeek's own and well-known packages') that say an attack; the others say a policy."""
_METHODS: Final = {"CONNECT": 1, "GET": 3, "POST": 6}
_SIGNS: Final = {
    "conn": ("conn_state",),
    "dns": ("trans_id", "query"),
    "http": ("method", "uri"),
    "ssl": ("cipher",),
    "files": ("fuid", "seen_bytes"),
    "notice": ("note",),
}


def guess_path(fields: pl.DataFrame) -> pl.Expr:
    """Tell the log kind of JSON rows that do not name it, by fields that only that log has."""
    guess = pl.lit(None, pl.String)
    for path, names in _SIGNS.items():
        if set(names) <= set(fields.columns):
            has = pl.all_horizontal(pl.col(name).is_not_null() for name in names)
            guess = pl.coalesce(guess, pl.when(has).then(pl.lit(path)))
    return guess


def normalise(
    position: pl.Series, fields: pl.DataFrame, path: pl.Series, log_format: str
) -> pl.DataFrame:
    """Give event columns for rows of any Zeek logs; log kinds without a map are base events.

    `fields`: Zeek's names, all String, sets joined by newlines; `path`: the log of each row.
    """
    has = set(fields.columns)
    time = parse_times([fields["ts"]] if "ts" in has else [], position.len())
    kind = pl.col("metadata.log_name")
    frame = pl.DataFrame([position, time, path.alias("metadata.log_name")])
    frame = pl.concat([frame, fields.rename(lambda name: UNMAPPED + name)], how="horizontal")
    known = frame["metadata.log_name"].unique().drop_nulls().to_list()
    targets: dict[str, list[pl.Expr]] = {}
    for name, target in _ENDS.items():
        if name in has:
            targets.setdefault(target, []).append(pl.col(UNMAPPED + name))
    for log in sorted(set(known) & set(_MAPS)):
        for name, target in _MAPS[log][2].items():
            if name in has and not target.startswith(UNMAPPED):
                text = pl.col(UNMAPPED + name).str.replace_all("\n", "; ", literal=True)
                targets.setdefault(target, []).append(pl.when(kind == log).then(text))
    frame = frame.with_columns(
        *(pl.coalesce(found).alias(target) for target, found in targets.items()),
        kind.replace_strict({k: v[0] for k, v in _MAPS.items()}, default=0).alias("class_uid"),
        kind.replace_strict({k: v[1] for k, v in _MAPS.items()}, default=0).alias("activity_id"),
        kind.alias("metadata.event_code"),
    )
    return finish(_details(frame, has), log_format, "zeek")


def _details(frame: pl.DataFrame, has: set[str]) -> pl.DataFrame:
    """Add what is not a plain renaming: duration, direction, method, state, TLS version, hashes."""
    kind = pl.col("metadata.log_name")
    more: list[pl.Expr] = []
    if "duration" in has:
        ms = pl.col("unmapped.duration").cast(pl.Float64, strict=False) * 1000
        more.append(ms.round().cast(pl.Int64, strict=False).alias("duration"))
    if "method" in has:
        by_method = pl.col("unmapped.method").replace_strict(_METHODS, default=None)
        more.append(
            pl.when(kind == "http")
            .then(pl.coalesce(by_method, "activity_id"))
            .otherwise("activity_id")
            .alias("activity_id")
        )
    if {"local_orig", "local_resp"} <= has:
        ours, theirs = (pl.col(f"unmapped.local_{end}") == "true" for end in ("orig", "resp"))
        outside = pl.when(ours).then(pl.lit("outbound")).when(theirs).then(pl.lit("inbound"))
        way = pl.when(ours & theirs).then(pl.lit("lateral")).otherwise(outside)
        more.append(way.alias("connection_info.direction"))
    hashes = [
        pl.concat_str(pl.lit(f"{name.upper()}="), f"unmapped.{name}")
        for name in ("md5", "sha1", "sha256")
        if name in has
    ]
    if hashes:
        joined = pl.concat_str(hashes, separator=",", ignore_nulls=True)
        more.append(pl.when(joined != "").then(joined).alias("file.hashes"))
    if "note" in has:
        note = pl.col("unmapped.note")
        grave = pl.when(note.str.contains(_GRAVE_NOTICES)).then(4).otherwise(3)
        more.append(pl.when(kind == "notice").then(grave).alias("severity_id"))
    if "msg" in has:
        more.append(pl.col("unmapped.msg").alias("message"))
    return frame.with_columns(more)
