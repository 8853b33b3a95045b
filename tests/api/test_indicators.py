"""Indicators at the front door: kept, refused with a reason, searched, seen, nobody else's."""

import pytest

from detectors import indicators as detector
from pipelines.tenant_indicators import TenantIndicators
from storage.database.rows import insert_findings
from storage.schema import Context, EventBatch
from storage.tenant import Role
from tests.api.conftest import START_US, Front
from tests.detectors.streams import frame_of

NEW = {
    "feed": "list",
    "indicators": [
        {"type": "domain", "value": "Bad[.]example", "valid_from": "2020-01-01T00:00:00Z"},
        {"type": "ipv4", "value": "203.0.113.7", "valid_from": "2020-01-01T00:00:00Z"}
        | {"confidence": 90, "valid_until": "2020-02-01T00:00:00Z"},
        {"type": "ipv4", "value": "not an address", "valid_from": "2020-01-01T00:00:00Z"},
    ],
}


def test_the_good_are_kept_and_the_others_named(front: Front) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    told = client.post("/v1/indicators", json=NEW)
    assert told.status_code == 201
    assert told.json()["kept"] == 2
    assert [place for place, _ in told.json()["refused"]] == [2]
    found = client.get("/v1/indicators", params={"text": "BAD"}).json()
    assert [(i["type"], i["value"], i["feed"]) for i in found] == [
        ("domain", "bad.example", "list")
    ]
    assert client.get("/v1/indicators", params={"text": "%"}).json() == []
    (feed,) = client.get("/v1/indicators/feeds").json()
    assert (feed["indicators"], feed["expired"]) == (2, 1)
    other = front.bearer(front.bolt, Role.ANALYST)
    assert other.get("/v1/indicators").json() == []
    assert other.delete("/v1/indicators/feeds/list").status_code == 404
    assert client.delete("/v1/indicators/feeds/list").status_code == 204
    assert client.get("/v1/indicators").json() == []


@pytest.mark.parametrize("feed", ["", "a\nb", "x" * 101])
def test_a_feed_has_a_name(front: Front, feed: str) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    assert client.post("/v1/indicators", json=NEW | {"feed": feed}).status_code == 422


def test_the_flows_take_them_and_what_they_see_is_told(front: Front) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    intel = TenantIndicators(front.database)
    assert not intel.look()
    client.post("/v1/indicators", json=NEW)
    assert intel.look()
    assert not intel.look()
    rows = [
        {"tenant_id": tenant, "time_us": START_US, "class_uid": 4003}
        | {"query.hostname": "www.bad.example", "device.hostname": "pc1"}
        for tenant in ("acme", "bolt")
    ]
    context = Context(watermark_us=0, indicators=intel.frames)
    state = detector.META.empty_state()
    _, claims = detector.detect(state, EventBatch(frame_of(rows)), context)
    assert [c.tenant_id for c in claims] == ["acme"]
    with front.database.writer() as tx:
        insert_findings(tx, claims)
    (seen,) = client.get("/v1/sightings").json()
    assert (seen["value"], seen["feed"], seen["sightings"]) == ("bad.example", "list", 1)
    client.delete("/v1/indicators/feeds/list")
    assert intel.look()
    assert intel.frames["acme"].frame.is_empty()
