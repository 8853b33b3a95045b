"""See that an invoice is held against its own vendor's history and nobody else's."""

from typing import Any

from detectors import invoice_amount
from storage.schema import Finding
from tests.detectors.streams import START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold


def _invoices(*amounts: int, vendor: str = "V-1", currency: str = "EUR") -> list[dict[str, Any]]:
    return [
        {
            "tenant_id": "acme",
            "time_us": START_US + i,
            "class_uid": 999001,
            "activity_id": 1,
            "vendor.uid": vendor,
            "currency": currency,
            "amount_cents": cents,
            "document.uid": f"{vendor}-{i}",
        }
        for i, cents in enumerate(amounts)
    ]


def _found(rows: list[dict[str, Any]]) -> list[Finding]:
    return fold(invoice_amount, batches(frame_of(rows), []))[1]


def test_ten_times_the_mean_is_claimed_with_both_amounts() -> None:
    (finding,) = _found(_invoices(*[10_000] * 5, 100_000))
    assert finding.entity == "V-1"
    assert finding.reasons[0].value == "1,000.00 EUR"
    assert "about 100.00 EUR, the mean of 5 invoices before" in finding.reasons[0].expected


def test_just_under_ten_times_is_not_claimed() -> None:
    assert _found(_invoices(*[10_000] * 5, 99_999)) == []


def test_a_new_vendor_is_not_judged() -> None:
    assert _found(_invoices(*[10_000] * 4, 900_000)) == []


def test_a_vendor_whose_amounts_vary_widely_is_judged_by_its_largest() -> None:
    usual = [100] * 40 + [1_000_000]
    assert len(_found(_invoices(*usual, 2_999_999))) == 1  # the first large one
    assert len(_found(_invoices(*usual, 3_000_000))) == 2


def test_currencies_are_not_compared() -> None:
    rows = _invoices(*[10_000] * 6) + _invoices(900_000, currency="JPY")
    assert _found(rows) == []


def test_absurd_amounts_do_not_overflow() -> None:
    assert _found(_invoices(*[10**13] * 5, 2**62, -5, 0)) == []
