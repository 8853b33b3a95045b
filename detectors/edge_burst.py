"""Signal an address that opens, or takes, far more connections in a minute than it usually does.

Floods and sweeps show in one minute, long before a quarter of an hour is over. What is usual is
remembered in count-min sketches of fixed size (`detectors/_models/edges.py`); a minute is judged
when it has ended. Told once a day for each address and direction.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._columns import claim, filled
from detectors._daily import DAILY, once_a_day
from detectors._models.edges import ROWS, VIEWS, Bursts
from storage.schema import Context, DetectorMeta, EventBatch, Finding, Reason, State

MINUTE_US: Final = 60_000_000
LEAST: Final = 300
"""Connections in a minute below which nothing is a burst."""
STRANGE: Final = 25.0
"""Deviations of a count above the usual at which a minute is told."""
WARM_UP: Final = 60
"""Minutes that a tenant's traffic was seen before anything is told."""
LONGEST: Final = 64
_WIDTH: Final = 2_048
_SEED: Final = 20_260_102
_DIRECTIONS: Final = {"source": "src_endpoint.ip", "destination": "dst_endpoint.ip"}

META: Final = DetectorMeta(
    name="edge_burst",
    version="1",
    title="Burst of connections in a minute",
    classes=frozenset({4001}),
    tables={
        "open": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "view": pl.String(),
            "minute": pl.Int64(),
            "connections": pl.Int64(),
            "first_event": pl.String(),
            "other": pl.String(),
        },
        "sketch": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "first": pl.Int64(),
            "scale": pl.Int64(),
            "past": pl.Binary(),
        },
        "told": {**DAILY, "view": pl.String()},
    },
    max_keys=50_000,
    bytes_per_key=120,
)

_PLACE: Final = ["tenant_id", "minute", "view", "key"]


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Count the batch into open minutes; judge those behind the watermark, oldest first."""
    open_ = _counted(state["open"], batch.frame)
    done = (pl.col("minute") + 1) * MINUTE_US <= context.watermark_us
    closed = open_.filter(done).sort(_PLACE)
    if closed.is_empty():
        return {**state, "open": open_}, []
    usual, sketch = _usual(closed, state["sketch"])
    fresh = _bursts(closed.with_columns(usual=pl.Series(usual)))
    told, table = once_a_day(state["told"], fresh, "view", len(_DIRECTIONS), META.max_keys)
    after = {"open": open_.filter(~done), "sketch": sketch, "told": table}
    return after, [_claim(row) for row in told.iter_rows(named=True)]


def _counted(open_: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    """Give the open minutes with a batch in them: of each tenant those that connect most."""
    rows = filled(frame, *_DIRECTIONS.values()).filter(~pl.col("is_late"))
    minute = pl.col("time").cast(pl.Int64) // MINUTE_US
    told = [open_]
    for view, name in _DIRECTIONS.items():
        other = next(n for n in _DIRECTIONS.values() if n != name)
        mine = rows.filter(pl.col(name).is_not_null())
        key = pl.col(name).str.to_lowercase().str.slice(0, LONGEST)
        counted = mine.group_by("tenant_id", key=key, minute=minute, maintain_order=True).agg(
            view=pl.lit(view).first(),
            connections=pl.len().cast(pl.Int64),
            first_event=pl.col("event_id").first(),
            other=pl.col(other).first().str.slice(0, LONGEST),
        )
        told.append(counted.select(open_.columns))
    every = (
        pl.concat(told)
        .group_by(_PLACE, maintain_order=True)
        .agg(pl.col("connections").sum(), pl.col("first_event", "other").first())
        .select(open_.columns)
    )
    if every.height <= META.max_keys:
        return every.sort(_PLACE)
    busiest = every.sort(
        ["tenant_id", "connections", *_PLACE[1:]], descending=[False, True, True, False, False]
    )
    return busiest.filter(pl.int_range(pl.len()).over("tenant_id") < META.max_keys).sort(_PLACE)


def _usual(
    closed: pl.DataFrame, sketches: pl.DataFrame
) -> tuple[npt.NDArray[np.float64], pl.DataFrame]:
    """Give the usual connections of each row, -1 while too little is known; and the sketches."""
    usual = np.full(closed.height, -1.0)
    hashes = closed["key"].hash(_SEED).to_numpy()
    counts = closed["connections"].to_numpy()
    models: dict[str, Bursts] = {}
    numbered = closed.with_row_index("place")
    for (tenant, minute, view), rows in numbered.group_by(_PLACE[:3], maintain_order=True):
        model = models.setdefault(str(tenant), _read(sketches, str(tenant)))
        place = rows["place"].to_numpy()
        known = model.usual_and_learn(str(view), hashes[place], int(str(minute)), counts[place])
        if int(str(minute)) - (model.first or 0) >= WARM_UP:
            usual[place] = known
    rest = sketches.filter(~pl.col("tenant_id").is_in(list(models)))
    fresh = pl.DataFrame(
        [(t, "past", m.first, m.scale, m.past.tobytes()) for t, m in models.items()],
        schema=sketches.schema,
        orient="row",
    )
    return usual, pl.concat([rest, fresh]).sort("tenant_id")


def _read(sketches: pl.DataFrame, tenant: str) -> Bursts:
    model = Bursts(width=_WIDTH)
    for row in sketches.filter(pl.col("tenant_id") == tenant).iter_rows(named=True):
        shape = (len(VIEWS), ROWS, _WIDTH)
        model.past = np.frombuffer(row["past"]).reshape(shape).copy()
        model.first, model.scale = int(row["first"]), int(row["scale"])
    return model


def _bursts(rows: pl.DataFrame) -> pl.DataFrame:
    """Give the rows that are bursts, with `DAILY`'s columns."""
    above = (pl.col("connections") - pl.col("usual")) / (pl.col("usual") + 1.0).sqrt()
    is_burst = (pl.col("usual") >= 0.0) & (pl.col("connections") >= LEAST) & (above >= STRANGE)
    return rows.filter(is_burst).with_columns(day=pl.col("minute") * MINUTE_US // 86_400_000_000)


def _claim(row: dict[str, Any]) -> Finding:
    is_source = row["view"] == "source"
    does = "opened" if is_source else "took"
    whom = "towards" if is_source else "from"
    count, usual = int(row["connections"]), float(row["usual"])
    return claim(
        META,
        META.name,
        row["tenant_id"],
        f"{row['key']}|{row['view']}|{row['day']}",
        title=f"{row['key']} {does} {count:,} connections in a minute",
        level="medium",
        kind="signal",
        time_us=(int(row["minute"]) + 1) * MINUTE_US,
        entity_type="ip",
        entity=row["key"],
        event_ids=(row["first_event"],),
        event_count=count,
        reasons=(
            Reason("connections in a minute", f"{count:,}", f"about {usual:.1f} usually"),
            Reason(f"first {whom}", row["other"] or "unknown"),
        ),
        attack=("T1046",) if is_source else ("T1498",),
    )
