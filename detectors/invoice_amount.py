"""Claim an invoice that is far above what its vendor usually asks for.

Exact integer arithmetic on minor units, so that the same stream gives the same findings however it
is cut into batches.
"""

from typing import Any, Final

import polars as pl

from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State, finding_id

INVOICE: Final = 999001
COUNTED: Final = (1, 5)
"""Activities by which an invoice enters the books: Create, Issue."""
FACTOR: Final = 10
OVER_LARGEST: Final = 3
"""Times the largest earlier invoice: a vendor whose amounts vary widely is not strange at once."""
HISTORY: Final = 5
"""Invoices a vendor must have sent before its own history says anything."""

META: Final = DetectorMeta(
    name="invoice_amount",
    version="2",
    title="Invoice far above the vendor's own history",
    classes=frozenset({INVOICE}),
    tables={
        "vendors": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "invoices": pl.Int64(),
            "sum_cents": pl.Int64(),
            "largest_cents": pl.Int64(),
            "last_seen_us": pl.Int64(),
        }
    },
    max_keys=100_000,
    bytes_per_key=90,
)

_OWN: Final = ["tenant_id", "key"]
_NEEDED: Final = ("vendor.uid", "amount_cents", "currency", "document.uid")


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Hold each invoice against the mean of the vendor's earlier ones in the same currency.

    A finding where amount >= 10 x mean, >= 3 x the largest, and at least 5 came before. Positive
    amounts only.
    """
    del context
    if any(name not in batch.frame.columns for name in _NEEDED):
        return state, []
    rows = _judged(_invoices(batch.frame), state["vendors"])
    if rows.is_empty():
        return state, []
    strange = rows.filter(
        (pl.col("before") >= HISTORY)
        & (pl.col("amount_cents") * pl.col("before") >= FACTOR * pl.col("before_cents"))
        & (pl.col("amount_cents") >= OVER_LARGEST * pl.col("before_largest"))
    )
    findings = [_claim(row) for row in strange.iter_rows(named=True)]
    return {"vendors": _learned(rows, state["vendors"])}, findings


def _invoices(frame: pl.DataFrame) -> pl.DataFrame:
    name = pl.col("vendor.name") if "vendor.name" in frame.columns else pl.lit(None, pl.String())
    return frame.filter(
        (pl.col("class_uid") == INVOICE)
        & pl.col("activity_id").is_in(COUNTED)
        & pl.col("vendor.uid").is_not_null()
        & pl.col("currency").is_not_null()
        # Above 10**13 cents the products below could leave 64 bits; nobody invoices that.
        & pl.col("amount_cents").is_between(1, 10**13)
    ).select(
        "tenant_id",
        key=pl.col("vendor.uid") + "\x1f" + pl.col("currency"),
        vendor=pl.col("vendor.uid"),
        vendor_name=name.fill_null(pl.col("vendor.uid")),
        currency=pl.col("currency"),
        document=pl.col("document.uid").fill_null(""),
        activity=pl.col("activity_id"),
        amount_cents=pl.col("amount_cents"),
        event_id=pl.col("event_id"),
        time_us=pl.col("time").cast(pl.Int64),
    )


def _judged(rows: pl.DataFrame, vendors: pl.DataFrame) -> pl.DataFrame:
    """Add `before`, `before_cents`, `before_largest`: count, sum and largest of those before."""
    largest = pl.col("amount_cents").cum_max().over(_OWN)
    earlier = largest.shift(1).over(_OWN)
    return (
        rows.join(vendors, on=_OWN, how="left", maintain_order="left")
        .with_columns(
            before=pl.col("invoices").fill_null(0) + pl.int_range(pl.len()).over(_OWN),
            before_cents=pl.col("sum_cents").fill_null(0)
            + pl.col("amount_cents").cum_sum().over(_OWN)
            - pl.col("amount_cents"),
            before_largest=pl.max_horizontal("largest_cents", earlier).fill_null(0),
        )
        .drop("invoices", "sum_cents", "largest_cents", "last_seen_us")
    )


def _learned(rows: pl.DataFrame, vendors: pl.DataFrame) -> pl.DataFrame:
    fresh = rows.group_by(_OWN).agg(
        invoices=pl.len().cast(pl.Int64),
        sum_cents=pl.col("amount_cents").sum(),
        largest_cents=pl.col("amount_cents").max(),
        last_seen_us=pl.col("time_us").max(),
    )
    merged = (
        pl.concat([vendors, fresh.select(vendors.columns)])
        .group_by(_OWN)
        .agg(
            pl.col("invoices").sum(),
            pl.col("sum_cents").sum(),
            pl.col("largest_cents").max(),
            pl.col("last_seen_us").max(),
        )
        .select(vendors.columns)
    )
    return (
        merged.sort(["tenant_id", "last_seen_us", "key"], descending=[False, True, False])
        .filter(pl.int_range(pl.len()).over("tenant_id") < META.max_keys)
        .sort(_OWN)
    )


def _claim(row: dict[str, Any]) -> Finding:
    before, amount = int(row["before"]), int(row["amount_cents"])
    mean = int(row["before_cents"]) // before
    currency = str(row["currency"])
    group = f"{row['vendor']}\x1f{row['document']}\x1f{row['activity']}\x1f{row['event_id']}"
    return Finding(
        finding_id=finding_id(row["tenant_id"], META.name, META.version, META.name, group),
        tenant_id=row["tenant_id"],
        detector=META.name,
        detector_version=META.version,
        rule_id=META.name,
        title=f"Invoice of {row['vendor_name']} is {amount / mean:.0f} times its usual amount",
        level="high",
        time_us=int(row["time_us"]),
        entity_type="vendor",
        entity=row["vendor"],
        event_ids=(row["event_id"],),
        reasons=(
            Reason(
                "amount",
                money(amount, currency),
                f"about {money(mean, currency)}, the mean of {before} invoices before",
                1.0,
            ),
        ),
        attack=("T1657",),
        links=(("document", row["document"]),) if row["document"] else (),
    )


def money(cents: int, currency: str) -> str:
    """Write an amount of minor units for people.

    >>> money(1234567, "EUR")
    '12,345.67 EUR'
    """
    return f"{cents // 100:,}.{cents % 100:02d} {currency}"
