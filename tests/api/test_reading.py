"""Lists and objects: pages join up, filters bite, changes meet, nothing crosses tenants."""

import concurrent.futures
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from business._event import Event
from business.incidents import handle
from storage.database.rows import insert_findings
from storage.lake import Lake
from storage.log import Record
from storage.schema import Finding, Reason
from storage.schema.finding import finding_id
from storage.tenant import Role
from tests.api.conftest import START_US, Front

NOON = datetime.fromtimestamp(START_US / 1_000_000, UTC)


def a_finding(tenant: str, n: int) -> Finding:
    return Finding(
        finding_id=finding_id(tenant, "sigma", "1", f"r{n % 2}", str(n)),
        tenant_id=tenant,
        detector="sigma",
        detector_version="1",
        rule_id=f"r{n % 2}",
        title=f"canary-{tenant}",
        level="high" if n % 3 else "low",
        time_us=START_US - (n // 2) * 1_000_000,
        entity_type="host",
        entity=f"pc-{tenant}",
        event_ids=("0196f000-0000-8000-8000-000000000001",),
        reasons=(Reason("Image", "vssadmin.exe", "*\\vssadmin.exe"),),
    )


def fill(front: Front) -> None:
    """Give both tenants seven findings, the two incidents they make, and an event each."""
    for scope in (front.acme, front.bolt):
        found = [a_finding(scope.tenant_id, n) for n in range(7)]
        with front.database.writer() as tx:
            insert_findings(tx, found)
            tx.execute(
                "INSERT INTO events (tenant_id, event_id, time, class_uid, hostname, cmd_line,"
                " actor_user, src_ip) VALUES (%s, gen_random_uuid(), %s, 1007, %s, %s, %s, %s)",
                (scope.tenant_id, NOON, f"pc-{scope.tenant_id}", "50%_off \\ x", "eve", "10.0.0.7"),
            )
        for f in found:
            with front.database.app(scope) as tx:
                handle(scope, tx, Event(f.finding_id, "inopsio.finding", "findings", asdict(f)))


@pytest.fixture
def ann(front: Front) -> httpx.Client:
    fill(front)
    return front.bearer(front.acme, Role.ANALYST, Role.ADMIN)


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_pages_join_up_without_loss_or_repeat(ann: httpx.Client, limit: int) -> None:
    seen: list[str] = []
    cursor = ""
    while cursor is not None:
        page = ann.get("/v1/findings", params={"limit": limit, "cursor": cursor}).json()
        assert len(page["items"]) <= limit
        seen += [f["finding_id"] for f in page["items"]]
        cursor = page["next"]
    assert len(seen) == len(set(seen)) == 7


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("rule_id=r1", 3),
        ("level=low", 3),
        ("entity=pc-acme", 7),
        ("entity=pc-bolt", 0),
        ("detector=sigma&rule_id=r0&level=high", 2),
        ("until=" + (NOON - timedelta(seconds=2)).isoformat().replace("+", "%2B"), 1),
        ("since=" + NOON.isoformat().replace("+", "%2B"), 2),
    ],
)
def test_filters_combine(ann: httpx.Client, query: str, count: int) -> None:
    assert len(ann.get(f"/v1/findings?{query}").json()["items"]) == count


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({}, 1),
        ({"host": "pc-acme"}, 1),
        ({"host": "pc-bolt"}, 0),
        ({"user": "eve", "ip": "10.0.0.7"}, 1),
        ({"text": "50%_OFF \\"}, 1),
        ({"text": "5%f"}, 0),
        ({"class_uid": "1007", "text": "off"}, 1),
        ({"until": NOON.isoformat()}, 0),
    ],
)
def test_events_are_searched_within_the_tenant(
    ann: httpx.Client, query: dict[str, str], count: int
) -> None:
    answer = ann.get("/v1/events", params=query)
    assert answer.status_code == 200, answer.text
    assert len(answer.json()["items"]) == count


def test_a_search_without_bounds_of_time_is_refused(ann: httpx.Client) -> None:
    since = (NOON - timedelta(days=400)).isoformat()
    assert ann.get("/v1/events", params={"since": since}).status_code == 422
    assert (
        ann.get("/v1/events", params={"since": NOON.isoformat(), "until": since}).status_code == 422
    )


def test_a_finding_shows_its_reasons(ann: httpx.Client) -> None:
    first = ann.get("/v1/findings?limit=1").json()["items"][0]
    one = ann.get(f"/v1/findings/{first['finding_id']}").json()
    assert one == first
    assert one["reasons"][0] | {"weight": None} == {
        "name": "Image",
        "value": "vssadmin.exe",
        "expected": "*\\vssadmin.exe",
        "weight": None,
    }


