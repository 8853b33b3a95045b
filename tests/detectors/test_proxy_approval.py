"""See who let a document through, on whose device, and who had signed in there."""

from typing import Any

import pytest

from detectors import proxy_approval
from storage.schema import Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold

INVOICE, PAYMENT = 999001, 999002
HOUR = 60
Row = dict[str, Any]


def _doc(minute: int, activity: int, actor: str, device: str = "PC-1", **more: str) -> Row:
    named = {name.replace("__", "."): value for name, value in more.items()}
    return {
        "tenant_id": "acme",
        "time_us": START_US + minute * MINUTE_US,
        "class_uid": INVOICE,
        "activity_id": activity,
        "actor.user.name": actor,
        "device.uid": device,
        "document.uid": "INV-1",
        "vendor.uid": "V-1",
        **named,
    }


def _cloud(minute: int, user: str, device: str = "PC-1", *, mfa: bool = False) -> Row:
    return {
        "tenant_id": "acme",
        "time_us": START_US + minute * MINUTE_US,
        "class_uid": 3002,
        "activity_id": 1,
        "status_id": 1,
        "user.name": f"{user}@corp.example",
        "device.uid": device,
        "unmapped.is_mfa": "true" if mfa else "false",
    }


def _desktop(minute: int, user: str, kind: int = 2) -> Row:
    place = {"device.hostname": "WS-1", "device.ip": "10.1.0.1", "logon_type_id": kind}
    return _cloud(minute, user) | {"device.uid": None, **place}


def _found(*rows: Row) -> list[Finding]:
    # Life goes on: an invoice is judged some minutes later.
    ordered = sorted([*rows, _cloud(9_999, "zoe", "PC-Z")], key=lambda row: int(row["time_us"]))
    return fold(proxy_approval, batches(frame_of(ordered), []))[1]


def _rules(*rows: Row) -> list[str]:
    return [f.rule_id.removeprefix("proxy_approval.") for f in _found(*rows)]


MADE, PASSED = _doc(60, 1, "rita"), _doc(70, 6, "max")


def test_the_makers_device_and_no_sign_in_of_the_other_is_one_hand() -> None:
    (claim,) = _found(_cloud(5, "rita"), MADE, PASSED)
    assert (claim.rule_id, claim.level) == ("proxy_approval.one_hand", "high")
    assert (claim.entity_type, claim.entity) == ("document", "INV-1")
    assert len(claim.event_ids) == 3


def test_it_holds_the_document_and_not_the_vendors_other_payments() -> None:
    (claim,) = _found(_cloud(5, "rita"), MADE, PASSED)
    assert {kind for kind, _ in claim.links} == {"user", "device"}


@pytest.mark.parametrize("kind", [2, 7, 10, 11])
def test_a_delegate_who_comes_to_the_desktop_first_is_none(kind: int) -> None:
    at = {"src_endpoint__ip": "10.1.0.1"}
    papers = [_doc(60, 1, "rita", **at), _doc(70, 6, "max", **at)]
    assert _rules(_cloud(5, "rita"), *papers, _desktop(65, "max", kind)) == []
    assert _rules(_cloud(5, "rita"), *papers, _desktop(75, "max", kind)) == ["one_hand"]


def test_a_sign_in_before_the_document_was_made_says_nothing_unless_the_sessions_differ() -> None:
    at = {"src_endpoint__ip": "10.1.0.1"}
    start = [_cloud(5, "rita"), _desktop(50, "max")]
    assert _rules(*start, _doc(60, 1, "rita", **at), _doc(70, 6, "max", **at)) == ["one_hand"]
    made = _doc(60, 1, "rita", actor__session__uid="s-1", **at)
    assert _rules(*start, made, _doc(70, 6, "max", actor__session__uid="s-2", **at)) == []


def test_a_payment_is_judged_at_once_and_an_invoice_after_ten_minutes() -> None:
    payment = {"class_uid": PAYMENT}
    for kind, claims in (({}, 0), (payment, 1)):
        rows = [_cloud(5, "rita"), MADE | kind, PASSED | kind]
        assert len(fold(proxy_approval, batches(frame_of(rows), []))[1]) == claims


def test_a_password_typed_at_the_borrowers_device_is_no_sign_in_of_its_own() -> None:
    assert _rules(_cloud(5, "rita"), MADE, _cloud(65, "max"), PASSED) == ["one_hand"]


def test_a_second_factor_is_one_and_so_is_a_device_used_on_another_day() -> None:
    assert _rules(_cloud(5, "rita"), MADE, _cloud(65, "max", mfa=True), PASSED) == []
    before = _cloud(-24 * HOUR, "max")
    assert _rules(before, _cloud(5, "rita"), MADE, _cloud(65, "max"), PASSED) == []


def test_a_network_sign_in_from_elsewhere_is_nobody_at_the_desktop() -> None:
    at = {"src_endpoint__ip": "10.1.0.1"}
    papers = [_doc(60, 1, "rita", **at), _doc(70, 6, "max", **at)]
    assert _rules(_cloud(5, "rita"), *papers, _desktop(65, "max", 3)) == ["one_hand"]


def test_one_session_under_two_names_is_one_hand_whoever_signed_in() -> None:
    same = {"actor__session__uid": "s-1"}
    papers = [_doc(60, 1, "rita", **same), _doc(70, 6, "max", "PC-2", **same)]
    assert _rules(*papers, _cloud(65, "max", "PC-2", mfa=True)) == ["one_hand"]


def test_where_nobody_signed_in_it_is_a_signal() -> None:
    (claim,) = _found(MADE, PASSED)
    assert (claim.rule_id, claim.kind) == ("proxy_approval.one_device", "signal")


def test_own_devices_own_names_and_other_days_are_nobodys_business() -> None:
    start = _cloud(5, "rita")
    assert _rules(start, MADE, _doc(70, 6, "max", "PC-2")) == []
    assert _rules(start, MADE, _doc(70, 6, "CORP\\rita")) == []
    assert _rules(start, MADE, _doc(60 + 25 * HOUR, 6, "max")) == []


def test_a_payment_that_is_approved_or_released_so_is_told_too() -> None:
    payment = {"class_uid": PAYMENT, "document.uid": "PAY-1"}
    for activity in (6, 8):
        rows = [MADE | payment, PASSED | payment | {"activity_id": activity}]
        (claim,) = _found(_cloud(5, "rita"), *rows)
        assert (claim.entity, claim.title.split()[0]) == ("PAY-1", "Payment")
    # An invoice and a payment of one number are two documents.
    assert _rules(_cloud(5, "rita"), MADE | {"class_uid": PAYMENT}, PASSED) == []
