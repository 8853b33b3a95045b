"""Hold every detector found to the contract of `storage.schema.detection`."""

import io
from collections.abc import Iterable
from functools import cache
from types import ModuleType

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors import CONTRACT, sigma
from pipelines.signals import frame_of as frame_of_claims
from storage.indicators import FRAME
from storage.plugins import discover
from storage.schema import Context, EventBatch, Finding, State
from storage.schema.indicator import Known
from tests.detectors.story_rows import story_rows
from tests.detectors.streams import START_US, batches, company, frame_of
from tests.shared import ROOT

DETECTORS = list(discover("detectors", CONTRACT).values())
each = pytest.mark.parametrize("detector", DETECTORS, ids=lambda d: d.META.name)
MIXED = frame_of(
    sorted(
        company("acme") + company("bolt", 9) + story_rows("acme") + story_rows("bolt"),
        key=lambda r: int(r["time_us"]),
    )
)
RULES = sigma.compile_rules(
    [ROOT / "detectors" / "rules", ROOT / "tests" / "detectors" / "correlations.yml"]
)


INDICATORS = {
    tenant: Known.of(
        pl.DataFrame(
            [
                ("ipv4", "203.0.113.7", "feed", 0, None, 80),
                ("domain", "kestrel-parts.example", "feed", 0, None, 80),
                ("domain", "shade.example", "feed", 0, None, 80),
            ],
            schema=FRAME,
            orient="row",
        )
    )
    for tenant in ("acme", "bolt")
}


def fold(detector: ModuleType, given_: Iterable[EventBatch]) -> tuple[State, list[Finding]]:
    """Run a detector over batches as the flow does: the watermark follows the newest event."""
    state: State = detector.META.empty_state()
    found: list[Finding] = []
    newest = 0
    for batch in given_:
        newest = max(newest, batch.frame.select(pl.col("time").cast(pl.Int64).max()).item())
        context = Context(watermark_us=newest, rules={"": RULES}, indicators=INDICATORS)
        state, new = detector.detect(state, batch, context)
        found += new
    return state, found


@cache
def signals() -> pl.DataFrame:
    """Give what the detectors of the first flow claim of the stream, as the second sees it."""
    made = [f for d in DETECTORS if d.META.flow == "events" for f in fold(d, batches(MIXED, []))[1]]
    return frame_of_claims(sorted(made, key=lambda f: (f.time_us, f.finding_id)), START_US)


def stream_of(detector: ModuleType) -> pl.DataFrame:
    """Give the stream that the detector is shown: events, or the claims made of them."""
    return MIXED if detector.META.flow == "events" else signals()


def in_order(found: list[Finding]) -> list[Finding]:
    return sorted(found, key=lambda f: f.finding_id)


@each
def test_finds_something_in_the_stream_made_for_it(detector: ModuleType) -> None:
    assert fold(detector, batches(stream_of(detector), []))[1]


@each
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(cuts=st.lists(st.integers(1, MIXED.height - 1), max_size=12))
def test_cutting_the_stream_changes_nothing(detector: ModuleType, cuts: list[int]) -> None:
    stream = stream_of(detector)
    cuts = [1 + cut % (stream.height - 1) for cut in cuts]
    assert in_order(fold(detector, batches(stream, cuts))[1]) == in_order(
        fold(detector, batches(stream, []))[1]
    )


@each
def test_two_tenants_mixed_equal_each_alone(detector: ModuleType) -> None:
    stream = stream_of(detector)
    alone = [
        f
        for tenant in ("acme", "bolt")
        for f in fold(detector, batches(stream.filter(pl.col("tenant_id") == tenant), []))[1]
    ]
    assert in_order(fold(detector, batches(stream, []))[1]) == in_order(alone)


@each
def test_input_is_not_changed(detector: ModuleType) -> None:
    batch = EventBatch.of(stream_of(detector).head(8000))
    before = batch.frame.clone()
    detector.detect(detector.META.empty_state(), batch, Context(watermark_us=0, rules={"": RULES}))
    assert batch.frame.equals(before)


@each
def test_state_goes_through_a_data_only_format(detector: ModuleType) -> None:
    stream = stream_of(detector)
    first = list(batches(stream, [stream.height // 2]))
    half, _ = fold(detector, first[:1])
    carried = {}
    for name, table in half.items():
        assert table.schema == pl.Schema(detector.META.tables[name])
        buffer = io.BytesIO()
        table.write_ipc(buffer)
        carried[name] = pl.read_ipc(io.BytesIO(buffer.getvalue()))
    context = Context(watermark_us=2**60, rules={"": RULES}, indicators=INDICATORS)
    assert (
        detector.detect(half, first[1], context)[1]
        == detector.detect(carried, first[1], context)[1]
    )


@each
def test_state_stays_bounded(detector: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    if detector.META.flow != "events":
        pytest.skip("bounded by claims, not events: see the detector's own test")
    rows = company("acme", hours=2)
    for n, row in enumerate(rows):
        row |= {"device.hostname": f"h{n}"} if "device.hostname" in row else {"vendor.uid": f"v{n}"}
    small = detector.META.__class__(
        **{f: getattr(detector.META, f) for f in detector.META.__slots__} | {"max_keys": 50}
    )
    monkeypatch.setattr(detector, "META", small)
    state, _ = fold(detector, batches(frame_of(rows), list(range(0, len(rows), 100))))
    for table in state.values():
        assert table.select(pl.col("key").n_unique()).item() <= 50


@each
def test_findings_rest_on_events_that_exist(detector: ModuleType) -> None:
    ids = set(MIXED.get_column("event_id"))
    for finding in fold(detector, batches(MIXED, []))[1]:
        assert finding.event_ids
        assert set(finding.event_ids) <= ids
        assert finding.reasons
        assert finding.title


@each
def test_events_of_other_kinds_are_survived(detector: ModuleType) -> None:
    bare = MIXED.select(MIXED.columns[:15]).head(100)
    state, found = fold(detector, batches(bare, []))
    assert found == []
    assert set(state) == set(detector.META.tables)
