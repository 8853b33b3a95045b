"""Claim one address that fails to sign in as many people, and the account it then gets into.

An address from which people of the house sign in well is not spraying: on the morning when
passwords expire, many fail from the office and succeed a minute later.
"""

from typing import Any, Final

import polars as pl

from detectors._columns import DAY_US, account, claim, filled, newest, pairs, time_us
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

ACCOUNTS: Final = 20
"""Different accounts that must fail."""
HOP_US: Final = 30 * 60 * 1_000_000
"""Windows of two hops begin every hop: any thirty minutes lie whole in one of them."""
LINGER_US: Final = 2 * HOP_US + 6 * 3600 * 1_000_000
"""How long a window is kept: sources that come late are counted still."""
AT_HOME: Final = 3
"""Accounts that have signed in well from an address that belongs to the house or its people."""
AFTER_US: Final = DAY_US
"""How long a success from a spraying address is one of the attack's."""
EVIDENCE: Final = 40
"""Accounts kept of one address and window."""

META: Final = DetectorMeta(
    name="spraying",
    version="1",
    title="One address tries many accounts",
    classes=frozenset({3002}),
    tables={
        "tried": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "window_us": pl.Int64(),
            "account": pl.String(),
            "event_id": pl.String(),
        },
        "good": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "account": pl.String(),
            "last_us": pl.Int64(),
        },
        "sprayers": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "last_us": pl.Int64(),
            "first_event": pl.String(),
        },
    },
    max_keys=20_000,
    bytes_per_key=EVIDENCE * 90,
)

_OWN: Final = ["tenant_id", "key"]
_PLACE: Final = [*_OWN, "window_us"]


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Count the accounts that fail per address; then claim a success from a sprayer."""
    if "src_endpoint.ip" not in batch.frame.columns:
        return state, []
    rows = _attempts(batch.frame)
    if rows.is_empty():
        return state, []
    failed = _first_tries(rows, state["tried"])
    welcome = _welcome(rows, state["good"])
    tried = _tried(failed, state["tried"], context.watermark_us)
    crossings = _crossings(failed, welcome, state["tried"])
    sprayers, hits = _entered(rows, crossings, state["sprayers"])
    after = {"tried": tried, "good": _learned(rows, state["good"]), "sprayers": sprayers}
    same = {n: state[n] if after[n].equals(state[n]) else after[n] for n in after}
    return same, [
        *(_spray_claim(row) for row in crossings.iter_rows(named=True)),
        *(_entered_claim(row) for row in hits.iter_rows(named=True)),
    ]


def _attempts(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame, "status_id", "user.name", "actor.user.name", "device.uid", "device.hostname"
    )
    start = time_us().floordiv(HOP_US) * HOP_US
    return (
        frame.filter(pl.col("status_id").is_in([1, 2]))
        .select(
            "tenant_id",
            "event_id",
            key=pl.col("src_endpoint.ip").str.to_lowercase().str.slice(0, 64),
            account=account("user.name", "actor.user.name"),
            device=pl.col("device.uid"),
            failed=pl.col("status_id") == 2,
            time_us=time_us(),
            start_us=start,
        )
        .filter(
            pl.col("account").is_not_null()
            & ~pl.col("account").str.ends_with("$")
            & ~pl.col("key").str.contains(r"^(?:-?$|127\.|::1$|0\.0\.0\.0)")
        )
        .with_row_index("row")
        .with_columns(pl.col("row").cast(pl.Int64))
    )


def _first_tries(rows: pl.DataFrame, tried: pl.DataFrame) -> pl.DataFrame:
    """Give each account's first failure from an address in each window, and its number there."""
    failed = rows.filter("failed")
    both = pl.concat(
        [
            failed.with_columns(window_us=pl.col("start_us") - HOP_US),
            failed.with_columns(window_us=pl.col("start_us")),
        ]
    ).sort("row", maintain_order=True)
    before = tried.group_by(_PLACE).agg(before=pl.len().cast(pl.Int64))
    return (
        both.unique([*_PLACE, "account"], keep="first", maintain_order=True)
        .join(tried, on=[*_PLACE, "account"], how="anti", maintain_order="left")
        .join(before, on=_PLACE, how="left", maintain_order="left")
        .with_columns(
            number=pl.col("before").fill_null(0) + 1 + pl.int_range(pl.len()).over(_PLACE)
        )
    )


def _tried(failed: pl.DataFrame, tried: pl.DataFrame, watermark_us: int) -> pl.DataFrame:
    few = failed.filter(pl.col("number") <= EVIDENCE).select(tried.columns)
    kept = pl.concat([tried, few]).filter(pl.col("window_us") + LINGER_US > watermark_us)
    return newest(kept, "window_us", META.max_keys).sort([*_PLACE, "account"])


