"""Claim a host, an address or a person whose last minute, quarter of an hour or day is unlike it.

Windows are closed by event time only: minutes for bursts (only busy ones are judged), quarters of
an hour, days for slow things. Each is held against the entity's own usual (drawn to that of its
peers while little is known of it), against what is usual among them, and against what anybody in
the tenant does, by an ensemble for each tenant, kind of entity and span that learns from calm
windows alone (`detectors/_models`).

What a person judged harmless is learned at once; what was claimed is not claimed again for a week
unless it grows clearly stranger.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._columns import DAY_US, claim, newest
from detectors._models.ensemble import Scored
from detectors._models.explain import novelty, reasons, rises, steady, words_in
from detectors._models.features import hour_of_week
from detectors._models.population import Population, population_of
from detectors._models.seldom import SELDOM, marked
from detectors._models.spans import SPANS, Span
from detectors._models.usual import USUAL, Usual
from detectors._models.windows import OPEN, SPLIT, added, named
from storage.schema import Context, DetectorMeta, EventBatch, Finding, State

ASKED_RATE: Final = 5.0
"""Claims of nothing, a day per 1,000 entities, that the thresholds of all spans are set to."""
QUIET_US: Final = 7 * DAY_US
"""Time in which the same is not claimed again of an entity."""
WORSE: Final = 1.5
"""How much stranger it must be to be claimed again all the same."""
_JUDGED: Final = 999_021
_HARMLESS: Final = ("false_positive", "benign")
_NEVER: Final = 2**62

META: Final = DetectorMeta(
    name="behaviour",
    version="2",
    title="Host or person unlike itself and its peers",
    tables={
        "open": OPEN,
        "usual": USUAL,
        "seldom": SELDOM,
        "models": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "part": pl.String(),
            "numbers": pl.Binary(),
        },
        "told": {
            "tenant_id": pl.String(),
            "key": pl.String(),
            "crowd": pl.String(),
            "what": pl.String(),
            "at_us": pl.Int64(),
            "score": pl.Float64(),
            "finding_id": pl.String(),
            "row": pl.Binary(),
            "cleared_us": pl.Int64(),
        },
    },
    max_keys=150_000,
    bytes_per_key=900,
)

_KEY: Final = ["tenant_id", "key"]


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Add the batch to the open windows; judge and learn those behind the watermark, in order."""
    seldom, rows = marked(state["seldom"], named(batch.frame))
    open_ = _each(added(state["open"], rows), "end_us")
    cleared = _cleared(batch.frame)
    told = _marked(state["told"], cleared)
    done = pl.col("end_us") <= context.watermark_us
    closed = open_.filter(done)
    after: State = {**state, "open": open_, "seldom": seldom, "told": told}
    if closed.is_empty():
        return after, []
    after = {**after, "open": open_.filter(~done)}
    ordered = _ordered(closed)
    if ordered.is_empty():
        return after, []
    desk = _Desk(after, ordered, cleared)
    findings = [f for begin, end in _slots(ordered) for f in desk.judge(begin, end)]
    return {**after, **desk.tables()}, findings


def _of_span(span: Span) -> pl.Expr:
    return pl.col("key").str.contains(f"/{span.name}{SPLIT}", literal=True)


def _each(table: pl.DataFrame, by: str) -> pl.DataFrame:
    """Keep of each span the keys seen last: days must not be put out by minutes."""
    most = META.max_keys // len(SPANS)
    if table.height <= most:
        return table
    return pl.concat([newest(table.filter(_of_span(s)), by, most) for s in SPANS])


def _ordered(closed: pl.DataFrame) -> pl.DataFrame:
    """Give the windows to be judged as they ended, the shorter first, with `crowd` and `span`."""
    parts = []
    for number, span in enumerate(SPANS):
        is_busy = [pl.col(name) >= least for name, least in span.busy.items()]
        mine = closed.filter(_of_span(span))
        busy = mine.filter(pl.any_horizontal(is_busy)) if is_busy else mine
        parts.append(busy.with_columns(span=number))
    crowd = pl.col("key").str.split(SPLIT).list.first()
    order = ["end_us", "span", "tenant_id", "crowd", "key"]
    return pl.concat(parts).with_columns(crowd=crowd).sort(order)


