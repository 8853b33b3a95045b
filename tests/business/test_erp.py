"""Vendors, invoices, payments and items: what commands do, refuse, repeat and tell."""

import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg import Rollback

from business import erp
from business._conflict import Conflict, OldVersion
from business._fact import Acting
from business.erp import NewInvoice, NewItem, NewPayment, NewVendor, Policy
from storage.database import Database
from storage.errors import InvalidInput, NotAllowed, NotFound
from storage.tenant import Actor, Role, Scope
from tests.business.books import ACCOUNT, BOLT, NOON_US, NOW, OTHER, SECOND_US, Books, by, clerk

ANN = clerk("ann")
BRIDGE = Scope("acme", Actor("token", "bridge"), frozenset({Role.INTEGRATION}))
FIRST = NewVendor("Bolt & Sons", ACCOUNT, "1 Main Street", "V-9")


@pytest.fixture
def books(database: Database, two_tenants: tuple[Scope, Scope]) -> Books:
    made = Books(database)
    made.vendor()
    return made


def test_a_payment_goes_from_proposal_to_paid_and_every_step_is_told_and_audited(
    books: Books,
) -> None:
    books.invoice("I-1", 120_000)
    books.approved_invoice("I-1")
    one = books.propose(invoice_id="I-1", payment_id="P-1")
    assert (one["status"], one["amount_cents"], one["currency"]) == ("proposed", 120_000, "EUR")
    books.approve("P-1", 1)
    books.read_by_the_flow()
    paid = books.pay("P-1", 2)
    assert (paid["status"], paid["paid_by"], paid["version"]) == ("paid", "cleo", 3)
    told = [(f["document.type"], f["activity_id"], f["actor.user.name"]) for f in books.facts()]
    assert told == [
        ("vendor", 1, "ann"),
        ("invoice", 5, "ann"),
        ("invoice", 6, "bob"),
        ("payment", 1, "ann"),
        ("payment", 6, "bob"),
        ("payment", 9, "cleo"),
    ]
    assert [action for action, _, _ in books.trail()] == [
        "vendor.create",
        "invoice.post",
        "invoice.approve",
        "payment.propose",
        "payment.approve",
        "payment.pay",
    ]


def test_facts_say_what_detectors_look_at(books: Books) -> None:
    with books.database.app(ANN) as tx:
        erp.change_bank_account(ANN, tx, "V-9", OTHER, 1, "phone", "bob", by("ann"))
    books.invoice("I-1")
    books.approved_invoice("I-1", who="ann")
    change, _, approval = books.facts()[1:]
    assert change["previous_bank_account"] == ACCOUNT
    assert change["vendor.bank_account"] == OTHER
    assert (change["confirmation"], change["confirmed_by"]) == ("phone", "bob")
    assert approval["user.name"] == approval["actor.user.name"] == "ann"
    assert (approval["document.uid"], approval["document.status"]) == ("I-1", "approved")


def test_the_same_request_twice_is_one_document_and_other_content_a_conflict(books: Books) -> None:
    books.invoice("I-1", 500)
    books.propose(payment_id="P-1", invoice_id="I-1", amount_cents=200)
    told = len(books.facts())
    assert books.vendor()["version"] == 1
    assert books.invoice("I-1", 500)["amount_cents"] == 500
    again = books.propose(payment_id="P-1", invoice_id="I-1", amount_cents=200)
    assert again["amount_cents"] == 200
    assert len(books.facts()) == told
    with pytest.raises(Conflict, match="another content"):
        books.vendor(name="Bolt & Daughters")
    with pytest.raises(Conflict, match="another content"):
        books.invoice("I-1", 501)
    with pytest.raises(Conflict, match="another content"):
        books.propose(payment_id="P-1", invoice_id="I-1", amount_cents=201)


def test_a_change_repeated_is_done_once_and_one_on_an_old_version_refused(books: Books) -> None:
    with books.database.app(ANN) as tx:
        for _ in range(2):
            after = erp.change_bank_account(ANN, tx, "V-9", OTHER, 1, by=by("ann"))
            assert (after["version"], after["bank_account"]) == (2, OTHER)
        with pytest.raises(OldVersion, match="version 2, not 1"):
            erp.update_vendor(ANN, tx, "V-9", 1, name="New", by=by("ann"))
    assert len(books.facts()) == 2


