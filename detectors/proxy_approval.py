"""Claim an invoice or payment that one hand made and let through under two accounts.

One hand: both acts come from one device, and who let it through had not signed in there: the device
is still the maker's, or the session is the same. A delegate at a shared machine signs in first.
"""

from typing import Any, Final

import polars as pl

from detectors._columns import (
    DAY_US,
    account,
    claim,
    cut,
    filled,
    is_inside,
    newest,
    pairs,
    time_us,
)
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

INVOICE: Final = 999001
PAYMENT: Final = 999002
SIGN_IN: Final = 3002
HOUR_US: Final = 3_600_000_000
SOON_US: Final = DAY_US
"""How long after it was made a document that is let through on the same device is looked at."""
WAIT_US: Final = 10 * 60 * 1_000_000
"""How long a sign-in that is told late is waited for, before an invoice is judged; a payment is
judged at once, for it may be paid within the minute."""
PRESENT_US: Final = 16 * HOUR_US
"""How long somebody who signed in at a device is taken to sit there."""
AT_ONE: Final = 12
"""People kept of one device, those who signed in last."""
DESKTOP: Final = (2, 7, 10, 11)
_MADE: Final = (1, 5)
_LET_THROUGH: Final = (6, 8)

META: Final = DetectorMeta(
    name="proxy_approval",
    version="1",
    title="One hand made and approved it under two accounts",
    classes=frozenset({INVOICE, PAYMENT, SIGN_IN}),
    tables={
        "made": {
            **dict.fromkeys(("tenant_id", "key", "maker", "place", "session"), pl.String()),
            "event_id": pl.String(),
            "last_us": pl.Int64(),
        },
        "signed": {
            **dict.fromkeys(("tenant_id", "key", "user", "event_id"), pl.String()),
            "first_us": pl.Int64(),
            "own_us": pl.Int64(),
            "last_us": pl.Int64(),
        },
        "waiting": {
            **dict.fromkeys(("tenant_id", "key", "event_id", "document", "vendor"), pl.String()),
            **dict.fromkeys(("maker", "actor", "place", "address", "session"), pl.String()),
            **dict.fromkeys(("made_event", "sat_event"), pl.String()),
            **dict.fromkeys(("made_us", "time_us", "sat_us"), pl.Int64()),
            **dict.fromkeys(("is_payment", "same_session", "apart", "is_own"), pl.Boolean()),
        },
    },
    max_keys=50_000,
    bytes_per_key=AT_ONE * 120,
)

