"""A tenant's own rules at the front door: checked, kept, audited, nobody else's."""

from dataclasses import replace

from storage.database import Database
from storage.database.bounds import MOST_CLAIMS
from storage.database.rows import insert_findings
from storage.tenant import Role
from tests.api.conftest import Front
from tests.business.conftest import a_finding

ID = "6f0a7d0e-52b4-4f0e-9d5a-0d8f1e0c2b31"
TEXT = f"""title: Vendor created
id: {ID}
level: medium
logsource: {{product: inopsio, category: vendor}}
detection: {{create: {{activity_id: 1}}, condition: create}}
"""
CORRELATION = f"""title: Many vendors created
id: 0b7f7b0a-8a0a-4b0e-8f60-3b3a2b8f6c52
level: high
correlation:
  type: event_count
  rules: {ID}
  group-by: user
  timespan: 1d
  condition: {{gte: 5}}
"""


def test_a_saved_rule_is_listed_read_rested_and_deleted(front: Front) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    assert client.post("/v1/rules", json={"text": TEXT}).json() == {"rule_id": ID}
    assert client.post("/v1/rules", json={"text": CORRELATION}).status_code == 201
    own = client.get("/v1/rules", params={"owner": "tenant"}).json()["items"]
    assert [(r["title"], r["type"], r["kind"], r["executable"]) for r in own] == [
        ("Many vendors created", "event_count", "finding", True),
        ("Vendor created", "rule", "signal", True),
    ]
    assert client.get(f"/v1/rules/{ID}").json()["text"] == TEXT
    assert client.patch(f"/v1/rules/{ID}", json={"enabled": False}).status_code == 204
    assert client.get(f"/v1/rules/{ID}").json()["enabled"] is False
    assert client.delete(f"/v1/rules/{ID}").status_code == 204
    assert client.get(f"/v1/rules/{ID}").status_code == 404


def test_a_rule_that_claims_more_than_is_kept_says_so(front: Front) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    client.post("/v1/rules", json={"text": TEXT})
    claims = [replace(a_finding(f"{n}"), rule_id=ID) for n in range(MOST_CLAIMS + 2)]
    with front.database.writer() as tx:
        insert_findings(tx, claims)
    own = client.get("/v1/rules", params={"owner": "tenant"}).json()["items"]
    assert [r["capped"] for r in own] == [client.get(f"/v1/rules/{ID}").json()["capped"]] == [2]


def test_the_house_s_rules_are_listed_page_by_page(front: Front) -> None:
    client = front.bearer(front.acme, Role.VIEWER)
    seen: list[str] = []
    page = client.get("/v1/rules", params={"limit": 25}).json()
    while True:
        seen += [r["rule_id"] for r in page["items"]]
        if page["next"] is None:
            break
        page = client.get("/v1/rules", params={"limit": 25, "after": page["next"]}).json()
    assert len(seen) == len(set(seen)) > 40
    assert seen == sorted(seen)


def test_a_text_that_cannot_run_is_refused_with_its_reason(front: Front) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    for text, reason in (
        ("nonsense", "not a rule"),
        ("a: [", "broken YAML"),
        (TEXT.replace("create}", "other}"), "other"),
        (TEXT.replace(f"id: {ID}\n", ""), "has no 'id'"),
        (TEXT.replace(ID, "ee5987c3-ae52-5c27-8f46-da51b9d16cf3"), "a rule of the house"),
        (CORRELATION, "is not there"),
    ):
        answer = client.post("/v1/rules", json={"text": text})
        assert (answer.status_code, reason in answer.text) == (422, True), answer.text


def test_one_text_holds_few_rules_none_of_the_house(front: Front) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    house = TEXT.replace(ID, "ee5987c3-ae52-5c27-8f46-da51b9d16cf3")
    many = [TEXT.replace(ID, f"{n:08d}{ID[8:]}") for n in range(17)]
    for text, reason in (
        (f"{house}---\n{TEXT}", "a rule of the house"),
        ("---\n".join(many), "at most 16 rules"),
    ):
        answer = client.post("/v1/rules", json={"text": text})
        assert (answer.status_code, reason in answer.text) == (422, True), answer.text


