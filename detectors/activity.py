"""Claim a host whose last ten minutes are far from its own usual ones, and say in what.

One running mean and variance a feature and host (river's, restored from three numbers), fed with
closed event-time windows only. Learning is gated: what was claimed as strange is learned as if it
had been at the edge of the usual, so that an attacker cannot raise the baseline in one stroke.
"""

import ipaddress
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
from river.stats import Var

from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State, finding_id

WINDOW_US: Final = 600 * 1_000_000
WARM_UP: Final = 24
"""Windows of a host before it is judged: four hours of activity."""
STRANGE: Final = 6.0
"""Standard deviations above the usual, in the log domain, at which a window is claimed."""
LEAST_SIGMA: Final = 0.25
"""A host that always does the same still may do 25 % more without being strange."""
EDGE: Final = 3.0
"""Deviations at which a strange value is cut before it is learned."""
LONGEST_KEY: Final = 512
"""Characters of a host name that tell hosts apart; a name has 253 at most."""

FEATURES: Final[Mapping[str, str]] = {
    "events": "events of any kind",
    "process_starts": "processes started",
    "sign_in_failures": "failed sign-ins",
    "connections": "network connections",
    "dns_queries": "DNS queries",
    "kilobytes_out": "kilobytes sent",
}
_NAMES: Final = list(FEATURES)
_COUNTS: Final = {name: pl.Int64() for name in _NAMES}
_MOMENTS: Final = {f"{name}_{m}": pl.Float64() for name in _NAMES for m in ("mean", "var")}

META: Final = DetectorMeta(
    name="activity",
    version="3",
    title="Host far from its own usual activity",
    tables={
        "open": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "window_us": pl.Int64(),
            "first_event": pl.String(),
            **_COUNTS,
        },
        "usual": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "last_us": pl.Int64(),
            "windows": pl.Int64(),
            **_MOMENTS,
        },
    },
    max_keys=100_000,
    bytes_per_key=260,
)

_PLACE: Final = ["tenant_id", "key", "window_us"]


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Add the batch to the open windows, close those behind the watermark, judge and learn them.

    Late rows do not count: which rows are late was decided by the stream, not by the batch.
    """
    open_ = _opened(state["open"], batch.frame)
    done = pl.col("window_us") + WINDOW_US <= context.watermark_us
    closed = open_.filter(done).sort(_PLACE)
    if closed.is_empty():
        return {"open": open_, "usual": state["usual"]}, []
    usual, findings = _judge(closed, state["usual"])
    return {"open": open_.filter(~done), "usual": usual}, findings


def _features(frame: pl.DataFrame) -> dict[str, pl.Expr]:
    def is_class(uid: int, *activities: int) -> pl.Expr:
        same = pl.col("class_uid") == uid
        return same & pl.col("activity_id").is_in(activities) if activities else same

    failed = pl.col("status_id") == 2 if "status_id" in frame.columns else pl.lit(value=False)
    has_bytes = "traffic.bytes_out" in frame.columns
    sent = pl.col("traffic.bytes_out").fill_null(0) if has_bytes else pl.lit(0, pl.Int64())
    return {
        "events": pl.len().cast(pl.Int64),
        "process_starts": is_class(1007, 1).sum().cast(pl.Int64),
        "sign_in_failures": (is_class(3002) & failed).fill_null(value=False).sum().cast(pl.Int64),
        "connections": is_class(4001).sum().cast(pl.Int64),
        "dns_queries": is_class(4003).sum().cast(pl.Int64),
        # Whole bytes while the window is open: integer sums do not depend on how batches are cut.
        "kilobytes_out": sent.clip(0, 2**50).sum().cast(pl.Int64),
    }


def _opened(open_: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    # A sensor on the wire knows no host names: there the opener's address stands for the host.
    named = [pl.col(n) for n in ("device.hostname", "src_endpoint.ip") if n in frame.columns]
    if not named:
        return open_
    rows = frame.with_columns(pl.coalesce(named).alias("host")).filter(
        pl.col("host").is_not_null() & ~pl.col("is_late")
    )
    if rows.is_empty():
        return open_
    fresh = rows.group_by(
        "tenant_id",
        key=pl.col("host").str.to_lowercase().str.slice(0, LONGEST_KEY),
        window_us=pl.col("time").cast(pl.Int64).floordiv(WINDOW_US) * WINDOW_US,
        maintain_order=True,
    ).agg(pl.col("event_id").first().alias("first_event"), **_features(frame))
    both = (
        pl.concat([open_, fresh.select(open_.columns)])
        .group_by(_PLACE, maintain_order=True)
        .agg(pl.col("first_event").first(), *(pl.col(n).sum() for n in _NAMES))
        .select(open_.columns)
    )
    return _newest(both, "window_us").sort(_PLACE)


@dataclass(slots=True)
class _Usual:
    last_us: int
    windows: int
    moments: dict[str, Var]


def _judge(closed: pl.DataFrame, usual: pl.DataFrame) -> tuple[pl.DataFrame, list[Finding]]:
    touched = closed.select("tenant_id", "key").unique()
    known = {
        (row["tenant_id"], row["key"]): _restored(row)
        for row in usual.join(touched, on=["tenant_id", "key"]).iter_rows(named=True)
    }
    findings: list[Finding] = []
    for window in closed.iter_rows(named=True):
        place = (window["tenant_id"], window["key"])
        model = known.setdefault(place, _Usual(0, 0, {n: Var() for n in _NAMES}))
        claim = _claim(window, model)
        if claim is not None:
            findings.append(claim)
        _learn(window, model)
    fresh = pl.DataFrame(
        [_stored(tenant, key, model) for (tenant, key), model in known.items()],
        schema=dict(META.tables["usual"]),
    )
    kept = usual.join(touched, on=["tenant_id", "key"], how="anti")
    return _newest(pl.concat([kept, fresh]), "last_us").sort(["tenant_id", "key"]), findings


def _newest(table: pl.DataFrame, by: str) -> pl.DataFrame:
    """Keep `max_keys` rows of each tenant, those seen last; the order of rows is anyone's."""
    if table.height <= META.max_keys:
        return table
    return table.sort(["tenant_id", by, "key"], descending=[False, True, False]).filter(
        pl.int_range(pl.len()).over("tenant_id") < META.max_keys
    )


