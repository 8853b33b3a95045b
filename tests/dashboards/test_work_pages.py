"""Open the work pages as a browser does: rules, pipelines, agents, audit."""

import json
from datetime import timedelta

import httpx
import pytest

from dashboards.pages.agents import _UNDO
from dashboards.read.audit import AuditFilter
from dashboards.read.detectors import title_of
from dashboards.read.rules import read_rules
from storage.audit import write_audit
from storage.database.queries import execute
from storage.log import Record
from storage.outcome import DeadLetter, dead_letter_message
from storage.tenant import Role
from tests.dashboards.conftest import CANARY, RULE, House, outputs_of

PATHS = ("/rules", f"/rule/{RULE}", "/pipelines", "/agents", "/audit")


@pytest.fixture
def admin(filled: House) -> httpx.Client:
    return filled.person(filled.acme, "p", Role.ADMIN)


def letter(tenant: str, reason: str) -> bytes:
    raw = f"<img src=x> {reason}".encode()
    return dead_letter_message(
        DeadLetter(f"id-{reason}", tenant, "file:x", "x.log", "syslog", 7, reason, raw)
    )


@pytest.mark.parametrize("path", PATHS)
def test_the_page_shows_something_and_weighs_little(
    filled: House, admin: httpx.Client, path: str
) -> None:
    shown = filled.open(admin, path)
    assert "That did not work" not in shown
    assert "Not found" not in shown
    assert len(shown) < 300_000
    assert CANARY not in shown


def test_rules_tell_claims_and_precision(filled: House, admin: httpx.Client) -> None:
    incident = filled.incident_ids(filled.acme)[0]
    with filled.database.app(filled.acme) as tx:
        tx.execute(
            "UPDATE incidents SET verdict = 'true_positive' WHERE incident_id = %s::uuid",
            (incident,),
        )
    shown = filled.open(admin, "/rules")
    assert "WDigest told to keep passwords in clear" in shown
    assert '"precision": {"share": 1.0, "words": "100 % of 1"}' in shown


def test_a_file_may_hold_a_correlation_beside_its_base_rules() -> None:
    text = "title: A\nid: a-1\nname: base\n---\ntitle: B\nid: b-1\ncorrelation:\n  rules: [base]\n"
    first, second = read_rules(text)
    assert (first.kind, second.kind, second.base) == ("rule", "correlation", ("base",))


def test_a_detector_is_called_by_its_own_title_and_says_what_it_judges_by(
    filled: House, admin: httpx.Client
) -> None:
    shown = filled.open(admin, "/rules")
    assert "Host or person unlike itself and its peers" in shown
    assert "Title gamma" not in shown
    assert "Time in which the same is not claimed again of an entity" in filled.open(
        admin, "/rule/behaviour"
    )
    assert title_of("spraying.entered") == "One address tries many accounts: entered"


def test_dead_letters_are_the_tenants_own(filled: House, admin: httpx.Client) -> None:
    from_acme, from_bolt = letter("acme", "odd bytes"), letter("bolt", CANARY)
    filled.log.append("dead-letter", [Record(b"k", value) for value in (from_acme, from_bolt)])
    shown = filled.open(admin, "/pipelines")
    assert "odd bytes" in shown
    assert CANARY not in shown


def test_sensors_show_what_the_kernel_dropped_to_their_tenant(
    filled: House, admin: httpx.Client
) -> None:
    assert "Dropped by the kernel" not in filled.open(admin, "/pipelines")
    with filled.database.writer() as tx:
        for tenant, name in (("acme", "tap-1"), ("bolt", CANARY)):
            tx.execute(
                "INSERT INTO captures VALUES (%s, %s, 'eth0', now(), now(), 1000, 20, now())",
                (tenant, name),
            )
    shown = filled.open(admin, "/pipelines")
    assert "tap-1" in shown
    assert "20 (2.00%)" in shown
    assert CANARY not in shown


