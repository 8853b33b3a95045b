"""Vendors, invoices, payments and items: what commands do, refuse, repeat and tell."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from psycopg import Rollback

from business import erp
from business._conflict import Conflict, OldVersion
from business._fact import Acting
from business.erp import NewInvoice, NewPayment, NewVendor, Policy
from storage.database import Database
from storage.database.queries import select
from storage.errors import InvalidInput, NotAllowed, NotFound
from storage.tenant import Actor, Role, Scope
from tests.business.books import ACCOUNT, BOLT, NOON_US, NOW, OTHER, Books, clerk

SCREENED = Policy(payment_wait_s=60)


@pytest.fixture
def books(database: Database, two_tenants: tuple[Scope, Scope]) -> Iterator[Books]:
    yield Books(database)


def test_a_payment_goes_from_proposal_to_paid_and_every_step_is_told_and_audited(
    books: Books,
) -> None:
    books.vendor()
    books.invoice("I-1", 120_000)
    books.approved_invoice("I-1")
    one = books.propose(invoice_id="I-1", payment_id="P-1")
    assert (one["status"], one["amount_cents"], one["currency"]) == ("proposed", 120_000, "EUR")
    books.approve("P-1", 1)
    books.read_by_the_flow()
    paid = books.pay("P-1", 2)
    assert (paid["status"], paid["paid_by"], paid["version"]) == ("paid", "cleo", 3)
    steps = [
        ("vendor", 1, "ann"),
        ("invoice", 5, "ann"),
        ("invoice", 6, "bob"),
        ("payment", 1, "ann"),
        ("payment", 6, "bob"),
        ("payment", 9, "cleo"),
    ]
    told = [
        (f["document.type"], f["activity_id"], f["actor.user.name"]) for f in books.facts()
    ]
    assert told == steps
    assert [a for a, _, _ in books.trail()] == [
        "vendor.create",
        "invoice.post",
        "invoice.approve",
        "payment.propose",
        "payment.approve",
        "payment.pay",
    ]
