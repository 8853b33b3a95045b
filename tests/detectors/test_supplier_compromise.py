"""A vendor is told while money is open with it and a feed names its domain; no near miss is."""

from typing import Any

import polars as pl
import pytest

from detectors import supplier_compromise
from storage.indicators import FRAME
from storage.schema import Context, EventBatch, Finding, State
from storage.schema.indicator import Known
from tests.detectors.streams import MINUTE_US, START_US, frame_of

DAY = 1440
NORTH = {"vendor__uid": "V-1", "vendor__name": "Northwind"}


def row(minute: int, class_uid: int, activity: int, **told: object) -> dict[str, Any]:
    at = {"tenant_id": "acme", "time_us": START_US + minute * MINUTE_US, "class_uid": class_uid}
    named = {name.replace("__", "."): value for name, value in (NORTH | told).items()}
    return {**at, "activity_id": activity, **named}


def vendor(minute: int = 0, **told: object) -> dict[str, Any]:
    return row(minute, 999003, 1, **{"unmapped__domain": "northwind.example"} | told)


def invoice(minute: int, activity: int = 1, **told: object) -> dict[str, Any]:
    more = {"document__uid": "INV-1", "amount_cents": 120_000, "currency": "EUR"}
    return row(minute, 999001, activity, **more | told)


def payment(minute: int, activity: int = 1, **told: object) -> dict[str, Any]:
    more = {"document__uid": "PAY-1", "amount_cents": 120_000, "currency": "EUR"}
    return row(minute, 999002, activity, **more | told)


def listed(value: str = "northwind.example", **told: object) -> Known:
    one = {"type": "domain", "value": value, "feed": "isac", "valid_from_us": 0}
    one |= {"valid_until_us": None, "confidence": 80}
    return Known.of(pl.DataFrame([one | told], schema=FRAME))


def found(
    known: Known | None, *rows: dict[str, Any], state: State | None = None
) -> tuple[State, list[Finding]]:
    context = Context(watermark_us=0, indicators={"acme": known} if known else {})
    before = supplier_compromise.META.empty_state() if state is None else state
    return supplier_compromise.detect(before, EventBatch(frame_of(rows)), context)


def test_it_is_told_with_what_is_open_and_every_fact() -> None:
    rows = [vendor(0), invoice(5), payment(9, document__uid="PAY-1")]
    _, (one,) = found(listed(), *rows)
    assert (one.level, one.kind, one.entity_type, one.entity) == (
        "high",
        "finding",
        "vendor",
        "V-1",
    )
    assert one.time_us == START_US + 5 * MINUTE_US
    assert one.title == (
        "Northwind is owed or about to be paid, and isac calls northwind.example hostile"
    )
    assert one.reasons[2].value == "1 invoices, 0 payments: 1,200.00 EUR"
    ids = frame_of(rows)["event_id"].to_list()
    assert one.event_ids == (ids[0], ids[1])
    assert ("document", "INV-1") in one.links


def test_the_indicator_may_come_after_the_document() -> None:
    state, none = found(None, vendor(0), invoice(5))
    assert none == []
    # Any later fact of business is looked at: here another vendor's.
    other = invoice(60, vendor__uid="V-2", vendor__name="Bolt", document__uid="INV-2")
    _, (one,) = found(listed(), other, state=state)
    assert (one.entity, one.time_us) == ("V-1", START_US + 60 * MINUTE_US)


def test_it_is_told_once_for_each_indicator() -> None:
    state, claims = found(listed(), vendor(0), invoice(5), invoice(6, document__uid="INV-2"))
    assert len(claims) == 1
    state, claims = found(listed(), payment(90), state=state)
    assert claims == []
    _, (one,) = found(
        listed("www.northwind.example"),
        vendor(95, unmapped__domain="www.northwind.example"),
        state=state,
    )
    assert one.reasons[0].value == "www.northwind.example"