def test_an_incident_is_worked_on_by_etag(ann: httpx.Client) -> None:
    first = ann.get("/v1/incidents").json()["items"][0]
    url = f"/v1/incidents/{first['incident_id']}"
    etag = ann.get(url).headers["etag"]
    change = {"status": "in_progress", "assignee": "eve"}
    assert ann.patch(url, json=change).status_code == 428
    done = ann.patch(url, json=change, headers={"If-Match": etag})
    assert (done.status_code, done.json()["version"], done.headers["etag"]) == (200, 2, '"2"')
    assert ann.patch(url, json=change, headers={"If-Match": etag}).status_code == 412
    assert ann.patch(url, json=change, headers={"If-Match": "x"}).status_code == 422
    assert ann.post(f"{url}/notes", json={"body": "seen"}).status_code == 201
    detail = ann.get(url).json()
    assert [n["body"] for n in detail["notes"]] == ["seen"]
    assert len(detail["findings"]) == detail["finding_count"]


def test_of_two_changes_at_once_exactly_one_is_made(ann: httpx.Client) -> None:
    first = ann.get("/v1/incidents").json()["items"][0]
    url = f"/v1/incidents/{first['incident_id']}"

    def change(name: str) -> int:
        return ann.patch(url, json={"assignee": name}, headers={"If-Match": '"1"'}).status_code

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        codes = sorted(pool.map(change, ["eve", "bob", "zoe", "max"]))
    assert codes == [200, 412, 412, 412]


def test_another_tenants_finding_and_incident_are_not_found(
    front: Front, ann: httpx.Client
) -> None:
    bob = front.bearer(front.bolt, Role.ANALYST)
    finding = ann.get("/v1/findings").json()["items"][0]["finding_id"]
    incident = ann.get("/v1/incidents").json()["items"][0]["incident_id"]
    assert bob.get(f"/v1/findings/{finding}").status_code == 404
    for method, path in (("GET", ""), ("PATCH", ""), ("POST", "/notes")):
        body = {"body": "mine now"} if path else {"assignee": "bob"}
        answer = bob.request(
            method, f"/v1/incidents/{incident}{path}", json=body, headers={"If-Match": '"1"'}
        )
        assert answer.status_code == 404, (method, path)


def test_no_answer_holds_a_canary_of_the_other_tenant(front: Front, ann: httpx.Client) -> None:
    everything = front.bearer(front.acme, *Role)
    paths = [p for p, m in front.app.state.api["paths"].items() if "get" in m and "{" not in p]
    texts = [everything.get(p).text for p in paths]
    assert any("canary-acme" in t for t in texts)
    assert not [p for p, t in zip(paths, texts, strict=True) if "bolt" in t]


def test_what_is_searched_and_changed_is_in_the_trail(ann: httpx.Client, front: Front) -> None:
    ann.get("/v1/events", params={"text": "off"})
    trail = ann.get("/v1/audit").json()["items"]
    (search,) = [e for e in trail if e["action"] == "event.search"]
    assert (search["actor"], search["detail"]["text"]) == ("token:test", "off")


def test_a_hunt_without_a_lake_is_503(ann: httpx.Client) -> None:
    assert ann.post("/v1/hunts", json={"sql": "SELECT 1"}).status_code == 503


def test_a_hunt_runs_in_the_tenants_lake_and_is_in_the_trail(front: Front, tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    app = create_app(front.app.state.desk.settings, front.database, front.log, lake, front.clock)
    ann = replace(front, app=app).bearer(front.acme, Role.ANALYST, Role.ADMIN)
    answer = ann.post("/v1/hunts", json={"sql": "SELECT count(*) AS n FROM events"})
    assert answer.status_code == 200, answer.text
    assert (answer.json()["columns"], answer.json()["rows"]) == (["n"], [[0]])
    assert ann.post("/v1/hunts", json={"sql": "COPY events TO 'x'"}).status_code == 422
    lake.close()
    hunts = [e for e in ann.get("/v1/audit").json()["items"] if e["action"] == "hunt.run"]
    assert len(hunts) == 2


def test_metrics_are_prometheus_text(front: Front) -> None:
    answer = front.bearer(front.acme, Role.OPERATOR).get("/v1/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert "# TYPE inopsio_lag_messages gauge\ninopsio_lag_messages 0\n" in answer.text


def test_metrics_tell_the_lag_of_each_flow_and_module_by_partition(front: Front) -> None:
    record = Record(b"k", b"v", {"tenant": "acme"})
    ((place, _), *_) = front.log.append("raw.events", [record] * 5)
    ((other, _),) = front.log.append("findings", [record])
    with front.database.writer() as tx:
        tx.execute(
            "INSERT INTO flow_offsets (flow, topic, partition, next_offset)"
            " VALUES ('events', 'raw.events', %s, 2)",
            (place,),
        )
    text = front.bearer(front.acme, Role.OPERATOR).get("/v1/metrics").text
    flow = f'{{flow="events",topic="raw.events",partition="{place}"}} 3\n'
    group = f'{{group="business.incidents",topic="findings",partition="{other}"}} 1\n'
    assert f"inopsio_flow_lag_messages{flow}" in text
    assert f"inopsio_group_lag_messages{group}" in text
