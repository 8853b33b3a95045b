"""The books over HTTP: replay, conflicts, versions, foreign tenants, garbage, imports, holds."""

import threading
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from business import consume, consume_once, erp
from pipelines.flow import house_of, run_flow, signals_of
from storage.database.rows import insert_findings
from storage.lake import Lake
from storage.outbox import relay
from storage.schema import Finding
from storage.tenant import Role
from tests.api.conftest import START_US, Front

VENDOR = {"vendor_id": "V-9", "name": "Bolt & Sons", "bank_account": "DE89370400440532013000"}
PAYMENT = {"payment_id": "P-1", "vendor_id": "V-9", "amount_cents": 900, "currency": "EUR"}
INVOICE = {"invoice_id": "I-1", "vendor_id": "V-9", "amount_cents": 900, "currency": "EUR"}


@pytest.fixture
def bridge(front: Front) -> httpx.Client:
    """Give the client of another system's books, which keep one vendor already."""
    client = front.bearer(front.acme, Role.INTEGRATION)
    assert client.post("/v1/vendors", json=VENDOR).status_code == 201
    return client


def grave(entity: tuple[str, str] = ("vendor", "V-9")) -> Finding:
    return Finding(
        finding_id="1e308ad8-6136-6a93-1f05-b909039aa264",
        tenant_id="acme",
        detector="correlation",
        detector_version="1",
        rule_id="fraud",
        title="Account changed, then an unusual payment",
        level="critical",
        time_us=START_US,
        entity_type=entity[0],
        entity=entity[1],
        event_ids=("0196f000-0000-8000-8000-000000000001",),
    )


def hold(front: Front) -> None:
    """Claim a grave finding about the vendor and let ERP hear of it."""
    with front.database.writer() as tx:
        insert_findings(tx, [grave()])
    relay(front.database.writer, front.log)
    consume_once(front.database, front.log, "erp", erp, "m1")


def raw_facts(front: Front) -> list[Any]:
    relay(front.database.writer, front.log)
    return [m for p in range(2) for m in front.log.read("raw.events", p, 0)]


def test_a_document_sent_again_is_the_same_and_with_other_content_a_conflict(
    front: Front, bridge: httpx.Client
) -> None:
    first, again = (bridge.post("/v1/invoices", json=INVOICE) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json() == again.json()
    other = bridge.post("/v1/invoices", json={**INVOICE, "amount_cents": 901})
    assert other.status_code == 409
    assert other.headers["content-type"] == "application/problem+json"
    assert other.json()["detail"] == "invoice I-1 is there already with another content"
    assert len(raw_facts(front)) == 2


def test_a_bridge_says_who_acted_when_and_from_where(front: Front, bridge: httpx.Client) -> None:
    told = {
        "on_behalf_of": "ann.lee",
        "occurred_at": "2026-11-01T09:00:00Z",
        "device_uid": "dev-7",
        "src_ip": "10.20.3.4",
    }
    made = bridge.post("/v1/invoices", json=INVOICE | told).json()
    assert (made["created_by"], made["created_at"]) == ("ann.lee", "2026-11-01T09:00:00Z")
    fact = raw_facts(front)[-1]
    assert b'"device.uid":"dev-7"' in fact.value
    assert b'"src_endpoint.ip":"10.20.3.4"' in fact.value
    assert fact.headers["trace_id"]


def test_nobody_else_may_say_who_acted(front: Front, bridge: httpx.Client) -> None:
    person = front.person(front.acme, "fay", Role.FINANCE)
    operator = front.person(front.acme, "ops", Role.OPERATOR)
    for client in (person, operator):
        answer = client.post("/v1/invoices", json={**INVOICE, "on_behalf_of": "bob"})
        assert answer.status_code == 403
    mine = person.post("/v1/invoices", json=INVOICE).json()
    assert mine["created_by"] == "fay"


def test_a_person_changes_with_the_version_that_was_read(
    front: Front, bridge: httpx.Client
) -> None:
    person = front.person(front.acme, "fay", Role.FINANCE)
    change = {"bank_account": "GB33 BUKB 2020 1555 5555 55"}
    path = "/v1/vendors/V-9/bank-account"
    assert person.post(path, json=change).status_code == 428
    read = person.get("/v1/vendors/V-9").headers["ETag"]
    done = person.post(path, json=change, headers={"If-Match": read})
    assert (done.status_code, done.headers["ETag"]) == (200, '"2"')
    assert done.json()["previous_bank_account"] == VENDOR["bank_account"]
    late = person.patch("/v1/vendors/V-9", json={"name": "New"}, headers={"If-Match": read})
    assert late.status_code == 412


def test_another_tenants_books_are_not_found_nor_written(
    front: Front, bridge: httpx.Client
) -> None:
    bridge.post("/v1/payments", json=PAYMENT)
    bridge.post("/v1/invoices", json=INVOICE)
    other = front.bearer(front.bolt, Role.INTEGRATION)
    for path in ("vendors/V-9", "invoices/I-1", "payments/P-1"):
        assert other.get(f"/v1/{path}").status_code == 404
    for path in ("payments/P-1/approve", "payments/P-1/pay", "invoices/I-1/approve"):
        assert other.post(f"/v1/{path}", json={}).status_code == 404
    assert other.post("/v1/payments", json=PAYMENT).status_code == 404
    for path in ("vendors", "invoices", "payments", "holds", "items"):
        assert other.get(f"/v1/{path}").json() == {"items": [], "next": None}


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount_cents": 9.5},
        {"amount_cents": "900"},
        {"amount_cents": 0},
        {"amount_cents": 10**30},
        {"currency": "XXZ"},
        {"currency": "eur"},
        {"vendor_id": "a\x00b"},
        {"payment_id": "a/../b"},
        {"payment_id": "a" * 101},
        {"nonsense": 1},
        {"occurred_at": "2199-01-01T00:00:00Z"},
        {"occurred_at": "2026-11-01T09:00:00"},
        {"src_ip": "not an address"},
        {"device_uid": "\u202egnp.exe"},
    ],
)
def test_garbage_is_a_problem_and_leaves_nothing(
    front: Front, bridge: httpx.Client, wrong: dict[str, Any]
) -> None:
    answer = bridge.post("/v1/payments", json=PAYMENT | wrong)
    assert (answer.status_code, answer.json()["status"]) == (422, 422)
    assert bridge.get("/v1/payments").json()["items"] == []
    assert len(raw_facts(front)) == 1


