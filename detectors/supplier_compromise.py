"""Claim an open invoice or payment of a vendor whose domain a feed calls hostile meanwhile.

The vendor's domain is what its record says, or the domain of its mail address there. Told once a
document, when both are true at one time; an indicator that has run out says nothing.
"""

from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from detectors._columns import claim, cut, filled, newest, pairs, time_us
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State
from storage.schema.indicator import Known

INVOICE: Final = 999001
PAYMENT: Final = 999002
VENDOR: Final = 999003
PAID: Final = 9
DELETED: Final = 4
SURE: Final = 75
"""Confidence from which the claim is high, and holds what is open."""
LIKELY: Final = 50
EVER: Final = 2**62
KEPT_US: Final = 180 * 86_400_000_000
"""How long a document is taken to be open, if nobody says that it was paid."""
MOST_DOMAINS: Final = 4
"""Domains kept of one vendor."""
MOST_LABELS: Final = 4
"""Labels of a vendor's domain, from its end, that are looked up."""

META: Final = DetectorMeta(
    name="supplier_compromise",
    version="1",
    title="Money is open with a vendor whose domain is called hostile",
    classes=frozenset({INVOICE, PAYMENT, VENDOR}),
    tables={
        "vendors": {
            **dict.fromkeys(("tenant_id", "key", "domain", "name", "event_id"), pl.String()),
            "last_us": pl.Int64(),
        },
        "open": {
            **dict.fromkeys(("tenant_id", "key", "vendor", "document", "event_id"), pl.String()),
            "opened_us": pl.Int64(),
            "closed_us": pl.Int64(),
            "told": pl.Boolean(),
        },
    },
    max_keys=50_000,
    bytes_per_key=300,
)

_OWN: Final = ["tenant_id", "key"]
_MAIL_OR_URL: Final = r"(?:[a-z]+://)?(?:[^@/\s]*@)?([a-z0-9\-]+(?:\.[a-z0-9\-]+)+)"


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Keep what is open with whom; hold the vendors' domains against each tenant's indicators."""
    frame = _facts(batch.frame)
    vendors = _vendors(frame, state["vendors"])
    documents = _documents(frame, state["open"])
    met = _met(documents, vendors, context.indicators, context.watermark_us)
    claimed = met.select(*_OWN, claimed=pl.lit(value=True))
    left = (
        documents.join(claimed, on=_OWN, how="left", maintain_order="left")
        .with_columns(told=pl.col("told") | pl.col("claimed").fill_null(value=False))
        .filter(
            (pl.col("closed_us") == EVER) & (pl.col("opened_us") + KEPT_US > context.watermark_us)
        )
        .drop("claimed")
    )
    after = {
        "vendors": vendors,
        "open": newest(left, "opened_us", META.max_keys).sort(_OWN),
    }
    found = [_claim(row) for row in met.iter_rows(named=True)]
    return {n: state[n] if after[n].equals(state[n]) else after[n] for n in after}, found


def _facts(frame: pl.DataFrame) -> pl.DataFrame:
    return filled(
        frame,
        *("vendor.uid", "vendor.name", "document.uid", "actor.user.name", "email.from"),
        *("unmapped.domain", "unmapped.website", "unmapped.mail"),
    ).with_columns(time_us=time_us())


def _vendors(frame: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Learn each vendor's domains, from the first record that names each."""
    said = pl.coalesce(
        cut(n) for n in ("unmapped.domain", "unmapped.website", "unmapped.mail", "email.from")
    )
    fresh = frame.filter(
        (pl.col("class_uid") == VENDOR) & pl.col("vendor.uid").is_not_null()
    ).select(
        "tenant_id",
        key=cut("vendor.uid"),
        domain=said.str.to_lowercase().str.extract(_MAIL_OR_URL).str.slice(0, 253),
        name=pl.coalesce(cut("vendor.name"), cut("vendor.uid")),
        event_id="event_id",
        last_us="time_us",
    )
    fresh = fresh.drop_nulls("domain")
    if fresh.is_empty():
        return table
    every = pl.concat([table, fresh]).unique([*_OWN, "domain"], keep="first", maintain_order=True)
    few = every.filter(pl.int_range(pl.len()).over(_OWN) < MOST_DOMAINS)
    return newest(few, "last_us", META.max_keys).sort(_OWN, maintain_order=True)


