"""An approval by proxy holds the one payment: commands, log, both flows, and the books again."""

import json
from functools import cache

import pytest

from business import consume_once, erp
from business._conflict import Conflict
from business._fact import Acting
from business.erp import NewInvoice
from pipelines.flow import house_of, run_flow, signals_of
from pipelines.step import House
from storage.database import Database
from storage.lake import Lake
from storage.log import Record
from storage.outbox import relay
from storage.settings import Settings
from storage.tenant import Scope
from tests.business.books import NOON_US, SECOND_US, Books, clerk

MINUTE_US = 60 * SECOND_US


@cache
def _house() -> House:
    return house_of(Settings())


def _acting(who: str, minute: int, device: str) -> Acting:
    return Acting(who, NOON_US + minute * MINUTE_US, NOON_US, device_uid=device)


def _signed_in(books: Books, who: str, device: str, position: int) -> None:
    line = {
        "time": (NOON_US - 60 * MINUTE_US) // 1000,
        "class_uid": 3002,
        "activity_id": 1,
        "status_id": 1,
        "user": {"name": f"{who}@corp.example"},
        "device": {"uid": device},
    }
    place = {"tenant": "acme", "source": "idp", "position": str(position), "name": "idp"}
    record = Record(b"acme", json.dumps(line).encode() + b"\n", {**place, "format": "ocsf_json"})
    books.log.append("raw.events", [record])


def _invoice(books: Books, uid: str, maker: Acting, approver: Acting) -> None:
    new = NewInvoice("V-9", 90_000, "EUR", None, uid)
    with books.database.app(clerk(maker.name)) as tx:
        erp.post_invoice(clerk(maker.name), tx, new, maker)
    with books.database.app(clerk(approver.name)) as tx:
        erp.approve_invoice(clerk(approver.name), tx, uid, 1, approver)


@pytest.fixture
def books(database: Database, two_tenants: tuple[Scope, Scope]) -> Books:
    made = Books(database)
    made.vendor()
    return made


def test_only_the_payment_of_that_document_waits(books: Books, settings: Settings) -> None:
    for position, (who, device) in enumerate((("rita", "PC-1"), ("max", "PC-2"))):
        _signed_in(books, who, device, position)
    _invoice(books, "I-1", _acting("rita", 1, "PC-1"), _acting("max", 5, "PC-1"))
    _invoice(books, "I-2", _acting("rita", 2, "PC-1"), _acting("max", 6, "PC-2"))
    books.propose("rita", NOON_US + 40 * MINUTE_US, payment_id="P-1", invoice_id="I-1")
    books.propose("rita", NOON_US + 41 * MINUTE_US, payment_id="P-2", invoice_id="I-2")
    lake = Lake(settings.data_dir / "lake")
    for house in (_house(), signals_of(_house())):
        while relay(books.database.writer, books.log):
            pass
        run_flow(settings, books.database, books.log, lake, "loop", once=True, house=house)
    while relay(books.database.writer, books.log):
        pass
    consume_once(books.database, books.log, "erp", erp, "m1")
    assert [books.payment(p)["status"] for p in ("P-1", "P-2")] == ["held", "proposed"]
    (hold,) = books.holds()
    assert hold["rule_id"] == "proxy_approval.one_hand"
    with pytest.raises(Conflict, match="on hold"):
        books.approve("P-1", 2, "cleo")
