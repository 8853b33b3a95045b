"""Open vendors and payments as finance does: what was stopped and why, and who may release it."""

import json
import time

import httpx
import pytest

from business import erp
from business._event import Event
from storage.database.rows import insert_findings
from storage.outcome import finding_message
from storage.schema import Finding, Reason
from storage.schema.finding import finding_id
from storage.tenant import Actor, Role, Scope
from tests.dashboards.conftest import CANARY, House

CLERK = frozenset({Role.FINANCE})


def act_as(tenant: str, name: str) -> Scope:
    return Scope(tenant, Actor("user", name), CLERK)


def claim(tenant: str, name: str, **more: object) -> Finding:
    told: dict[str, object] = {
        "finding_id": finding_id(tenant, "d", "1", name, "k"),
        "tenant_id": tenant,
        "detector": "sigma",
        "detector_version": "1",
        "rule_id": name,
        "title": f"Claim {name}",
        "level": "low",
        "time_us": time.time_ns() // 1000,
        "entity_type": "vendor",
        "entity": "V-1",
        "event_ids": (),
        "reasons": (Reason("vendor.uid", "V-1", "is V-1"),),
        "attack": (),
        "links": (("vendor", "V-1"),),
        "kind": "signal",
    }
    return Finding(**{**told, **more})  # type: ignore[arg-type]  # built of a dict for the test


def hold_of(house: House, tenant: str, vendor: str) -> None:
    """Let ann change an account and propose a payment; a correlation over a signal holds it."""
    clerk = act_as(tenant, "ann")
    with house.database.app(clerk) as tx:
        new = erp.NewVendor(name=vendor, bank_account="DE02120300000000202051", vendor_id="V-1")
        made = erp.create_vendor(clerk, tx, new)
        erp.change_bank_account(clerk, tx, "V-1", "DE02500105170137075030", made["version"])
        bill = erp.NewPayment(
            vendor_id="V-1", amount_cents=18_640_000, currency="EUR", payment_id="P-1"
        )
        erp.propose_payment(clerk, tx, bill)
    signal = claim(tenant, f"signal of {vendor}")
    grave = claim(
        tenant,
        f"fraud at {vendor}",
        level="critical",
        kind="finding",
        detector="correlation",
        parts=(signal.finding_id,),
    )
    with house.database.writer() as tx:
        insert_findings(tx, [signal, grave])
    data = json.loads(finding_message(grave))["data"]
    with house.database.app(clerk) as tx:
        erp.handle(clerk, tx, Event(grave.finding_id, "inopsio.finding", "findings", data))


@pytest.fixture
def stopped(house: House) -> House:
    hold_of(house, "acme", "Northwind")
    hold_of(house, "bolt", CANARY)
    return house


def release(house: House, person: httpx.Client, note: str, version: int) -> str:
    listed = house.named("payments-top.children")
    told = {
        "payment-release.n_clicks": 1,
        "payment-note.value": note,
        "payment-reference.data": {"id": "P-1", "version": version},
    }
    return house.call(person, listed, **told).text


def status_of(house: House) -> tuple[str, int]:
    with house.database.app(house.acme) as tx:
        row = tx.execute("SELECT status, version FROM erp_payments").fetchone()
    assert row is not None
    return str(row[0]), int(row[1])


def test_a_held_payment_is_shown_with_what_led_to_it(stopped: House) -> None:
    person = stopped.person(stopped.acme, "bob", Role.FINANCE)
    shown = stopped.open(person, "/payments")
    assert "186,400.00 EUR" in shown
    assert "Claim fraud at Northwind" in shown
    assert "Claim signal of Northwind" in shown
    assert "Proposed by ann" in shown
    assert CANARY not in shown


def test_the_grid_gives_the_held_first_and_only_the_tenants_own(stopped: House) -> None:
    person = stopped.person(stopped.acme, "bob", Role.FINANCE)
    asked = {"payments-grid.getRowsRequest": {"startRow": 0, "endRow": 100}}
    told = stopped.call(person, stopped.named("payments-grid.getRowsResponse"), **asked)
    rows = told.json()["response"]["payments-grid"]["getRowsResponse"]["rowData"]
    assert [(r["title"], r["amount"]) for r in rows] == [("Northwind", "186,400.00 EUR")]


def test_another_person_releases_it_with_a_note(stopped: House) -> None:
    person = stopped.person(stopped.acme, "bob", Role.FINANCE)
    assert "Say why first" in release(stopped, person, " ", status_of(stopped)[1])
    assert status_of(stopped)[0] == "held"
    assert "Released: Northwind" in release(stopped, person, "called them", status_of(stopped)[1])
    assert status_of(stopped)[0] == "proposed"


def test_who_proposed_it_is_refused_in_clear_words(stopped: House) -> None:
    person = stopped.person(stopped.acme, "ann", Role.FINANCE)
    shown = release(stopped, person, "it is fine", status_of(stopped)[1])
    assert "had a hand in payment P-1; another person releases it" in shown
    assert status_of(stopped)[0] == "held"


def test_a_role_without_the_grant_sees_no_form(stopped: House) -> None:
    person = stopped.person(stopped.acme, "eve", Role.ANALYST)
    shown = stopped.open(person, "/payments", "?payment=P-1")
    assert "Only a person of finance" in shown
    assert "payment-release" not in shown
    assert "may not" in release(stopped, person, "x", status_of(stopped)[1])


def test_keeping_it_on_hold_is_written_down(stopped: House) -> None:
    person = stopped.person(stopped.acme, "bob", Role.FINANCE)
    listed = stopped.named("payments-top.children")
    told = {
        "payment-keep.n_clicks": 1,
        "payment-note.value": "asked the vendor",
        "payment-reference.data": {"id": "P-1", "version": 1},
    }
    assert "Kept on hold" in stopped.call(person, listed, **told).text
    with stopped.database.app(stopped.acme) as tx:
        kept = tx.execute("SELECT actor FROM audit_entries WHERE action = 'payment.keep-on-hold'")
        assert kept.fetchall() == [("user:bob",)]


def test_a_vendor_tells_whose_account_changed_and_by_whom(stopped: House) -> None:
    person = stopped.person(stopped.acme, "bob", Role.FINANCE)
    shown = stopped.open(person, "/vendors", "?vendor=V-1")
    assert "DE02120300000000202051" in shown
    assert "changed by ann" in shown
    assert "not confirmed" in shown
    assert "Claim fraud at Northwind" in shown
    assert CANARY not in shown


def test_another_tenants_payment_is_not_there(stopped: House) -> None:
    person = stopped.person(stopped.acme, "bob", Role.FINANCE)
    assert "is not there" in stopped.open(person, "/payments", "?payment=P-2")
    assert "is not there" in stopped.open(person, "/vendors", "?vendor=V-2")


def test_an_empty_house_says_where_vendors_come_from(house: House) -> None:
    person = house.person(house.acme, "bob", Role.FINANCE)
    assert "No vendor yet" in house.open(person, "/vendors")
    assert "0.00\u00a0EUR" in house.open(person, "/payments")