def _documents(frame: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Give what is open, and what was closed in this batch, with when."""
    fresh = frame.filter(
        pl.col("class_uid").is_in([INVOICE, PAYMENT])
        & pl.col("document.uid").is_not_null()
        & pl.col("vendor.uid").is_not_null()
    ).select(
        *("tenant_id", "event_id"),
        key=pl.col("class_uid").cast(pl.String) + "\x1f" + cut("document.uid"),
        vendor=cut("vendor.uid"),
        document=cut("document.uid"),
        opened_us="time_us",
        closed_us=pl.when(pl.col("activity_id").is_in([PAID, DELETED]))
        .then("time_us")
        .otherwise(EVER),
        told=pl.lit(value=False),
    )
    if fresh.is_empty():
        return table
    return (
        pl.concat([table, fresh.select(table.columns)])
        .group_by(_OWN, maintain_order=True)
        .agg(
            *(pl.col(n).first() for n in ("vendor", "document", "event_id", "opened_us")),
            pl.col("closed_us").min(),
            pl.col("told").any(),
        )
        .select(table.columns)
    )


def _met(
    documents: pl.DataFrame,
    vendors: pl.DataFrame,
    indicators: Mapping[str, Known],
    watermark_us: int,
) -> pl.DataFrame:
    """Give the documents that were open while an indicator of their vendor's domain held."""
    waiting = documents.filter(~pl.col("told"))
    labels = pl.col("domain").str.split(".")
    forms = pl.concat_list(
        labels.list.tail(n).list.join(".") for n in range(2, MOST_LABELS + 1)
    ).list.unique()
    owing = waiting.select("tenant_id", key="vendor")
    named = vendors.join(owing, on=_OWN, how="semi").with_columns(value=forms).explode("value")
    hostile = _hostile(named, indicators)
    since = pl.max_horizontal("opened_us", "valid_from_us")
    until = pl.min_horizontal("closed_us", pl.col("valid_until_us").fill_null(EVER))
    return (
        waiting.join(
            named.select(
                *("tenant_id", "domain", "name", "value"),
                vendor="key",
                vendor_event="event_id",
                known_us="last_us",
            ),
            on=["tenant_id", "vendor"],
        )
        .join(hostile, on=["tenant_id", "value"])
        .with_columns(since=pl.max_horizontal(since, "known_us"))
        .filter((pl.col("since") < until) & (pl.col("since") <= watermark_us))
        .sort("since", "confidence", "feed", "key", descending=[False, True, False, False])
        .unique(_OWN, keep="first", maintain_order=True)
    )


def _hostile(named: pl.DataFrame, indicators: Mapping[str, Known]) -> pl.DataFrame:
    """Give the indicators of these domains, tenant by tenant."""
    found = [pl.DataFrame(schema=_HOSTILE)]
    for (tenant,), own in named.group_by("tenant_id", maintain_order=True):
        known = indicators.get(str(tenant))
        # A set is asked first: a tenant may have a million indicators.
        values = [v for v in own["value"].unique(maintain_order=True) if known and v in known]
        if known and values:
            rows = known.frame.filter((pl.col("type") == "domain") & pl.col("value").is_in(values))
            found.append(rows.with_columns(tenant_id=pl.lit(str(tenant))).select(list(_HOSTILE)))
    return pl.concat(found)


_HOSTILE: Final = {
    **dict.fromkeys(("tenant_id", "value", "feed"), pl.String()),
    **dict.fromkeys(("valid_from_us", "valid_until_us", "confidence"), pl.Int64()),
}


def _claim(row: dict[str, Any]) -> Finding:
    confidence = int(row["confidence"])
    return claim(
        META,
        META.name,
        row["tenant_id"],
        f"{row['key']}\x1f{row['value']}",
        title=f"{row['name']} has {row['document']} open, and {row['feed']} calls "
        f"{row['value']} hostile",
        level="high" if confidence >= SURE else "medium",
        kind="finding" if confidence >= LIKELY else "signal",
        time_us=int(row["since"]),
        entity_type="vendor",
        entity=row["vendor"],
        event_ids=tuple(dict.fromkeys((row["event_id"], row["vendor_event"]))),
        event_count=2,
        reasons=(
            Reason("vendor's domain", row["domain"], f"{row['value']} in {row['feed']}"),
            Reason("open with it", row["document"], "nothing to be paid"),
            Reason("feed", row["feed"], f"confidence {confidence} of 100"),
        ),
        attack=("T1199", "T1586"),
        links=pairs(("document", row["document"]), ("domain", row["domain"])),
        fields=pairs(("vendor.uid", row["vendor"]), ("document.uid", row["document"])),
    )
