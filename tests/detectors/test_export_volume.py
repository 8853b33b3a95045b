"""See that a day of exports is held against the account and the company."""

from typing import Any

from detectors import export_volume
from storage.schema import Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold


def _export(minute: int, user: str, records: int) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "time_us": START_US + minute * MINUTE_US,
        "class_uid": 999014,
        "activity_id": 1,
        "actor.user.name": user,
        "document.type": "contacts",
        "record_count": records,
    }


def _usual() -> list[dict[str, Any]]:
    return [_export(n, f"u{n % 5}", 100) for n in range(20)]


def _found(rows: list[dict[str, Any]]) -> list[Finding]:
    return fold(export_volume, batches(frame_of(rows), []))[1]


def test_ten_times_the_companys_usual_is_told() -> None:
    assert _found([*_usual(), _export(2_000, "u1", 999)]) == []
    (claim,) = _found([*_usual(), _export(2_000, "u1", 1_000)])
    assert (claim.kind, claim.entity) == ("signal", "u1")


def test_many_small_exports_of_a_day_count_as_one_large() -> None:
    parts = [_export(2_000 + n, "new.one", 300) for n in range(5)]
    assert len(_found([*_usual(), *parts])) == 1
    apart = [_export(2_000 + 1440 * n, "new.one", 300) for n in range(5)]
    assert _found([*_usual(), *apart]) == []


def test_an_account_that_always_exports_much_is_not_told() -> None:
    reports = [_export(2_000 + 1440 * n, "report", 900) for n in range(20)]
    assert _found([*_usual(), *reports, _export(60_000, "report", 1_500)]) == []


def test_an_unknown_company_is_judged_by_a_fixed_number() -> None:
    assert _found([_export(0, "u1", 1_999)]) == []
    assert len(_found([_export(0, "u1", 2_000)])) == 1


def test_exports_of_the_ledger_do_not_hide_those_of_contacts() -> None:
    ledger = {"document.type": "ledger"}
    entries = [_export(1440 * n, f"f{n % 3}", 1_500) | ledger for n in range(1, 30)]
    taken = [*_usual(), *entries, _export(60_000, "u1", 1_000)]
    assert [f.entity for f in _found(taken)] == ["u1"]
    both = [_export(60_000, "u1", 600), _export(60_001, "u1", 600) | ledger]
    assert _found([*_usual(), *entries, *both]) == []