def _slots(ordered: pl.DataFrame) -> Iterator[tuple[int, int]]:
    """Give the rows of each window of time, tenant and crowd: one step of a model each."""
    place = pl.struct("end_us", "tenant_id", "crowd")
    begins = ordered.select((place != place.shift(1)).fill_null(value=True).arg_true()).to_series()
    bounds = [*begins.to_list(), ordered.height]
    yield from pairwise(bounds)


@dataclass(frozen=True, slots=True)
class _Bench:
    """The closed windows of one span as arrays, and what is usual of their entities."""

    usual: Usual
    place: npt.NDArray[np.int64]
    words: npt.NDArray[np.uint64]
    steady: npt.NDArray[np.float64]
    hours: npt.NDArray[np.int64]

    @classmethod
    def of(cls, windows: pl.DataFrame, usual: pl.DataFrame, span: Span) -> "_Bench":
        """Lay out windows of a span, in their order."""
        keys = windows.select(_KEY).unique(maintain_order=True).sort(_KEY)
        numbered = keys.with_row_index("place")
        places = windows.select(_KEY).join(numbered, on=_KEY, how="left", maintain_order="left")
        return cls(
            Usual.read(usual, keys, len(span.features)),
            places["place"].cast(pl.Int64).to_numpy(),
            words_in(windows),
            steady(windows, span),
            hour_of_week(windows["end_us"].to_numpy() - span.length_us),
        )


@dataclass(frozen=True, slots=True)
class _Slot:
    """What a model said of the windows of one time, tenant and crowd."""

    span: Span
    scored: Scored
    rows: npt.NDArray[np.float64]
    expected: npt.NDArray[np.float64]
    windows: npt.NDArray[np.int64]


