"""Open an agent's page and the policy's as a browser does: ask, approve, deny, undo, refuse."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from api.agent_actions import actions, ask
from api.agent_policy import read_document, set_policy, wanted_policy
from dashboards.ui.response import actions_table, result_of
from storage.database.queries import execute
from storage.tenant import Actor, Role, Scope
from tests.dashboards.conftest import CANARY, House, outputs_of

NOW = datetime(2026, 11, 30, 23, 30, tzinfo=UTC)
AGENT = "0196f000-0000-7000-8000-00000000000a"
BEA = Scope("acme", Actor("user", "bea"), frozenset({Role.ANALYST}))


def an_agent(house: House, scope: Scope | None = None, agent_id: str = AGENT) -> str:
    """Let an agent in by hand, with an action of each state that one sees; give its id."""
    now, whose = house.console.now(), scope or house.acme
    with house.database.app(whose) as tx:
        told = {"host": "host alpha", "serial": "1", "version": "", "machine": "", "hardware": ""}
        place = {"agent_id": agent_id, "address": "198.51.100.4", "now": now}
        execute(tx, "agent_add", **told, **place, not_after=now + timedelta(days=7))
        said = {"version": 0, "state": "behind", "reason": "", "now": now, "agent_id": agent_id}
        kinds = ["query", "isolate", "kill", "collect", "block_ip"]
        execute(tx, "agent_beat", response=kinds, claim="-", **said)
    asker = Scope(whose.tenant_id, BEA.actor, BEA.roles)
    for kind, given in (("isolate", {"minutes": 30}), ("query", {"table": "users"})):
        made = ask(house.database, asker, agent_id, kind, given, now, note=f"see {CANARY[:3]}")
    result = json.dumps({"rows": [{"name": "root", "uid": "0"}], "is_cut": False})
    with house.database.app(whose) as tx:
        words = {"action_id": made["action_id"], "agent_id": agent_id, "now": now}
        execute(tx, "agent_action_sent", action_id=made["action_id"], now=now)
        execute(tx, "agent_action_end", state="done", result=result, until=None, **words)
    return agent_id


@pytest.fixture
def admin(filled: House) -> httpx.Client:
    an_agent(filled)
    return filled.person(filled.acme, "p", Role.ADMIN)


def press(house: House, client: httpx.Client, act: str, action_id: str) -> str:
    """Press a button of an action's row as a browser does; give the answer."""
    listed = next(c for c in house.callbacks() if f"agent-{act}" in str(c["inputs"]))
    button = {"type": f"agent-{act}", "action": action_id}
    body = {
        "output": listed["output"],
        "outputs": outputs_of(listed["output"]),
        "inputs": [[{"id": button, "property": "n_clicks", "value": 1}]],
        "state": [{"id": "agent-id", "property": "data", "value": AGENT}] * len(listed["state"]),
        "changedPropIds": [json.dumps(button, sort_keys=True, separators=(",", ":")) + ".n_clicks"],
    }
    return client.post("/_dash-update-component", json=body).text


def state_of(house: House, kind: str) -> dict[str, Any]:
    found = actions(house.database, house.acme, AGENT)
    return next(a for a in found if a["kind"] == kind)


def test_an_agents_page_shows_its_policy_and_its_actions(
    filled: House, admin: httpx.Client
) -> None:
    shown = filled.open(admin, f"/agent/{AGENT}")
    for words in ("Agent of host alpha", "Waits for a second person", "none set", "bea"):
        assert words in shown
    assert f"/agent/{AGENT}" in filled.open(admin, "/agents")
    assert "Act on this host" in filled.open(admin, "/entity/host:host alpha")
    stories = [filled.open(admin, f"/incident/{i}") for i in filled.incident_ids(filled.acme)]
    assert any(f"/agent/{AGENT}?incident=" in text for text in stories)


def test_another_tenants_agent_is_not_there(filled: House) -> None:
    an_agent(filled)
    stranger = filled.person(filled.bolt, "s", Role.ADMIN)
    assert "no such agent" in filled.open(stranger, f"/agent/{AGENT}")
    action_id = state_of(filled, "isolate")["action_id"]
    assert "is not there" in press(filled, stranger, "approve", action_id)
    assert state_of(filled, "isolate")["state"] == "waits"


def test_a_second_person_approves_and_the_first_does_not(
    filled: House, admin: httpx.Client
) -> None:
    first = filled.person(filled.acme, "bea", Role.ANALYST)
    action_id = state_of(filled, "isolate")["action_id"]
    assert "another person does" in press(filled, first, "approve", action_id)
    assert "it goes to the agent" in press(filled, admin, "approve", action_id)
    assert state_of(filled, "isolate")["approved_by"] == "user:p"


def test_an_action_is_denied_and_a_result_is_shown(filled: House, admin: httpx.Client) -> None:
    press(filled, admin, "deny", state_of(filled, "isolate")["action_id"])
    assert state_of(filled, "isolate")["state"] == "denied"
    assert "Rows of the answer" in press(
        filled, admin, "show", state_of(filled, "query")["action_id"]
    )


def test_a_form_asks_and_says_what_is_wrong(filled: House, admin: httpx.Client) -> None:
    form = filled.named("agent-ask-said.children")
    told = {
        "agent-ask.n_clicks": 1,
        "agent-ask-kind.value": "block_ip",
        "agent-ask-what.value": "203.0.113.9",
        "agent-ask-minutes.value": 10,
        "agent-ask-note.value": "command and control",
        "agent-ask-dry.checked": False,
        "agent-ask-incident.data": "",
        "agent-id.data": AGENT,
    }
    assert "A second person approves" in filled.call(admin, form, **told).text
    assert state_of(filled, "block_ip")["arguments"] == {"address": "203.0.113.9/32", "minutes": 10}
    wrong = {**told, "agent-ask-what.value": "everything"}
    assert "address" in filled.call(admin, form, **wrong).text
    assert "say why" in filled.call(admin, form, **{**told, "agent-ask-note.value": ""}).text
    auditor = filled.person(filled.acme, "v", Role.VIEWER)
    assert "may not" in filled.call(auditor, form, **told).text


