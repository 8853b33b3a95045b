"""Signal an account that takes far more records out in a day than it and the company usually do.

Exact integers; every export is held against the earlier ones of its kind (contacts, deals, ledger,
...), in order of arrival: the month's end has thousands of entries, and no seller takes so many.
"""

from typing import Any, Final

import polars as pl

from detectors._columns import DAY_US, account, claim, filled, newest, pairs, time_us
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

EXPORT: Final = 999014
FACTOR: Final = 10
LEAST: Final = 500
"""Records a day below which nobody is asked."""
COMPANY: Final = 10
"""Exports the company must have made before its own usual says anything."""
UNKNOWN: Final = 2000
"""Records a day that are many in a company of which nothing is known yet."""

META: Final = DetectorMeta(
    name="export_volume",
    version="2",
    title="Far more records exported than usual",
    classes=frozenset({EXPORT}),
    tables={
        "usual": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "exports": pl.Int64(),
            "records": pl.Int64(),
            "last_us": pl.Int64(),
            "day": pl.Int64(),
            "today": pl.Int64(),
            "today_exports": pl.Int64(),
            "today_learned": pl.Int64(),
        }
    },
    max_keys=50_000,
    bytes_per_key=110,
)

_OWN: Final = ["tenant_id", "key"]
_WHOLE: Final = "\x1f"
"""With the kind, key of the company's own row; no account is named so."""


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Claim the export by which an account's day reaches ten times both means."""
    del context
    if "record_count" not in batch.frame.columns:
        return state, []
    rows = _exports(batch.frame)
    if rows.is_empty():
        return state, []
    judged = _judged(rows, state["usual"])
    strange = judged.filter(
        (pl.col("today") >= LEAST)
        & (pl.col("today") - pl.col("records") < pl.col("bar"))
        & (pl.col("today") >= pl.col("bar"))
    )
    return {"usual": _learned(judged, state["usual"])}, [
        _claim(row) for row in strange.iter_rows(named=True)
    ]


def _exports(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame, "actor.user.name", "user.name", "document.type", "src_endpoint.ip", "device.uid"
    )
    return (
        frame.filter((pl.col("class_uid") == EXPORT) & pl.col("record_count").is_between(1, 10**12))
        .select(
            "tenant_id",
            "event_id",
            user=account("actor.user.name", "user.name"),
            what=pl.col("document.type").str.to_lowercase().str.slice(0, 64).fill_null("records"),
            ip=pl.col("src_endpoint.ip"),
            device=pl.col("device.uid"),
            records=pl.col("record_count"),
            last_us=time_us(),
        )
        .filter(pl.col("user").is_not_null())
        .with_columns(
            key=pl.concat_str("user", "what", separator="\x1f"),
            whole=pl.lit(_WHOLE) + pl.col("what"),
            day=pl.col("last_us").floordiv(DAY_US),
            # One giant must not make the next look small.
            learned=pl.col("records").clip(upper_bound=UNKNOWN),
        )
    )


def _judged(rows: pl.DataFrame, usual: pl.DataFrame) -> pl.DataFrame:
    """Add the counts and sums of account and company before each row, `today` and the `bar`."""
    days = {n: f"own_{n}" for n in ("day", "today", "today_exports", "today_learned")}
    own = usual.rename(days).select(*_OWN, *days.values(), own_n="exports", own_sum="records")
    whole = usual.filter(pl.col("key").str.starts_with(_WHOLE)).select(
        "tenant_id", whole="key", all_n="exports", all_sum="records"
    )
    company = ["tenant_id", "whole"]
    n, total = pl.int_range(pl.len()), pl.col("learned").cum_sum() - pl.col("learned")
    day = [*_OWN, "day"]

    def of_today(name: str) -> pl.Expr:
        return pl.when(pl.col("own_day") == pl.col("day")).then(name).otherwise(0)

    rows = (
        rows.join(own, on=_OWN, how="left", maintain_order="left")
        .join(whole, on=company, how="left", maintain_order="left")
        .with_columns(
            today=of_today("own_today") + pl.col("records").cum_sum().over(day),
            today_exports=of_today("own_today_exports") + n.over(day),
            today_learned=of_today("own_today_learned") + total.over(day),
            all_n=pl.col("all_n").fill_null(0) + n.over(company),
            all_sum=pl.col("all_sum").fill_null(0) + total.over(company),
        )
        .with_columns(
            # What an account does today is not yet its habit.
            own_n=pl.col("own_n").fill_null(0) + n.over(_OWN) - pl.col("today_exports"),
            own_sum=pl.col("own_sum").fill_null(0) + total.over(_OWN) - pl.col("today_learned"),
        )
        .with_columns(
            today_exports=pl.col("today_exports") + 1,
            today_learned=pl.col("today_learned") + pl.col("learned"),
        )
    )
    by_company = (
        pl.when(pl.col("all_n") >= COMPANY)
        .then(FACTOR * pl.col("all_sum") // pl.col("all_n").clip(1))
        .otherwise(UNKNOWN)
    )
    by_account = FACTOR * pl.col("own_sum") // pl.col("own_n").clip(1)
    return rows.with_columns(bar=pl.max_horizontal(by_company, by_account, LEAST))


def _learned(rows: pl.DataFrame, usual: pl.DataFrame) -> pl.DataFrame:
    sums = [pl.len().cast(pl.Int64).alias("exports"), pl.col("learned").sum().alias("records")]
    last = [
        pl.col("last_us").max(),
        *(pl.col(n).last() for n in ("day", "today", "today_exports", "today_learned")),
    ]
    own = rows.group_by(_OWN).agg(*sums, *last)
    whole = rows.group_by("tenant_id", key="whole").agg(*sums, *last)
    merged = (
        pl.concat([usual, own.select(usual.columns), whole.select(usual.columns)])
        .group_by(_OWN, maintain_order=True)
        .agg(pl.col("exports").sum(), pl.col("records").sum(), *last)
        .select(usual.columns)
    )
    return newest(merged, "last_us", META.max_keys).sort(_OWN)


def _claim(row: dict[str, Any]) -> Finding:
    company = int(row["all_sum"]) // max(int(row["all_n"]), 1)
    own = int(row["own_sum"]) // max(int(row["own_n"]), 1)
    reasons = [
        Reason(
            "records exported in a day",
            f"{row['today']:,} {row['what']}",
            f"about {company:,} an export, the mean of {row['all_n']} in the company",
        )
    ]
    if row["own_n"]:
        usual = f"about {own:,} an export, the mean of {row['own_n']} before"
        reasons.append(Reason("the account's own exports", f"{row['records']:,}", usual))
    return claim(
        META,
        META.name,
        row["tenant_id"],
        row["event_id"],
        title=f"{row['user']} exported {row['today']:,} records in a day, far more than usual",
        level="low",
        kind="signal",
        time_us=int(row["last_us"]),
        entity_type="user",
        entity=row["user"],
        event_ids=(row["event_id"],),
        reasons=tuple(reasons),
        attack=("T1213",),
        links=pairs(("ip", row["ip"]), ("device", row["device"])),
        fields=pairs(("actor.user.name", row["user"]), ("user.name", row["user"])),
    )