_OWN: Final = ["tenant_id", "key"]
_ONE: Final = [*_OWN, "user"]
_SESSIONS: Final = ("actor.session.uid", "unmapped.session.uid")


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Hold who lets a document through against who made it, and both against who signed in."""
    frame = _facts(batch.frame)
    made = _made(frame, state["made"])
    signs = _marked(_signs(frame), state["signed"])
    passed = _with_signs(
        pl.concat([state["waiting"], _passed(frame, made)]), pl.concat([state["signed"], signs])
    )
    due = pl.col("is_payment") | (pl.col("time_us") + WAIT_US <= context.watermark_us)
    strange = passed.filter(due & ~pl.col("is_own")).sort("time_us", "event_id")
    after = {
        "made": newest(made, "last_us", META.max_keys).sort(_OWN),
        "signed": _learned(signs, state["signed"]),
        "waiting": newest(passed.filter(~due), "time_us", META.max_keys),
    }
    found = [_claim(row) for row in strange.iter_rows(named=True)]
    return {n: state[n] if after[n].equals(state[n]) else after[n] for n in after}, found


def _facts(frame: pl.DataFrame) -> pl.DataFrame:
    frame = filled(
        frame,
        *("actor.user.name", "user.name", "device.uid", "src_endpoint.ip", "document.uid"),
        *("device.hostname", "device.ip", "logon_type_id", "status_id", "unmapped.is_mfa"),
        *("vendor.name", "vendor.uid", *_SESSIONS),
    )
    near = pl.when(is_inside("src_endpoint.ip")).then(pl.col("src_endpoint.ip"))
    return frame.with_columns(
        time_us=time_us(),
        actor=account("actor.user.name"),
        # A fact names the device or, from a house's own network, at least its address.
        place=pl.coalesce(cut("device.uid"), near).str.to_lowercase(),
        address=near.str.to_lowercase(),
        session=pl.coalesce(cut(name) for name in _SESSIONS),
    )


def _made(frame: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    fresh = frame.filter(
        pl.col("class_uid").is_in([INVOICE, PAYMENT])
        & pl.col("activity_id").is_in(_MADE)
        & pl.col("actor").is_not_null()
        & cut("document.uid").is_not_null()
    ).select(
        *("tenant_id", "event_id", "place", "session"),
        key=pl.col("class_uid").cast(pl.String) + "\x1f" + cut("document.uid"),
        maker="actor",
        last_us="time_us",
    )
    if fresh.is_empty():
        return table
    return pl.concat([table, fresh.select(table.columns)]).unique(
        _OWN, keep="first", maintain_order=True
    )


def _passed(frame: pl.DataFrame, made: pl.DataFrame) -> pl.DataFrame:
    """Give what was let through by another account than its maker's, from the same device."""
    rows = frame.filter(
        pl.col("class_uid").is_in([INVOICE, PAYMENT]) & pl.col("activity_id").is_in(_LET_THROUGH)
    ).select(
        *("tenant_id", "event_id", "time_us", "actor", "address", "place", "session"),
        key=pl.col("class_uid").cast(pl.String) + "\x1f" + cut("document.uid"),
        document=cut("document.uid"),
        is_payment=pl.col("class_uid") == PAYMENT,
        vendor=pl.coalesce(cut("vendor.name"), cut("vendor.uid")),
    )
    before = made.select(
        *(*_OWN, "maker"),
        made_event="event_id",
        made_place="place",
        made_session="session",
        made_us="last_us",
    )
    same_session = pl.col("session") == pl.col("made_session")
    same_place = pl.col("place") == pl.col("made_place")
    return (
        rows.join(before, on=_OWN, maintain_order="left")
        .filter(
            (pl.col("maker") != pl.col("actor"))
            & (pl.col("time_us") - pl.col("made_us")).is_between(0, SOON_US)
            & (same_place | same_session).fill_null(value=False)
        )
        .with_columns(
            same_session=same_session.fill_null(value=False),
            apart=(pl.col("session") != pl.col("made_session")).fill_null(value=False),
            is_own=pl.lit(value=False),
            sat_event=pl.lit(None, pl.String),
            sat_us=pl.lit(None, pl.Int64),
        )
        .select(list(META.tables["waiting"]))
    )


def _signs(frame: pl.DataFrame) -> pl.DataFrame:
    """Give good sign-ins by device and by address; `strong`: at its desktop or by two factors."""
    good = frame.filter(
        (pl.col("class_uid") == SIGN_IN)
        & (pl.col("activity_id") == 1)
        & (pl.col("status_id") == 1)
        & account("user.name", "actor.user.name").is_not_null()
    )
    desktop = pl.col("logon_type_id").is_in(DESKTOP)
    rows = good.select(
        *("tenant_id", "event_id", "time_us"),
        user=account("user.name", "actor.user.name"),
        strong=(desktop | (pl.col("unmapped.is_mfa").str.to_lowercase() == "true")).fill_null(
            value=False
        ),
        places=pl.concat_list(
            cut("device.uid"),
            # The log of a machine speaks of that machine only where somebody came to its desktop.
            pl.when(desktop).then(pl.col("device.ip")),
            pl.when(desktop).then(pl.col("device.hostname")),
        ),
    )
    return (
        rows.explode("places")
        .drop_nulls("places")
        .with_columns(key=pl.col("places").str.to_lowercase().str.slice(0, 255))
        .drop("places")
    )


