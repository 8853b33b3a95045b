"""The whole walk: a hidden mail, another account, a large payment: held before it is paid."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.app import create_app
from business import consume
from pipelines.flow import house_of, run_flow, signals_of
from storage.lake import Lake
from storage.outbox import relay
from storage.tenant import Role
from tests.api.conftest import Front

CLERK = "ann.lee"
ACCOUNT, OTHER = "DE89370400440532013000", "GB33BUKB20201555555555"
HIDDEN = {
    "class_uid": 6003,
    "activity_id": 1,
    "time": "2026-11-10T08:10:00Z",
    "metadata": {"product": {"name": "mailbox"}},
    "api": {"operation": "New-InboxRule"},
    "actor": {"user": {"name": f"{CLERK}@meridian.example"}},
    "src_endpoint": {"ip": "203.0.113.9"},
    "device": {"uid": "dev-strange"},
    "parameters": "SubjectContainsWords: invoice;payment; MoveToFolder: RSS Feeds",
}


@pytest.fixture
def flows(front: Front, tmp_path: Path) -> Callable[[], None]:
    """Give a function that lets both flows, the relay and business catch up."""
    settings = front.app.state.desk.settings
    lake = Lake(tmp_path / "lake")
    front.app = create_app(settings, front.database, front.log, lake, front.clock)
    first = house_of(settings)

    def run() -> None:
        for house in (first, signals_of(first)):
            while relay(front.database.writer, front.log):
                pass
            run_flow(settings, front.database, front.log, lake, "loop", once=True, house=house)
        while relay(front.database.writer, front.log):
            pass
        consume(front.database, front.log, threading.Event(), once=True)

    return run


def told(client: httpx.Client, path: str, who: str, at: str, **body: Any) -> Any:  # noqa: ANN401  JSON
    said = {"on_behalf_of": who, "occurred_at": f"2026-11-{at}:00Z", "device_uid": "dev-1"}
    answer = client.post(f"/v1/{path}", json=said | body)
    assert answer.status_code < 300, answer.text
    return answer.json()


@pytest.mark.slow
def test_the_fraud_payment_is_held_before_it_is_paid_and_the_ordinary_ones_go_on(
    front: Front, flows: Callable[[], None]
) -> None:
    bridge = front.bearer(front.acme, Role.INTEGRATION)
    for vendor in ("V-9", "V-8"):
        told(
            bridge,
            "vendors",
            "bob",
            "01T08:00",
            vendor_id=vendor,
            name=vendor,
            bank_account=ACCOUNT,
        )
    for day in range(2, 9):
        ordinary = {"vendor_id": "V-9", "amount_cents": 1000 + day, "currency": "EUR"}
        told(bridge, "payments", "bob", f"0{day}T09:00", payment_id=f"P-{day}", **ordinary)
        told(bridge, f"payments/P-{day}/approve", "cleo", f"0{day}T10:00")
    flows()
    front.clock.forward(61)
    for day in range(2, 9):
        assert told(bridge, f"payments/P-{day}/pay", "cleo", f"0{day}T15:00")["status"] == "paid"
    line = json.dumps(HIDDEN).encode()
    front.bearer(front.acme, Role.INGEST).post("/v1/ingest?source=mailbox", content=line)
    told(bridge, "vendors/V-9/bank-account", CLERK, "10T08:40", bank_account=OTHER)
    fraud = {"vendor_id": "V-9", "amount_cents": 50_000, "currency": "EUR"}
    told(bridge, "payments", CLERK, "10T09:00", payment_id="FRAUD", **fraud)
    told(bridge, "payments/FRAUD/approve", "cleo", "10T09:20")
    other = {"vendor_id": "V-8", "amount_cents": 700, "currency": "EUR"}
    told(bridge, "payments", "bob", "10T09:30", payment_id="OTHER", **other)
    flows()
    front.clock.forward(61)
    held = bridge.post("/v1/payments/FRAUD/pay", json={})
    assert (held.status_code, "on hold" in held.json()["detail"]) == (409, True)
    assert bridge.get("/v1/payments/OTHER").json()["status"] == "proposed"
    person = front.person(front.acme, "dora", Role.FINANCE)
    detail = person.get("/v1/payments/FRAUD").json()
    assert "critical" in {c["level"] for c in detail["chain"] if not c["is_part"]}
    assert any(c["is_part"] for c in detail["chain"])
    release = {"note": "the vendor says it moved", "clears_warnings": True}
    seen = {"If-Match": f'"{detail["version"]}"'}
    done = person.post("/v1/payments/FRAUD/release", json=release, headers=seen)
    assert done.json()["status"] == "approved"
