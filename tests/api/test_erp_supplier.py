"""The whole walk of story 8: a feed names a vendor's domain, its payment stands still."""

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from business import consume
from pipelines.flow import house_of, run_flow, signals_of
from pipelines.tenant_indicators import TenantIndicators
from storage.lake import Lake
from storage.outbox import relay
from storage.tenant import Role
from tests.api.conftest import Front

VENDOR = {"vendor_id": "V-9", "name": "Northwind", "bank_account": "DE89370400440532013000"}
PAYMENT = {"payment_id": "P-1", "vendor_id": "V-9", "amount_cents": 900, "currency": "EUR"}


def listed(**more: Any) -> dict[str, Any]:  # noqa: ANN401  its own fields
    one = {"type": "domain", "value": "northwind.example", "valid_from": "2020-01-01T00:00:00Z"}
    return {"feed": "isac", "indicators": [one | {"confidence": 90} | more]}


def bridge(front: Front) -> httpx.Client:
    return front.bearer(front.acme, Role.INTEGRATION)


def catch_up(front: Front, folder: Path) -> str:
    """Let flows and business read what happened; give the payment's status."""
    settings = front.app.state.desk.settings
    lake = Lake(folder / "lake")
    front.app = create_app(settings, front.database, front.log, lake, front.clock)
    intel = TenantIndicators(front.database)
    intel.look()
    house = replace(house_of(settings), indicators=lambda: intel.frames)
    for one in (house, signals_of(house)):
        while relay(front.database.writer, front.log):
            pass
        run_flow(settings, front.database, front.log, lake, "loop", once=True, house=one)
    while relay(front.database.writer, front.log):
        pass
    consume(front.database, front.log, threading.Event(), once=True)
    lake.close()
    (payment,) = bridge(front).get("/v1/payments").json()["items"]
    return str(payment["status"])


@pytest.mark.slow
def test_a_feed_names_the_vendor_and_its_payment_stands_still(front: Front, tmp_path: Path) -> None:
    client = bridge(front)
    made = client.post("/v1/vendors", json=VENDOR | {"domain": "Mail.Northwind[.]example"})
    assert (made.status_code, made.json()["domain"]) == (201, "mail.northwind.example")
    client.post("/v1/payments", json=PAYMENT)
    front.bearer(front.acme, Role.ANALYST).post("/v1/indicators", json=listed())
    assert catch_up(front, tmp_path) == "held"


@pytest.mark.slow
def test_an_indicator_that_has_ended_holds_nothing(front: Front, tmp_path: Path) -> None:
    client = bridge(front)
    client.post("/v1/vendors", json=VENDOR | {"domain": "northwind.example"})
    client.post("/v1/payments", json=PAYMENT)
    ended = listed(valid_until="2021-01-01T00:00:00Z")
    front.bearer(front.acme, Role.ANALYST).post("/v1/indicators", json=ended)
    assert catch_up(front, tmp_path) == "proposed"


def test_a_domain_is_kept_changed_told_and_repeated(front: Front) -> None:
    client = bridge(front)
    new = VENDOR | {"domain": "northwind.example"}
    assert client.post("/v1/vendors", json=new).status_code == 201
    assert client.post("/v1/vendors", json=new).status_code == 201
    assert client.post("/v1/vendors", json=VENDOR).status_code == 409
    assert client.post("/v1/vendors", json=new | {"domain": "no domain"}).status_code == 422
    place = "/v1/vendors/V-9"
    one = {"If-Match": client.get(place).headers["ETag"]}
    changed = client.patch(place, json={"domain": ""}, headers=one)
    assert (changed.json()["domain"], changed.json()["version"]) == ("", 2)
    two = {"If-Match": changed.headers["ETag"]}
    named = client.patch(place, json={"name": "North"}, headers=two)
    assert (named.json()["name"], named.json()["domain"]) == ("North", "")
