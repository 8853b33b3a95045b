"""The CRM through the front door: who may, from whom, once, and never another tenant's."""

from typing import Any

import httpx
import pytest

from storage.tenant import Role
from tests.api.conftest import Front

COMPANY = {"customer_uid": "C-1", "name": "Bolt & Sons", "address": "Dock 4"}
DEAL = {"deal_uid": "D-1", "customer_uid": "C-1", "amount_cents": 90_000, "currency": "EUR"}
THERE = {
    "on_behalf_of": "sam.hill",
    "occurred_at": "2026-11-18T09:00:00Z",
    "device_uid": "dev-7",
    "src_ip": "10.20.4.7",
}


@pytest.fixture
def sam(front: Front) -> httpx.Client:
    return front.person(front.acme, "sam", Role.SALES)


@pytest.fixture
def bridge(front: Front) -> httpx.Client:
    return front.bearer(front.acme, Role.INTEGRATION)


def test_a_deal_is_worked_on_by_etag(sam: httpx.Client) -> None:
    assert sam.post("/v1/companies", json=COMPANY).status_code == 201
    assert sam.post("/v1/deals", json=DEAL).json()["created_by"] == "sam"
    etag = sam.get("/v1/deals/D-1").headers["etag"]
    change = {"discount_percent": 12.5, "campaign": "spring"}
    assert sam.post("/v1/deals/D-1/discount", json=change).status_code == 428
    done = sam.post("/v1/deals/D-1/discount", json=change, headers={"If-Match": etag})
    assert (done.status_code, done.json()["discount_percent"], done.headers["etag"]) == (
        200,
        12.5,
        '"2"',
    )
    stale = sam.post("/v1/deals/D-1/stage", json={"stage": "won"}, headers={"If-Match": etag})
    assert stale.status_code == 412
    won = sam.post("/v1/deals/D-1/stage", json={"stage": "won"}, headers={"If-Match": '"2"'})
    assert won.json()["stage"] == "won"
    late = sam.post("/v1/deals/D-1/stage", json={"stage": "lost"}, headers={"If-Match": '"3"'})
    assert late.status_code == 409


def test_a_bridge_says_who_acted_elsewhere_and_its_replay_changes_nothing(
    bridge: httpx.Client,
) -> None:
    export = {"export_uid": "X-1", "document_type": "contacts", "record_count": 4200}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("/v1/companies", COMPANY),
        ("/v1/contacts", {"contact_uid": "K-1", "customer_uid": "C-1", "name": "Kim"}),
        ("/v1/deals", DEAL),
        ("/v1/deals/D-1/stage", {"stage": "proposal"}),
        ("/v1/deals/D-1/discount", {"discount_percent": 35.5}),
        ("/v1/exports", export),
    ]
    first = [bridge.post(path, json={**body, **THERE}) for path, body in calls]
    assert [a.status_code for a in first] == [201, 201, 201, 200, 200, 201]
    again = [bridge.post(path, json={**body, **THERE}) for path, body in calls]
    assert again[4].json()["version"] == 3
    assert again[5].json() == first[5].json()
    (kept,) = bridge.get("/v1/exports").json()["items"]
    assert (kept["created_by"], kept["record_count"]) == ("sam.hill", 4200)


def test_a_person_may_not_speak_for_another_nor_state_a_count(sam: httpx.Client) -> None:
    assert sam.post("/v1/companies", json={**COMPANY, **THERE}).status_code == 403
    assert sam.post("/v1/exports", json={"record_count": 1}).status_code == 403


def test_another_tenants_crm_is_not_there(front: Front, sam: httpx.Client) -> None:
    sam.post("/v1/companies", json=COMPANY)
    sam.post("/v1/deals", json=DEAL)
    bob = front.bearer(front.bolt, Role.SALES)
    assert bob.get("/v1/companies/C-1").status_code == 404
    assert bob.patch("/v1/companies/C-1", json={}, headers={"If-Match": '"1"'}).status_code == 404
    assert bob.post("/v1/deals", json=DEAL).status_code == 404
    assert bob.get("/v1/deals").json()["items"] == []
    assert bob.post("/v1/companies", json=COMPANY).status_code == 201


def test_lists_go_on_by_cursor(sam: httpx.Client) -> None:
    for n in range(5):
        sam.post("/v1/companies", json={"customer_uid": f"C-{n}", "name": f"Firm {n}"})
    first = sam.get("/v1/companies", params={"limit": 3}).json()
    rest = sam.get("/v1/companies", params={"limit": 3, "cursor": first["next"]}).json()
    uids = [c["customer_uid"] for c in first["items"] + rest["items"]]
    assert sorted(uids) == [f"C-{n}" for n in range(5)]
    found = sam.get("/v1/companies", params={"search": "firm 3"}).json()["items"]
    assert [c["customer_uid"] for c in found] == ["C-3"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/companies", {"name": ""}),
        ("/v1/companies", {"name": "a\x00b"}),
        ("/v1/companies", {**COMPANY, "admin": True}),
        ("/v1/contacts", {"customer_uid": "C-1", "name": "K", "mail": "a@b@c"}),
        ("/v1/deals", {**DEAL, "amount_cents": -1}),
        ("/v1/deals", {**DEAL, "amount_cents": 10**30}),
        ("/v1/deals", {**DEAL, "stage": "sold"}),
        ("/v1/exports", {"document_type": "users"}),
        ("/v1/companies", {**COMPANY, "occurred_at": "2026-11-18T09:00:00"}),
        ("/v1/companies", {**COMPANY, "occurred_at": "1990-01-01T00:00:00Z"}),
        ("/v1/companies", {**COMPANY, "src_ip": "nowhere"}),
    ],
)
def test_garbage_is_refused(bridge: httpx.Client, path: str, body: dict[str, object]) -> None:
    assert bridge.post(path, json=body).status_code == 422
