"""Findings become incidents, once; people's changes do not overwrite each other."""

import threading
from typing import Any

import pytest

from business import consume
from business.incidents import (
    Change,
    VersionConflict,
    add_note,
    assign,
    change,
    get,
    set_status,
    set_verdict,
)
from storage.database import Database
from storage.database.queries import select
from storage.errors import InvalidInput, NotAllowed, NotFound
from storage.log.memory import MemoryLog
from storage.tenant import Actor, Role, Scope
from tests.business.conftest import Tell, a_finding

ACME = Scope("acme", Actor("user", "ann"), frozenset({Role.ANALYST}))
BOLT = Scope("bolt", Actor("user", "bob"), frozenset({Role.ANALYST}))


def work(database: Database, log: MemoryLog) -> None:
    consume(database, log, threading.Event(), once=True)


def listed(database: Database, scope: Scope = ACME) -> list[dict[str, Any]]:
    names = ("status", "level", "assignee", "entity", "rule_id", "before", "before_id")
    with database.app(scope) as tx:
        return select(tx, "incidents_page", **dict.fromkeys(names), limit=100)


def trail(database: Database) -> list[tuple[object, object]]:
    nothing = dict.fromkeys(("action", "actor", "before", "before_id"))
    with database.app(ACME) as tx:
        rows = select(tx, "audit_page", **nothing, limit=100)
    return [(r["action"], r["detail"]) for r in reversed(rows)]


def test_findings_of_one_entity_within_a_day_are_one_incident(
    database: Database, log: MemoryLog, tell: Tell
) -> None:
    tell(a_finding("a", 0, "low"), a_finding("b", 59, "critical"), a_finding("c", 118, "medium"))
    work(database, log)
    (one,) = listed(database)
    assert (one["finding_count"], one["level"]) == (3, "critical")
    assert (one["last_time"] - one["first_time"]).total_seconds() == 118 * 60


def test_a_finding_over_a_day_later_or_of_another_host_is_another_incident(
    database: Database, log: MemoryLog, tell: Tell
) -> None:
    tell(a_finding("a", 0), a_finding("b", 24 * 60 + 1), a_finding("c", 0, entity="pc-8"))
    work(database, log)
    assert sorted((i["entity"], i["finding_count"]) for i in listed(database)) == [
        ("pc-7", 1),
        ("pc-7", 1),
        ("pc-8", 1),
    ]


def test_a_finding_never_slips_into_an_incident_that_is_being_closed(
    database: Database, log: MemoryLog, tell: Tell
) -> None:
    tell(a_finding("a"))
    work(database, log)
    (one,) = listed(database)
    tell(a_finding("b"))
    worker = threading.Thread(target=work, args=(database, log))
    with database.app(ACME) as tx:
        set_status(ACME, tx, one["incident_id"], "closed", 1)
        worker.start()
        waits = "SELECT 1 FROM pg_locks WHERE NOT granted"
        while worker.is_alive() and not tx.execute(waits).rowcount:
            worker.join(0.01)
    worker.join()
    assert sorted((i["status"], i["finding_count"]) for i in listed(database)) == [
        ("closed", 1),
        ("open", 1),
    ]


def test_the_same_event_twice_gives_the_same_ledger(
    database: Database, log: MemoryLog, tell: Tell
) -> None:
    tell(a_finding("a"))
    work(database, log)
    before = listed(database)
    tell(a_finding("a"))
    work(database, log)
    assert listed(database) == before


def test_reading_all_again_with_the_inbox_lost_gives_the_same_ledger(
    database: Database, log: MemoryLog, tell: Tell
) -> None:
    tell(a_finding("a"), a_finding("b", 5))
    work(database, log)
    before = listed(database)
    with database.owner() as tx:
        tx.execute("TRUNCATE inbox")
    for partition in range(2):
        log.commit("business.incidents", "findings", partition, 0)
    work(database, log)
    assert listed(database) == before


