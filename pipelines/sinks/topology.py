"""Keep what the network shows of itself: devices, names, roles, services, who talks to whom.

Each fact is (kind, one, other) with when it was first and last seen:

- device: address, hardware address (ARP, DHCP); name: hardware address, host name (DHCP);
- role: address, `dns server` (answers at port 53), `dhcp server` or `gateway` (as DHCP says);
- serves: address, protocol and port (`tls/443`) that it answered at;
- talks_to: opener, other end if that is an inside address, else `internet`; answered flows.

Captures and the sensor, Zeek and Suricata say these.
"""

from datetime import UTC, datetime
from typing import Final

import polars as pl
from psycopg import Connection
from psycopg.rows import TupleRow

from storage.database.queries import execute, select
from storage.outcome import Outcome
from storage.schema import EventBatch

NAME: Final = "topology"
MOST: Final = 500
"""Facts of a kind, tenant and step: whoever scans, or sends made-up events, fills no more."""
MOST_HELD: Final = 20_000
"""Facts of a kind and tenant in all; over it those go that were not seen for longest."""
INTERNET: Final = "internet"

_INSIDE: Final = r"^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.|127\.|f[cd]|fe80:)"
_NOBODY: Final = ("0.0.0.0", "::", "")  # noqa: S104  an address that is not there yet
_ANSWERED: Final = (
    *("established", "closed", "reset"),
    *("SF", "S1", "S2", "S3", "RSTO", "RSTR"),  # as Zeek says it
)
_PROTOCOLS: Final = ("tls", "http", "ssh", "modbus", "dnp3", "s7comm", "enip", "cip")
_NEEDED: Final = {
    **dict.fromkeys(
        ("src_endpoint.ip", "dst_endpoint.ip", "connection_info.state", "metadata.log_name",
         "rcode", "tls.version", "unmapped.src_mac", "unmapped.client_mac", "unmapped.address",
         "unmapped.hostname", "unmapped.server", "unmapped.router", "unmapped.message_type",
         "unmapped.is_server", "unmapped.is_request"), pl.String),
    **dict.fromkeys(("src_endpoint.port", "dst_endpoint.port", "http_response.code",
                     "activity_id"), pl.Int32),
}  # fmt: skip
_SHAPE: Final = {
    "tenant_id": pl.String, "kind": pl.String, "one": pl.String, "other": pl.String,
    "first_us": pl.Int64, "last_us": pl.Int64,
}  # fmt: skip


def write(tx: Connection[TupleRow], outcome: Outcome) -> None:
    """Add what the outcome's events show; to see a fact again only moves its dates."""
    told = [facts for batch in outcome.batches if not (facts := facts_of(batch)).is_empty()]
    if not told:
        return
    keys = ["tenant_id", "kind", "one", "other"]
    facts = pl.concat(told).group_by(keys).agg(pl.col("first_us").min(), pl.col("last_us").max())
    facts = facts.sort("last_us", *keys, descending=[True, *[False] * 4])
    few = facts.group_by(keys[:2], maintain_order=True).head(MOST)
    oldest_us = int(str(few.get_column("first_us").min()))
    tenants = few.get_column("tenant_id").unique().sort().to_list()
    # What this very commit tells of a past month stays.
    before = datetime.fromtimestamp(oldest_us / 1e6, UTC)
    words = {"facts": few.write_json(), "tenants": tenants, "before": before}
    (told_of,) = select(tx, "topology_tell", **words)
    if told_of["has_new"]:
        kinds = few.get_column("kind").unique().sort().to_list()
        execute(tx, "topology_trim", tenants=tenants, kinds=kinds, most=MOST_HELD)