def test_lists_are_paged_and_filtered(bridge: httpx.Client) -> None:
    for number in range(3):
        bridge.post("/v1/payments", json=PAYMENT | {"payment_id": f"P-{number}"})
    page = bridge.get("/v1/payments", params={"limit": 2, "vendor_id": "V-9"}).json()
    rest = bridge.get("/v1/payments", params={"limit": 2, "cursor": page["next"]}).json()
    assert [p["payment_id"] for p in page["items"] + rest["items"]] == ["P-2", "P-1", "P-0"]
    assert rest["next"] is None
    assert bridge.get("/v1/payments", params={"status": "paid"}).json()["items"] == []
    assert bridge.get("/v1/payments", params={"status": "gone"}).status_code == 422


def test_a_held_payment_is_paid_only_after_another_person_released_it(
    front: Front, bridge: httpx.Client
) -> None:
    bridge.post("/v1/payments", json=PAYMENT | {"on_behalf_of": "fay"})
    hold(front)
    for verb in ("approve", "pay"):
        stopped = bridge.post(f"/v1/payments/P-1/{verb}", json={})
        assert (stopped.status_code, "on hold" in stopped.json()["detail"]) == (409, True)
    fay, cleo = (front.person(front.acme, n, Role.FINANCE) for n in ("fay", "cleo"))
    path, note = "/v1/payments/P-1/release", {"note": "called the vendor"}
    seen = {"If-Match": fay.get("/v1/payments/P-1").headers["ETag"]}
    assert bridge.post(path, json=note, headers=seen).status_code == 403
    assert fay.post(path, json=note, headers=seen).status_code == 403
    assert cleo.post(path, json=note).status_code == 428
    assert cleo.post(path, json=note, headers=seen).json()["status"] == "proposed"
    detail = cleo.get("/v1/payments/P-1").json()
    assert [h["released_by"] for h in detail["holds"]] == ["cleo"]
    assert [c["title"] for c in detail["chain"]] == [grave().title]
    assert bridge.get("/v1/payments/P-1").json()["chain"] == []
    audit = front.bearer(front.acme, Role.AUDITOR)
    trail = audit.get("/v1/audit", params={"action": "payment.release"}).json()["items"]
    assert [(a["actor"], a["result"]) for a in trail] == [
        ("user:cleo", "done"),
        ("user:fay", "refused"),
    ]


def test_items_are_kept_priced_and_counted(bridge: httpx.Client) -> None:
    item = {"item_id": "IT-1", "name": "Bolt M8", "price_cents": 250, "currency": "EUR"}
    assert bridge.post("/v1/items", json=item).status_code == 201
    bridge.post("/v1/items/IT-1/price", json={"price_cents": 300, "campaign": "spring"})
    done = bridge.post("/v1/items/IT-1/stock", json={"change": 5, "reason": "delivery"})
    assert (done.json()["price_cents"], done.json()["stock"]) == (300, 5)
    gone = bridge.post("/v1/items/IT-1/stock", json={"change": -6, "reason": "sold"})
    assert gone.status_code == 409


@pytest.mark.slow
def test_a_payment_is_paid_when_the_real_flow_has_read_its_facts(
    front: Front, bridge: httpx.Client, tmp_path: Path
) -> None:
    settings = front.app.state.desk.settings
    lake = Lake(tmp_path / "lake")
    front.app = create_app(settings, front.database, front.log, lake, front.clock)
    bridge = front.bearer(front.acme, Role.INTEGRATION)
    bridge.post("/v1/payments", json=PAYMENT)
    bridge.post("/v1/payments/P-1/approve", json={})
    front.clock.forward(61)
    assert "not read it" in bridge.post("/v1/payments/P-1/pay", json={}).json()["detail"]
    relay(front.database.writer, front.log)
    first = house_of(settings)
    for house in (first, signals_of(first)):
        run_flow(settings, front.database, front.log, lake, "loop", once=True, house=house)
        relay(front.database.writer, front.log)
    consume(front.database, front.log, threading.Event(), once=True)
    assert bridge.post("/v1/payments/P-1/pay", json={}).json()["status"] == "paid"
    (source,) = front.bearer(front.acme, Role.ANALYST).get("/v1/sources").json()["items"]
    assert (source["source"], source["events"], source["rejected"]) == ("business:erp", 3, 0)
    lake.close()