@pytest.mark.parametrize(
    "domain",
    ["northwind.example", "Mail.Northwind.Example.", "a.b.northwind.example"],
)
def test_a_domain_below_the_listed_one_is_met(domain: str) -> None:
    assert len(found(listed(), vendor(0, unmapped__domain=domain), invoice(5))[1]) == 1


@pytest.mark.parametrize(
    "told",
    [
        {"unmapped__domain": None, "unmapped__email": "Ann <ann@northwind.example>"},
        {"unmapped__domain": None, "unmapped__vendor_domain": "northwind.example"},
    ],
)
def test_a_vendor_s_mail_or_another_column_says_its_domain_too(told: dict[str, object]) -> None:
    assert len(found(listed(), vendor(0, **told), invoice(5))[1]) == 1


NEAR = {
    "ended before": (
        listed(valid_until_us=START_US + 5 * MINUTE_US),
        [vendor(0), invoice(5), payment(9)],
    ),
    "not yet": (listed(valid_from_us=START_US + 10 * MINUTE_US), [vendor(0), invoice(5)]),
    "looks alike": (listed("north-wind.example"), [vendor(0), invoice(5)]),
    "the end alone": (listed("wind.example"), [vendor(0), invoice(5)]),
    "no domain": (listed(type="email", value="northwind.example"), [vendor(0), invoice(5)]),
    "nothing open": (listed(), [vendor(0), vendor(9)]),
    "paid": (
        listed(valid_from_us=START_US + 10 * MINUTE_US),
        [vendor(0), payment(5), payment(6, 9), vendor(20)],
    ),
    "paid with its invoice": (
        listed(valid_from_us=START_US + 10 * MINUTE_US),
        [
            vendor(0),
            invoice(4),
            payment(5, unmapped__invoice_uid="INV-1"),
            payment(6, 9, unmapped__invoice_uid="INV-1"),
            vendor(20),
        ],
    ),
    "deleted": (
        listed(valid_from_us=START_US + 10 * MINUTE_US),
        [vendor(0), invoice(5), invoice(6, 4), vendor(20)],
    ),
    "silent for long": (
        listed(valid_from_us=START_US + 10 * MINUTE_US),
        [vendor(0), invoice(5), vendor(91 * DAY)],
    ),
    "another vendor's": (
        listed(),
        [vendor(0), invoice(5, vendor__uid="V-2", vendor__name="Bolt")],
    ),
    "another tenant's": (listed(), [vendor(0) | {"tenant_id": "bolt"}, invoice(5)]),
    "moved away": (
        listed(valid_from_us=START_US + 2 * MINUTE_US),
        [vendor(0), vendor(1, unmapped__domain="new.example"), invoice(5)],
    ),
}


@pytest.mark.parametrize("miss", NEAR)
@pytest.mark.parametrize("cut", [False, True])
def test_a_near_miss_is_not_told(miss: str, cut: bool) -> None:
    known, rows = NEAR[miss]
    if not cut:
        assert found(known, *rows)[1] == []
        return
    state: State = supplier_compromise.META.empty_state()
    for one in rows:
        state, claims = found(known, one, state=state)
        assert claims == []


def test_what_is_little_sure_is_a_signal() -> None:
    levels = []
    for confidence in (80, 60, 30):
        _, (one,) = found(listed(confidence=confidence), vendor(0), invoice(5))
        levels.append((one.level, one.kind))
    assert levels == [("high", "finding"), ("medium", "finding"), ("medium", "signal")]


def test_odd_domains_and_many_documents_stay_bounded() -> None:
    rows = [vendor(0, unmapped__domain="x" * 600), vendor(1, unmapped__domain="\x00.a")]
    rows += [invoice(2, document__uid=f"I-{n}") for n in range(200)]
    state, claims = found(listed(), *rows)
    assert claims == []
    assert state["open"].height == supplier_compromise.MOST_OPEN
    _, (one,) = found(listed(), vendor(9), state=state)
    assert one.event_count == 1 + supplier_compromise.MOST_OPEN
