"""Claim a machine that calls one rare outside address like a clock, with little to say each time.

Thirty connections make a block; two even blocks of one rhythm, one after the other, are a beacon.
What many machines of the house call, by address or by name, is an update service and never one.
"""

from typing import Any, Final

import polars as pl

from detectors import _seats
from detectors._columns import claim, cut, filled, is_inside, is_outside, newest, pairs, time_us
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

FLOW: Final = 4001
DNS: Final = 4003
BLOCK: Final = 30
"""Connections judged at once."""
BLOCKS: Final = 2
SHORTEST_MS: Final = 5_000
"""Gaps below it are one page or transfer, no beacon."""
SLOW_MS: Final = 900_000
"""Calls a quarter of an hour apart and more are what timetables of servers do: a signal only."""
FEW: Final = 3
"""Machines that may call a destination that is still rare: a share of a tenth at most, too."""
SMALL: Final = 64_000
"""Bytes out of the median connection; more is work, not a sign of life."""
UNEVEN: Final = 10
"""The median deviation of the gaps may be a tenth of the median gap."""
NTP: Final = 123

META: Final = DetectorMeta(
    name="beaconing",
    version="1",
    title="Connections like a clock to a rare address",
    classes=frozenset({FLOW, DNS, *_seats.CLASSES}),
    tables={
        "open": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "time_us": pl.Int64(),
            "sent": pl.Int64(),
            "event_id": pl.String(),
        },
        "pairs": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "even": pl.Int64(),
            "gap_ms": pl.Int64(),
            "last_us": pl.Int64(),
        },
        "callers": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "src": pl.String(),
            "last_us": pl.Int64(),
        },
        "names": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "name": pl.String(),
            "last_us": pl.Int64(),
        },
        "sources": {"tenant_id": pl.String(), "key": pl.String(), "last_us": pl.Int64()},
        "seats": _seats.SEATS,
    },
    max_keys=30_000,
    bytes_per_key=BLOCK * 90,
)

_OWN: Final = ["tenant_id", "key"]
_DAY_US: Final = 86_400_000_000


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Put each pair's connections into blocks of thirty; judge a block when it is full."""
    del context
    frame = batch.frame.with_columns(row=pl.int_range(pl.len(), dtype=pl.Int64))
    after = dict(state)
    sat = _seats.sitting(batch.frame)
    after["seats"] = newest(_seats.learned(state["seats"], sat), "last_us", META.max_keys)
    names = _names(frame)
    flows = _flows(frame)
    asked = names.select("tenant_id", "row", "last_us", key="name", src="src")
    called = flows.select("tenant_id", "row", "last_us", key="dst", src="src")
    callers = _callers(pl.concat([called, asked]), state["callers"])
    after["callers"] = _kept_callers(callers)
    after["names"] = _learned(state["names"], names.drop_nulls("key"))
    if flows.is_empty():
        return {n: state[n] if t.equals(state[n]) else t for n, t in after.items()}, []
    sources = _sources(flows, state["sources"])
    after["sources"] = _kept_sources(sources)
    blocks, after["open"] = _blocks(*_unpopular(flows, state["open"], state["callers"]))
    judged, after["pairs"] = _rhythm(blocks, state["pairs"])
    rare = _rare(judged, callers, sources, state["names"], names)
    named = _seats.seated(rare, "src", state["seats"], sat)
    return after, [_claim(row) for row in named.iter_rows(named=True)]