def _welcome(rows: pl.DataFrame, good: pl.DataFrame) -> pl.DataFrame:
    """Give from which row on an address is one from which several people signed in well."""
    before = good.select(*_OWN, "account", row=pl.lit(-1, pl.Int64()))
    fresh = rows.filter(~pl.col("failed")).select(*_OWN, "account", "row")
    return (
        pl.concat([before, fresh])
        .unique([*_OWN, "account"], keep="first", maintain_order=True)
        .filter(pl.int_range(pl.len()).over(_OWN) == AT_HOME - 1)
        .select(*_OWN, welcome_row="row")
    )


def _learned(rows: pl.DataFrame, good: pl.DataFrame) -> pl.DataFrame:
    fresh = rows.filter(~pl.col("failed")).select(*_OWN, "account", last_us="time_us")
    if fresh.is_empty():
        return good
    kept = (
        pl.concat([good, fresh])
        .unique([*_OWN, "account"], keep="first", maintain_order=True)
        .filter(pl.int_range(pl.len()).over(_OWN) < AT_HOME)
    )
    return newest(kept, "last_us", META.max_keys).sort([*_OWN, "account"])


def _crossings(failed: pl.DataFrame, welcome: pl.DataFrame, tried: pl.DataFrame) -> pl.DataFrame:
    """Give the failure by which an address became a sprayer, with the failures before it."""
    reached = (
        failed.filter(pl.col("number") == ACCOUNTS)
        .join(welcome, on=_OWN, how="left", maintain_order="left")
        .filter(pl.col("welcome_row").is_null() | (pl.col("welcome_row") > pl.col("row")))
    )
    every = pl.concat(
        [
            tried.select(*_PLACE, "event_id", number=pl.lit(0, pl.Int64())),
            failed.select(*_PLACE, "event_id", "number"),
        ]
    )
    events = (
        reached.select(_PLACE)
        .join(every.filter(pl.col("number") <= ACCOUNTS), on=_PLACE)
        .group_by(_PLACE)
        .agg(events=pl.col("event_id").sort())
    )
    return reached.join(events, on=_PLACE, how="left", maintain_order="left").sort(
        "row", maintain_order=True
    )


def _entered(
    rows: pl.DataFrame, crossings: pl.DataFrame, sprayers: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give the sprayers known now, and the successes from one that sprayed before."""
    before = sprayers.with_columns(sprayed_row=pl.lit(-1, pl.Int64()))
    fresh = crossings.select(*_OWN, last_us="time_us", first_event="event_id", sprayed_row="row")
    known = pl.concat([before, fresh])
    hits = (
        rows.filter(~pl.col("failed"))
        .join(known, on=_OWN, maintain_order="left")
        .filter(
            (pl.col("sprayed_row") < pl.col("row"))
            & (pl.col("time_us") - pl.col("last_us")).is_between(0, AFTER_US)
        )
        .unique("row", keep="last", maintain_order=True)
    )
    kept = known.unique(_OWN, keep="last", maintain_order=True).drop("sprayed_row")
    return newest(kept, "last_us", META.max_keys).sort(_OWN), hits


def _spray_claim(row: dict[str, Any]) -> Finding:
    return claim(
        META,
        "spraying.tried",
        row["tenant_id"],
        f"{row['key']}\x1f{row['event_id']}",
        title=f"{row['key']} failed to sign in as {ACCOUNTS} different people",
        level="medium",
        kind="signal",
        time_us=int(row["time_us"]),
        entity_type="ip",
        entity=row["key"],
        event_ids=tuple(row["events"]),
        event_count=len(row["events"]),
        reasons=(
            Reason(
                "accounts that failed from one address",
                f"{ACCOUNTS} within an hour",
                f"fewer, or {AT_HOME} people who signed in well from there",
            ),
        ),
        attack=("T1110.003",),
        fields=pairs(("src_endpoint.ip", row["key"])),
    )


def _entered_claim(row: dict[str, Any]) -> Finding:
    name = row["account"]
    return claim(
        META,
        "spraying.entered",
        row["tenant_id"],
        row["event_id"],
        title=f"{name} signed in from an address that had just tried many accounts",
        level="high",
        time_us=int(row["time_us"]),
        entity_type="user",
        entity=name,
        event_ids=(row["first_event"], row["event_id"]),
        event_count=2,
        reasons=(
            Reason(
                "address",
                row["key"],
                f"one that did not fail as {ACCOUNTS} people within the day before",
            ),
        ),
        attack=("T1110.003", "T1078"),
        links=pairs(("ip", row["key"]), ("device", row["device"])),
        fields=pairs(("user.name", name), ("src_endpoint.ip", row["key"])),
    )
