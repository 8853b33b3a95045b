"""See that many accounts of one address are told, and people at their own are not."""

from typing import Any

from detectors import spraying
from storage.schema import Finding
from tests.detectors.streams import START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold


def _try(
    second: float, user: str, *, good: bool = False, ip: str = "203.0.113.9"
) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "time_us": START_US + int(second * 1_000_000),
        "class_uid": 3002,
        "activity_id": 1,
        "status_id": 1 if good else 2,
        "user.name": f"{user}@corp.example",
        "src_endpoint.ip": ip,
    }


def _found(rows: list[dict[str, Any]]) -> list[Finding]:
    return fold(spraying, batches(frame_of(rows), []))[1]


def _rules(rows: list[dict[str, Any]]) -> set[str]:
    return {f.rule_id for f in _found(rows)}


def _spray(accounts: int, over_s: float = 1_700.0) -> list[dict[str, Any]]:
    return [_try(n * over_s / accounts, f"u{n}") for n in range(accounts)]


def test_twenty_accounts_are_told_and_nineteen_are_not() -> None:
    assert _rules(_spray(19)) == set()
    assert _rules(_spray(20)) == {"spraying.tried"}
    assert _rules([_try(n, "ann") for n in range(200)]) == set()


def test_any_thirty_minutes_count() -> None:
    for start in range(0, 3_600, 300):
        rows = [r | {"time_us": r["time_us"] + start * 1_000_000} for r in _spray(20)]
        assert _rules(rows) == {"spraying.tried"}, start


def test_a_success_afterwards_is_a_high_finding_about_the_account() -> None:
    claims = _found([*_spray(20), _try(1_800, "u3", good=True)])
    (entered,) = [c for c in claims if c.rule_id == "spraying.entered"]
    assert (entered.level, entered.entity_type, entered.entity) == ("high", "user", "u3")
    assert ("ip", "203.0.113.9") in entered.links


def test_a_success_elsewhere_before_or_a_day_later_is_not_told() -> None:
    others = [
        _try(-9, "u3", good=True),
        *_spray(20),
        _try(1_800, "u3", good=True, ip="198.51.100.4"),
        _try(1_800 + 90_000, "u3", good=True),
    ]
    assert _rules(others) == {"spraying.tried"}


def test_an_address_where_people_sign_in_well_is_not_spraying() -> None:
    welcome = [_try(n, f"w{n}", good=True) for n in range(3)]
    assert _rules([*welcome, *_spray(40)]) == set()
    assert _rules([*welcome[:2], *_spray(40)]) == {"spraying.tried"}
