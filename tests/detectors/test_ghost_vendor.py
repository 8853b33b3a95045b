"""See that account, creator and approver are held against each other."""

from typing import Any

from detectors import ghost_vendor
from storage.schema import Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold


def _row(minute: int, class_uid: int, activity: int, **fields: object) -> dict[str, Any]:
    named = {name.replace("__", "."): value for name, value in fields.items()}
    at = {"tenant_id": "acme", "time_us": START_US + minute * MINUTE_US, "class_uid": class_uid}
    return {**at, "activity_id": activity, "vendor.uid": "V-9", **named}


def _person(minute: int = 0) -> dict[str, Any]:
    return _row(minute, 999005, 1, user__name="eve", person__bank_account="DE02 1203 0000") | {
        "vendor.uid": None
    }


def _vendor(minute: int = 1, **said: str) -> dict[str, Any]:
    more = {f"unmapped__{name}": value for name, value in said.items()}
    bank = {"vendor__bank_account": "de0212030000", "actor__user__name": "eve"}
    return _row(minute, 999003, 1, **bank, **more)


def _invoice(minute: int, activity: int, actor: str, device: str = "") -> dict[str, Any]:
    who = {"actor__user__name": actor, "device__uid": device or None, "document__uid": "INV-1"}
    return _row(minute, 999001, activity, **who)


def _found(rows: list[dict[str, Any]]) -> list[Finding]:
    return fold(ghost_vendor, batches(frame_of(rows), []))[1]


def _rules(*rows: dict[str, Any]) -> list[str]:
    return [f.rule_id.removeprefix("ghost_vendor.") for f in _found(list(rows))]


def test_one_account_is_told_in_either_order_of_the_facts() -> None:
    papers = [_invoice(5, 1, "eve"), _invoice(6, 6, "eve")]
    for first in ([_person(0), _vendor(1)], [_vendor(0), _person(1)]):
        assert _rules(*first, *papers) == ["shared_account", "invoice", "one_hand"]


def test_two_accounts_on_one_device_are_one_hand_within_the_hour() -> None:
    start = [_person(), _vendor(), _invoice(5, 1, "eve", "pc-1")]
    assert _rules(*start, _invoice(9, 6, "max", "pc-1"))[-1] == "one_hand"
    assert _rules(*start, _invoice(9, 6, "max", "pc-2"))[-1] == "invoice"
    assert _rules(*start, _invoice(99, 6, "max", "pc-1"))[-1] == "invoice"


def test_a_finding_names_all_facts_and_the_claim_it_rests_on() -> None:
    rows = [_person(), _vendor(), _invoice(5, 1, "eve"), _invoice(6, 6, "eve")]
    shared, _, grave = _found(rows)
    assert (grave.level, grave.kind, len(grave.event_ids)) == ("high", "finding", 4)
    assert grave.parts == (shared.finding_id,)


def test_a_declaration_counts_only_from_another_person() -> None:
    papers = [_invoice(5, 1, "eve"), _invoice(6, 6, "eve")]
    declared = {"confirmation": "declared"}
    assert _rules(_person(), _vendor(1, **declared, confirmed_by="head"), *papers) == []
    assert "one_hand" in _rules(_person(), _vendor(1, **declared, confirmed_by="eve"), *papers)


def test_accounts_of_others_are_nobodys_business() -> None:
    other = _person() | {"person.bank_account": "GB33BUKB20201555555555"}
    assert _rules(other, _vendor(), _invoice(5, 1, "eve"), _invoice(6, 6, "eve")) == []
