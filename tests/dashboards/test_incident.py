from typing import Any

import httpx
import pytest

from storage.tenant import Role
from tests.dashboards.conftest import House


def reference(house: House, **known: object) -> dict[str, Any]:
    incident_id = house.incident_ids(house.acme)[0]
    usual = {"id": incident_id, "version": 1, "status": "open", "verdict": "", "assignee": ""}
    return {**usual, "has_link": True, **known}


def change(
    house: House, person: httpx.Client, told: dict[str, Any], **values: object
) -> httpx.Response:
    sent = {
        "incident-status.value": values.get("status", told["status"]),
        "incident-verdict.value": values.get("verdict", told["verdict"]),
        "incident-assignee.value": values.get("assignee", told["assignee"]),
        "incident-reference.data": told,
    }
    return house.call(person, house.named("incident-panel.children"), **sent)


def stored(house: House) -> tuple[Any, ...]:
    with house.database.app(house.acme) as tx:
        rows = tx.execute(
            "SELECT status, verdict, assignee, version FROM incidents ORDER BY first_time"
        ).fetchall()
    return tuple(rows[0])


def test_a_change_is_kept_told_and_can_be_undone(filled: House) -> None:
    person = filled.person(filled.acme, "eve", Role.ANALYST)
    told = reference(filled)
    shown = change(filled, person, told, status="closed", verdict="benign", assignee="eve").text
    assert stored(filled) == ("closed", "benign", "eve", 2)
    assert "Status: Closed (was Open)" in shown
    undo = next(c for c in filled.callbacks() if "incident-undo" in str(c["inputs"]))
    after = reference(filled, version=2, status="closed", verdict="benign", assignee="eve")
    before = {"status": "open", "verdict": "", "assignee": ""}
    sent = {
        "incident-undo.n_clicks": 1,
        "incident-before.data": before,
        "incident-reference.data": after,
    }
    assert "Undone" in filled.call(person, undo, **sent).text
    assert stored(filled) == ("open", None, None, 3)


def test_who_was_slower_is_told_and_changes_nothing(filled: House) -> None:
    person = filled.person(filled.acme, "eve", Role.ANALYST)
    assert change(filled, person, reference(filled), status="in_progress").status_code == 200
    shown = change(filled, person, reference(filled), status="closed").text
    assert "read it again and decide anew" in shown
    assert "Trace" in shown
    assert stored(filled)[0] == "in_progress"


@pytest.mark.parametrize("role", [Role.VIEWER, Role.AUDITOR])
def test_readers_cannot_change_whatever_they_send(filled: House, role: Role) -> None:
    person = filled.person(filled.acme, "eve", role)
    assert "may not" in change(filled, person, reference(filled), status="closed").text
    assert stored(filled) == ("open", None, None, 1)


def test_another_tenants_incident_cannot_be_changed(filled: House) -> None:
    person = filled.person(filled.bolt, "eve", Role.ADMIN)
    assert "is not there" in change(filled, person, reference(filled), status="closed").text
    assert stored(filled) == ("open", None, None, 1)


@pytest.mark.parametrize(
    "told",
    [
        {"status": "gone"},
        {"verdict": "'; DROP TABLE incidents"},
        {"assignee": ["a"]},
        {"status": {"a": 1}},
    ],
)
def test_values_no_control_offers_are_refused(filled: House, told: dict[str, Any]) -> None:
    person = filled.person(filled.acme, "eve", Role.ANALYST)
    change(filled, person, reference(filled), **told)
    assert stored(filled)[:2] == ("open", None)


def test_a_note_is_added_and_an_empty_one_is_not(filled: House) -> None:
    person = filled.person(filled.acme, "eve", Role.ANALYST)
    told = reference(filled)

    def note(text: str) -> str:
        sent = {
            "incident-note-add.n_clicks": 1,
            "incident-note.value": text,
            "incident-reference.data": told,
        }
        return str(filled.call(person, filled.named("incident-panel.children"), **sent).text)

    assert "looked at it" in note("looked at it")
    assert "a note has 1 to" in note("   ")
