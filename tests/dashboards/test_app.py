import json

import httpx
import pytest

from dashboards.pages import CONTRACT
from storage.plugins import discover
from storage.tenant import Role
from tests.dashboards.conftest import CANARY, House

PATHS = ("/", "/live", "/findings", "/incidents", "/hunt")
EVERYBODYS = {"/", "/live", "/findings", "/incidents"}
OPENS = {
    Role.VIEWER: EVERYBODYS,
    Role.ANALYST: {*EVERYBODYS, "/hunt"},
    Role.ADMIN: {*EVERYBODYS, "/hunt"},
    Role.AUDITOR: EVERYBODYS,
    Role.INGEST: set(),
}
CLOSED = "Your role does not open this page"


def test_every_server_callback_is_registered_with_a_grant(house: House) -> None:
    assert {c["output"] for c in house.callbacks()} == set(house.console.grants)
    assert len(house.console.grants) >= 10


def test_no_callback_answers_without_a_session(filled: House) -> None:
    stranger = filled.browser()
    answers = {c["output"]: filled.call(stranger, c).status_code for c in filled.callbacks()}
    assert set(answers.values()) == {401}


def test_no_callback_trusts_the_guard_alone(filled: House, monkeypatch: pytest.MonkeyPatch) -> None:
    found = object()
    monkeypatch.setattr("api.guard.Guard._find", lambda *_: found)
    answers = {filled.call(filled.browser(), c).status_code for c in filled.callbacks()}
    assert answers == {401}


def test_a_malformed_callback_is_refused_not_tried(filled: House) -> None:
    person = filled.person(filled.acme, "odd", Role.ADMIN)
    bodies = [b"", b"nonsense", b"[]", b"{}", b'{"output": 1}', b"[" * 100_000]
    places = [{"id": "x", "property": "y"}]
    odd: list[dict[str, object]] = [{"inputs": []}, {"inputs": places, "outputs": 7, "state": "s"}]
    known = [c["output"] for c in filled.callbacks()]
    bodies += [json.dumps({"output": o, **told}).encode() for o in known for told in odd]
    heads = {"content-type": "application/json"}
    answers = {
        person.post("/_dash-update-component", content=body, headers=heads).status_code
        for body in bodies
    }
    assert answers == {400}


def test_a_role_without_the_grant_gets_words_and_no_data(filled: House) -> None:
    sender = filled.person(filled.acme, "sender", Role.INGEST)
    for listed in filled.callbacks():
        if not filled.console.grants[listed["output"]]:
            continue
        answer = filled.call(sender, listed)
        told = answer.json()
        shown = json.dumps(told)
        assert "may not" in shown, listed["output"]
        assert set(told.get("response", {})) <= set(), shown
        assert "alpha" not in shown


@pytest.mark.parametrize("role", list(OPENS))
def test_each_role_opens_its_pages_and_no_other(filled: House, role: Role) -> None:
    person = filled.person(filled.acme, "p", role)
    for path in PATHS:
        assert (CLOSED not in filled.open(person, path)) == (path in OPENS[role]), path


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ANALYST, Role.ADMIN, Role.AUDITOR])
def test_each_role_reads_a_finding_and_an_incident(filled: House, role: Role) -> None:
    person = filled.person(filled.acme, "p", role)
    finding = filled.open(person, f"/finding/{filled.finding_ids(filled.acme)[0]}")
    incident = filled.open(person, f"/incident/{filled.incident_ids(filled.acme)[0]}")
    assert "Title alpha" in finding
    assert "Title alpha" in incident
    may_see, may_work = role is not Role.AUDITOR, role in {Role.ANALYST, Role.ADMIN}
    assert ("Your role does not show events" in finding) != may_see
    assert ("C:\\\\alpha.exe" in finding) == may_see
    assert ("incident-status" in finding, "incident-status" in incident) == (may_work, may_work)


def test_pages_of_an_empty_house_say_what_to_do(house: House) -> None:
    person = house.person(house.acme, "p", Role.ADMIN)
    assert "inopsio ingest /path/to/logs --tenant acme" in house.open(person, "/findings")
    assert "Nothing has arrived yet" in house.open(person, "/")
    assert "Nothing arrived in this time" in house.open(person, "/live")
    assert "No incidents yet" in house.open(person, "/incidents")
    assert "hunt-sql" in house.open(person, "/hunt")
    assert "Not found" in house.open(person, "/finding/0196f000-0000-8000-8000-000000000001")
    assert "Not found" in house.open(person, "/finding/..%2f")
    assert "no page at this address" in house.open(person, "/nowhere")


def test_another_tenants_data_are_on_no_page_and_in_no_callback(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ADMIN)
    theirs = filled.finding_ids(filled.bolt)[0], filled.incident_ids(filled.bolt)[0]
    paths = [*PATHS, f"/finding/{theirs[0]}", f"/incident/{theirs[1]}"]
    paths.append(f"/finding/{filled.finding_ids(filled.acme)[0]}")
    for path in paths:
        assert CANARY not in filled.open(person, path), path
    asked = {
        "findings-grid.getRowsRequest": {"startRow": 0, "endRow": 100},
        "incidents-grid.getRowsRequest": {"startRow": 0, "endRow": 100},
        "url.search": "?sql=SELECT * FROM events",
    }
    for listed in filled.callbacks():
        assert CANARY not in filled.call(person, listed, **asked).text, listed["output"]
    own = filled.person(filled.bolt, "q", Role.ADMIN)
    assert CANARY in filled.open(own, f"/finding/{theirs[0]}")


def test_a_page_without_a_session_leads_to_the_sign_in(house: House) -> None:
    answer = house.browser().get("/finding/7")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=/finding/7")


def test_the_page_allows_only_hashed_scripts_and_nothing_from_elsewhere(house: House) -> None:
    answer = house.person(house.acme, "p", Role.VIEWER).get("/findings")
    policy = answer.headers["content-security-policy"]
    scripts = next(p for p in policy.split("; ") if p.startswith("script-src"))
    assert "unsafe" not in scripts
    assert "'sha256-" in scripts
    assert "https://" not in answer.text
    assert 'lang="en"' in answer.text


def test_what_dash_could_do_besides_is_not_there(house: House) -> None:
    person = house.person(house.acme, "p", Role.ADMIN)
    for path in ("/_reload-hash", "/_mcp", "/_dash-component-suites/os/path.py", "/_alive_x"):
        assert person.get(path).status_code == 404, path
    sockets = [r for r in house.app.routes if "websocket" in type(r).__name__.lower()]
    assert [getattr(r, "path", "") for r in sockets] == ["/_live"]


def test_a_write_from_another_site_is_refused(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ADMIN)
    person.headers["Origin"] = "https://evil.example"
    answers = {filled.call(person, c).status_code for c in filled.callbacks()}
    assert answers == {403}


def test_every_page_keeps_the_contract() -> None:
    pages = [m.PAGE for m in discover("dashboards.pages", CONTRACT).values()]
    assert len({p.path for p in pages}) == len(pages) >= 5
    assert all(p.grant and p.why and p.title and p.path.startswith("/") for p in pages)
    assert all(p.icon for p in pages if p.nav)


def test_a_page_weighs_little(filled: House) -> None:
    filled.fill(filled.acme, [f"t{i}" for i in range(300)])
    person: httpx.Client = filled.person(filled.acme, "p", Role.ADMIN)
    ids = filled.finding_ids(filled.acme)
    for path in [
        *PATHS,
        f"/finding/{ids[150]}",
        f"/incident/{filled.incident_ids(filled.acme)[0]}",
    ]:
        assert len(filled.open(person, path)) < 300_000, path
