"""Signal an administrator's sign-in unlike those before, and an export of the books unannounced.

Unlike: a device, a country or an hour that the account never used. With a large upload after them
the two are a story. What somebody else announced or approved, as an audit, is none.
"""

from typing import Any, Final

import polars as pl

from detectors import _announced
from detectors._columns import DAY_US, account, claim, cut, filled, newest, pairs, time_us
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

SIGN_IN: Final = 3002
RIGHTS: Final = 3003
EXPORT: Final = 999014
BOOKS: Final = (
    *("ledger", "journal", "trial_balance", "balance_sheet", "report", "accounts", "invoices"),
    *("payments", "payroll", "vendors"),
)
"""Kinds of records (`document.type`) that are the books."""
KNOWN_US: Final = 5 * DAY_US
"""An account watched for so long has usual hours; its devices and countries are known at once."""
REMEMBERED: Final = 64
"""Devices, countries and hours kept of an account, those used last."""
ADMIN: Final = "2"
"""OCSF `user.type_id` of an administrator."""

META: Final = DetectorMeta(
    name="books_walk_out",
    version="1",
    title="Books exported after an unusual sign-in of an administrator",
    classes=frozenset({SIGN_IN, RIGHTS, EXPORT, _announced.ANNOUNCEMENT}),
    tables={
        "admins": {"tenant_id": pl.String(), "key": pl.String(), "last_us": pl.Int64()},
        "seen": {
            **dict.fromkeys(("tenant_id", "key", "what", "value"), pl.String()),
            "first_us": pl.Int64(),
            "last_us": pl.Int64(),
        },
        "announced": _announced.TABLE,
    },
    max_keys=50_000,
    bytes_per_key=REMEMBERED * 70,
)

_OWN: Final = ["tenant_id", "key"]
_ONE: Final = [*_OWN, "what", "value"]
_COUNTRIES: Final = (
    "unmapped.location.country",
    "unmapped.src_endpoint.location.country",
    "unmapped.country",
)
_HOUR_US: Final = 3_600_000_000


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Learn who administers and how each signs in; claim what differs, and exports of the books."""
    del context
    frame = _facts(batch.frame)
    plans = _announced.announced(frame, state["announced"], META.max_keys, "export", "audit")
    admins = _admins(frame, state["admins"])
    signs = _signs(frame, admins)
    used = _used(signs)
    strange = _strange(signs, used, state["seen"])
    exports = _announced.unexpected(_exports(frame), plans)
    kept = newest(admins.drop("row"), "last_us", META.max_keys).sort(_OWN)
    after = {
        "admins": kept,
        "seen": _learned(used, state["seen"]),
        "announced": plans,
    }
    found = [_sign_in_claim(row) for row in strange.iter_rows(named=True)]
    found += [_export_claim(row) for row in exports.iter_rows(named=True)]
    return {n: state[n] if after[n].equals(state[n]) else after[n] for n in after}, found


def _facts(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame,
        *("actor.user.name", "user.name", "device.uid", "device.hostname", "src_endpoint.ip"),
        *("status_id", "logon_type_id", "document.type", "document.uid", "record_count"),
        *("unmapped.user.type_id", "unmapped.user.type", "unmapped.report", "unmapped.approved_by"),
        *_COUNTRIES,
    )
    return frame.with_columns(
        row=pl.int_range(pl.len(), dtype=pl.Int64),
        time_us=time_us(),
        who=account("user.name", "actor.user.name"),
        actor=account("actor.user.name", "user.name"),
        ip=pl.col("src_endpoint.ip").str.to_lowercase(),
    )


def _admins(frame: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Add who is called an administrator or is given an administrator's rights at sign-in."""
    said = (pl.col("unmapped.user.type_id") == ADMIN) | (
        pl.col("unmapped.user.type").str.to_lowercase() == "admin"
    )
    rights = (pl.col("class_uid") == RIGHTS) & (pl.col("activity_id") == 1)
    fresh = frame.filter(
        (((pl.col("class_uid") == SIGN_IN) & said) | rights).fill_null(value=False)
        & pl.col("who").is_not_null()
        & ~pl.col("who").str.ends_with("$")
    ).select("tenant_id", key="who", last_us="time_us", row="row")
    before = table.with_columns(row=pl.lit(-1, pl.Int64()))
    return (
        pl.concat([before, fresh])
        .group_by(_OWN, maintain_order=True)
        .agg(pl.col("last_us").max(), pl.col("row").min())
    )


def _signs(frame: pl.DataFrame, admins: pl.DataFrame) -> pl.DataFrame:
    """Give the good sign-ins of administrators, as known by then."""
    country = pl.coalesce(cut(n) for n in _COUNTRIES).str.to_uppercase().str.slice(0, 64)
    rows = frame.filter(
        (pl.col("class_uid") == SIGN_IN) & (pl.col("activity_id") == 1) & (pl.col("status_id") == 1)
    ).select(
        *("tenant_id", "row", "event_id", "time_us", "ip"),
        key="who",
        device=cut("device.uid").str.to_lowercase(),
        country=country,
        hour=(pl.col("time_us") % DAY_US).floordiv(_HOUR_US),
    )
    return (
        rows.join(admins.select(*_OWN, since="row"), on=_OWN, maintain_order="left")
        .filter(pl.col("since") <= pl.col("row"))
        .drop("since")
    )


