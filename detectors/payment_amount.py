"""Signal a payment far above what its vendor is usually paid, sooner after a new bank account.

Exact integers; each payment is held against the vendor's earlier ones, in order of arrival.
"""

from collections.abc import Iterator
from typing import Any, Final

import polars as pl

from detectors._columns import DAY_US, claim, cut, filled, newest, pairs, time_us
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

PAYMENT: Final = 999002
VENDOR: Final = 999003
HISTORY: Final = 5
"""Payments a vendor must have had before its own history says anything."""
REMEMBERED: Final = 40
FACTOR: Final = 3
AFTER_BANK_CHANGE: Final = 2
"""Factors over the 95th percentile of the earlier payments."""
LARGEST: Final = 10**13
"""Minor units; a larger payment counts as one of these: products stay within 64 bits."""
FRESH_US: Final = 45 * DAY_US
"""How long an unconfirmed bank change makes payments suspect."""

META: Final = DetectorMeta(
    name="payment_amount",
    version="1",
    title="Payment far above the vendor's own history",
    classes=frozenset({PAYMENT, VENDOR}),
    tables={
        "paid": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "place": pl.Int64(),
            "amount_cents": pl.Int64(),
            "last_us": pl.Int64(),
        },
        "moved": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "last_us": pl.Int64(),
            "event_id": pl.String(),
        },
    },
    max_keys=50_000,
    bytes_per_key=REMEMBERED * 50,
)

_OWN: Final = ["tenant_id", "key"]


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Judge every payment when it is proposed, and learn it."""
    del context
    frame = batch.frame
    if frame.is_empty() or "vendor.uid" not in frame.columns:
        return state, []
    frame = filled(
        frame,
        *("vendor.uid", "vendor.name", "vendor.bank_account", "amount_cents", "currency"),
        *("document.uid", "actor.user.name", "unmapped.confirmed_by", "unmapped.confirmation"),
        *("unmapped.previous_bank_account",),
    ).with_row_index("row")
    moves = _moves(frame)
    rows = _payments(frame)
    if rows.is_empty():
        return {"paid": state["paid"], "moved": _learned_moves(moves, state["moved"])}, []
    before = state["paid"].group_by(_OWN).agg(last=pl.col("place").max())
    rows = (
        rows.join(before, on=_OWN, how="left", maintain_order="left")
        .with_columns(place=pl.col("last").fill_null(-1) + 1 + pl.int_range(pl.len()).over(_OWN))
        .drop("last")
    )
    paid = pl.concat([state["paid"], rows.select(state["paid"].columns)])
    judged = _with_moves(_with_usual(rows, paid), moves, state["moved"])
    judged = _with_others(judged, state["paid"])
    moved = pl.col("moved_us").is_not_null()
    far = pl.col("amount_cents") >= pl.col("usual") * (
        pl.when(moved).then(AFTER_BANK_CHANGE).otherwise(FACTOR)
    )
    enough = pl.col("before") >= pl.when(moved).then(1).otherwise(HISTORY)
    least = pl.when(moved).then(1).otherwise(HISTORY)
    is_new = (pl.col("before") == 0) & (pl.col("others") >= least)
    is_far = (far & enough).fill_null(value=False) | is_new
    strange = judged.with_columns(is_far=is_far).filter(is_far | moved)
    kept = paid.filter(pl.col("place") > pl.col("place").max().over(_OWN) - REMEMBERED)
    after = {
        "paid": newest(kept, "last_us", META.max_keys).sort([*_OWN, "place"]),
        "moved": _learned_moves(moves, state["moved"]),
    }
    return after, [_claim(row) for row in strange.iter_rows(named=True)]


def _moves(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the bank changes that nobody confirmed; a confirmed one clears those before it."""
    said = pl.col("unmapped.confirmation").str.contains(r"\S")
    confirmed = pl.col("unmapped.confirmed_by").str.contains(r"\S") & said
    said_none = pl.col("unmapped.confirmation").str.contains(r"(?i)^\s*none\s*$")
    return frame.filter(
        (pl.col("class_uid") == VENDOR)
        & (pl.col("activity_id") == 5)
        & pl.col("vendor.uid").is_not_null()
    ).select(
        "row",
        "tenant_id",
        "event_id",
        key=cut("vendor.uid"),
        last_us=time_us(),
        confirmed=(confirmed & ~said_none).fill_null(value=False),
    )