def test_a_policy_is_edited_kept_as_a_version_and_shown(filled: House, admin: httpx.Client) -> None:
    save = filled.named("policy-said.children")
    told = {
        "policy-save.n_clicks": 1,
        "policy-off.value": "packages, journal",
        "policy-paths.value": "/srv\n/etc/nginx",
        "policy-every.value": "services 60",
        "policy-queries.value": "drop 300 files limit=50 /srv/a b\nwho 60 users",
        "policy-spool.value": 512,
        "policy-beat.value": 10,
        "policy-response.value": ["query"],
        "policy-eyes.checked": True,
        "policy-note.value": "quieter",
    }
    assert "Version 1 is set" in filled.call(admin, save, **told).text
    found = wanted_policy(filled.database, filled.acme).document
    assert (found.off, found.watch_paths) == (["packages", "journal"], ["/srv", "/etc/nginx"])
    assert (found.spool_mb, found.beat_s, found.response) == (512, 10, ["query", "undo"])
    asked = [(q.name, q.every_s, q.table, q.limit, q.path) for q in found.queries]
    assert asked == [("drop", 300, "files", 50, "/srv/a b"), ("who", 60, "users", 500, None)]
    assert "drop 300 files limit=50 /srv/a b" in filled.open(admin, "/agents/policy")
    assert "quieter" in filled.open(admin, "/agents/policy")
    assert "Behind 1" in filled.open(admin, "/agents")
    wrong = filled.call(admin, save, **{**told, "policy-paths.value": "../etc"}).text
    assert "watch_paths" in wrong
    for line in ("drop 59 users", "drop 60 files", "drop", "drop 60 secrets", "a 60 users /x"):
        wrong = filled.call(admin, save, **{**told, "policy-queries.value": line}).text
        assert "queries.0" in wrong
    analyst = filled.person(filled.acme, "q", Role.ANALYST)
    assert "An administrator of your tenant changes it" in filled.open(analyst, "/agents/policy")
    assert "may not" in filled.call(analyst, save, **told).text


def test_an_agent_that_refused_its_policy_says_why(filled: House, admin: httpx.Client) -> None:
    set_policy(filled.database, filled.acme, read_document({"spool_mb": 99}), filled.console.now())
    with filled.database.app(filled.acme) as tx:
        said = {"version": 0, "state": "refused", "reason": "not above 7", "response": []}
        execute(tx, "agent_beat", agent_id=AGENT, now=filled.console.now(), claim="-", **said)
    shown = filled.open(admin, "/agents")
    assert "Refused 1" in shown
    assert "not above 7" in shown


def _shown(**changed: object) -> str:
    row = {
        "action_id": AGENT, "kind": "isolate", "arguments": {}, "is_dry": False, "note": "worm",
        "state": "done", "asked_by": "user:a", "asked_behind": "user:a", "approved_by": "user:b",
        "asked_at": NOW, "sent_at": NOW, "undone_at": None, "in_force_until": None, "result": {},
        **changed,
    }  # fmt: skip
    table = actions_table([row], NOW, "user:c", frozenset({"ask", "approve"}))
    return str(table) + str(result_of(row, may_take=False))


@pytest.mark.parametrize(
    "result",
    [{"rows": [1, "x", None, ["y"]]}, {"rows": 7}, {"rows": [{"a": 1}, {"b": 2}]},
     {"evidence": [1]}, {"rows": [{"name": {"deep": []}}]}],
)  # fmt: skip
def test_a_result_of_any_shape_is_shown(result: object) -> None:
    assert "Isolate" in _shown(result=result)


def test_what_turns_the_direction_of_a_text_is_written_out() -> None:
    turned = "\u202egpj.exe\u2066"
    shown = [
        _shown(arguments={"path": turned}), _shown(result={"why": turned}),
        _shown(result={"rows": [{turned: turned}]}),
        _shown(result={"evidence": {"source": turned, "size_bytes": 1, "sha256": "a"}}),
    ]  # fmt: skip
    assert not any(c in text for text in shown for c in "\u202e\u2066")
    # repr() would write controls out by itself: what is shown is an escape's own backslash.
    assert all("\\\\u202e" in text for text in shown)


@pytest.mark.parametrize(
    ("changed", "is_offered"),
    [
        ({"state": "sent"}, True),
        ({"state": "failed"}, True),
        ({"state": "expired"}, True),
        ({"state": "expired", "sent_at": None}, False),
        ({"state": "failed", "kind": "kill"}, False),
        ({"state": "failed", "is_dry": True}, False),
        ({"state": "failed", "undone_at": NOW}, False),
        ({"state": "refused"}, False),
        ({"in_force_until": NOW + timedelta(hours=1)}, True),
    ],
)
def test_undo_is_offered_for_what_may_be_in_force(
    changed: dict[str, object], is_offered: bool
) -> None:
    assert ("agent-undo" in _shown(**changed)) == is_offered


def test_the_end_of_what_is_in_force_has_a_date() -> None:
    assert "In force to 01 Dec 00:30 UTC" in _shown(in_force_until=NOW + timedelta(hours=1))