def _used(signs: pl.DataFrame) -> pl.DataFrame:
    """Give each device, country and hour used; hours next to one another count as one habit."""
    hours = pl.concat_list(
        ((pl.col("hour") + n) % 24).cast(pl.String).str.zfill(2) for n in (0, 1, 23)
    )
    told = signs.select(
        *("row", *_OWN, "device", "country"), hour=hours, first_us="time_us", last_us="time_us"
    )
    parts = [
        told.select("row", *_OWN, what=pl.lit(n), value=n, first_us="first_us", last_us="last_us")
        for n in ("device", "country")
    ]
    spread = told.select(
        "row", *_OWN, what=pl.lit("hour"), value="hour", first_us="first_us", last_us="last_us"
    ).explode("value")
    return pl.concat([*parts, spread]).drop_nulls("value").sort("row", maintain_order=True)


def _strange(signs: pl.DataFrame, used: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    """Give sign-ins with something that the account, known for a while, never used before."""
    if signs.is_empty():
        return signs.with_columns(fresh=pl.lit(None, pl.List(pl.String)))
    known = seen.group_by(_OWN).agg(since_us=pl.col("first_us").min())
    first = used.unique(_ONE, keep="first", maintain_order=True).join(seen, on=_ONE, how="anti")
    own_hour = signs.select("row", here=pl.col("hour").cast(pl.String).str.zfill(2))
    fresh = (
        first.join(own_hour, on="row", how="left")
        .filter((pl.col("what") != "hour") | (pl.col("value") == pl.col("here")))
        .group_by("row")
        .agg(fresh=pl.col("what").sort())
    )
    begun = pl.min_horizontal("since_us", pl.col("time_us").cum_min().over(_OWN))
    age = pl.col("time_us") - begun
    is_old = age >= KNOWN_US
    only_hour = pl.col("fresh").list.eval(pl.element() != "hour").list.any().not_()
    return (
        signs.join(known, on=_OWN, how="left", maintain_order="left")
        .join(fresh, on="row", maintain_order="left")
        .filter((age > 0) & (is_old | ~only_hour))
    )


def _learned(used: pl.DataFrame, seen: pl.DataFrame) -> pl.DataFrame:
    if used.is_empty():
        return seen
    kept = (
        pl.concat([seen, used.select(seen.columns)])
        .group_by(_ONE)
        .agg(pl.col("first_us").min(), pl.col("last_us").max())
        .sort([*_OWN, "last_us", "what", "value"], descending=[False, False, True, False, False])
        .filter(pl.int_range(pl.len()).over(_OWN) < REMEMBERED)
        .select(seen.columns)
    )
    return newest(kept, "last_us", META.max_keys).sort(_ONE)


def _exports(frame: pl.DataFrame) -> pl.DataFrame:
    """Give exports of the books that no other person approved."""
    other = account("unmapped.approved_by")
    kind = pl.col("document.type").str.to_lowercase()
    return frame.filter(
        (pl.col("class_uid") == EXPORT)
        & kind.is_in(list(BOOKS))
        & pl.col("actor").is_not_null()
        & (other.is_null() | (other == pl.col("actor")))
    ).with_columns(
        kind=kind,
        device=cut("device.uid"),
        subjects=pl.concat_list(
            kind, cut("unmapped.report").str.to_lowercase(), cut("document.uid").str.to_lowercase()
        ),
    )


def _sign_in_claim(row: dict[str, Any]) -> Finding:
    hour = f"{int(row['hour']):02d}:00 UTC"
    values = {"device": row["device"], "country": row["country"], "hour": hour}
    fresh = sorted(row["fresh"])
    return claim(
        META,
        f"{META.name}.sign_in",
        row["tenant_id"],
        row["event_id"],
        title=f"Administrator {row['key']} signed in as never before: new {', '.join(fresh)}",
        level="low",
        kind="signal",
        time_us=int(row["time_us"]),
        entity_type="user",
        entity=row["key"],
        event_ids=(row["event_id"],),
        reasons=tuple(
            Reason(name, str(values[name]), f"none of the account's {_plural(name)} so far")
            for name in fresh
        ),
        attack=("T1078",),
        links=pairs(("ip", row["ip"]), ("device", row["device"])),
        fields=pairs(("user.name", row["key"]), ("src_endpoint.ip", row["ip"])),
    )


def _plural(name: str) -> str:
    return {"country": "countries"}.get(name, f"{name}s")


def _export_claim(row: dict[str, Any]) -> Finding:
    records = f"{row['record_count']:,} records" if row["record_count"] else "records"
    return claim(
        META,
        f"{META.name}.export",
        row["tenant_id"],
        row["event_id"],
        title=f"{row['actor']} exported {records} of the books ({row['kind']}), unannounced",
        level="low",
        kind="signal",
        time_us=int(row["time_us"]),
        entity_type="user",
        entity=row["actor"],
        event_ids=(row["event_id"],),
        reasons=(
            Reason("exported", f"{records}: {row['kind']}", "announced or approved by another"),
        ),
        attack=("T1213",),
        links=pairs(("ip", row["ip"]), ("device", row["device"])),
        fields=pairs(("actor.user.name", row["actor"]), ("src_endpoint.ip", row["ip"])),
    )
