"""See that the windows' model claims what is unlike itself, says why once, and takes a verdict."""

import json
import random
from typing import Any

import polars as pl
import pytest

from detectors import behaviour
from storage.schema import Context, EventBatch, Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, company, frame_of
from tests.detectors.test_detector_conformance import fold

HOURS = 60


def burst(host: str, minute: int, count: int = 3000) -> list[dict[str, Any]]:
    """Give so many process starts on a host within a minute."""
    at = START_US + minute * MINUTE_US
    row = {"tenant_id": "acme", "class_uid": 1007, "activity_id": 1, "device.hostname": host}
    return [row | {"time_us": at + n * 1000} for n in range(count)]


def calm(hosts: int = 6, hours: int = HOURS) -> list[dict[str, Any]]:
    """Give a company in which every host starts about a program a minute."""
    dice = random.Random(5)
    return [
        burst(f"pc{host}", minute, 1)[0] | {"time_us": START_US + minute * MINUTE_US + host}
        for minute in range(60 * hours)
        for host in range(hosts)
        if dice.random() < 0.8
    ]


def judged(minute: int, verdict: str, *ids: str) -> dict[str, Any]:
    """Give the fact that people judged an incident with these findings."""
    return {
        "tenant_id": "acme",
        "time_us": START_US + minute * MINUTE_US,
        "class_uid": 999021,
        "activity_id": 5,
        "document.status": verdict,
        "unmapped.findings": "\n".join(ids),
    }


def found(rows: list[dict[str, Any]], cuts: list[int] | None = None) -> list[Finding]:
    ordered = sorted(rows, key=lambda row: int(row["time_us"]))
    return fold(behaviour, batches(frame_of(ordered), cuts or []))[1]


def test_the_burst_is_claimed_with_what_was_unusual_and_against_what() -> None:
    (claim,) = found(company("acme"))
    assert (claim.entity_type, claim.entity, claim.kind) == ("host", "pc7", "signal")
    first = claim.reasons[0]
    assert first.name in {"processes started", "events of any kind"}
    assert int(first.value.replace(",", "")) > 3000
    assert "against itself" in first.expected
    weights = [reason.weight or 0.0 for reason in claim.reasons]
    assert weights == sorted(weights, reverse=True)
    assert 0.5 < sum(weights) <= 1.0


def test_a_quiet_company_is_left_in_peace() -> None:
    assert found([r for r in company("acme") if r.get("device.hostname") != "pc7"]) == []


def test_the_same_is_claimed_once_in_a_week_unless_it_grows_far_stranger() -> None:
    late = HOURS * 60
    again = [row for minute in (90, 70, 50) for row in burst("pc5", late - minute)]
    assert [f.entity for f in found([*calm(), *again])] == ["pc5"]


def test_what_people_judged_harmless_is_not_claimed_again() -> None:
    rows, late = calm(), HOURS * 60
    first, second = burst("pc5", late - 90), burst("pc4", late + 30)
    end = burst("pc3", late + 90, 1)
    (claim,) = found([*rows, *first, *end])
    assert len(found([*rows, *first, *second, *end])) == 2
    for verdict, claims in (("benign", 1), ("false_positive", 1), ("true_positive", 2)):
        told = judged(late - 40, verdict, "none", claim.finding_id)
        assert len(found([*rows, *first, told, *second, *end])) == claims


def test_a_verdict_of_another_tenant_changes_nothing() -> None:
    rows, late = calm(), HOURS * 60
    rows += [*burst("pc5", late - 90), *burst("pc4", late + 30), *burst("pc3", late + 90, 1)]
    ids = [f.finding_id for f in found(rows)]
    told = judged(late - 40, "benign", *ids) | {"tenant_id": "bolt"}
    assert [f.finding_id for f in found([*rows, told])] == ids


def test_a_new_host_is_judged_by_its_peers_and_only_after_two_hours() -> None:
    rows, late = calm(), HOURS * 60
    end = burst("pc5", late, 1)
    young = [r for n in range(30) for r in burst("new1", late - 100 + n, 1)]
    assert found([*rows, *young, *burst("new1", late - 60), *end]) == []
    grown = [r for n in range(200) for r in burst("new1", late - 300 + n, 1)]
    assert [f.entity for f in found([*rows, *grown, *burst("new1", late - 90), *end])] == ["new1"]


