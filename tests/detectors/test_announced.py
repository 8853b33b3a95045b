"""See which announcements count: of another person, in time, about this."""

from typing import Any

import polars as pl
import pytest

from detectors import _announced
from tests.detectors.streams import START_US, frame_of

HOUR_US = 3_600_000_000
PLAN: dict[str, Any] = {
    "tenant_id": "acme",
    "time_us": START_US,
    "class_uid": 999022,
    "activity_id": 1,
    "document.type": "campaign",
    "document.uid": "PLAN-1",
    "actor.user.name": "head",
    "unmapped.subject": "Launch-9",
    "unmapped.starts_at": "2026-05-28T20:00:00Z",
    "unmapped.ends_at": "2026-05-29T00:00:00+02:00",
}


def _is_expected(*plans: dict[str, Any], actor: str = "mia", hours: float = 1) -> bool:
    """Answer; what is learned at once and row by row must be the same."""
    frame = frame_of([plan | {"time_us": plan["time_us"] + n} for n, plan in enumerate(plans)])
    act = pl.DataFrame(
        {
            "tenant_id": ["acme"],
            "actor": [actor],
            "time_us": [START_US + int(hours * HOUR_US)],
            "subjects": [["launch-9", None]],
        }
    )
    table = pl.DataFrame(schema=_announced.TABLE)
    whole = _announced.announced(frame, table, 100, "campaign")
    for row in range(frame.height):
        table = _announced.announced(frame.slice(row, 1), table, 100, "campaign")
    assert table.equals(whole)
    return _announced.unexpected(act, whole).is_empty()


def test_what_another_announced_is_expected() -> None:
    assert _is_expected(PLAN)


@pytest.mark.parametrize(
    "wrong",
    [
        {"actor.user.name": "CORP\\mia"},
        {"unmapped.subject": "launch-8"},
        {"document.type": "export"},
        {"user.name": "tom"},
        {"unmapped.starts_at": "2026-05-28T22:00:00Z"},
        {"unmapped.ends_at": "2026-05-28T21:00:00Z"},
        {"tenant_id": "bolt"},
        {"document.uid": None},
        {"actor.user.name": None},
        {"unmapped.subject": None},
    ],
)
def test_what_says_something_else_is_not(wrong: dict[str, Any]) -> None:
    assert not _is_expected(PLAN | wrong)


def test_ones_own_plan_counts_once_another_has_agreed() -> None:
    own = PLAN | {"actor.user.name": "mia"}
    agreed = own | {"activity_id": 6, "actor.user.name": "head"}
    assert not _is_expected(own)
    assert _is_expected(own, agreed)
    assert _is_expected(own | {"unmapped.approved_by": "head@corp.example"})
    assert not _is_expected(PLAN | {"unmapped.approved_by": "mia@corp.example"})


def test_a_withdrawn_plan_counts_no_more() -> None:
    assert not _is_expected(PLAN, PLAN | {"activity_id": 4})


def test_a_plan_counts_from_when_it_was_told_and_until_it_is_withdrawn() -> None:
    assert not _is_expected(PLAN, hours=0)
    gone = PLAN | {"activity_id": 4, "time_us": START_US + HOUR_US // 2}
    assert _is_expected(PLAN, gone, hours=0.25)
    assert not _is_expected(PLAN, gone, hours=1)


def test_a_plan_for_a_person_needs_no_name_of_the_thing() -> None:
    assert _is_expected(PLAN | {"unmapped.subject": None, "user.name": "mia@corp.example"})


def test_times_that_cannot_be_read_bound_nothing() -> None:
    assert _is_expected(PLAN | {"unmapped.starts_at": "soon", "unmapped.ends_at": "\u202e"})