def _with_signs(passed: pl.DataFrame, signs: pl.DataFrame) -> pl.DataFrame:
    """Mark what was let through by somebody who had come there, and where the maker had."""
    if passed.is_empty() or signs.is_empty():
        return passed
    spots = (
        passed.select(
            *("tenant_id", "event_id", "actor", "maker", "time_us", "made_us", "apart"),
            spot=pl.concat_list("place", "address"),
        )
        .explode("spot")
        .drop_nulls("spot")
        .unique(["tenant_id", "event_id", "spot"], maintain_order=True)
    )
    since_us = pl.col("time_us") - pl.col("own_us")
    own = (
        (pl.col("user") == pl.col("actor"))
        & since_us.is_between(0, PRESENT_US)
        & ((pl.col("own_us") >= pl.col("made_us")) | pl.col("apart"))
    )
    sat = (pl.col("user") == pl.col("maker")) & (pl.col("time_us") - pl.col("last_us")).is_between(
        -WAIT_US, PRESENT_US
    )
    met = (
        spots.join(signs.rename({"event_id": "sign", "key": "spot"}), on=["tenant_id", "spot"])
        .sort("last_us", "sign")
        .group_by("tenant_id", "event_id")
        .agg(
            came=own.fill_null(value=False).any(),
            then_us=pl.col("last_us").filter(sat).last(),
            then=pl.col("sign").filter(sat).last(),
        )
    )
    newer = pl.col("sat_us").is_null() | (pl.col("then_us") > pl.col("sat_us"))
    return (
        passed.join(met, on=["tenant_id", "event_id"], how="left", maintain_order="left")
        .with_columns(
            # One session under two names is one hand, whoever signed in meanwhile.
            is_own=(pl.col("is_own") | pl.col("came").fill_null(value=False))
            & ~pl.col("same_session"),
            sat_event=pl.when(newer).then("then").otherwise("sat_event"),
            sat_us=pl.when(newer).then("then_us").otherwise("sat_us"),
        )
        .select(passed.columns)
    )


def _marked(signs: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    """Add `own_us`: when the account last came to the device itself, null = not known to have.

    A plain sign-in is its own where the account had used that device on an earlier day: a borrowed
    password is typed at the borrower's device.
    """
    known = table.select(*_ONE, known_us="first_us")
    first = pl.min_horizontal("known_us", pl.col("time_us").cum_min().over(_ONE))
    is_home = pl.col("time_us") - first >= DAY_US // 2
    return (
        signs.join(known, on=_ONE, how="left", maintain_order="left")
        .with_columns(
            first_us=first,
            own_us=pl.when(pl.col("strong") | is_home).then("time_us"),
            last_us=pl.col("time_us"),
        )
        .select(table.columns)
    )


def _learned(signs: pl.DataFrame, table: pl.DataFrame) -> pl.DataFrame:
    if signs.is_empty():
        return table
    merged = (
        pl.concat([table, signs])
        .group_by(_ONE, maintain_order=True)
        .agg(
            pl.col("event_id").last(),
            pl.col("first_us").min(),
            pl.col("own_us").max(),
            pl.col("last_us").max(),
        )
        .select(table.columns)
        .sort([*_OWN, "last_us", "user"], descending=[False, False, True, False])
        .filter(pl.int_range(pl.len()).over(_OWN) < AT_ONE)
    )
    return newest(merged, "last_us", META.max_keys).sort(_ONE)


def _claim(row: dict[str, Any]) -> Finding:
    sure = row["same_session"] or row["sat_event"] is not None
    what = "Payment" if row["is_payment"] else "Invoice"
    maker, actor = row["maker"], row["actor"] or "somebody"
    reasons = [
        Reason("made by", maker, "another person than who lets it through"),
        Reason(
            "let through by",
            f"{actor} on the same device, {row['place'] or row['session']}",
            "a device of their own, or a sign-in of their own there",
        ),
    ]
    if row["same_session"]:
        reasons.append(Reason("session", f"{row['session']}, for both", "one for each person"))
    elif sure:
        reasons.append(Reason("last at that device", maker, actor))
    events = [row["made_event"], row["sat_event"], row["event_id"]]
    kept = tuple(dict.fromkeys(e for e in events if e))
    return claim(
        META,
        f"{META.name}.one_hand" if sure else f"{META.name}.one_device",
        row["tenant_id"],
        row["event_id"],
        title=f"{what} {row['document']} of {row['vendor'] or 'a vendor'}: made by {maker}, "
        f"let through as {actor} on the same device",
        level="high" if sure else "low",
        kind="finding" if sure else "signal",
        time_us=int(row["time_us"]),
        entity_type="document",
        entity=row["document"],
        event_ids=kept,
        event_count=len(kept),
        reasons=tuple(reasons),
        attack=("T1657", "T1078"),
        # Not the vendor: its other payments are nobody's fault.
        links=pairs(("user", maker), ("user", row["actor"]), ("device", row["place"])),
        fields=pairs(("document.uid", row["document"]), ("actor.user.name", row["actor"])),
    )