def test_another_tenant_s_rule_is_not_there(front: Front) -> None:
    front.bearer(front.acme, Role.ANALYST).post("/v1/rules", json={"text": TEXT})
    other = front.bearer(front.bolt, Role.ANALYST)
    assert other.get("/v1/rules", params={"owner": "tenant"}).json()["items"] == []
    for method in ("GET", "DELETE"):
        assert other.request(method, f"/v1/rules/{ID}").status_code == 404
    assert other.patch(f"/v1/rules/{ID}", json={"enabled": False}).status_code == 404


def test_every_act_is_in_the_trail(front: Front, database: Database) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    client.post("/v1/rules", json={"text": TEXT})
    client.post("/v1/rules", json={"text": TEXT})
    client.patch(f"/v1/rules/{ID}", json={"enabled": False})
    client.delete(f"/v1/rules/{ID}")
    with database.app(front.acme) as tx:
        rows = tx.execute(
            "SELECT action FROM audit_entries WHERE object = %s ORDER BY entry_id", (ID,)
        ).fetchall()
    assert [r[0] for r in rows] == ["rule.create", "rule.change", "rule.disable", "rule.delete"]


def test_every_text_is_a_version_and_an_earlier_one_runs_again(front: Front) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    later = TEXT.replace("Vendor created", "Vendor made")
    for text, comment in ((TEXT, "first"), (later, "better name"), (later, "nothing new")):
        assert client.post("/v1/rules", json={"text": text, "comment": comment}).status_code == 201
    told = client.get(f"/v1/rules/{ID}/versions").json()
    assert [(v["version"], v["title"], v["comment"]) for v in told] == [
        (2, "Vendor made", "better name"),
        (1, "Vendor created", "first"),
    ]
    assert client.post(f"/v1/rules/{ID}/rollback", json={"version": 1}).json() == {"rule_id": ID}
    assert client.get(f"/v1/rules/{ID}").json()["text"] == TEXT
    told = client.get(f"/v1/rules/{ID}/versions").json()
    assert (told[0]["version"], told[0]["comment"]) == (3, "rolled back to version 1")
    assert client.post(f"/v1/rules/{ID}/rollback", json={"version": 9}).status_code == 404
    other = front.bearer(front.bolt, Role.ANALYST)
    assert other.get(f"/v1/rules/{ID}/versions").status_code == 404
    assert other.post(f"/v1/rules/{ID}/rollback", json={"version": 1}).status_code == 404


def test_a_back_test_is_asked_for_and_read_by_its_own_tenant_alone(front: Front) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    asked = client.post("/v1/backtests", json={"text": TEXT, "days": 7})
    assert asked.status_code == 202
    place = f"/v1/backtests/{asked.json()['backtest_id']}"
    told = client.get(place).json()
    assert (told["status"], told["title"], told["days"]) == ("queued", "Vendor created", 7)
    assert [b["backtest_id"] for b in client.get("/v1/backtests").json()] == [told["backtest_id"]]
    other = front.bearer(front.bolt, Role.ANALYST)
    assert other.get(place).status_code == 404
    assert other.get("/v1/backtests").json() == []
    assert client.get("/v1/backtests/none").status_code == 404


def test_a_back_test_that_cannot_run_or_waits_behind_too_many_is_refused(front: Front) -> None:
    client = front.bearer(front.acme, Role.ANALYST)
    assert client.post("/v1/backtests", json={"text": "title: ["}).status_code == 422
    assert client.post("/v1/backtests", json={"text": TEXT, "days": 0}).status_code == 422
    codes = [client.post("/v1/backtests", json={"text": TEXT}).status_code for _ in range(4)]
    assert codes == [202, 202, 202, 429]
