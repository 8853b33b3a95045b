"""Claim stock taken off the books at night by an account of which no machine has seen a person.

What is an office's night is learned: the hours at which hardly anybody acts. Judged an hour later,
so that sign-ins which are told late still count. An announced inventory count is none.
"""

from typing import Any, Final

import polars as pl

from detectors import _announced
from detectors._columns import DAY_US, account, claim, cut, filled, newest, pairs, time_us
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

ITEM: Final = 999004
ADJUST: Final = 6
SIGN_IN: Final = 3002
FACTS: Final = frozenset({999001, 999002, 999003, 999004, 999011, 999012, 999013, 999014})
HOUR_US: Final = 3_600_000_000
WAIT_US: Final = HOUR_US
"""How long a late sign-in is waited for."""
AT_DESK_US: Final = 10 * HOUR_US
"""How long somebody who came to the desktop of a machine is taken to be there."""
IN_CLOUD_US: Final = 4 * HOUR_US
"""The same of a sign-in to a service from a device: it says less."""
MEMORY_D: Final = 28
OFFICE: Final = 3
"""Accounts that must have acted at this hour on earlier days: then it is a working hour."""
KNOWN_D: Final = 2
"""Days for which an account must have had a machine: then it is a person with a place."""
WATCHED_D: Final = 3
"""Days that a house must have been watched before its nights are known."""
QUIET_US: Final = 12 * HOUR_US
"""After a finding about an account, more of the same night are signals."""
AT_ONE: Final = 8
"""Machines kept of an account, and accounts of an hour."""
_DAY: Final = pl.Int64()


def _table(*names: str, **numbers: pl.DataType) -> dict[str, pl.DataType]:
    texts: dict[str, pl.DataType] = {n: pl.String() for n in ("tenant_id", "key", *names)}
    return {**texts, **numbers}


META: Final = DetectorMeta(
    name="stock_shrinkage",
    version="1",
    title="Stock taken at night by an account that nobody sits behind",
    classes=FACTS | {SIGN_IN, _announced.ANNOUNCEMENT},
    tables={
        "hours": _table("account", first_d=_DAY, last_d=_DAY),
        "places": _table("place", first_d=_DAY, last_us=_DAY, span_us=_DAY),
        "waiting": _table(
            *("event_id", "item", "item_name", "reason", "device", "ip"),
            change=_DAY,
            time_us=_DAY,
            present=pl.Boolean(),
        ),
        "told": _table(last_us=_DAY),
        "announced": _announced.TABLE,
    },
    max_keys=20_000,
    bytes_per_key=AT_ONE * 90,
)

_OWN: Final = ["tenant_id", "key"]


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Let what was taken wait an hour; then ask whether it was night and who was there."""
    frame = _facts(batch.frame)
    plans = _announced.announced(frame, state["announced"], META.max_keys, "stock_count")
    hours = _hours(frame, state["hours"])
    signs = _signs(frame, state["places"])
    places = _places(signs, state["places"])
    taken = _present(
        pl.concat([state["waiting"], _taken(frame, plans)]),
        pl.concat([state["places"], signs]),
    )
    due = (pl.col("time_us") + WAIT_US) <= context.watermark_us
    told, found = _claims(_strange(taken.filter(due), hours, places), state["told"])
    after = {
        "hours": hours,
        "places": places,
        "waiting": newest(taken.filter(~due), "time_us", META.max_keys),
        "told": told,
        "announced": plans,
    }
    return {n: state[n] if after[n].equals(state[n]) else after[n] for n in after}, found


def _facts(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame,
        *("actor.user.name", "user.name", "item.uid", "item.name", "unmapped.change"),
        *("unmapped.reason", "unmapped.count_uid", "device.uid", "device.hostname"),
        *("src_endpoint.ip", "logon_type_id", "status_id"),
    )
    return frame.with_columns(
        change=pl.col("unmapped.change").cast(pl.Int64, strict=False),
        row=pl.int_range(pl.len(), dtype=pl.Int64),
        time_us=time_us(),
        actor=account("actor.user.name"),
        day=time_us().floordiv(DAY_US),
    )


def _hour(at: pl.Expr) -> pl.Expr:
    """Name the hour of the day, apart for working days and weekends (UTC)."""
    # Day 0 of the clock, 1970-01-01, was a Thursday.
    kind = pl.when((at.floordiv(DAY_US) + 3) % 7 < 5).then(pl.lit("d")).otherwise(pl.lit("w"))
    return kind + (at % DAY_US).floordiv(HOUR_US).cast(pl.String)


def _hours(frame: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Learn who acts in the books at which hour."""
    fresh = frame.filter(pl.col("class_uid").is_in(FACTS) & pl.col("actor").is_not_null()).select(
        "tenant_id", key=_hour(pl.col("time_us")), account="actor", first_d="day", last_d="day"
    )
    if fresh.is_empty():
        return table
    return (
        pl.concat([table, fresh.select(table.columns)])
        .group_by("tenant_id", "key", "account")
        .agg(pl.col("first_d").min(), pl.col("last_d").max())
        .filter(pl.col("last_d") > pl.col("last_d").max().over("tenant_id") - MEMORY_D)
        .sort("tenant_id", "key", "first_d", "account")
        .filter(pl.int_range(pl.len()).over(_OWN) < AT_ONE)
        .select(table.columns)
    )


