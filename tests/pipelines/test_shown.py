"""Show each detector its part of the stream: coarser, never other."""

from itertools import pairwise
from types import ModuleType
from typing import cast

import polars as pl

from detectors._columns import claim
from pipelines.detecting import States, fold
from pipelines.shown import Shown
from storage.schema import ENVELOPE, Context, DetectorMeta, EventBatch, Finding, State
from tests.detectors.streams import company, frame_of

ROWS = frame_of(company("acme")).head(900)
MARKS = [10, 20, 30, 40]
CUTS = [0, 300, 600, 900, 900]
STRETCHES = [
    (EventBatch(ROWS.slice(a, b - a)), mark)
    for (a, b), mark in zip(pairwise(CUTS), MARKS, strict=True)
]
COMMON = int(ROWS["class_uid"].value_counts(sort=True)["class_uid"][0])


def of(classes: set[int]) -> list[tuple[int, EventBatch, int]]:
    return Shown(STRETCHES).to(frozenset(classes))


def test_who_reads_every_class_is_shown_the_batches_as_they_are() -> None:
    assert [(n, b, mark) for n, b, mark in of(set())] == [
        (n, b, mark) for n, (b, mark) in enumerate(STRETCHES)
    ]


def test_rows_of_a_class_come_in_order_and_all_of_them() -> None:
    wanted = ROWS.filter(pl.col("class_uid") == COMMON)
    shown = pl.concat([batch.frame for _, batch, _ in of({COMMON})], how="diagonal")
    assert shown["event_id"].to_list() == wanted["event_id"].to_list()


def test_no_batch_is_larger_than_the_largest_given() -> None:
    for classes in ({COMMON}, set(ROWS["class_uid"].unique())):
        assert max(len(batch) for _, batch, _ in of(classes)) <= 300


def test_few_rows_come_in_one_batch_with_the_last_watermark() -> None:
    counts = ROWS["class_uid"].value_counts().filter(pl.col("count") < 300)
    few = int(counts["class_uid"][0])
    assert [(number, mark) for number, _, mark in of({few})] == [(3, 40)]


def test_every_watermark_that_a_batch_has_is_the_one_after_its_last_row() -> None:
    every = set(ROWS["class_uid"].unique())
    told = [(number, len(batch), mark) for number, batch, mark in of(every)]
    assert told == [(0, 300, 10), (1, 300, 20), (3, 300, 40)]


def test_who_reads_nothing_of_it_still_hears_the_watermark_once() -> None:
    ((number, batch, mark),) = of({1})
    assert (number, len(batch), mark) == (3, 0, 40)
    assert "process.cmd_line" not in batch.frame.columns


def test_columns_without_a_value_are_left_out() -> None:
    frame = of({COMMON})[0][1].frame
    bare = {s.name for s in frame if s.null_count() == len(s)}
    assert bare <= {column.name for column in ENVELOPE}
    assert "process.cmd_line" in frame.columns
    assert frame.width < ROWS.width


class Recorder:
    """A detector that tells how many rows each batch had, and claims each at its watermark."""

    def __init__(self, name: str, classes: set[int]) -> None:
        self.META = DetectorMeta(
            name,
            "1",
            "",
            frozenset(classes),
            {"seen": {"tenant_id": pl.String(), "key": pl.String()}},
        )
        self.seen: list[int] = []

    def detect(
        self, state: State, batch: EventBatch, context: Context
    ) -> tuple[State, list[Finding]]:
        self.seen.append(len(batch))
        at, name = context.watermark_us, self.META.name
        told = claim(
            self.META, "r", "acme", str(at), title="", level="low", time_us=at,
            entity_type="host", entity="h", event_ids=(), reasons=(),
        )  # fmt: skip
        return {**state, name: state["seen"]}, [told]


def test_a_fold_tells_findings_in_the_order_of_the_batches() -> None:
    narrow, wide = Recorder("narrow", {1}), Recorder("wide", set())
    detectors = cast("dict[str, ModuleType]", {"narrow": narrow, "wide": wide})
    states: States = {name: d.META.empty_state() for name, d in detectors.items()}
    done = fold(detectors, states, STRETCHES, Context(0))
    assert (narrow.seen, wide.seen) == ([0], [300, 300, 300, 0])
    assert [(f.detector, f.time_us) for f in done.findings] == [
        *(("wide", 10), ("wide", 20), ("wide", 30)),
        *(("narrow", 40), ("wide", 40)),
    ]


def test_nothing_gives_nothing() -> None:
    assert Shown([]).to(frozenset({COMMON})) == []
    assert Shown([]).to(frozenset()) == []
