"""Claim a host, an address or a person whose last quarter of an hour is unlike it and its peers.

Windows are closed by event time only. Each is held against the entity's own usual (drawn to that
of its peers while little is known of it) and against what is usual among them, by an ensemble for
each tenant and kind of entity that learns from calm windows alone (`detectors/_models`).

What a person judged harmless is learned at once; what was claimed is not claimed again for a week
unless it grows clearly stranger.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._columns import DAY_US, claim, newest
from detectors._models.ensemble import Scored
from detectors._models.explain import FEATURES, novelty, reasons, rises, steady, words_in
from detectors._models.features import hour_of_week
from detectors._models.population import Population, population_of
from detectors._models.usual import USUAL, Usual
from detectors._models.windows import OPEN, SPLIT, WINDOW_US, added
from storage.schema import Context, DetectorMeta, EventBatch, Finding, State

ASKED_RATE: Final = 5.0
"""Claims of nothing, a day per 1,000 entities, that the threshold is set to."""
WINDOWS_A_DAY: Final = 96
FIRST: Final = 400
"""Windows of a kind that a tenant's model is first made of; nothing is claimed before."""
WARM_UP: Final = 8
"""Windows of an entity before it is judged: two hours of activity."""
QUIET_US: Final = 7 * DAY_US
"""Time in which the same is not claimed again of an entity."""
WORSE: Final = 1.5
"""How much stranger it must be to be claimed again all the same."""
RARE: Final = ASKED_RATE / 1_000 / WINDOWS_A_DAY
_JUDGED: Final = 999_021
_HARMLESS: Final = ("false_positive", "benign")
_NEVER: Final = 2**62

META: Final = DetectorMeta(
    name="behaviour",
    version="1",
    title="Host or person unlike itself and its peers",
    tables={
        "open": OPEN,
        "usual": USUAL,
        "model": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "part": pl.String(),
            "numbers": pl.Binary(),
        },
        "told": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "what": pl.String(),
            "at_us": pl.Int64(),
            "score": pl.Float64(),
            "finding_id": pl.String(),
            "row": pl.Binary(),
            "cleared_us": pl.Int64(),
        },
    },
    max_keys=50_000,
    bytes_per_key=900,
)

