"""See that a payment is held against its vendor, and sooner after a bank change."""

from typing import Any

from detectors import payment_amount
from storage.schema import Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold


def _payment(minute: int, cents: int, vendor: str = "V-1") -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "time_us": START_US + minute * MINUTE_US,
        "class_uid": 999002,
        "activity_id": 1,
        "vendor.uid": vendor,
        "currency": "EUR",
        "amount_cents": cents,
        "document.uid": f"P-{minute}",
    }


def _change(minute: int, **said: str) -> dict[str, Any]:
    fields = {f"unmapped.{name}": value for name, value in said.items()}
    row = _payment(minute, 0) | {"class_uid": 999003, "activity_id": 5, "document.uid": "V-1"}
    return row | fields


def _found(rows: list[dict[str, Any]]) -> list[Finding]:
    return fold(payment_amount, batches(frame_of(rows), []))[1]


def _rules(*rows: dict[str, Any]) -> list[str]:
    return [f.rule_id for f in _found(list(rows))]


def _usual(count: int = 5) -> list[dict[str, Any]]:
    return [_payment(n, 10_000) for n in range(count)]


def test_three_times_the_usual_is_told_and_less_is_not() -> None:
    assert _rules(*_usual(), _payment(9, 29_999)) == []
    assert _rules(*_usual(), _payment(9, 30_000)) == ["payment_amount.unusual"]
    assert _rules(*_usual(4), _payment(9, 900_000)) == []


def test_after_an_unconfirmed_bank_change_twice_is_enough() -> None:
    claims = _found([*_usual(), _change(6), _payment(9, 20_000)])
    assert [(c.rule_id, c.level) for c in claims] == [("payment_amount.unusual", "medium")]
    assert len(claims[0].event_ids) == 2
    assert _rules(*_usual(), _change(6), _payment(9, 10_000)) == ["payment_amount.new_account"]


def test_a_confirmed_change_is_no_ground_and_clears_an_earlier_one() -> None:
    phone = _change(7, confirmation="phone", confirmed_by="bob")
    assert _rules(*_usual(), phone, _payment(9, 20_000)) == []
    assert _rules(*_usual(), _change(6), phone, _payment(9, 20_000)) == []
    nobody = _change(7, confirmation="none", confirmed_by="")
    assert _rules(*_usual(), nobody, _payment(9, 20_000)) == ["payment_amount.unusual"]


def test_a_few_large_payments_among_many_do_not_hide_the_next() -> None:
    rows = [_payment(n, 10_000 if n != 5 else 10**9) for n in range(40)]
    assert _rules(*rows, _payment(50, 40_000))[-1:] == ["payment_amount.unusual"]


def test_no_amount_is_too_large_to_be_told() -> None:
    assert _rules(*_usual(), _payment(9, 10**15)) == ["payment_amount.unusual"]


def test_a_currency_the_vendor_was_never_paid_in_does_not_hide_a_payment() -> None:
    other = _payment(9, 5_000) | {"currency": "KWD"}
    (told,) = _found([*_usual(), _change(6), other])
    assert (told.rule_id, told.level) == ("payment_amount.unusual", "medium")
    assert "KWD" in told.title
    assert _rules(*_usual(), other) == ["payment_amount.unusual"]
    assert _rules(*_usual(4), other) == []
    assert _rules(other) == []


def test_absurd_amounts_do_not_overflow() -> None:
    assert _rules(*[_payment(n, 10**13) for n in range(6)], _payment(9, 2**62)) == []