def test_a_closed_incident_stays_closed_and_the_next_finding_opens_a_new_one(
    database: Database, log: MemoryLog, tell: Tell
) -> None:
    tell(a_finding("a"))
    work(database, log)
    with database.app(ACME) as tx:
        set_status(ACME, tx, listed(database)[0]["incident_id"], "closed", 1)
    tell(a_finding("b", 1))
    work(database, log)
    assert sorted((i["status"], i["finding_count"]) for i in listed(database)) == [
        ("closed", 1),
        ("open", 1),
    ]


def test_a_repeat_after_closing_opens_nothing_even_with_the_inbox_lost(
    database: Database, log: MemoryLog, tell: Tell
) -> None:
    tell(a_finding("a"), a_finding("b", 5))
    work(database, log)
    with database.app(ACME) as tx:
        set_status(ACME, tx, listed(database)[0]["incident_id"], "closed", 1)
    with database.owner() as tx:
        tx.execute("TRUNCATE inbox")
    tell(a_finding("b", 5))
    work(database, log)
    assert [i["status"] for i in listed(database)] == ["closed"]


def test_each_tenant_sees_its_own_incidents(database: Database, log: MemoryLog, tell: Tell) -> None:
    tell(a_finding("a"), a_finding("a", tenant="bolt"))
    work(database, log)
    (mine,), (theirs,) = listed(database), listed(database, BOLT)
    assert mine["incident_id"] != theirs["incident_id"]
    with database.app(BOLT) as tx, pytest.raises(NotFound):
        get(BOLT, tx, mine["incident_id"])


def test_a_change_on_an_old_version_is_refused_and_leaves_no_trace(
    database: Database, log: MemoryLog, tell: Tell
) -> None:
    tell(a_finding("a"))
    work(database, log)
    which = listed(database)[0]["incident_id"]
    with database.app(ACME) as tx:
        assert assign(ACME, tx, which, "ann", 1)["version"] == 2
    with pytest.raises(VersionConflict), database.app(ACME) as tx:
        assign(ACME, tx, which, "bob", 1)
    assert listed(database)[0]["assignee"] == "ann"
    assert trail(database) == [("incident.change", {"assignee": [None, "ann"]})]


def test_verdict_assignee_and_notes_are_kept_and_can_be_taken_back(
    database: Database, log: MemoryLog, tell: Tell
) -> None:
    tell(a_finding("a"))
    work(database, log)
    which = listed(database)[0]["incident_id"]
    with database.app(ACME) as tx:
        set_verdict(ACME, tx, which, "false_positive", 1)
        add_note(ACME, tx, which, "  the nightly backup  ")
        after = change(ACME, tx, which, Change(verdict="", assignee=""), 2)
        notes = select(tx, "incident_notes_of", incident_id=which, limit=9)
    assert (after["verdict"], after["version"]) == (None, 3)
    assert [(n["author"], n["body"]) for n in notes] == [("ann", "the nightly backup")]


@pytest.mark.parametrize("body", ["", "   ", "x" * 10_001, "a\x00b"])
def test_a_note_without_text_or_too_long_is_refused(
    database: Database, log: MemoryLog, tell: Tell, body: str
) -> None:
    tell(a_finding("a"))
    work(database, log)
    with database.app(ACME) as tx, pytest.raises(InvalidInput, match="note"):
        add_note(ACME, tx, listed(database)[0]["incident_id"], body)


def test_a_viewer_may_not_change_an_incident(
    database: Database, log: MemoryLog, tell: Tell
) -> None:
    tell(a_finding("a"))
    work(database, log)
    viewer = Scope("acme", Actor("user", "vic"), frozenset({Role.VIEWER}))
    with database.app(viewer) as tx, pytest.raises(NotAllowed):
        assign(viewer, tx, listed(database)[0]["incident_id"], "vic", 1)