def test_a_bridge_without_versions_changes_in_order_of_time_only(books: Books) -> None:
    def change(account: str, at_us: int) -> dict[str, Any]:
        with books.database.app(BRIDGE) as tx:
            who = by("ann", at_us)
            return erp.change_bank_account(BRIDGE, tx, "V-9", account, None, by=who)

    change(OTHER, NOON_US + 2)
    assert change(OTHER, NOON_US + 2)["version"] == 2
    with pytest.raises(OldVersion, match="already"):
        change("FR7630006000011234567890189", NOON_US + 1)
    with books.database.app(ANN) as tx, pytest.raises(InvalidInput, match="version"):
        erp.change_bank_account(ANN, tx, "V-9", ACCOUNT, None, by=by("ann"))


def test_a_crash_between_the_writes_leaves_nothing(books: Books) -> None:
    before = len(books.facts()), len(books.trail())
    with books.database.app(ANN) as tx:
        erp.post_invoice(ANN, tx, NewInvoice("V-9", 5, "EUR", None, "I-1"), by("ann"))
        raise Rollback
    assert (len(books.facts()), len(books.trail())) == before
    with pytest.raises(NotFound), books.database.app(ANN) as tx:
        erp.get_invoice(ANN, tx, "I-1")
    assert books.invoice("I-1", 5)["version"] == 1


def test_an_issued_invoice_is_immutable_even_by_sql(books: Books) -> None:
    books.invoice("I-1")
    with books.database.app(ANN) as tx, pytest.raises(psycopg.errors.InsufficientPrivilege):
        tx.execute("UPDATE erp_invoices SET amount_cents = 1")


def test_a_payment_goes_to_the_account_that_it_was_proposed_for(books: Books) -> None:
    books.propose(payment_id="P-1", vendor_id="V-9", amount_cents=5, currency="EUR")
    with books.database.app(ANN) as tx:
        erp.change_bank_account(ANN, tx, "V-9", OTHER, 1, by=by("ann"))
    assert books.payment("P-1")["bank_account"] == ACCOUNT


def test_an_invoice_is_not_paid_twice_over(books: Books) -> None:
    books.invoice("I-1", 1000)
    books.propose(payment_id="P-1", invoice_id="I-1", amount_cents=400)
    with pytest.raises(Conflict, match="600 minor units are left"):
        books.propose(payment_id="P-2", invoice_id="I-1", amount_cents=601)
    assert books.propose(payment_id="P-3", invoice_id="I-1")["amount_cents"] == 600
    with pytest.raises(Conflict, match="0 minor units are left"):
        books.propose(payment_id="P-4", invoice_id="I-1")


