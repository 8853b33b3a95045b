from typing import Any

import httpx

from storage.tenant import Role
from tests.dashboards.conftest import CANARY, House


def status(house: House, incident_id: str) -> tuple[Any, ...]:
    with house.database.app(house.acme) as tx:
        row = tx.execute(
            "SELECT status, assignee, version FROM incidents WHERE incident_id = %s", (incident_id,)
        ).fetchone()
    assert row is not None
    return tuple(row)


def version(house: House, incident_id: str) -> int:
    return int(status(house, incident_id)[2])


def moved(house: House, person: httpx.Client, incident_id: str, to: str) -> str:
    listed = next(c for c in house.callbacks() if "incidents-act" in str(c["inputs"]))
    act = {"id": incident_id, "version": version(house, incident_id), "to": to}
    return str(house.call(person, listed, **{"incidents-act.data": act, "url.search": ""}).text)


def test_the_board_has_a_column_a_status_and_the_cards_entities(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    shown = filled.open(person, "/incidents")
    assert all(f'"data-drop": "{name}"' in shown for name in ("open", "in_progress", "closed"))
    assert "/entity/user:user%2520alpha" in shown
    assert CANARY not in shown
    assert "incidents-grid" in filled.open(person, "/incidents", "?view=list")


def test_a_card_moves_and_is_told_with_a_way_back(filled: House) -> None:
    person = filled.person(filled.acme, "eve", Role.ANALYST)
    name = filled.incident_ids(filled.acme)[0]
    shown = moved(filled, person, name, "in_progress")
    assert status(filled, name)[0] == "in_progress"
    assert "incident.change" in shown
    assert "Taken" in moved(filled, person, name, "mine")
    assert status(filled, name)[1] == "eve"


def test_no_card_moves_elsewhere_or_for_a_reader(filled: House) -> None:
    name = filled.incident_ids(filled.acme)[0]
    analyst = filled.person(filled.acme, "eve", Role.ANALYST)
    assert "no column of this board" in moved(filled, analyst, name, "'; DROP")
    viewer = filled.person(filled.acme, "vic", Role.VIEWER)
    assert "may not" in moved(filled, viewer, name, "closed")
    assert "data-move" not in filled.open(viewer, "/incidents")
    assert status(filled, name)[0] == "open"


def test_a_finding_taken_out_leaves_the_story(filled: House) -> None:
    person = filled.person(filled.acme, "eve", Role.ANALYST)
    name, claim = filled.incident_ids(filled.acme)[0], filled.finding_ids(filled.acme)[0]
    listed = filled.named("incident-body.children")
    sent = {"incident-unlink.data": {"finding": claim}, "incident-id.data": name}
    assert "All were taken out" in filled.call(person, listed, **sent).text
    assert "took a finding out" in filled.open(person, f"/incident/{name}")


def test_two_incidents_are_merged_and_the_one_leads_to_the_other(filled: House) -> None:
    person = filled.person(filled.acme, "eve", Role.ANALYST)
    one, other = filled.incident_ids(filled.acme)[:2]
    listed = next(c for c in filled.callbacks() if "incident-merge" in str(c["inputs"]))
    sent = {
        "incident-merge.n_clicks": 1,
        "incident-merge-into.value": other,
        "incident-id.data": one,
    }
    answer = filled.call(person, listed, **sent).json()
    assert answer["response"]["url"]["pathname"] == f"/incident/{other}"
    shown = filled.open(person, f"/incident/{one}")
    assert f"/incident/{other}" in shown
    assert one not in filled.open(person, "/incidents")