class _Desk:
    """Everything that the closed windows of one batch need until they are judged."""

    def __init__(self, state: State, windows: pl.DataFrame, cleared: pl.DataFrame) -> None:
        self.windows, self.told, self.cleared = windows, state["told"], cleared
        self.rest, self.table = state["usual"], state["models"]
        is_told = (self.told["cleared_us"] != _NEVER).any()
        self.is_any_cleared = is_told or not cleared.is_empty()
        self.row = windows.select(pl.int_range(pl.len()).over("span")).to_series().to_numpy()
        self.benches = {
            number: _Bench.of(mine, state["usual"], span)
            for number, span in enumerate(SPANS)
            if (mine := windows.filter(pl.col("span") == number)).height
        }
        self.populations: dict[tuple[str, str], Population] = {}

    def population(self, tenant: str, crowd: str, span: Span) -> Population:
        """Give the model of a tenant's entities of a kind in a span, read once."""
        if (tenant, crowd) not in self.populations:
            mine = self.table.filter((pl.col("tenant_id") == tenant) & (pl.col("key") == crowd))
            rows = mine.select("part", "numbers").iter_rows()
            numbers = {str(part): np.frombuffer(raw) for part, raw in rows}
            made = population_of(numbers, len(span.features), span.first)
            self.populations[tenant, crowd] = made
        return self.populations[tenant, crowd]

    def judge(self, begin: int, end: int) -> list[Finding]:
        """Score the windows of one slot, claim what is rare, learn what is calm."""
        first = self.windows.row(begin, named=True)
        span, bench = SPANS[first["span"]], self.benches[first["span"]]
        tenant, ended = str(first["tenant_id"]), int(first["end_us"])
        crowd = self.population(tenant, str(first["crowd"]), span)
        self._forgive(crowd, tenant, str(first["crowd"]), ended)
        mine = slice(self.row[begin], self.row[begin] + end - begin)
        place, words = bench.place[mine], bench.words[mine]
        values = np.hstack([bench.steady[mine], novelty(words, bench.usual.seen[place], span)])
        expected = bench.usual.expected(place, crowd.peers)
        rows = np.hstack([values - expected, values])
        scored = crowd.score(rows, bench.hours[mine])
        found: list[Finding] = []
        if scored is not None:
            windows = bench.usual.windows[place]
            rate = span.asked / 1_000 / crowd.a_day(span.most_a_day)
            rare = np.flatnonzero((scored.p <= rate) & (windows >= span.warm_up)).tolist()
            one = _Slot(span, scored, rows, expected, windows)
            found = [f for n in rare if (f := self._claim(begin + n, n, one))]
        begun = ended - span.length_us
        days = int((bench.usual.last_us[place] // DAY_US < begun // DAY_US).sum())
        bench.usual.learn(place, values, expected, words, begun)
        crowd.learn_peers(values, days)
        return found

    def _claim(self, row: int, place: int, slot: _Slot) -> Finding | None:
        """Claim a rare window that rises, each entity and reason once in a week."""
        window, scored, span = self.windows.row(row, named=True), slot.scored, slot.span
        what, score = rises(scored, place, span), float(scored.score[place])
        tenant, key, ended = str(window["tenant_id"]), str(window["key"]), int(window["end_us"])
        crowd, _, name = key.partition(SPLIT)
        kind = crowd.partition("/")[0]
        entity = f"{kind}{SPLIT}{name}"
        if what is None or score < WORSE * self._worst(tenant, entity, what, ended):
            return None
        grounds = reasons(
            window, slot.expected[place], int(slot.windows[place]), scored, place, span
        )
        found = claim(
            META,
            META.name,
            tenant,
            f"{key}{SPLIT}{ended}",
            title=f"Unusual for {name} in {span.per}: {grounds[0].name}",
            # Bursts are everyday in a company: it counts beside something else, not alone.
            level="low",
            kind="signal",
            time_us=ended,
            entity_type=kind,
            entity=name,
            event_ids=(window["first_event"],),
            event_count=int(window["events"]),
            reasons=grounds,
        )
        row_bytes = slot.rows[place].tobytes()
        self._note(tenant, entity, crowd, what, ended, score, found.finding_id, row_bytes)
        return found

    def _worst(self, tenant: str, entity: str, what: str, ended: int) -> float:
        """Give the highest score of the same claim in the quiet time before; 0 if there is none."""
        same = (
            (pl.col("tenant_id") == tenant) & (pl.col("key") == entity) & (pl.col("what") == what)
        )
        scores = self.told.filter(same & (pl.col("at_us") > ended - QUIET_US))["score"]
        return float(scores.max() or 0.0)  # type: ignore[arg-type]  # Float64 column

    def _note(self, *told: Any) -> None:  # noqa: ANN401  the columns of table `told`, in order
        fresh = pl.DataFrame([(*told, _NEVER)], schema=self.told.schema, orient="row")
        every = pl.concat([self.told, _marked(fresh, self.cleared)])
        self.told = newest(every, "at_us", META.max_keys)

    def _forgive(self, crowd: Population, tenant: str, name: str, ended: int) -> None:
        """Teach the model the windows that were cleared before this slot ended."""
        mine = (pl.col("tenant_id") == tenant) & (pl.col("crowd") == name)
        due = mine & (pl.col("cleared_us") < ended)
        if not self.is_any_cleared or crowd.model is None:
            return
        rows = self.told.filter(due)
        for row in rows.sort("at_us", "finding_id").iter_rows(named=True):
            hours = hour_of_week(np.array([row["at_us"]]))
            crowd.model.forgive(np.frombuffer(row["row"])[None, :], hours)
        done = pl.when(due).then(_NEVER).otherwise("cleared_us").alias("cleared_us")
        self.told = self.told.with_columns(done)

    def tables(self) -> dict[str, pl.DataFrame]:
        """Give the state's tables after all of it."""
        fresh = pl.concat([b.usual.table() for b in self.benches.values()])
        fresh = fresh.select(self.rest.columns)
        rest = self.rest.join(fresh.select(_KEY), on=_KEY, how="anti")
        usual = _each(pl.concat([rest, fresh]), "last_us").sort(_KEY)
        table = self.table
        for (tenant, kind), crowd in self.populations.items():
            other = ~((pl.col("tenant_id") == tenant) & (pl.col("key") == kind))
            rows = [(tenant, kind, part, n.tobytes()) for part, n in crowd.numbers().items()]
            mine = pl.DataFrame(rows, schema=table.schema, orient="row")
            table = pl.concat([table.filter(other), mine])
        return {
            "usual": usual,
            "models": table.sort("tenant_id", "key", "part"),
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
