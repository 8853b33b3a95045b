"""Claim names that carry data (a DNS tunnel), and names that a program makes up (DGA).

A tunnel asks for ever new, long names under one domain; a program in search of its master asks for
many domains that do not exist. Both count what one client asks within ten minutes. Sources: ATT&CK
T1071.004 and T1568.002.
"""

from typing import Any, Final

import polars as pl

from detectors import _distinct
from detectors._columns import claim, cut, filled, pairs, time_us
from detectors._services import owner_of
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

DNS: Final = 4003
WINDOW_US: Final = 600_000_000
NAMES: Final = 60
LONG: Final = 24
"""Letters in front of the domain that a tunnel's name has at least, dots not counted."""
DOMAINS: Final = 25
LABEL: Final = 8
"""Letters that a made-up label has at least; what people mistype is shorter, or few."""

META: Final = DetectorMeta(
    name="dns_tunnel",
    version="1",
    title="Data or a search for a master in DNS names",
    classes=frozenset({DNS}),
    tables={"names": _distinct.TABLE},
    max_keys=20_000,
    bytes_per_key=NAMES * 250,
)


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Count long new names under one domain, and domains that do not exist, of each client."""
    rows = _asked(batch.frame)
    tunnels = rows.filter(pl.col("letters") >= LONG).select(
        *("tenant_id", "event_id", "time_us", "row"),
        key=pl.concat_str(pl.lit("tunnel"), "client", "domain", separator="\x1f"),
        value="name",
        most=pl.lit(NAMES, pl.Int64()),
    )
    searches = rows.filter(pl.col("is_absent") & (pl.col("label") >= LABEL)).select(
        *("tenant_id", "event_id", "time_us", "row"),
        key=pl.concat_str(pl.lit("dga"), "client", separator="\x1f"),
        value="domain",
        most=pl.lit(DOMAINS, pl.Int64()),
    )
    fresh = pl.concat([tunnels, searches]).sort("row", maintain_order=True).drop("row")
    names, met = _distinct.counted(
        state["names"], fresh, WINDOW_US, context.watermark_us, META.max_keys
    )
    return {"names": names}, [_claim(row) for row in met.iter_rows(named=True)]


def _asked(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the names with who asked: an answer of a name server goes to its client."""
    frame = filled(
        frame,
        *("src_endpoint.ip", "dst_endpoint.ip", "src_endpoint.port", "device.ip"),
        *("query.hostname", "query.type", "rcode"),
    )
    is_answer = (pl.col("activity_id") == 2) & (pl.col("src_endpoint.port") == 53)
    told = frame.filter(
        (pl.col("class_uid") == DNS)
        & ~pl.col("is_late")
        & cut("query.hostname").is_not_null()
        # Asking backwards for an address is no name that anybody chose.
        & ~pl.col("query.hostname").str.to_lowercase().str.ends_with(".arpa")
    ).select(
        *("tenant_id", "event_id"),
        name=cut("query.hostname").str.to_lowercase().str.strip_chars_end(".").str.slice(0, 255),
        client=pl.when(is_answer.fill_null(value=False))
        .then("dst_endpoint.ip")
        .otherwise(pl.coalesce("src_endpoint.ip", "device.ip"))
        .str.slice(0, 64),
        is_absent=(pl.col("rcode") == "NXDOMAIN").fill_null(value=False),
        time_us=time_us(),
        row=pl.int_range(pl.len()),
    )
    bare = pl.col("name").str.len_chars() - pl.col("name").str.count_matches(".", literal=True)
    domain = pl.col("domain").str.len_chars() - pl.col("domain").str.count_matches(
        ".", literal=True
    )
    return (
        told.drop_nulls("client")
        .with_columns(domain=pl.col("name"))
        .with_columns(owner_of("domain"))
        .with_columns(
            letters=bare.cast(pl.Int64) - domain.cast(pl.Int64),
            label=pl.col("domain").str.split(".").list.first().str.len_chars(),
        )
    )


def _claim(row: dict[str, Any]) -> Finding:
    kind, client, *rest = row["key"].split("\x1f")
    domain, count = "".join(rest), len(row["values"])
    shown = Reason("names" if domain else "domains", _distinct.some(row["values"], 3))
    if kind == "tunnel":
        title = f"{client} asked for {count} long names under {domain} within ten minutes"
        told = Reason("different names under one domain", str(count), "a few, and short")
    else:
        title = f"{client} asked for {count} domains that do not exist within ten minutes"
        told = Reason("different domains that do not exist", str(count), f"under {DOMAINS}")
    return claim(
        META,
        f"{META.name}.{kind}",
        row["tenant_id"],
        f"{row['key']} {row['window_us']}",
        title=title,
        level="high" if kind == "tunnel" else "medium",
        time_us=row["time_us"],
        entity_type="ip",
        entity=client,
        event_ids=tuple(row["event_ids"][: _distinct.SHOWN]),
        event_count=count,
        reasons=(told, shown),
        attack=("T1071.004",) if kind == "tunnel" else ("T1568.002",),
        links=pairs(("ip", client), ("domain", domain)),
    )
