"""Signal a sign-in from a device and a country that the account never used before.

Either alone is everyday: a new phone, a journey. The first device of an account is learned.
"""

from typing import Any, Final

import polars as pl

from detectors._columns import account, claim, cut, filled, newest, pairs, time_us
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

REMEMBERED: Final = 32
"""Devices and countries kept of an account, those used last."""

META: Final = DetectorMeta(
    name="new_device",
    version="1",
    title="Sign-in from a new device and a new country",
    classes=frozenset({3002}),
    tables={
        "seen": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "what": pl.String(),
            "value": pl.String(),
            "last_us": pl.Int64(),
        }
    },
    max_keys=50_000,
    bytes_per_key=REMEMBERED * 60,
)

_COUNTRIES: Final = (
    "unmapped.location.country",
    "unmapped.src_endpoint.location.country",
    "unmapped.country",
)
_OWN: Final = ["tenant_id", "key"]
_ONE: Final = [*_OWN, "what", "value"]


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Hold each success against the account's earlier ones; learn its device and country."""
    del context
    if "device.uid" not in batch.frame.columns:
        return state, []
    rows = _sign_ins(batch.frame)
    if rows.is_empty():
        return state, []
    told = (
        rows.select("row", *_OWN, "device", "country", last_us="time_us")
        .unpivot(
            ["device", "country"],
            index=["row", *_OWN, "last_us"],
            variable_name="what",
            value_name="value",
        )
        .drop_nulls("value")
        .sort("row")
    )
    fresh = told.unique(_ONE, keep="first", maintain_order=True).join(
        state["seen"], on=_ONE, how="anti"
    )
    known = state["seen"].select(_OWN).unique().with_columns(known=pl.lit(value=True))
    strange = (
        rows.with_columns(earlier=pl.int_range(pl.len()).over(_OWN) > 0)
        .join(known, on=_OWN, how="left", maintain_order="left")
        .filter(
            pl.col("known").fill_null(value=False) | pl.col("earlier"),
            pl.col("row").is_in(fresh.filter(pl.col("what") == "device")["row"].implode()),
            pl.col("row").is_in(fresh.filter(pl.col("what") == "country")["row"].implode()),
        )
    )
    seen = pl.concat([state["seen"], told.select(state["seen"].columns)])
    kept = (
        seen.group_by(_ONE)
        .agg(pl.col("last_us").max())
        .sort([*_OWN, "last_us", "what", "value"], descending=[False, False, True, False, False])
        .filter(pl.int_range(pl.len()).over(_OWN) < REMEMBERED)
    )
    table = newest(kept, "last_us", META.max_keys).sort(_ONE)
    return {"seen": table}, [_claim(row) for row in strange.iter_rows(named=True)]


def _sign_ins(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame, "status_id", "user.name", "actor.user.name", "device.uid", "src_endpoint.ip"
    )
    country = [pl.col(n) for n in _COUNTRIES if n in frame.columns]
    return (
        frame.filter((pl.col("activity_id") == 1) & (pl.col("status_id") == 1))
        .select(
            "tenant_id",
            "event_id",
            key=account("user.name", "actor.user.name"),
            device=cut("device.uid"),
            country=pl.coalesce(country).str.to_uppercase().str.slice(0, 64)
            if country
            else pl.lit(None, pl.String()),
            ip=pl.col("src_endpoint.ip"),
            time_us=time_us(),
        )
        .filter(pl.col("key").is_not_null() & pl.col("device").is_not_null())
        .with_row_index("row")
    )


def _claim(row: dict[str, Any]) -> Finding:
    return claim(
        META,
        META.name,
        row["tenant_id"],
        row["event_id"],
        title=f"{row['key']} signed in from a device and a country never seen for this account",
        level="low",
        kind="signal",
        time_us=int(row["time_us"]),
        entity_type="user",
        entity=row["key"],
        event_ids=(row["event_id"],),
        reasons=(
            Reason("country", row["country"], "none of the account's countries so far"),
            Reason("device", row["device"], "none of the account's devices so far"),
        ),
        attack=("T1078",),
        links=pairs(("ip", row["ip"]), ("device", row["device"])),
        fields=pairs(
            ("user.name", row["key"]),
            ("src_endpoint.ip", row["ip"]),
            ("device.uid", row["device"]),
        ),
    )