def test_people_are_judged_by_what_they_do_in_the_books() -> None:
    rows: list[dict[str, Any]] = []
    days = 9
    for n in range(4 * 24 * days):
        for who in range(4):
            at = START_US + (15 * n + who) * MINUTE_US
            export = {"class_uid": 999014, "activity_id": 1, "record_count": 20 + (n * 7 + who) % 9}
            rows.append({"tenant_id": "acme", "time_us": at, "actor.user.name": f"u{who}"} | export)
    at = START_US + 15 * 4 * 24 * days * MINUTE_US
    many = {"class_uid": 999014, "activity_id": 1, "record_count": 90_000}
    rows.append({"tenant_id": "acme", "time_us": at, "actor.user.name": "u2"} | many)
    rows.append(
        {"tenant_id": "acme", "time_us": at + 30 * MINUTE_US, "actor.user.name": "u1"} | many
    )
    claims = found(rows)
    assert [(f.entity_type, f.entity) for f in claims] == [("user", "u2")]
    assert claims[0].reasons[0].name == "records exported"


def test_a_burst_is_told_when_its_minute_is_over() -> None:
    dice = random.Random(3)
    rows: list[dict[str, Any]] = []

    def reached(host: int, minute: int, count: int) -> list[dict[str, Any]]:
        base = {"tenant_id": "acme", "class_uid": 4001, "activity_id": 6}
        at = START_US + minute * MINUTE_US
        return [
            base
            | {"time_us": at + n * 20_000, "device.hostname": f"pc{host}"}
            | {"dst_endpoint.ip": f"10.9.{n // 200}.{n % 200}"}
            for n in range(count)
        ]

    for minute in range(0, 40 * 60, 7):
        rows += reached(minute % 8, minute, dice.randint(30, 60))
    end = 40 * 60
    rows += [*reached(3, end, 900), *reached(5, end + 3, 1)]
    claim, *later = [c for c in found(rows) if c.time_us > START_US + end * MINUTE_US]
    begun = (START_US + end * MINUTE_US) // MINUTE_US * MINUTE_US
    assert (claim.entity, claim.time_us - begun) == ("pc3", MINUTE_US)
    assert "in a minute" in claim.title
    assert [(c.title, c.time_us) for c in later] == []


def test_what_is_slow_is_told_of_its_day_and_of_no_quarter_of_an_hour() -> None:
    dice = random.Random(4)
    rows: list[dict[str, Any]] = []
    day = 24 * 60
    base = {"tenant_id": "acme", "class_uid": 999013}
    for number in range(30):
        for who in range(12):
            for step in range(dice.randint(6, 12)):
                minute = number * day + 60 + who + 90 * step
                at = {"time_us": START_US + minute * MINUTE_US, "actor.user.name": f"u{who}"}
                rows.append(base | at | {"activity_id": 6 if dice.random() < 0.2 else 5})
    for step in range(32):
        minute = 30 * day + 30 * step
        at = {"time_us": START_US + minute * MINUTE_US, "actor.user.name": "u7"}
        rows.append(base | at | {"activity_id": 6})
    rows.append(base | {"time_us": START_US + 33 * day * MINUTE_US, "actor.user.name": "u1"})
    claims = [c for c in found(rows) if c.time_us > START_US + 30 * day * MINUTE_US]
    assert {c.entity for c in claims} == {"u7"}
    assert [c.title for c in claims] == ["Unusual for u7 in a day: discounts given"]


def test_names_without_end_keep_the_newest_windows_under_short_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small = {n: getattr(behaviour.META, n) for n in behaviour.META.__slots__} | {"max_keys": 20}
    monkeypatch.setattr(behaviour, "META", behaviour.META.__class__(**small))
    rows = [r for r in company("acme", hours=2) if "device.hostname" in r]
    for n, row in enumerate(rows):
        row["device.hostname"] = f"h{n:06}" + "x" * 100_000 * (n % 1000 == 0)
    state, _ = fold(behaviour, batches(frame_of(rows), [len(rows) // 2]))
    assert state["open"].height <= 20
    assert state["usual"].height <= 20
    assert state["open"]["key"].str.len_chars().max() <= 512 + 20  # type: ignore[operator]  # a column of text


def test_a_verdict_with_odd_text_is_survived() -> None:
    odd = judged(1, "benign") | {"unmapped.findings": json.dumps({"x": "\u0000" * 9})}
    state = behaviour.META.empty_state()
    batch = EventBatch(frame_of([odd]))
    after, claims = behaviour.detect(state, batch, Context(watermark_us=2**60))
    assert claims == []
    assert isinstance(after["told"], pl.DataFrame)