def facts_of(batch: EventBatch) -> pl.DataFrame:
    """Give tenant_id, kind, one, other, first_us and last_us of what a batch shows."""
    frame = batch.frame
    name = frame.get_column("metadata.log_name") if "metadata.log_name" in frame.columns else None
    has_flows = "connection_info.state" in frame.columns
    if "src_endpoint.ip" not in frame.columns or (name is None and not has_flows):
        return pl.DataFrame(schema=_SHAPE)
    missing = [pl.lit(None, t).alias(n) for n, t in _NEEDED.items() if n not in frame.columns]
    rows = frame.filter(pl.col("class_uid").is_between(4001, 4999) | (pl.col("class_uid") == 0))
    rows = rows.with_columns(missing).select(
        "tenant_id", "class_uid", *_NEEDED, at=pl.col("time").dt.epoch("us")
    )
    log = pl.col("metadata.log_name")
    short = log.str.strip_prefix("eve.").replace({"ssl": "tls"})
    rows = rows.with_columns(short.alias("metadata.log_name"), is_eve=log.str.starts_with("eve."))
    facts = pl.concat([*_leases(rows), *_services(rows), _pairs(rows)])
    return (
        facts.drop_nulls()
        .filter(~pl.col("one").is_in(_NOBODY) & ~pl.col("other").is_in(_NOBODY))
        .with_columns(
            pl.col("one", "other").str.replace_all("\x00", "", literal=True).str.slice(0, 255)
        )
        .filter((pl.col("one") != "") & (pl.col("other") != ""))
        .group_by("tenant_id", "kind", "one", "other")
        .agg(pl.col("at").min().alias("first_us"), pl.col("at").max().alias("last_us"))
    )


def _fact(rows: pl.DataFrame, kind: str, one: pl.Expr, other: pl.Expr) -> pl.DataFrame:
    return rows.select(
        "tenant_id", pl.lit(kind).alias("kind"), one.alias("one"), other.alias("other"), "at"
    )


def _leases(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Say who has which address and name, and what DHCP says of the network."""
    log, source = pl.col("metadata.log_name"), pl.col("src_endpoint.ip")
    said = rows.filter(log.is_in(("arp", "dhcp", "dhcp6")))
    arp, leases = said.filter(log == "arp"), said.filter(log != "arp")
    given = leases.filter(pl.col("unmapped.message_type").is_in(("ACK", "REPLY")))
    mac, address = pl.col("unmapped.client_mac"), pl.col("unmapped.address")
    server = pl.coalesce("unmapped.server", source)
    return [
        _fact(arp, "device", source, pl.col("unmapped.src_mac")),
        _fact(given.filter(~address.str.contains("/", literal=True)), "device", address, mac),
        _fact(leases, "name", mac, pl.col("unmapped.hostname")),
        _fact(given, "role", server, pl.lit("dhcp server")),
        _fact(given, "role", pl.col("unmapped.router"), pl.lit("gateway")),
    ]


def _services(rows: pl.DataFrame) -> list[pl.DataFrame]:
    """Say who answers at which protocol and port."""
    log = pl.col("metadata.log_name")
    is_answer = pl.col("rcode").is_in(("NOERROR", "NXDOMAIN"))
    # Of captures: two rows, the second from the server. Zeek and Suricata: the client's, with both.
    own = (pl.col("activity_id") == 2) & (pl.col("src_endpoint.port") == 53)
    theirs = ((pl.col("activity_id") == 6) | pl.col("is_eve")) & (pl.col("dst_endpoint.port") == 53)
    by_client = (
        ((log == "tls") & pl.col("tls.version").is_not_null())
        | ((log == "http") & pl.col("http_response.code").is_not_null())
    )  # fmt: skip
    by_server = (
        ((log == "ssh") & (pl.col("unmapped.is_server") == "true"))
        | (log.is_in(_PROTOCOLS[3:]) & (pl.col("unmapped.is_request") == "false"))
    )  # fmt: skip

    def place(port: str) -> pl.Expr:
        return pl.concat_str(log, pl.lit("/"), pl.col(port).cast(pl.String))

    named, dst, src = rows.filter(log.is_in(_PROTOCOLS)), "dst_endpoint", "src_endpoint"
    return [
        _fact(rows.filter((log == "dns") & is_answer & own), "role",
              pl.col("src_endpoint.ip"), pl.lit("dns server")),
        _fact(rows.filter((log == "dns") & is_answer & theirs), "role",
              pl.col("dst_endpoint.ip"), pl.lit("dns server")),
        _fact(named.filter(by_client), "serves", pl.col(f"{dst}.ip"), place(f"{dst}.port")),
        _fact(named.filter(by_server), "serves", pl.col(f"{src}.ip"), place(f"{src}.port")),
    ]  # fmt: skip


def _pairs(rows: pl.DataFrame) -> pl.DataFrame:
    src, dst = pl.col("src_endpoint.ip"), pl.col("dst_endpoint.ip")
    answered = pl.col("connection_info.state").is_in(_ANSWERED)
    flows = rows.filter((pl.col("class_uid") == 4001) & answered & src.str.contains(_INSIDE))
    other = pl.when(dst.str.contains(_INSIDE)).then(dst).otherwise(pl.lit(INTERNET))
    return _fact(flows.filter(src != dst), "talks_to", src, other)