def _signs(frame: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Give who signed in at which machine; `first_d`: the day on which they first did."""
    desktop = pl.col("logon_type_id").is_in([2, 7, 10, 11])
    host = pl.when(desktop).then(cut("device.hostname"))
    fresh = (
        frame.filter(
            (pl.col("class_uid") == SIGN_IN)
            & (pl.col("activity_id") == 1)
            & (pl.col("status_id") == 1)
        )
        .select(
            "tenant_id",
            key=account("user.name", "actor.user.name"),
            place=pl.coalesce(host, cut("device.uid")).str.to_lowercase(),
            day="day",
            last_us="time_us",
            span_us=pl.when(host.is_not_null()).then(AT_DESK_US).otherwise(IN_CLOUD_US),
        )
        .drop_nulls(["key", "place"])
    )
    one = [*_OWN, "place"]
    known = table.select(*one, known_d="first_d")
    first = pl.min_horizontal("known_d", pl.col("day").min().over(one))
    return (
        fresh.join(known, on=one, how="left", maintain_order="left")
        .with_columns(first_d=first)
        .select(table.columns)
    )


def _places(signs: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    if signs.is_empty():
        return table
    one = [*_OWN, "place"]
    kept = (
        pl.concat([table, signs])
        .group_by(one)
        .agg(pl.col("first_d").min(), pl.col("last_us").max(), pl.col("span_us").max())
        .sort([*_OWN, "last_us", "place"], descending=[False, False, True, False])
        .filter(pl.int_range(pl.len()).over(_OWN) < AT_ONE)
        .select(table.columns)
    )
    return newest(kept, "last_us", META.max_keys).sort(one)


def _taken(frame: pl.DataFrame, plans: pl.DataFrame) -> pl.DataFrame:
    """Give what was taken off the stock and not counted by an announced plan."""
    rows = frame.filter(
        (pl.col("class_uid") == ITEM)
        & (pl.col("activity_id") == ADJUST)
        & (pl.col("change") < 0)
        & pl.col("actor").is_not_null()
        & pl.col("item.uid").is_not_null()
    ).with_columns(
        subjects=pl.concat_list(
            cut("item.uid").str.to_lowercase(),
            cut("unmapped.count_uid").str.to_lowercase(),
            pl.lit("stock"),
        )
    )
    strange = _announced.unexpected(rows, plans)
    return strange.select(
        "tenant_id",
        *("event_id", "change", "time_us"),
        key="actor",
        item=cut("item.uid"),
        item_name=pl.coalesce(cut("item.name"), cut("item.uid")),
        reason=cut("unmapped.reason"),
        device=cut("device.uid"),
        ip="src_endpoint.ip",
        present=pl.lit(value=False),
    ).select(list(META.tables["waiting"]))


def _present(taken: pl.DataFrame, signs: pl.DataFrame) -> pl.DataFrame:
    """Mark what was taken while its account was signed in at a machine of its own."""
    if taken.is_empty() or signs.is_empty():
        return taken
    seen = (
        taken.select(*_OWN, "event_id", "time_us")
        .join(signs, on=_OWN)
        .filter(
            (pl.col("first_d") < pl.col("time_us").floordiv(DAY_US))
            & (pl.col("time_us") - pl.col("last_us")).is_between(0, pl.col("span_us"))
        )
        .select("tenant_id", "event_id", seen=pl.lit(value=True))
        .unique()
    )
    joined = taken.join(seen, on=["tenant_id", "event_id"], how="left", maintain_order="left")
    return joined.with_columns(present=pl.col("present") | pl.col("seen").fill_null(value=False))[
        taken.columns
    ]


def _strange(taken: pl.DataFrame, hours: pl.DataFrame, places: pl.DataFrame) -> pl.DataFrame:
    """Give what was taken at night, by an account with a machine at which it was not."""
    absent = taken.filter(~pl.col("present")).with_columns(
        hour=_hour(pl.col("time_us")), day=pl.col("time_us").floordiv(DAY_US)
    )
    if absent.is_empty():
        return absent
    watched = hours.group_by("tenant_id").agg(since_d=pl.col("first_d").min())
    awake = hours.select("tenant_id", "account", "first_d", hour="key")
    acting = (
        absent.select("tenant_id", "event_id", "hour", "day")
        .join(awake, on=["tenant_id", "hour"])
        .filter(pl.col("first_d") < pl.col("day"))
        .group_by("tenant_id", "event_id")
        .agg(acting=pl.col("account").n_unique().cast(pl.Int64))
    )
    homes = (
        absent.select(*_OWN, "event_id", "day")
        .join(places, on=_OWN)
        .filter(pl.col("day") - pl.col("first_d") >= KNOWN_D)
        .group_by("tenant_id", "event_id")
        .agg(machine=pl.col("place").sort().first())
    )
    return (
        absent.join(acting, on=["tenant_id", "event_id"], how="left", maintain_order="left")
        .join(watched, on="tenant_id", how="left", maintain_order="left")
        .join(homes, on=["tenant_id", "event_id"], maintain_order="left")
        .with_columns(pl.col("acting").fill_null(0))
        .filter((pl.col("acting") < OFFICE) & (pl.col("day") - pl.col("since_d") >= WATCHED_D))
        .sort("time_us", "event_id")
    )


def _claims(strange: pl.DataFrame, told: pl.DataFrame) -> tuple[pl.DataFrame, list[Finding]]:
    """Claim each; the first of a night about an account is a finding, the others signals."""
    last = {(tenant, key): us for tenant, key, us in told.rows()}
    found: list[Finding] = []
    for row in strange.iter_rows(named=True):
        one = (str(row["tenant_id"]), str(row["key"]))
        is_first = int(row["time_us"]) - last.get(one, -QUIET_US) >= QUIET_US
        if is_first:
            last[one] = int(row["time_us"])
        found.append(_claim(row, is_first=is_first))
    if not found:
        return told, []
    table = pl.DataFrame([(*one, us) for one, us in last.items()], schema=told.schema, orient="row")
    return newest(table, "last_us", META.max_keys).sort(_OWN), found


def _claim(row: dict[str, Any], *, is_first: bool) -> Finding:
    who, item = row["key"], row["item_name"]
    return claim(
        META,
        META.name,
        row["tenant_id"],
        row["event_id"],
        title=f"{-int(row['change'])} pieces of {item} taken off the stock at night as {who}, "
        "who was not signed in",
        level="high" if is_first else "low",
        kind="finding" if is_first else "signal",
        time_us=int(row["time_us"]),
        entity_type="item",
        entity=row["item"],
        event_ids=(row["event_id"],),
        reasons=(
            Reason("signed in", f"{who} at no machine", f"at {row['machine']}, as on other days"),
            Reason(
                "hour",
                f"{row['acting']} accounts act at it on other days",
                f"{OFFICE} or more, or an announced count",
            ),
            Reason("reason given", row["reason"] or "none"),
        ),
        attack=("T1657", "T1078"),
        links=pairs(("user", who), ("device", row["device"]), ("ip", row["ip"])),
        fields=pairs(("item.uid", row["item"]), ("actor.user.name", who)),
    )
