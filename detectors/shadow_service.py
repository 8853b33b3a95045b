"""Claim customer records that go to a service which nobody bought, signed for or announced.

Seen where a person exports customers' records and soon after much leaves their machine to a service
that hardly anybody in the house uses; or where an application is let in to contacts. Bought is what
a contract or a vendor of the books names. A trial that somebody else announced is none.
"""

from typing import Any, Final

import polars as pl

from detectors import _announced, _seats
from detectors._columns import (
    DAY_US,
    account,
    claim,
    cut,
    filled,
    is_inside,
    is_outside,
    newest,
    pairs,
    time_us,
)
from detectors._services import (
    CONTRACT,
    COVERED,
    DNS,
    FLOWS,
    NAMES,
    USUAL,
    VENDOR,
    bought,
    named,
    names_told,
    owner_of,
    uncovered,
    unusual,
    used_by,
)
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

EXPORT: Final = 999014
API: Final = 6003
MANAGED: Final = 3004
LEAST: Final = 100_000
"""Bytes of one connection below which nothing was carried out."""
SOON_US: Final = 2 * 3_600_000_000
"""How long after an export an upload is taken for its doing."""
WAIT_US: Final = 15 * 60 * 1_000_000
"""How long what other sources tell of an upload late is waited for: the export, the name asked."""
MOST: Final = 8
"""Exports kept of an account or address."""
AGAIN_US: Final = 7 * DAY_US
CUSTOMERS: Final = ("contacts", "customers", "companies", "deals", "leads")
_GRANT: Final = r"(?i)consent to application|oauth2permissiongrant|^authorize$|app\.authorize"
_DATA: Final = r"(?i)contact|customer|crm|mail\.read|mailbox|files\.read|drive"

META: Final = DetectorMeta(
    name="shadow_service",
    version="1",
    title="Customer records in a service nobody bought",
    classes=frozenset({EXPORT, API, MANAGED, VENDOR, CONTRACT, DNS, _announced.ANNOUNCEMENT})
    | FLOWS
    | _seats.CLASSES,
    tables={
        "took": {
            **dict.fromkeys(("tenant_id", "key", "event_id", "what", "actor"), pl.String()),
            "records": pl.Int64(),
            "last_us": pl.Int64(),
        },
        "waiting": {
            **dict.fromkeys(("tenant_id", "key", "event_id", "dst", "said"), pl.String()),
            **dict.fromkeys(("program", "host", "user"), pl.String()),
            **dict.fromkeys(("sent", "time_us"), pl.Int64()),
        },
        "told": {"tenant_id": pl.String(), "key": pl.String(), "last_us": pl.Int64()},
        "covered": COVERED,
        "names": NAMES,
        "usual": USUAL,
        "seats": _seats.SEATS,
        "announced": _announced.TABLE,
    },
    max_keys=50_000,
    bytes_per_key=500,
)

_OWN: Final = ["tenant_id", "key"]


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Follow exports of customers' records to the service that they are carried to."""
    most, watermark_us = META.max_keys, context.watermark_us
    frame = _facts(batch.frame)
    sat = _seats.sitting(batch.frame)
    plans = _announced.announced(frame, state["announced"], most, "trial")
    covered = bought(frame, state["covered"], most)
    names = names_told(frame, state["names"], most)
    usual = used_by(frame, state["usual"], most)
    took = _took(frame, state["took"])
    flows = pl.concat([state["waiting"], _uploads(frame, state["seats"], sat)])
    due = pl.col("time_us") + WAIT_US <= watermark_us
    carried = unusual(named(_carried(flows.filter(due), took), names, WAIT_US), usual)
    acts = pl.concat([carried, _grants(frame)], how="diagonal").sort("time_us", "event_id")
    strange = _announced.unexpected(uncovered(acts, covered), plans)
    told, fresh = _once(strange, state["told"])
    after = {
        "took": took.filter(pl.col("last_us") + SOON_US + 2 * WAIT_US > watermark_us),
        "waiting": newest(flows.filter(~due), "time_us", most),
        "told": told,
        "covered": covered,
        "names": names,
        "usual": usual,
        "seats": newest(_seats.learned(state["seats"], sat), "last_us", most),
        "announced": plans,
    }
    found = [_claim(row) for row in fresh.iter_rows(named=True)]
    return {n: state[n] if after[n].equals(state[n]) else after[n] for n in after}, found