def _learned_moves(moves: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    if moves.is_empty():
        return table
    last = moves.unique(_OWN, keep="last", maintain_order=True)
    kept = table.join(last, on=_OWN, how="anti")
    fresh = last.filter(~pl.col("confirmed")).select(table.columns)
    return newest(pl.concat([kept, fresh]), "last_us", META.max_keys).sort(_OWN)


def _payments(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.filter(
        (pl.col("class_uid") == PAYMENT)
        & (pl.col("activity_id") == 1)
        & pl.col("vendor.uid").is_not_null()
        & (pl.col("amount_cents") > 0)
    ).select(
        "row",
        "tenant_id",
        "event_id",
        amount_cents=pl.col("amount_cents").clip(upper_bound=LARGEST),
        key=cut("vendor.uid") + "\x1f" + pl.col("currency").fill_null(""),
        vendor=cut("vendor.uid"),
        vendor_name=pl.col("vendor.name").fill_null(pl.col("vendor.uid")),
        currency=pl.col("currency").fill_null(""),
        document=pl.col("document.uid"),
        user=pl.col("actor.user.name"),
        last_us=time_us(),
    )


def _with_usual(rows: pl.DataFrame, paid: pl.DataFrame) -> pl.DataFrame:
    """Add `before` (how many earlier payments, 40 at most) and `usual`, their 95th percentile."""
    earlier = (
        rows.select("row", *_OWN, here="place")
        .join(paid.select(*_OWN, "place", amount="amount_cents"), on=_OWN)
        .filter(
            (pl.col("place") < pl.col("here")) & (pl.col("place") >= pl.col("here") - REMEMBERED)
        )
        .group_by("row")
        .agg(
            before=pl.len().cast(pl.Int64),
            # The nearest rank, in whole numbers.
            usual=pl.col("amount").sort().get((pl.len() * 95 + 99) // 100 - 1),
        )
    )
    return rows.join(earlier, on="row", how="left", maintain_order="left").with_columns(
        pl.col("before").fill_null(0)
    )


def _with_others(rows: pl.DataFrame, paid: pl.DataFrame) -> pl.DataFrame:
    """Add `others`: how many earlier payments the vendor had in other currencies."""
    vendor = pl.col("key").str.splitn("\x1f", 2).struct.field("field_0")
    known = paid.select("tenant_id", "key", vendor=vendor, then=pl.lit(-1, pl.Int64()))
    fresh = rows.select("tenant_id", "key", "vendor", then=pl.col("row").cast(pl.Int64))
    others = (
        rows.select("row", "tenant_id", "vendor", own="key")
        .join(pl.concat([known, fresh]), on=["tenant_id", "vendor"])
        .filter((pl.col("then") < pl.col("row").cast(pl.Int64)) & (pl.col("key") != pl.col("own")))
        .group_by("row")
        .agg(others=pl.len().cast(pl.Int64))
    )
    return rows.join(others, on="row", how="left", maintain_order="left").with_columns(
        pl.col("others").fill_null(0)
    )


def _with_moves(rows: pl.DataFrame, moves: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Add `moved_us` and `move_id`: the unconfirmed bank change in force before each payment."""
    none = pl.lit(None, pl.UInt32()).alias("row")
    known = table.with_columns(none, confirmed=pl.lit(value=False))
    every = pl.concat([known, moves.select(known.columns)])
    found = (
        rows.select(at="row", tenant_id="tenant_id", key="vendor", paid_us="last_us")
        .join(every, on=_OWN)
        .filter(pl.col("row").is_null() | (pl.col("row") < pl.col("at")))
        .sort(["at", "row"], nulls_last=False)
        .group_by("at")
        .agg(pl.all().last())
        .filter(~pl.col("confirmed") & (pl.col("paid_us") - pl.col("last_us") <= FRESH_US))
        .select(row="at", moved_us="last_us", move_id="event_id")
    )
    return rows.join(found, on="row", how="left", maintain_order="left")


def _claim(row: dict[str, Any]) -> Finding:
    moved, far = row["moved_us"] is not None, bool(row["is_far"])
    name = row["vendor_name"]
    events = [row["move_id"], row["event_id"]] if moved else [row["event_id"]]
    title = f"Payment to {name} goes to a bank account that nobody confirmed"
    if far and not row["before"]:
        title = f"Payment to {name} is in {row['currency']}, in which it was never paid"
    elif far:
        times = int(row["amount_cents"]) * 10 // int(row["usual"])
        title = f"Payment to {name} is {times // 10}.{times % 10} times what it usually gets"
    return claim(
        META,
        f"{META.name}.unusual" if far else f"{META.name}.new_account",
        row["tenant_id"],
        row["event_id"],
        title=title,
        level="medium" if moved and far else "low",
        kind="signal",
        time_us=int(row["last_us"]),
        entity_type="vendor",
        entity=row["vendor"],
        event_ids=tuple(events),
        event_count=len(events),
        reasons=tuple(_reasons(row, moved, far)),
        attack=("T1657",),
        links=pairs(("document", row["document"]), ("user", row["user"])),
        fields=pairs(
            ("vendor.uid", row["vendor"]),
            ("document.uid", row["document"]),
            ("actor.user.name", row["user"]),
        ),
    )


def _reasons(row: dict[str, Any], moved: bool, far: bool) -> Iterator[Reason]:
    currency = str(row["currency"])
    if row["before"]:
        usual = money(int(row["usual"]), currency)
        known = f"{usual} or less in 95 of 100 of the last {row['before']} payments"
        yield Reason("amount", money(int(row["amount_cents"]), currency), known if far else usual)
    elif far:
        usual = f"one of its {row['others']} earlier payments' currencies"
        yield Reason("currency", money(int(row["amount_cents"]), currency), usual)
    if moved:
        yield Reason("bank account", "changed without confirmation", "confirmed by phone or letter")


def money(cents: int, currency: str) -> str:
    """Write an amount of minor units for people."""
    return f"{cents // 100:,}.{cents % 100:02d} {currency}".rstrip()