def _flows(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame,
        *("src_endpoint.ip", "dst_endpoint.ip", "dst_endpoint.port", "traffic.bytes_out"),
        *("unmapped.orig_bytes", "connection_info.protocol_name"),
    )
    payload = pl.col("unmapped.orig_bytes").cast(pl.Int64, strict=False)
    protocol = pl.col("connection_info.protocol_name").str.to_lowercase()
    clock = (protocol == "udp") & (pl.col("dst_endpoint.port") == NTP)
    return (
        frame.filter(
            (pl.col("class_uid") == FLOW)
            & is_inside("src_endpoint.ip")
            & is_outside("dst_endpoint.ip")
            # The clock's own protocol is a clock; pings are monitors.
            & ~(clock | (protocol == "icmp")).fill_null(value=False)
        )
        .select(
            "tenant_id",
            "event_id",
            "row",
            src=pl.col("src_endpoint.ip").str.to_lowercase().str.slice(0, 64),
            dst=pl.col("dst_endpoint.ip").str.to_lowercase().str.slice(0, 64),
            # Two logs may tell of one connection: each is a rhythm of its own.
            log=pl.col("metadata.product.name").fill_null(""),
            sent=pl.coalesce(payload, "traffic.bytes_out").fill_null(-1),
            last_us=time_us(),
        )
        .with_columns(key=pl.concat_str("src", "dst", "log", separator="\x1f"))
    )


def _names(frame: pl.DataFrame) -> pl.DataFrame:
    """Give who asked for which name, and per address (`key`) in the answers, one row each."""
    frame = filled(frame, "src_endpoint.ip", "device.ip", "query.hostname", "answers")
    address = r"(?:\d{1,3}\.){3}\d{1,3}|[0-9a-fA-F:]*:[0-9a-fA-F:]+"
    return (
        frame.filter((pl.col("class_uid") == DNS) & cut("query.hostname").is_not_null())
        .select(
            "tenant_id",
            "row",
            key=pl.col("answers").str.slice(0, 2000).str.extract_all(address),
            name=cut("query.hostname").str.to_lowercase().str.strip_chars_end("."),
            src=pl.coalesce("src_endpoint.ip", "device.ip", pl.lit("")).str.to_lowercase(),
            last_us=time_us(),
        )
        .explode("key")
    )


def _callers(fresh: pl.DataFrame, callers: pl.DataFrame) -> pl.DataFrame:
    """Give the first calls by which a destination has its first, second, ... caller, in order."""
    before = callers.with_columns(row=pl.lit(-1, pl.Int64()))
    new = fresh.filter(pl.col("key").is_not_null() & (pl.col("src") != "")).sort(
        "row", maintain_order=True
    )
    return pl.concat([before, new.select(before.columns)]).unique(
        [*_OWN, "src"], keep="first", maintain_order=True
    )


def _kept_callers(callers: pl.DataFrame) -> pl.DataFrame:
    few = callers.drop("row").filter(pl.int_range(pl.len()).over(_OWN) <= FEW)
    return newest(few, "last_us", META.max_keys).sort(_OWN, maintain_order=True)


