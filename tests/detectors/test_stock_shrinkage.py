"""See that stock taken at night is told only of people who were not there."""

from dataclasses import replace

import polars as pl
import pytest

from detectors import stock_shrinkage
from storage.schema import Context, EventBatch, Finding, State
from tests.detectors.recorded import Scenario, scenario
from tests.walks.months import DAY, Record, at, fact, logon, ocsf, sign_in, stream_of, told

TAKEN = "stock taken at night"
NIGHT = 4 * DAY + 14 * 60
STORY = scenario("11-stock-shrinkage.positive")
ANN = "ann.lee"


def _claims(given: Scenario) -> list[Finding]:
    return [f for f in told(given.records()) if f.detector == "stock_shrinkage"]


def _desk(minute: float, kind: int = 7) -> Record:
    return logon(minute, "WS-011", "10.20.4.11", ANN, kind, "-")


def _plan(by: str, start: float = NIGHT, activity: int = 1) -> Record:
    fields = {"document__type": "stock_count", "document__uid": "PLAN-1", "subject": "stock"}
    times = {"starts_at": at(start), "ends_at": at(start + 360)}
    return ocsf(2 * DAY, "plans", 999022, activity, actor__user__name=by, **fields, **times)


def test_the_first_of_a_night_is_a_finding_and_the_next_a_signal() -> None:
    first, second = _claims(STORY)
    assert (first.kind, first.level, first.entity_type, first.entity) == (
        "finding",
        "high",
        "item",
        "IT-7",
    )
    assert (second.kind, second.entity) == ("signal", "IT-9")
    assert ("user", ANN) in first.links
    assert first.title.startswith("25 pieces of Torque sensor")


@pytest.mark.parametrize("minute", [NIGHT - 570, NIGHT + 14])
def test_who_came_to_their_machine_before_is_there(minute: float) -> None:
    assert _claims(STORY.plus(_desk(minute))) == []


def test_a_sign_in_to_a_service_from_ones_own_device_says_so_for_some_hours() -> None:
    def cloud(minute: float) -> Record:
        return sign_in(minute, ANN, "192.0.2.1", "lap-ann", "DE")

    first = cloud(DAY)
    assert _claims(STORY.plus(first, cloud(NIGHT - 200))) == []
    assert len(_claims(STORY.plus(first, cloud(NIGHT - 300)))) == 2
    assert len(_claims(STORY.plus(cloud(NIGHT - 200)))) == 2


def test_who_comes_after_or_elsewhere_or_by_network_is_not() -> None:
    assert len(_claims(STORY.plus(_desk(NIGHT + 30)))) == 2
    assert len(_claims(STORY.plus(_desk(NIGHT, kind=3)))) == 2
    stranger = logon(NIGHT, "WS-999", "10.20.4.99", ANN, 2, "-")
    assert len(_claims(STORY.plus(stranger))) == 2


@pytest.mark.parametrize(("minutes", "claims"), [(50, 0), (200, 2)])
def test_a_sign_in_that_is_told_late_counts_within_the_hour(minutes: int, claims: int) -> None:
    whole = stream_of(STORY.plus(_desk(NIGHT + 10)).records())
    taken_us = whole.filter(pl.col("class_uid") == 999004)["time"].cast(pl.Int64).to_list()
    is_late = (pl.col("class_uid") == 3002) & (
        pl.col("time").cast(pl.Int64).is_between(taken_us[0] - 600_000_000, taken_us[0])
    )
    state, found = stock_shrinkage.META.empty_state(), []
    kept: State = state
    later_us = taken_us[0] + minutes * 60_000_000
    steps = ((whole.filter(~is_late), later_us), (whole.filter(is_late), later_us))
    for rows, watermark_us in (*steps, (whole.clear(), 2**60)):
        context = Context(watermark_us=watermark_us)
        kept, new = stock_shrinkage.detect(kept, EventBatch.of(rows), context)
        found += new
    assert len(found) == claims


def test_what_is_added_is_not_taken() -> None:
    assert _claims(STORY.changed(TAKEN, change=25)) == []
    assert _claims(STORY.changed(TAKEN, change="many")) == []


def test_an_hour_at_which_several_work_on_other_days_is_no_night() -> None:
    shift = [
        fact(d * DAY + 14 * 60 + 5, who, 999001, 5, document__uid=f"N-{d}-{who}")
        for d in range(4)
        for who in ("eve", "fay", "gil")
    ]
    assert _claims(STORY.plus(*shift)) == []
    assert len(_claims(STORY.plus(*shift[1::3]))) == 2


def test_a_house_watched_for_two_days_has_no_nights_yet() -> None:
    young = replace(
        STORY,
        lines=tuple(
            x
            for x in STORY.lines
            if x.source != "business:erp" or str(x.record["time"]) >= at(2 * DAY)
        ),
    )
    assert _claims(young) == []
    assert _claims(STORY) != []


def test_an_account_without_a_machine_of_its_own_is_a_programs() -> None:
    assert _claims(STORY.changed(TAKEN, actor__user__name="svc.stock")) == []


def test_a_count_that_oneself_announced_or_that_is_over_is_no_excuse() -> None:
    assert _claims(STORY.plus(_plan("head.stores"))) == []
    assert len(_claims(STORY.plus(_plan(ANN)))) == 2
    assert len(_claims(STORY.plus(_plan("head.stores", NIGHT - DAY)))) == 2
    assert len(_claims(STORY.plus(_plan("head.stores", activity=4)))) == 2
