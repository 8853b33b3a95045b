from typing import Any

import pytest

from dashboards import judging
from dashboards.read.filters import FindingFilter
from dashboards.read.findings import queue, views
from storage.database import Database
from storage.errors import InvalidInput, NotAllowed, NotFound
from storage.tenant import Actor, Role, Scope
from tests.dashboards.conftest import House

GROUPED = FindingFilter()


def analyst(house: House, name: str = "ann") -> Scope:
    return Scope("acme", Actor("user", name), frozenset({Role.ANALYST}))


def rows_of(database: Database, scope: Scope, wanted: FindingFilter = GROUPED) -> list[Any]:
    return [
        {"f": r["finding_id"], "r": r["rule_id"], "t": r["entity_type"], "e": r["entity"]}
        for r in queue(database, scope, wanted).rows
    ]


def statuses(house: House) -> list[tuple[Any, ...]]:
    with house.database.app(house.acme) as tx:
        return tx.execute("SELECT status, verdict FROM incidents ORDER BY 1, 2").fetchall()


def test_claims_of_one_rule_about_one_entity_are_one_row(filled: House) -> None:
    filled.fill(filled.acme, ["alpha"])
    found = queue(filled.database, analyst(filled), GROUPED)
    flat = queue(filled.database, analyst(filled), FindingFilter(shape="flat"))
    assert sum(r["findings"] for r in found.rows) == found.total == len(flat.rows)
    assert len(found.rows) <= len(flat.rows)


def test_one_machine_stands_once_in_the_queue_however_sources_write_it(filled: House) -> None:
    filled.fill(filled.acme, ["alpha"])
    with filled.database.owner() as tx:
        tx.execute("SET LOCAL inopsio.tenant = 'acme'")
        tx.execute("UPDATE findings SET entity = 'PC-7.corp.example', rule_id = 'r1'")
        tx.execute(
            "UPDATE findings SET entity = 'pc-7' WHERE finding_id = "
            "(SELECT finding_id FROM findings ORDER BY finding_id LIMIT 1)"
        )
    (row,) = queue(filled.database, analyst(filled), GROUPED).rows
    assert row["findings"] == len(filled.finding_ids(filled.acme)) > 1
    for spelled in ("pc-7", "PC-7.corp.example"):
        (same,) = queue(filled.database, analyst(filled), GROUPED.but(entity=spelled)).rows
        assert same["findings"] == row["findings"]
        assert rows_of(filled.database, analyst(filled), GROUPED.without("entity", spelled)) == []


def test_a_value_is_filtered_in_and_out(filled: House) -> None:
    whole = rows_of(filled.database, analyst(filled))
    entity = whole[0]["e"]
    only = rows_of(filled.database, analyst(filled), GROUPED.but(entity=entity))
    rest = rows_of(filled.database, analyst(filled), GROUPED.without("entity", entity))
    assert {r["e"] for r in only} == {entity}
    assert len(only) + len(rest) == len(whole)


def test_signals_stay_out_of_the_queue_unless_asked_for(filled: House) -> None:
    with filled.database.owner() as tx:
        tx.execute("SET LOCAL inopsio.tenant = 'acme'")
        tx.execute("UPDATE findings SET kind = 'signal'")
    assert queue(filled.database, analyst(filled), GROUPED).rows == []
    assert queue(filled.database, analyst(filled), GROUPED.but(kind="all")).rows != []


def test_a_verdict_takes_rows_out_of_the_queue_and_undo_brings_them_back(filled: House) -> None:
    scope, database = analyst(filled), filled.database
    rows = rows_of(database, scope)
    verdict = {"status": "closed", "verdict": "benign"}
    words, back = judging.change(database, scope, GROUPED, rows[:1], verdict)
    assert "closed as benign" in words
    assert len(rows_of(database, scope)) < len(rows)
    assert judging.undo(database, scope, back) == "Undone"
    assert rows_of(database, scope) == rows


def test_chosen_rows_become_one_incident(filled: House) -> None:
    scope, database = analyst(filled), filled.database
    rows = rows_of(database, scope)
    words, made, back = judging.gather(database, scope, GROUPED, rows)
    assert words == f"Incident opened with {len(rows)} findings"
    assert {r["incident_id"] for r in queue(database, scope, GROUPED).rows} == {made}
    judging.undo(database, scope, back)
    shown = queue(database, scope, GROUPED).rows
    assert len(shown) == len(rows)
    assert made not in {r["incident_id"] for r in shown if r["status"] != "closed"}


def test_nobody_acts_on_findings_of_another_tenant(filled: House) -> None:
    theirs = [{"f": filled.finding_ids(filled.bolt)[0]}]
    flat = FindingFilter(shape="flat")
    with pytest.raises(NotFound):
        judging.gather(filled.database, analyst(filled), flat, theirs)
    viewer = Scope("acme", Actor("user", "v"), frozenset({Role.VIEWER}))
    with pytest.raises(NotAllowed):
        judging.gather(filled.database, viewer, flat, theirs)


@pytest.mark.parametrize("rows", [None, [], "x", [{"f": 1}], [{"f": "a", "x": "b"}], [{}] * 101])
def test_rows_that_are_none_are_refused(filled: House, rows: object) -> None:
    with pytest.raises(InvalidInput):
        judging.gather(filled.database, analyst(filled), GROUPED, rows)


def test_ids_that_are_none_are_refused(filled: House) -> None:
    flat = FindingFilter(shape="flat")
    with pytest.raises(InvalidInput):
        judging.gather(filled.database, analyst(filled), flat, [{"f": "'; DROP"}])


@pytest.mark.parametrize(
    "data", [{"incidents": 1}, {"x": 1}, {"made": "0196f000-0000-8000-8000-000000000001"}]
)
def test_an_undo_that_was_never_offered_is_refused(filled: House, data: dict[str, Any]) -> None:
    before = statuses(filled)
    with pytest.raises((InvalidInput, NotFound)):
        judging.undo(filled.database, analyst(filled), data)
    assert statuses(filled) == before


def test_each_person_keeps_views_of_their_own(filled: House) -> None:
    database, ann, bob = filled.database, analyst(filled), analyst(filled, "bob")
    judging.keep_view(database, ann, "/findings", "  mine ", "?level=high")
    assert views(database, ann, "/findings") == [("mine", "?level=high")]
    assert views(database, bob, "/findings") == []
    with pytest.raises(NotFound):
        judging.drop_view(database, bob, "/findings", "mine")
    assert judging.drop_view(database, ann, "/findings", "mine") == "?level=high"
