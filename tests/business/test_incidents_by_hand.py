"""People merge incidents, take findings out, and open incidents of what they chose."""

import pytest

from business.incidents import (
    VersionConflict,
    add_note,
    assign,
    entities,
    get,
    link,
    merge,
    open_by_hand,
    set_status,
    timeline,
    unlink,
    unmerge,
)
from storage.database import Database
from storage.database.queries import select
from storage.errors import InvalidInput, NotAllowed, NotFound
from storage.schema import Finding
from storage.tenant import Actor, Role, Scope
from tests.business.test_incidents import listed, trail
from tests.business.test_incidents_join import (
    HOST,
    IP,
    USER,
    claim,
    of_tenant,
    partition,
    put,
    signal,
)

ANN = Scope("acme", Actor("user", "ann"), frozenset({Role.ANALYST}))
BOB = Scope("bolt", Actor("user", "bob"), frozenset({Role.ANALYST}))
VIC = Scope("acme", Actor("user", "vic"), frozenset({Role.VIEWER}))
A, B = claim("a", 0, "high", HOST), claim("b", 1, "critical", IP)
NEAR = signal("near", 2, HOST)


@pytest.fixture(autouse=True)
def _told(database: Database, two_tenants: tuple[Scope, Scope]) -> None:
    put(database, [A, B, NEAR])


def of(database: Database, finding: Finding) -> str:
    """Give the id of the incident that the finding stands in."""
    with database.app(ANN) as tx:
        rows = select(tx, "incident_live_of_findings", ids=[finding.finding_id])
    return str(rows[0]["incident_id"])


def test_merging_moves_claims_and_notes_and_the_merged_one_leads_on(database: Database) -> None:
    into, other = of(database, A), of(database, B)
    with database.app(ANN) as tx:
        add_note(ANN, tx, other, "same night")
        after = merge(ANN, tx, into, other)
        left = get(ANN, tx, other)
        notes = select(tx, "incident_notes_of", incident_id=into, limit=9)
    assert (after["finding_count"], after["level"], after["version"]) == (3, "critical", 2)
    assert (left["merged_into"], left["finding_count"]) == (into, 0)
    assert [n["body"] for n in notes] == ["same night"]
    assert [i["incident_id"] for i in listed(database)] == [into]
    assert trail(database)[-1] == ("incident.merge", {"from": other})


def test_a_merged_incident_takes_no_changes_and_a_repeated_merge_makes_none(
    database: Database,
) -> None:
    into, other = of(database, A), of(database, B)
    with database.app(ANN) as tx:
        merge(ANN, tx, into, other)
    with database.app(ANN) as tx:
        assert merge(ANN, tx, into, other)["version"] == 2
    for version in (1, 2):
        with pytest.raises(VersionConflict), database.app(ANN) as tx:
            assign(ANN, tx, other, "ann", version)
    with pytest.raises(InvalidInput, match="was merged into"), database.app(ANN) as tx:
        merge(ANN, tx, other, into)


def test_nothing_is_merged_into_what_is_closed_or_into_itself(database: Database) -> None:
    into, other = of(database, A), of(database, B)
    with database.app(ANN) as tx:
        set_status(ANN, tx, into, "closed", 1)
    for target in (into, other):
        with pytest.raises(InvalidInput), database.app(ANN) as tx:
            merge(ANN, tx, target, other)


def test_later_claims_find_the_incident_that_others_were_merged_into(database: Database) -> None:
    with database.app(ANN) as tx:
        merge(ANN, tx, of(database, A), of(database, B))
    put(database, [signal("late", 30, IP), claim("more", 40, "high", IP)])
    assert partition(database) == {frozenset({"a", "b", "near", "late", "more"})}


def test_what_is_taken_out_never_joins_again_and_draws_nothing_in(database: Database) -> None:
    which = of(database, A)
    with database.app(ANN) as tx:
        after = unlink(ANN, tx, which, NEAR.finding_id)
        unlink(ANN, tx, which, A.finding_id)
    put(database, [A, NEAR, signal("s", 5, HOST), claim("next", 6, "high", HOST)])
    put(database, [claim("story", 7, "critical", USER, parts=["a", "near", "b"])])
    assert after["finding_count"] == 1
    assert partition(database) == {frozenset({"b", "story"}), frozenset({"next", "s"})}
    assert trail(database)[0] == ("incident.unlink", {"finding_id": NEAR.finding_id})