def test_two_proposals_at_once_do_not_overdraw_an_invoice(books: Books) -> None:
    books.invoice("I-1", 1000)
    start, refused = threading.Barrier(4), []

    def propose(number: int) -> None:
        start.wait()
        try:
            books.propose(payment_id=f"P-{number}", invoice_id="I-1", amount_cents=600)
        except Conflict as error:
            refused.append(error)

    workers = [threading.Thread(target=propose, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(refused) == 3


def test_a_payment_is_approved_only_after_its_invoice(books: Books) -> None:
    books.invoice("I-1")
    books.propose(payment_id="P-1", invoice_id="I-1")
    with pytest.raises(Conflict, match="not approved yet"):
        books.approve("P-1", 1)


def test_the_maker_may_approve_unless_the_policy_forbids(books: Books) -> None:
    books.invoice("I-1")
    with books.database.app(ANN) as tx:
        who = by("ACME\\Ann")
        with pytest.raises(Conflict, match="another approves"):
            erp.approve_invoice(ANN, tx, "I-1", 1, who, Policy(four_eyes="invoices"))
        done = erp.approve_invoice(ANN, tx, "I-1", 1, by("ann"), Policy(four_eyes="payments"))
    assert done["approved_by"] == done["created_by"] == "ann"


def approved(books: Books) -> None:
    books.propose(payment_id="P-1", vendor_id="V-9", amount_cents=5, currency="EUR")
    books.approve("P-1", 1)


def test_a_payment_is_not_paid_before_the_flow_has_read_its_newest_fact(books: Books) -> None:
    approved(books)
    with pytest.raises(Conflict, match="not screened yet"):
        books.pay("P-1", 2)
    books.read_by_the_flow(up_to=2)  # vendor and proposal, not the approval
    with pytest.raises(Conflict, match="not screened yet"):
        books.pay("P-1", 2)
    books.read_by_the_flow()
    assert books.pay("P-1", 2)["status"] == "paid"


def test_a_payment_is_not_paid_before_the_second_flow_could_speak(books: Books) -> None:
    approved(books)
    books.read_by_the_flow()
    for early in (-3600, 0, 59):
        with pytest.raises(Conflict, match="being screened; try again in"):
            books.pay("P-1", 2, NOON_US + early * SECOND_US)
    assert books.pay("P-1", 2, NOON_US + 60 * SECOND_US)["status"] == "paid"


def test_another_tenants_reading_does_not_screen(books: Books) -> None:
    approved(books)
    with books.database.owner() as tx:
        tx.execute("SELECT set_config('inopsio.tenant', 'bolt', true)")
        tx.execute(
            "INSERT INTO sources (tenant_id, source, name, log_format, next_position, events,"
            " rejected) VALUES ('bolt', 'business:erp', '', 'ocsf_json', 999, 0, 0)"
        )
    with pytest.raises(Conflict, match="not screened yet"):
        books.pay("P-1", 2)


def test_a_payment_is_paid_once_and_in_order_of_its_states(books: Books) -> None:
    books.propose(payment_id="P-1", vendor_id="V-9", amount_cents=5, currency="EUR")
    books.read_by_the_flow()
    with pytest.raises(Conflict, match="is proposed, not approved"):
        books.pay("P-1", 1)
    books.approve("P-1", 1)
    books.read_by_the_flow()
    assert books.pay("P-1", 2) == books.pay("P-1", 2)
    with pytest.raises(Conflict, match="is paid, not approved"):
        books.pay("P-1", 3)
    assert [f["activity_id"] for f in books.facts() if f["class_uid"] == 999002] == [1, 6, 9]


@pytest.mark.parametrize(
    "content",
    [
        {"vendor_id": "V-9", "amount_cents": 0, "currency": "EUR"},
        {"vendor_id": "V-9", "amount_cents": 10**15 + 1, "currency": "EUR"},
        {"vendor_id": "V-9", "amount_cents": 1.5, "currency": "EUR"},
        {"vendor_id": "V-9", "amount_cents": True, "currency": "EUR"},
        {"vendor_id": "V-9", "amount_cents": 5, "currency": "XXZ"},
        {"vendor_id": "V-9", "currency": "EUR"},
        {"vendor_id": "../etc", "amount_cents": 5, "currency": "EUR"},
        {"vendor_id": "V-9", "amount_cents": 5, "currency": "EUR", "payment_id": "a b"},
        {"vendor_id": "V-9", "amount_cents": 5, "currency": "EUR", "payment_id": "x" * 101},
        {},
    ],
)
def test_garbage_is_refused(books: Books, content: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        books.propose(**content)


@pytest.mark.parametrize(
    ("confirmation", "confirmed_by"),
    [("phone", ""), ("none", "bob"), ("phone", "CORP\\Ann"), ("carrier pigeon", "bob")],
)
def test_a_confirmation_names_another_person(
    books: Books, confirmation: erp.Confirmation, confirmed_by: str
) -> None:
    with books.database.app(ANN) as tx, pytest.raises(InvalidInput):
        erp.change_bank_account(ANN, tx, "V-9", OTHER, 1, confirmation, confirmed_by, by=by("ann"))


def test_each_tenant_has_its_own_books(books: Books) -> None:
    books.propose(payment_id="P-1", vendor_id="V-9", amount_cents=5, currency="EUR")
    with books.database.app(BOLT) as tx:
        assert erp.list_vendors(BOLT, tx) == erp.list_payments(BOLT, tx) == []
        for ask in (erp.get_vendor, erp.get_invoice, erp.get_payment, erp.get_item):
            with pytest.raises(NotFound):
                ask(BOLT, tx, "P-1")
        with pytest.raises(NotFound):
            erp.approve_payment(BOLT, tx, "P-1", 1)
        with pytest.raises(NotFound):
            erp.post_invoice(BOLT, tx, NewInvoice("V-9", 5, "EUR"))
        assert erp.create_vendor(BOLT, tx, FIRST)["vendor_id"] == "V-9"


def test_who_may_only_read_changes_nothing(books: Books) -> None:
    auditor = Scope("acme", Actor("user", "eve"), frozenset({Role.AUDITOR}))
    with books.database.app(auditor) as tx:
        assert len(erp.list_vendors(auditor, tx)) == 1
        with pytest.raises(NotAllowed):
            erp.create_vendor(auditor, tx, FIRST)
        with pytest.raises(NotAllowed):
            erp.post_invoice(auditor, tx, NewInvoice("V-9", 5, "EUR"))
        with pytest.raises(NotAllowed):
            erp.propose_payment(auditor, tx, NewPayment(vendor_id="V-9"))
        with pytest.raises(NotAllowed):
            erp.create_item(auditor, tx, NewItem("Bolt", 5, "EUR"))


def test_items_change_price_and_stock_and_never_fall_below_nothing(books: Books) -> None:
    with books.database.app(ANN) as tx:
        erp.create_item(ANN, tx, NewItem("Bolt M8", 250, "EUR", 10, "IT-1"), by("ann"))
        erp.change_price(ANN, tx, "IT-1", 300, 1, "spring", by("ann"))
        for _ in range(2):
            erp.adjust_stock(ANN, tx, "IT-1", -4, 2, "sold", by("bob"))
        item = erp.get_item(ANN, tx, "IT-1")
        with pytest.raises(Conflict, match="6 in stock"):
            erp.adjust_stock(ANN, tx, "IT-1", -7, 3, "sold", by("bob"))
    assert (item["price_cents"], item["stock"], item["version"]) == (300, 6, 3)
    price, stock = books.facts()[-2:]
    assert (price["amount_cents"], price["previous_cents"], price["campaign"]) == (
        300,
        250,
        "spring",
    )
    assert (stock["activity_id"], stock["change"], stock["item.uid"]) == (6, -4, "IT-1")


def test_lists_are_paged_and_filtered(books: Books) -> None:
    for number in range(5):
        at_us = NOON_US + number * SECOND_US
        books.propose(
            at_us=at_us, payment_id=f"P-{number}", vendor_id="V-9", amount_cents=5, currency="EUR"
        )
    with books.database.app(ANN) as tx:
        first = erp.list_payments(ANN, tx, limit=3)
        place = {"before": first[-1]["created_at"], "before_id": first[-1]["row_id"]}
        rest = erp.list_payments(ANN, tx, **place)
        none = erp.list_payments(ANN, tx, status="paid")
        found = erp.list_vendors(ANN, tx, search="bolt", bank_account="de89 3704 0044 0532 0130 00")
    assert [p["payment_id"] for p in first + rest] == [f"P-{n}" for n in (4, 3, 2, 1, 0)]
    assert (none, [v["vendor_id"] for v in found]) == ([], ["V-9"])
    assert rest[0]["created_at"] - rest[1]["created_at"] == timedelta(seconds=1)


def test_exposure_counts_open_money_once(books: Books) -> None:
    books.invoice("I-1", 1000)
    books.invoice("I-2", 700)
    books.propose(payment_id="P-1", invoice_id="I-1", amount_cents=400)
    books.propose(payment_id="P-2", vendor_id="V-9", amount_cents=50, currency="USD")
    asked = [("vendor", "V-9"), ("document", "P-1"), ("host", "pc-7"), ("user", "ann")]
    with books.database.app(ANN) as tx:
        found = erp.exposure(ANN, tx, asked)
        assert erp.exposure(ANN, tx, asked[2:]) == []
        assert erp.exposure(ANN, tx, [("document", "I-1"), ("document", "nothing")]) == [
            erp.Exposure("invoice", "I-1", "Bolt & Sons", 600, "EUR")
        ]
    assert found == [
        erp.Exposure("vendor", "V-9", "Bolt & Sons", 600 + 700, "EUR"),
        erp.Exposure("payment", "P-1", "Bolt & Sons", 400, "EUR"),
        erp.Exposure("vendor", "V-9", "Bolt & Sons", 50, "USD"),
    ]


def test_an_import_is_audited_under_both_names(books: Books) -> None:
    who = Acting("dora", NOON_US, NOW, "dev-3", "10.20.1.5", "token:bridge")
    with books.database.app(BRIDGE) as tx:
        erp.post_invoice(BRIDGE, tx, NewInvoice("V-9", 5, "EUR", None, "I-1"), who)
        row = tx.execute(
            "SELECT actor, detail->>'on_behalf_of' FROM audit_entries WHERE object = 'I-1'"
        ).fetchone()
    assert row == ("token:bridge", "dora")
    assert books.facts()[-1]["actor.user.name"] == "dora"
