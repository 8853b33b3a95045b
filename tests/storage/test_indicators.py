"""What is kept of a feed, what counts as new, and that the past is searched once for it."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from storage.database import Database
from storage.errors import NotFound
from storage.indicator_matches import (
    end_match,
    get_match,
    match_indicators,
    newest_matches,
    take_match,
    waiting_matches,
)
from storage.indicators import FRAME, find_indicators, put_indicators
from storage.schema.indicator import Indicator
from storage.tenant import Scope

ONE = Indicator("domain", "bad.example", 1_000_000, None, 80, "list", pattern_id="p1")
PAST = {"valid_until_us": 2_000_000}


@pytest.fixture
def acme(two_tenants: tuple[Scope, Scope]) -> Scope:
    return two_tenants[0]


def put(
    database: Database,
    scope: Scope,
    *found: Indicator,
    past: bool = True,
    retold: Sequence[str] = (),
    is_whole: bool = False,
) -> None:
    with database.app(scope) as tx:
        put_indicators(scope, tx, "list", found, past=past, retold=retold, is_whole=is_whole)


def kept(database: Database, scope: Scope) -> dict[str, bool]:
    """Give value -> whether it still holds."""
    with database.app(scope) as tx:
        rows = find_indicators(scope, tx, None, None, 100)
    return {str(row["value"]): row["valid_until"] is None for row in rows}


def search(database: Database, scope: Scope) -> list[str]:
    """Run the search that waits; give what it is for."""
    with database.writer() as tx:
        waiting = waiting_matches(tx, 0)
    if not waiting:
        return []
    ((_, match_id),) = waiting
    with database.app(scope) as tx:
        assert take_match(tx, match_id)
    with database.app(scope) as tx:
        found = match_indicators(tx, match_id, FRAME)
        end_match(tx, match_id)
    return found["value"].to_list()


def audited(database: Database, scope: Scope) -> int:
    with database.app(scope) as tx:
        row = tx.execute("SELECT count(*) FROM audit_entries WHERE action = 'intel.import'")
        return int((row.fetchone() or (0,))[0])


def test_the_same_again_changes_nothing(database: Database, acme: Scope) -> None:
    put(database, acme, ONE)
    assert search(database, acme) == ["bad.example"]
    put(database, acme, ONE)
    assert search(database, acme) == []
    assert audited(database, acme) == 1


@pytest.mark.parametrize(
    ("before", "after", "is_new"),
    [
        (ONE, replace(ONE, confidence=90), False),
        (ONE, replace(ONE, valid_from_us=2_000_000), False),
        (ONE, replace(ONE, valid_until_us=2_000_000), False),
        (ONE, replace(ONE, valid_from_us=5), True),
        (replace(ONE, valid_until_us=2_000_000), ONE, True),
        (replace(ONE, valid_until_us=2**51), replace(ONE, valid_until_us=2**51 + 1), False),
    ],
)
def test_new_is_what_the_past_was_not_searched_for(
    database: Database, acme: Scope, before: Indicator, after: Indicator, is_new: bool
) -> None:
    put(database, acme, before)
    search(database, acme)
    put(database, acme, after)
    assert search(database, acme) == (["bad.example"] if is_new else [])


def test_without_the_past_nothing_waits(database: Database, acme: Scope) -> None:
    put(database, acme, ONE, past=False)
    assert search(database, acme) == []


def test_what_comes_while_a_search_waits_is_taken_along_and_later_it_waits_anew(
    database: Database, acme: Scope
) -> None:
    put(database, acme, ONE)
    put(database, acme, replace(ONE, value="b.example"))
    with database.writer() as tx:
        ((_, first),) = waiting_matches(tx, 0)
    with database.app(acme) as tx:
        assert take_match(tx, first)
    put(database, acme, replace(ONE, value="c.example"))
    with database.app(acme) as tx:
        # Taken between the two transactions: the first search has it, the second finds nothing.
        names = match_indicators(tx, first, FRAME)["value"].to_list()
    assert names == ["b.example", "bad.example", "c.example"]
    assert search(database, acme) == []
    with database.app(acme) as tx:
        assert len(newest_matches(acme, tx)) == 2


def test_whoever_takes_a_search_sees_what_was_put_into_it(database: Database, acme: Scope) -> None:
    """A put that is not committed yet holds the search's row: it cannot be taken without it."""
    put(database, acme, ONE)
    with database.writer() as tx:
        ((_, match_id),) = waiting_matches(tx, 0)
    seen: list[str] = []

    def take() -> None:
        with database.app(acme) as tx:
            assert take_match(tx, match_id)
        with database.app(acme) as tx:
            seen.extend(match_indicators(tx, match_id, FRAME)["value"].to_list())

    taker = threading.Thread(target=take)
    with database.app(acme) as tx:
        put_indicators(acme, tx, "list", [replace(ONE, value="late.example")])
        taker.start()
        taker.join(0.3)
        assert taker.is_alive()
    taker.join()
    assert seen == ["bad.example", "late.example"]


def test_a_search_waits_for_the_flows_to_know(database: Database, acme: Scope) -> None:
    put(database, acme, ONE)
    with database.writer() as tx:
        assert waiting_matches(tx) == []
        assert len(waiting_matches(tx, 0)) == 1


def test_what_a_pattern_says_no_more_is_forgotten(database: Database, acme: Scope) -> None:
    other = replace(ONE, value="other.example", pattern_id="p2")
    put(database, acme, ONE, replace(ONE, value="b.example"), other)
    put(database, acme, replace(ONE, value="c.example"), retold=["p1"])
    assert set(kept(database, acme)) == {"c.example", "other.example"}
    put(database, acme, retold=["p2"])
    assert set(kept(database, acme)) == {"c.example"}


def test_what_a_whole_list_has_no_more_ends_and_does_not_vanish(
    database: Database, acme: Scope
) -> None:
    gone = replace(ONE, value="gone.example")
    put(database, acme, ONE, gone)
    put(database, acme, ONE, is_whole=True)
    assert kept(database, acme) == {"bad.example": True, "gone.example": False}
    before = audited(database, acme)
    put(database, acme, ONE, is_whole=True)
    assert audited(database, acme) == before
    put(database, acme, ONE, gone, is_whole=True)
    assert kept(database, acme) == {"bad.example": True, "gone.example": True}


def test_another_feed_and_another_tenant_keep_theirs(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    acme, bolt = two_tenants
    put(database, bolt, ONE)
    with database.app(acme) as tx:
        put_indicators(acme, tx, "other", [ONE])
    put(database, acme, replace(ONE, value="b.example"), is_whole=True, retold=["p1"])
    assert kept(database, bolt) == {"bad.example": True}
    assert kept(database, acme) == {"bad.example": True, "b.example": True}
    with database.app(bolt) as tx:
        ((_, acmes),) = [m for m in waiting_of(database) if m[0] == "acme"]
        with pytest.raises(NotFound):
            get_match(bolt, tx, acmes)
        assert not take_match(tx, acmes)


def waiting_of(database: Database) -> list[tuple[str, str]]:
    with database.writer() as tx:
        return waiting_matches(tx, 0)


def test_odd_letters_in_free_texts_stop_no_feed(database: Database, acme: Scope) -> None:
    odd = replace(ONE, labels=("a\x00b", "\ud800"), tlp="\x00", pattern_id="x\x00")
    put(database, acme, odd)
    assert set(kept(database, acme)) == {"bad.example"}