def test_what_was_taken_out_is_put_back_and_joins_as_before(database: Database) -> None:
    before, which = partition(database), of(database, A)
    with database.app(ANN) as tx:
        unlink(ANN, tx, which, NEAR.finding_id)
        after = link(ANN, tx, which, NEAR.finding_id)
    assert partition(database) == before
    assert after["incident_id"] == which
    assert ("incident.link", {"finding_id": NEAR.finding_id}) in trail(database)
    with pytest.raises(NotFound), database.app(ANN) as tx:
        link(ANN, tx, which, claim("none", 9, "low", HOST).finding_id)


def test_a_merge_is_taken_back_with_its_findings_and_notes(database: Database) -> None:
    before, into, other = partition(database), of(database, A), of(database, B)
    with database.app(ANN) as tx:
        note = add_note(ANN, tx, other, "same night")
        merge(ANN, tx, into, other)
        kept = {"findings": [B.finding_id], "notes": [note]}
        after = unmerge(ANN, tx, into, other, kept)
        left = get(ANN, tx, into)
        notes = select(tx, "incident_notes_of", incident_id=other, limit=9)
    assert partition(database) == before
    assert (after["merged_into"], after["finding_count"]) == (None, 1)
    assert left["finding_count"] == 2
    assert [n["body"] for n in notes] == ["same night"]
    assert ("incident.unmerge", {"other": into}) in trail(database)
    with pytest.raises(InvalidInput, match="is not merged"), database.app(ANN) as tx:
        unmerge(ANN, tx, into, other, kept)


def test_an_incident_opened_by_hand_takes_its_findings_with_it(database: Database) -> None:
    was = of(database, A)
    chosen = [B.finding_id, A.finding_id, NEAR.finding_id]
    with database.app(ANN) as tx:
        made = open_by_hand(ANN, tx, " Night of the 4th ", chosen)
        left = get(ANN, tx, was)
    assert (made["title"], made["level"], made["finding_count"], made["signal_count"]) == (
        "Night of the 4th",
        "critical",
        3,
        1,
    )
    assert left["merged_into"] == made["incident_id"]
    with database.app(ANN) as tx:
        again = open_by_hand(ANN, tx, "Night of the 4th", sorted(chosen))
    assert again == made
    put(database, [claim("worse", 9, "critical", HOST)])
    (now,) = listed(database)
    assert (now["title"], now["finding_count"]) == ("Night of the 4th", 4)


def test_what_is_put_in_again_by_hand_draws_others_in_as_before(database: Database) -> None:
    with database.app(ANN) as tx:
        unlink(ANN, tx, of(database, B), B.finding_id)
        open_by_hand(ANN, tx, "again", [B.finding_id])
    put(database, [signal("late", 30, IP)])
    assert frozenset({"b", "late"}) in partition(database)


def test_the_timeline_and_the_entities_say_what_happened_to_whom(database: Database) -> None:
    which = of(database, A)
    with database.app(ANN) as tx:
        told, named = timeline(ANN, tx, which), entities(ANN, tx, which)
    assert [(c["title"], c["kind"], c["via"]) for c in told] == [
        ("a", "finding", None),
        ("near", "signal", A.finding_id),
    ]
    assert [(e["entity"], e["claims"], e["is_accused"]) for e in named] == [("ws-1", 2, True)]


def test_another_tenant_and_a_viewer_change_nothing(database: Database) -> None:
    mine, other = of(database, A), of(database, B)
    put(database, [of_tenant(A, "bolt")])
    (theirs,) = listed(database, BOB)
    with database.app(BOB) as tx:
        for touch in (merge, unlink):
            with pytest.raises(NotFound):
                touch(BOB, tx, mine, A.finding_id)
        with pytest.raises(NotFound):
            merge(BOB, tx, theirs["incident_id"], mine)
        with pytest.raises(NotFound):
            open_by_hand(BOB, tx, "ours", [A.finding_id])
        assert timeline(BOB, tx, mine) == []
    with database.app(VIC) as tx:
        with pytest.raises(NotAllowed):
            merge(VIC, tx, mine, other)
        with pytest.raises(NotAllowed):
            unlink(VIC, tx, mine, A.finding_id)
        with pytest.raises(NotAllowed):
            open_by_hand(VIC, tx, "x", [A.finding_id])


@pytest.mark.parametrize("title", ["", "  ", "x" * 301, "a\x00b"])
def test_an_incident_by_hand_needs_a_title(database: Database, title: str) -> None:
    with pytest.raises(InvalidInput), database.app(ANN) as tx:
        open_by_hand(ANN, tx, title, [A.finding_id])
    with pytest.raises(InvalidInput), database.app(ANN) as tx:
        open_by_hand(ANN, tx, "x", [])