def test_a_host_gets_a_token_that_can_only_send(filled: House, admin: httpx.Client) -> None:
    add = filled.named("agents-command.children")
    told = {"agents-add.n_clicks": 1, "agents-host.value": "ws-1"}
    shown = filled.call(admin, add, **told).text.replace("\\u002f", "/")
    assert "inopsio-agent enroll --url https://house:8601 " in shown
    assert "--ca-fingerprint sha256:" in shown
    assert "INOPSIO_URL=https://house:8601 INOPSIO_TOKEN=enrol_" in shown
    with filled.database.app(filled.acme) as tx:
        rows = tx.execute("SELECT name, roles, uses_left FROM tokens WHERE name LIKE 'enrol:%'")
        assert rows.fetchall() == [("enrol:ws-1", [], 1)]
        kept = tx.execute("SELECT action FROM audit_entries WHERE action = 'token.create'")
        assert kept.fetchall() == [("token.create",)]


def test_an_agent_is_revoked_and_let_in_again(filled: House, admin: httpx.Client) -> None:
    agent_id = "0196f000-0000-7000-8000-000000000001"
    with filled.database.app(filled.acme) as tx:
        told = {"host": "ws-1", "serial": "1", "version": "", "machine": "", "hardware": ""}
        now, until = filled.console.now(), filled.console.now() + timedelta(days=7)
        place = {"agent_id": agent_id, "address": "", "now": now, "not_after": until}
        execute(tx, "agent_add", **told, **place)
    assert "Enrolled" in filled.open(admin, "/agents")
    revoke = next(c for c in filled.callbacks() if "agent-revoke" in str(c["inputs"]))
    button = {"type": "agent-revoke", "agent": agent_id}
    press = {"id": button, "property": "n_clicks", "value": 1}
    body = {
        "output": revoke["output"],
        "outputs": outputs_of(revoke["output"]),
        "inputs": [[press]],
        "state": [],
        "changedPropIds": [json.dumps(button, sort_keys=True, separators=(",", ":")) + ".n_clicks"],
    }
    shown = admin.post("/_dash-update-component", json=body).text
    assert "Revoked: the agent is refused" in shown
    undo = next(c for c in filled.callbacks() if any(i["id"] == "undo" for i in c["inputs"]))
    given = {"undo.n_clicks": 1, "undo-what.data": {"kind": _UNDO, "data": {"agent": agent_id}}}
    assert "let in again" in filled.call(admin, undo, **given).text
    with filled.database.app(filled.acme) as tx:
        rows = tx.execute("SELECT action FROM audit_entries WHERE object = %s", (agent_id,))
        assert [a for (a,) in rows.fetchall()] == ["agent.revoke", "agent.restore"]


def test_an_analyst_makes_no_token(filled: House) -> None:
    person = filled.person(filled.acme, "q", Role.ANALYST)
    assert "An administrator of your tenant makes the token" in filled.open(person, "/agents")
    add = filled.named("agents-command.children")
    told = {"agents-add.n_clicks": 1, "agents-host.value": "ws-1"}
    assert "may not" in filled.call(person, add, **told).text


def test_the_trail_is_filtered_and_an_entry_opens(filled: House, admin: httpx.Client) -> None:
    changed = {"before": {"status": "open"}, "after": {"status": "closed"}}
    with filled.database.app(filled.acme) as tx:
        write_audit(tx, filled.acme, "incident.change", "i-1", "refused", changed)
    rows = filled.named("audit-grid.getRowsResponse")
    asked = {"startRow": 0, "endRow": 100}
    told = {"audit-grid.getRowsRequest": asked, "url.search": "?result=refused"}
    given = filled.call(admin, rows, **told).json()
    found = given["response"]["audit-grid"]["getRowsResponse"]["rowData"]
    assert [(r["title"], r["object"]) for r in found] == [("incident.change", "i-1")]
    shown = filled.open(admin, "/audit", found[0]["href"])
    assert "What changed" in shown
    assert "Before and after" in shown


@pytest.mark.parametrize("search", ["?", "?entry=x", "?result=odd&range=1", "?q=" + "a" * 9000])
def test_any_url_of_the_trail_comes_back_the_same(search: str) -> None:
    read = AuditFilter.read(search)
    assert AuditFilter.read(read.search()) == read