def _learned(table: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
    if fresh.is_empty():
        return table
    hourly = pl.col("last_us").floordiv(_DAY_US) * _DAY_US
    every = pl.concat([table, fresh.with_columns(hourly).select(table.columns)])
    last = every.unique(_OWN, keep="last", maintain_order=True)
    return newest(last, "last_us", META.max_keys).sort(_OWN)


def _sources(flows: pl.DataFrame, sources: pl.DataFrame) -> pl.DataFrame:
    before = sources.with_columns(row=pl.lit(-1, pl.Int64()))
    fresh = flows.select("tenant_id", "last_us", "row", key="src").select(before.columns)
    return pl.concat([before, fresh]).unique(_OWN, keep="first", maintain_order=True)


def _kept_sources(sources: pl.DataFrame) -> pl.DataFrame:
    return newest(sources.drop("row"), "last_us", META.max_keys).sort(_OWN)


def _unpopular(
    flows: pl.DataFrame, open_: pl.DataFrame, callers: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Leave out what goes where too many call already: it can never become a beacon again."""
    many = callers.group_by("tenant_id", dst="key").agg(n=pl.len()).filter(pl.col("n") > FEW)
    where = pl.col("key").str.split("\x1f").list.get(1).alias("dst")
    on = ["tenant_id", "dst"]
    return (
        flows.join(many, on=on, how="anti", maintain_order="left"),
        open_.with_columns(where).join(many, on=on, how="anti").drop("dst"),
    )


def _blocks(flows: pl.DataFrame, open_: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give the blocks that became full, with their gaps, and the rows of the open ones."""
    before = open_.group_by(_OWN).agg(held=pl.len().cast(pl.Int64))
    numbered = flows.join(before, on=_OWN, how="left", maintain_order="left").with_columns(
        block=(pl.col("held").fill_null(0) + pl.int_range(pl.len()).over(_OWN)).floordiv(BLOCK)
    )
    columns = ["tenant_id", "key", "time_us", "sent", "event_id"]
    held = open_.select(columns).with_columns(
        block=pl.lit(0, pl.Int64()), row=pl.lit(-1, pl.Int64())
    )
    every = pl.concat(
        [held, numbered.rename({"last_us": "time_us"}).select([*columns, "block", "row"])]
    )
    size = pl.len().over([*_OWN, "block"])
    full = every.filter(size == BLOCK).sort("time_us", "event_id")
    gap = pl.col("time_us").diff().drop_nulls().floordiv(1000)
    sent = pl.col("sent")
    blocks = (
        full.group_by([*_OWN, "block"])
        .agg(
            gap_ms=gap.sort().get((BLOCK - 1) // 2),
            gaps=gap,
            bytes=sent.sort().get(BLOCK // 2),
            sizes=sent,
            row=pl.col("row").max(),
            events=pl.col("event_id"),
            start_us=pl.col("time_us").min(),
            end_us=pl.col("time_us").max(),
        )
        .with_columns(
            gap_off=(pl.col("gaps") - pl.col("gap_ms")).list.eval(pl.element().abs()),
            size_off=(pl.col("sizes") - pl.col("bytes")).list.eval(pl.element().abs()),
        )
        .with_columns(
            gap_off=pl.col("gap_off").list.sort().list.get((BLOCK - 1) // 2),
            size_off=pl.col("size_off").list.sort().list.get(BLOCK // 2),
        )
    )
    left = every.filter(size < BLOCK).select(open_.columns)
    return blocks, newest(left, "time_us", META.max_keys).sort([*_OWN, "time_us", "event_id"])


def _rhythm(blocks: pl.DataFrame, known: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Count even blocks in a row of one rhythm; give those that make a beacon, and the table.

    The table has the pairs whose last block was even; to all others none has happened.
    """
    clock = (pl.col("gap_ms") >= SHORTEST_MS) & (pl.col("gap_off") * UNEVEN <= pl.col("gap_ms"))
    told = pl.col("bytes") >= 0
    alike = (pl.col("bytes") <= SMALL) & (pl.col("size_off") * 4 <= pl.col("bytes").clip(64))
    state = known.select(*_OWN, was_even="even", was_ms="gap_ms")
    judged = (
        blocks.with_columns(is_even=clock & (alike | ~told))
        .sort(["tenant_id", "key", "block"])
        .join(state, on=_OWN, how="left", maintain_order="left")
        .with_columns(
            before_ms=pl.col("gap_ms").shift(1).over(_OWN).fill_null(pl.col("was_ms")),
        )
        .with_columns(
            same=((pl.col("gap_ms") - pl.col("before_ms")).abs() * 5 <= pl.col("before_ms"))
        )
    )
    # A run goes on while blocks are even and of one rhythm: number the runs, count within them.
    goes_on = pl.col("is_even") & pl.col("same").fill_null(value=False)
    judged = judged.with_columns(run=(~goes_on).cum_sum().over(_OWN)).with_columns(
        even=pl.when(pl.col("is_even"))
        .then(
            pl.col("is_even").cast(pl.Int64).cum_sum().over([*_OWN, "run"])
            + pl.when(pl.col("run") == 0).then(pl.col("was_even").fill_null(0)).otherwise(0)
        )
        .otherwise(0)
    )
    last = judged.group_by(_OWN).agg(
        pl.col("even").last(), pl.col("gap_ms").last(), last_us=pl.col("end_us").last()
    )
    table = pl.concat(
        [
            known.join(last, on=_OWN, how="anti"),
            last.filter(pl.col("even") > 0).select(known.columns),
        ]
    )
    return (
        judged.filter((pl.col("even") > 0) & (pl.col("even") % BLOCKS == 0)),
        newest(table, "last_us", META.max_keys).sort(_OWN),
    )


def _rare(
    judged: pl.DataFrame,
    callers: pl.DataFrame,
    sources: pl.DataFrame,
    names: pl.DataFrame,
    asked: pl.DataFrame,
) -> pl.DataFrame:
    """Keep the beacons whose destination few machines called by then, by address or by name."""
    parts = pl.col("key").str.split("\x1f")
    rows = judged.with_columns(src=parts.list.get(0), dst=parts.list.get(1))
    known = pl.concat(
        [
            names.select(*_OWN, "name", told=pl.lit(-1, pl.Int64())),
            asked.drop_nulls("key").select(*_OWN, "name", told="row"),
        ]
    ).select("tenant_id", "name", "told", dst="key")
    named = (
        rows.select("tenant_id", "row", "dst")
        .join(known, on=["tenant_id", "dst"])
        .filter(pl.col("told") < pl.col("row"))
        .sort("told", maintain_order=True)
        .group_by("tenant_id", "row", "dst")
        .agg(pl.col("name").last())
    )
    rows = rows.join(named, on=["tenant_id", "row", "dst"], how="left")
    for column, count in (("dst", "by_address"), ("name", "by_name")):
        met = (
            rows.select("tenant_id", "row", key=column)
            .join(callers.select(*_OWN, "src", since="row"), on=_OWN)
            .filter(pl.col("since") <= pl.col("row"))
            .group_by("tenant_id", "row", pl.col("key").alias(column))
            .agg(pl.col("src").n_unique().cast(pl.Int64).alias(count))
        )
        rows = rows.join(met, on=["tenant_id", "row", column], how="left")
    seen = (
        rows.select("tenant_id", "row")
        .join(sources.select("tenant_id", since="row"), on="tenant_id")
        .filter(pl.col("since") <= pl.col("row"))
        .group_by("tenant_id", "row")
        .agg(machines=pl.len().cast(pl.Int64))
    )
    return (
        rows.join(seen, on=["tenant_id", "row"], how="left")
        .with_columns(
            friends=pl.max_horizontal("by_address", "by_name", pl.lit(1, pl.Int64())),
            machines=pl.col("machines").fill_null(1),
        )
        .filter((pl.col("friends") <= FEW) & (pl.col("friends") * 10 <= pl.col("machines")))
        .sort("row", "key")
    )


def _claim(row: dict[str, Any]) -> Finding:
    host = row["host"]
    gap, off = int(row["gap_ms"]), int(row["gap_off"])
    slow = gap > SLOW_MS
    told = f"{row['name']} ({row['dst']})" if row["name"] else row["dst"]
    reasons = [
        Reason(
            "time between connections",
            f"{gap / 1000:.0f} s, half of them within {off / 1000:.1f} s of it",
            "people and programs at work call unevenly",
        ),
        Reason(
            "machines that call this address",
            f"{row['friends']} of {row['machines']}",
            "many, if it were an update service",
        ),
    ]
    if int(row["bytes"]) >= 0:
        reasons.append(
            Reason(
                "bytes sent each time",
                f"about {row['bytes']}, half of them within {row['size_off']} of it",
                "different amounts",
            )
        )
    return claim(
        META,
        META.name,
        row["tenant_id"],
        f"{row['src']}\x1f{row['dst']}\x1f{int(row['end_us']) // _DAY_US}",
        title=f"{host or row['src']} calls {told} every {gap / 1000:.0f} seconds like a clock",
        level="low" if slow else "high",
        kind="signal" if slow else "finding",
        time_us=int(row["end_us"]),
        entity_type="host" if host else "ip",
        entity=host or row["src"],
        event_ids=tuple(row["events"]),
        event_count=int(row["even"]) * BLOCK,
        reasons=tuple(reasons),
        attack=("T1071", "T1571"),
        links=pairs(
            ("ip", row["src"] if host else None),
            ("ip", row["dst"]),
            ("domain", row["name"]),
            ("user", row["user"]),
        ),
        fields=pairs(
            ("src_endpoint.ip", row["src"]),
            ("dst_endpoint.ip", row["dst"]),
            ("device.hostname", host),
            ("user.name", row["user"]),
        ),
    )