def _restored(row: dict[str, Any]) -> _Usual:
    n = int(row["windows"])
    moments = {
        # river's own constructor from (n, mean, variance): state without pickle.
        name: Var._from_state(n, row[f"{name}_mean"], row[f"{name}_var"], ddof=1)
        for name in _NAMES
    }
    return _Usual(int(row["last_us"]), n, moments)


def _stored(tenant: str, key: str, model: _Usual) -> dict[str, object]:
    row: dict[str, object] = {
        "tenant_id": tenant,
        "key": key,
        "last_us": model.last_us,
        "windows": model.windows,
    }
    for name, seen in model.moments.items():
        row[f"{name}_mean"] = float(seen.mean.get())
        row[f"{name}_var"] = float(seen.get())
    return row


def _value(window: dict[str, Any], name: str) -> float:
    raw = int(window[name])
    return math.log1p(raw / 1024 if name == "kilobytes_out" else raw)


def _sigma(seen: Var) -> float:
    return max(math.sqrt(max(seen.get(), 0.0)), LEAST_SIGMA)


def _deviation(x: float, seen: Var) -> float:
    return float((x - seen.mean.get()) / _sigma(seen))


def _learn(window: dict[str, Any], model: _Usual) -> None:
    for name, seen in model.moments.items():
        x = _value(window, name)
        if model.windows >= WARM_UP and _deviation(x, seen) >= STRANGE:
            x = seen.mean.get() + EDGE * _sigma(seen)
        seen.update(x)
    model.windows += 1
    model.last_us = max(model.last_us, int(window["window_us"]))


def _contributions(window: dict[str, Any], model: _Usual) -> Iterator[tuple[str, float]]:
    for name, seen in model.moments.items():
        z = _deviation(_value(window, name), seen)
        if z > 0:
            yield name, z * z


def _claim(window: dict[str, Any], model: _Usual) -> Finding | None:
    """Claim the window if a feature is strange; the weights of the reasons are shares of the score.

    Score = sum of squared positive deviations; only rises are claimed, quiet is not.
    """
    if model.windows < WARM_UP:
        return None
    shares = sorted(_contributions(window, model), key=lambda s: -s[1])
    if not shares or math.sqrt(shares[0][1]) < STRANGE:
        return None
    total = sum(share for _, share in shares)
    tenant, host, start = window["tenant_id"], window["key"], int(window["window_us"])
    return Finding(
        finding_id=finding_id(tenant, META.name, META.version, META.name, f"{host}\x1f{start}"),
        tenant_id=tenant,
        detector=META.name,
        detector_version=META.version,
        rule_id=META.name,
        title=f"Unusual number of {FEATURES[shares[0][0]]} on {host}",
        # Bursts are everyday in a company: it counts beside something else, not alone.
        level="low",
        kind="signal",
        time_us=start + WINDOW_US,
        entity_type="ip" if _is_address(host) else "host",
        entity=host,
        event_ids=(window["first_event"],),
        event_count=int(window["events"]),
        reasons=tuple(_reason(window, model, n, s / total) for n, s in shares[:3]),
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _reason(window: dict[str, Any], model: _Usual, name: str, share: float) -> Reason:
    usually = model.moments[name]
    seen = int(window[name]) // (1024 if name == "kilobytes_out" else 1)
    usual = math.expm1(usually.mean.get())
    z = _deviation(_value(window, name), usually)
    expected = f"about {usual:.1f} in 10 min, over {model.windows} windows ({z:.1f} deviations)"
    return Reason(FEATURES[name], f"{seen}", expected, round(share, 4))