def _facts(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame,
        *("actor.user.name", "user.name", "src_endpoint.ip", "dst_endpoint.ip", "device.hostname"),
        *("device.ip", "traffic.bytes_out", "unmapped.orig_bytes", "record_count"),
        *("document.type", "document.uid", "process.file.path", "tls.sni", "api.operation"),
        *("http_request.url.hostname", "dst_endpoint.hostname", "query.hostname", "answers"),
        *("vendor.name", "unmapped.domains", "unmapped.domain", "unmapped.service", "status_id"),
        *("unmapped.ends_at", "unmapped.app.name", "unmapped.entity.name", "unmapped.entity.type"),
        *("unmapped.scopes", "unmapped.app.domain", "unmapped.entity.domain"),
    )
    return frame.with_columns(
        row=pl.int_range(pl.len(), dtype=pl.Int64),
        time_us=time_us(),
        actor=account("actor.user.name", "user.name"),
        src=pl.col("src_endpoint.ip").str.to_lowercase(),
        dst=pl.col("dst_endpoint.ip").str.to_lowercase(),
    )


def _took(frame: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Give who exported customers' records, by account and by address."""
    rows = frame.filter(
        (pl.col("class_uid") == EXPORT)
        & pl.col("document.type").str.to_lowercase().is_in(list(CUSTOMERS))
        & (pl.col("record_count") > 0)
    )
    if rows.is_empty():
        return table
    fresh = (
        rows.select(
            *("tenant_id", "event_id", "actor"),
            key=pl.concat_list("actor", pl.when(is_inside("src")).then(pl.col("src"))),
            what="document.type",
            records="record_count",
            last_us="time_us",
        )
        .explode("key")
        .drop_nulls("key")
    )
    every = pl.concat([table, fresh.select(table.columns)])
    few = every.sort([*_OWN, "last_us", "event_id"]).filter(
        pl.int_range(pl.len(), 0, -1).over(_OWN) <= MOST
    )
    return newest(few, "last_us", META.max_keys)


def _uploads(frame: pl.DataFrame, seats: pl.DataFrame, sat: pl.DataFrame) -> pl.DataFrame:
    """Give large connections to the outside, with who sits at the machine."""
    payload = pl.col("unmapped.orig_bytes").cast(pl.Int64, strict=False)
    flows = (
        frame.filter(
            pl.col("class_uid").is_in(FLOWS) & is_inside("src_endpoint.ip") & is_outside("dst")
        )
        .with_columns(sent=pl.coalesce(payload, "traffic.bytes_out"))
        .filter(pl.col("sent") >= LEAST)
        .select(
            *("tenant_id", "row", "event_id", "time_us", "dst", "sent"),
            key="src",
            program="process.file.path",
            said=pl.coalesce("tls.sni", "http_request.url.hostname", "dst_endpoint.hostname"),
        )
    )
    return _seats.seated(flows, "key", seats, sat).select(list(META.tables["waiting"]))


def _carried(flows: pl.DataFrame, took: pl.DataFrame) -> pl.DataFrame:
    """Give those before which their person, or their address, had exported."""
    exports = took.select(
        *("tenant_id", "what", "records"),
        spot="key",
        export="event_id",
        taker="actor",
        took_us="last_us",
    )
    return (
        flows.with_columns(spot=pl.concat_list("user", "key"))
        .explode("spot")
        .join(exports, on=["tenant_id", "spot"])
        .filter((pl.col("time_us") - pl.col("took_us")).is_between(0, SOON_US))
        .sort("took_us", "export", maintain_order=True)
        .unique(["tenant_id", "event_id"], keep="last", maintain_order=True)
        .with_columns(actor=pl.coalesce("taker", "user"), act=pl.lit("upload"), src=pl.col("key"))
        .drop("key", "spot", "taker", "took_us", "user")
    )


def _grants(frame: pl.DataFrame) -> pl.DataFrame:
    """Give applications that somebody let in to contacts, mail or files."""
    app = pl.coalesce(cut("unmapped.app.name"), cut("unmapped.entity.name"))
    consent = (pl.col("class_uid") == API) & pl.col("api.operation").str.contains(_GRANT)
    kind = pl.col("unmapped.entity.type").str.to_lowercase().str.contains("oauth", literal=True)
    made = (pl.col("class_uid") == MANAGED) & kind & pl.col("activity_id").is_in([1, 8, 10])
    return frame.filter(
        (consent | made).fill_null(value=False)
        & pl.col("unmapped.scopes").str.contains(_DATA)
        & app.is_not_null()
    ).select(
        *("tenant_id", "event_id", "actor", "src", "time_us"),
        act=pl.lit("grant"),
        host=pl.col("device.hostname"),
        domain=pl.coalesce(
            cut("unmapped.app.domain"), cut("unmapped.entity.domain"), app
        ).str.to_lowercase(),
        what=pl.col("unmapped.scopes").str.slice(0, 300),
    )


def _once(strange: pl.DataFrame, told: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give what is to be told: each person and service once a week."""
    if strange.is_empty():
        return told, strange
    last = {(tenant, key): us for tenant, key, us in told.rows()}
    kept = []
    for place, (tenant, who, domain, at) in enumerate(
        strange.select("tenant_id", "actor", owner_of("domain"), "time_us").iter_rows()
    ):
        one = (str(tenant), f"{who or ''}\x1f{domain}")
        if int(at) - last.get(one, -AGAIN_US) >= AGAIN_US:
            last[one] = int(at)
            kept.append(place)
    table = pl.DataFrame([(*one, us) for one, us in last.items()], schema=told.schema, orient="row")
    return newest(table, "last_us", META.max_keys).sort(_OWN), strange[kept]


def _claim(row: dict[str, Any]) -> Finding:
    carried = row["act"] == "upload"
    who, domain = row["actor"] or "somebody", row["domain"]
    reasons = [
        Reason("contract or vendor", "none in the books", f"one that names {domain}"),
        Reason("announced", "by nobody else", "a trial that another person announced"),
    ]
    if carried:
        kilobytes = int(row["sent"]) // 1000
        records = f"{int(row['records']):,} {row['what']}"
        reasons.insert(0, Reason("sent there", f"{kilobytes:,} kB", "little, after an export"))
        reasons.insert(0, Reason("exported before", records, "none within two hours"))
        if row["program"]:
            reasons.append(Reason("program", row["program"]))
        title = f"{who} carried exported {row['what']} to {domain}, which nobody bought"
    else:
        reasons.insert(0, Reason("let in to", row["what"], "nothing of customers"))
        title = f"{who} let {domain}, which nobody bought, in to customers' data"
    events = tuple(e for e in (row["export"], row["event_id"]) if e)
    return claim(
        META,
        f"{META.name}.{row['act']}",
        row["tenant_id"],
        row["event_id"],
        title=title,
        level="high" if carried else "medium",
        time_us=int(row["time_us"]),
        entity_type="domain",
        entity=domain,
        event_ids=events,
        event_count=len(events),
        reasons=tuple(reasons),
        attack=("T1567",),
        links=pairs(
            ("user", row["actor"]), ("host", row["host"]), ("ip", row["src"]), ("ip", row["dst"])
        ),
        fields=pairs(("domain", domain), ("actor.user.name", row["actor"])),
    )
