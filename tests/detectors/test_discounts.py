"""See that discounts beyond policy are counted, and a relation makes them grave."""

from typing import Any

from detectors import discounts
from storage.schema import Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold

DAY = 1440


def _row(minute: int, class_uid: int, **fields: object) -> dict[str, Any]:
    named = {name.replace("__", "."): value for name, value in fields.items()}
    at = {"tenant_id": "acme", "time_us": START_US + minute * MINUTE_US, "class_uid": class_uid}
    return {**at, "activity_id": 1, **named}


def _discount(minute: int, percent: float = 40.0, deal: str = "", **more: object) -> dict[str, Any]:
    who = {"actor__user__name": "sid", "customer__uid": "C-9"}
    uid = {"document__uid": deal or f"D-{minute}", "discount_percent": percent}
    return _row(minute, 999013, **who, **uid, **more)


def _relation(minute: int = 0) -> list[dict[str, Any]]:
    return [
        _row(minute, 999005, user__name="max", unmapped__private_mail="Max@Home.example"),
        _row(minute, 999012, customer__uid="C-9", unmapped__mail="Max <max@home.example>"),
    ]


def _found(rows: list[dict[str, Any]]) -> list[Finding]:
    return fold(discounts, batches(frame_of(rows), []))[1]


def _told(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(f.rule_id, f.level) for f in _found(rows)]


def test_the_third_within_thirty_days_is_told() -> None:
    assert _told([_discount(n) for n in range(2)]) == []
    assert _told([_discount(n) for n in range(3)]) == [("discounts.repeated", "medium")]
    assert _told([_discount(n * 16 * DAY) for n in range(6)]) == []


def test_policy_campaign_and_approval_are_respected() -> None:
    assert _told([_discount(n, 30.0) for n in range(9)]) == []
    assert _told([_discount(n, unmapped__campaign="SPRING") for n in range(9)]) == []
    assert _told([_discount(n, unmapped__approved_by="eva") for n in range(9)]) == []


def test_one_price_told_again_at_each_stage_counts_once() -> None:
    assert _told([_discount(n, deal="D-1") for n in range(9)]) == []


def test_a_relation_makes_it_high_and_each_claim_names_all_before() -> None:
    claims = _found([*_relation(), *(_discount(1 + n) for n in range(4))])
    assert [(c.rule_id, c.level) for c in claims] == [("discounts.related", "high")] * 2
    assert [len(c.event_ids) for c in claims] == [5, 6]
    assert claims[1].parts == (claims[0].finding_id,)
    assert ("user", "max") in claims[0].links


def test_a_relation_that_is_not_known_yet_does_not_count() -> None:
    late = [*(_discount(n) for n in range(3)), *_relation(9), _discount(10)]
    assert [r for r, _ in _told(late)] == ["discounts.repeated", "discounts.related"]
