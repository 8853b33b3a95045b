"""Incidents are opened, merged and cleaned by hand through the front door."""

import uuid

import httpx
import pytest

from storage.tenant import Role
from tests.api.conftest import Front
from tests.business.test_incidents_join import HOST, IP, claim, of_tenant, put, signal


@pytest.fixture
def ann(front: Front) -> httpx.Client:
    """Give an analyst of acme, where two incidents stand; bolt has the same two."""
    told = [claim("a", 0, "high", HOST), claim("b", 1, "critical", IP), signal("s", 2, HOST)]
    put(front.database, [*told, *(of_tenant(f, "bolt") for f in told)])
    return front.bearer(front.acme, Role.ANALYST)


def ids(client: httpx.Client) -> list[str]:
    return [i["incident_id"] for i in client.get("/v1/incidents").json()["items"]]


def test_an_incident_is_merged_read_and_cleaned(ann: httpx.Client) -> None:
    into, other = ids(ann)
    merged = ann.post(f"/v1/incidents/{into}/merge", json={"from_id": other})
    assert (merged.status_code, merged.json()["finding_count"]) == (200, 3)
    assert ids(ann) == [into]
    assert ann.get(f"/v1/incidents/{other}").json()["merged_into"] == into
    told = ann.get(f"/v1/incidents/{into}/timeline").json()
    assert [c["title"] for c in told["claims"]] == ["a", "b", "s"]
    assert {e["entity"] for e in told["entities"]} == {"ws-1", "198.51.100.9"}
    signal_id = told["claims"][2]["finding_id"]
    left = ann.post(f"/v1/incidents/{into}/unlink", json={"finding_id": signal_id})
    assert (left.json()["finding_count"], left.json()["signal_count"]) == (2, 0)
    again = ann.post(f"/v1/incidents/{into}/unlink", json={"finding_id": signal_id})
    assert again.status_code == 404


def test_chosen_findings_become_one_incident_and_a_replay_makes_no_second(
    ann: httpx.Client,
) -> None:
    chosen = [f["finding_id"] for f in ann.get("/v1/findings").json()["items"]]
    body = {"title": "Night", "finding_ids": chosen}
    made = ann.post("/v1/incidents", json=body)
    assert (made.status_code, made.json()["title"]) == (201, "Night")
    assert ann.post("/v1/incidents", json=body).json() == made.json()
    assert ids(ann) == [made.json()["incident_id"]]


def test_another_tenants_incidents_are_not_found(front: Front, ann: httpx.Client) -> None:
    mine, _ = ids(ann)
    bob = front.bearer(front.bolt, Role.ANALYST)
    theirs, _ = ids(bob)
    finding = ann.get(f"/v1/incidents/{mine}").json()["findings"][0]["finding_id"]
    for path, body in (
        (f"{mine}/merge", {"from_id": theirs}),
        (f"{theirs}/merge", {"from_id": mine}),
        (f"{mine}/unlink", {"finding_id": finding}),
    ):
        assert bob.post(f"/v1/incidents/{path}", json=body).status_code == 404, path
    assert bob.get(f"/v1/incidents/{mine}/timeline").status_code == 404
    stolen = {"title": "x", "finding_ids": [finding]}
    assert bob.post("/v1/incidents", json=stolen).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"title": "", "finding_ids": [str(uuid.uuid4())]},
        {"title": "a\x00b", "finding_ids": [str(uuid.uuid4())]},
        {"title": "x", "finding_ids": []},
        {"title": "x", "finding_ids": ["no id"]},
        {"title": "x", "finding_ids": [str(uuid.uuid4())] * 501},
        {"title": "x", "finding_ids": [str(uuid.uuid4())], "status": "closed"},
    ],
)
def test_garbage_opens_nothing(ann: httpx.Client, body: dict[str, object]) -> None:
    before = ids(ann)
    assert ann.post("/v1/incidents", json=body).status_code == 422
    assert ids(ann) == before