_KEY: Final = ["tenant_id", "key"]


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Add the batch to the open windows; judge and learn those behind the watermark, in order."""
    open_ = newest(added(state["open"], batch.frame), "window_us", META.max_keys)
    cleared = _cleared(batch.frame)
    told = _marked(state["told"], cleared)
    done = pl.col("window_us") + WINDOW_US <= context.watermark_us
    closed = open_.filter(done)
    if closed.is_empty():
        return {**state, "open": open_, "told": told}, []
    kind = pl.col("key").str.split(SPLIT).list.first()
    ordered = closed.with_columns(kind=kind).sort("window_us", "tenant_id", "kind", "key")
    desk = _Desk({**state, "told": told}, ordered, cleared)
    findings = [f for begin, end in _slots(ordered) for f in desk.judge(begin, end)]
    return {"open": open_.filter(~done), **desk.tables()}, findings


def _slots(ordered: pl.DataFrame) -> Iterator[tuple[int, int]]:
    """Give the rows of each quarter of an hour, tenant and kind: one step of a model each."""
    place = pl.struct("window_us", "tenant_id", "kind")
    begins = ordered.select((place != place.shift(1)).fill_null(value=True).arg_true()).to_series()
    bounds = [*begins.to_list(), ordered.height]
    yield from pairwise(bounds)


class _Desk:
    """Everything that the closed windows of one batch need, as arrays, until they are judged."""

    def __init__(self, state: State, windows: pl.DataFrame, cleared: pl.DataFrame) -> None:
        keys = windows.select(_KEY).unique(maintain_order=True).sort(_KEY)
        self.windows, self.told, self.cleared = windows, state["told"], cleared
        self.rest, self.table = state["usual"], state["model"]
        self.usual = Usual.read(state["usual"], keys, len(FEATURES))
        numbered = keys.with_row_index("place")
        places = windows.select(_KEY).join(numbered, on=_KEY, how="left", maintain_order="left")
        self.place = places["place"].cast(pl.Int64).to_numpy()
        self.words = words_in(windows)
        self.steady = steady(windows, self.words)
        self.hours = hour_of_week(windows["window_us"].to_numpy())
        self.populations: dict[tuple[str, str], Population] = {}

    def population(self, tenant: str, kind: str) -> Population:
        """Give the model of a tenant's entities of a kind, read once."""
        if (tenant, kind) not in self.populations:
            mine = self.table.filter((pl.col("tenant_id") == tenant) & (pl.col("key") == kind))
            rows = mine.select("part", "numbers").iter_rows()
            numbers = {str(part): np.frombuffer(raw) for part, raw in rows}
            made = population_of(numbers, len(FEATURES), FIRST)
            self.populations[tenant, kind] = made
        return self.populations[tenant, kind]

    def judge(self, begin: int, end: int) -> list[Finding]:
        """Score the windows of one slot, claim what is rare, learn what is calm."""
        first = self.windows.row(begin, named=True)
        tenant, start = str(first["tenant_id"]), int(first["window_us"])
        crowd = self.population(tenant, str(first["kind"]))
        self._forgive(crowd, tenant, str(first["kind"]), start)
        place, words = self.place[begin:end], self.words[begin:end]
        values = np.hstack([self.steady[begin:end], novelty(words, self.usual.seen[place])])
        expected = self.usual.expected(place, crowd.peers)
        rows = np.hstack([values - expected, values])
        scored = crowd.score(rows, self.hours[begin:end])
        found: list[Finding] = []
        if scored is not None:
            ripe = self.usual.windows[place] >= WARM_UP
            rare = np.flatnonzero((scored.p <= RARE) & ripe).tolist()
            found = [f for n in rare if (f := self._claim(begin + n, n, scored, rows, expected))]
        self.usual.learn(place, values, expected, words, start)
        crowd.learn_peers(values)
        return found

    def _claim(
        self,
        row: int,
        place: int,
        scored: Scored,
        rows: npt.NDArray[np.float64],
        expected: npt.NDArray[np.float64],
    ) -> Finding | None:
        """Claim a rare window that rises, each entity and reason once in a week."""
        window = self.windows.row(row, named=True)
        what, score = rises(scored, place), float(scored.score[place])
        tenant, key, start = str(window["tenant_id"]), str(window["key"]), int(window["window_us"])
        if what is None or score < WORSE * self._worst(tenant, key, what, start):
            return None
        windows = int(self.usual.windows[self.place[row]])
        grounds = reasons(window, expected[place], windows, scored, place)
        kind, _, name = key.partition(SPLIT)
        found = claim(
            META,
            META.name,
            tenant,
            f"{key}{SPLIT}{start}",
            title=f"Unusual for {name}: {grounds[0].name}",
            # Bursts are everyday in a company: it counts beside something else, not alone.
            level="low",
            kind="signal",
            time_us=start + WINDOW_US,
            entity_type=kind,
            entity=name,
            event_ids=(window["first_event"],),
            event_count=int(window["events"]),
            reasons=grounds,
        )
        self._note(tenant, key, what, start, score, found.finding_id, rows[place].tobytes())
        return found

    def _worst(self, tenant: str, key: str, what: str, start: int) -> float:
        """Give the highest score of the same claim in the quiet time before; 0 if there is none."""
        same = (pl.col("tenant_id") == tenant) & (pl.col("key") == key) & (pl.col("what") == what)
        scores = self.told.filter(same & (pl.col("at_us") > start - QUIET_US))["score"]
        return float(scores.max() or 0.0)  # type: ignore[arg-type]  # Float64 column

    def _note(self, *told: Any) -> None:  # noqa: ANN401  the columns of table `told`, in order
        fresh = pl.DataFrame([(*told, _NEVER)], schema=self.told.schema, orient="row")
        every = pl.concat([self.told, _marked(fresh, self.cleared)])
        self.told = newest(every, "at_us", META.max_keys)

    def _forgive(self, crowd: Population, tenant: str, kind: str, start: int) -> None:
        """Teach the model the windows that were cleared before this slot began."""
        mine = (pl.col("tenant_id") == tenant) & pl.col("key").str.starts_with(f"{kind}{SPLIT}")
        due = mine & (pl.col("cleared_us") <= start)
        rows = self.told.filter(due)
        if rows.is_empty() or crowd.model is None:
            return
        for row in rows.sort("at_us", "finding_id").iter_rows(named=True):
            hours = hour_of_week(np.array([row["at_us"]]))
            crowd.model.forgive(np.frombuffer(row["row"])[None, :], hours)
        done = pl.when(due).then(_NEVER).otherwise("cleared_us").alias("cleared_us")
        self.told = self.told.with_columns(done)

    def tables(self) -> dict[str, pl.DataFrame]:
        """Give the state's tables after all of it."""
        fresh = self.usual.table().select(self.rest.columns)
        rest = self.rest.join(fresh.select(_KEY), on=_KEY, how="anti")
        usual = newest(pl.concat([rest, fresh]), "last_us", META.max_keys).sort(_KEY)
        table = self.table
        for (tenant, kind), crowd in self.populations.items():
            other = ~((pl.col("tenant_id") == tenant) & (pl.col("key") == kind))
            rows = [(tenant, kind, part, n.tobytes()) for part, n in crowd.numbers().items()]
            mine = pl.DataFrame(rows, schema=table.schema, orient="row")
            table = pl.concat([table.filter(other), mine])
        return {
            "usual": usual,
            "model": table.sort("tenant_id", "key", "part"),
            "told": self.told.sort("tenant_id", "key", "at_us", "what"),
        }


def _cleared(frame: pl.DataFrame) -> pl.DataFrame:
    """Give the claims that people judged harmless, and when: tenant_id, finding_id, _at."""
    schema = {"tenant_id": pl.String(), "finding_id": pl.String(), "_at": pl.Int64()}
    if not {"document.status", "unmapped.findings"} <= set(frame.columns):
        return pl.DataFrame(schema=schema)
    judged = (pl.col("class_uid") == _JUDGED) & pl.col("document.status").is_in(_HARMLESS)
    return (
        frame.filter(judged)
        .select(
            "tenant_id",
            finding_id=pl.col("unmapped.findings").str.split("\n"),
            _at=pl.col("time").cast(pl.Int64),
        )
        .explode("finding_id")
        .group_by("tenant_id", "finding_id")
        .agg(pl.col("_at").min())
    )


def _marked(told: pl.DataFrame, cleared: pl.DataFrame) -> pl.DataFrame:
    """Give what was told with when it was cleared."""
    if cleared.is_empty():
        return told
    joined = told.join(cleared, on=["tenant_id", "finding_id"], how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce("_at", "cleared_us").alias("cleared_us")).drop("_at")
