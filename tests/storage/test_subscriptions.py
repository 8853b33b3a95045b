"""Subscriptions: kept sealed, taken once, fenced, backed off; nobody else's."""

import json
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from storage.database import Database
from storage.errors import InvalidInput, NotAllowed, NotFound, Unavailable
from storage.sealing import Seal
from storage.settings import Secret, Settings
from storage.subscriptions import (
    MOST,
    NewSubscription,
    Poll,
    add_subscription,
    change_secret,
    drop_subscription,
    end_poll,
    fail_poll,
    left_poll,
    list_subscriptions,
    pause_subscription,
    poll_goes_on,
    poll_now,
    poll_of,
    take_poll,
    waiting_subscriptions,
)
from storage.tenant import Actor, Role, Scope

CANARY = "ann:s3cr3t-canary"
NEW = NewSubscription("list", "csv", "https://feeds.example/list.csv")
URL = "https://feeds.example/list.csv?key=s3cr3t-canary"
SEALED = replace(NEW, url=URL, auth="basic", secret=Secret(CANARY))
VIEWER = Scope("acme", Actor("user", "vic"), frozenset({Role.VIEWER}))


@pytest.fixture
def acme(two_tenants: tuple[Scope, Scope]) -> Scope:
    return two_tenants[0]


@pytest.fixture
def seal(settings: Settings) -> Seal:
    return Seal.of(settings)


def add(database: Database, scope: Scope, seal: Seal, new: NewSubscription = NEW) -> str:
    with database.app(scope) as tx:
        return add_subscription(scope, tx, seal, new)


def taken(database: Database, scope: Scope, seal: Seal, which: str) -> Poll:
    with database.app(scope) as tx:
        poll_id = take_poll(tx, which)
    assert poll_id
    with database.app(scope) as tx:
        return poll_of(scope, tx, seal, which, poll_id)


def row(database: Database, scope: Scope) -> dict[str, object]:
    with database.app(scope) as tx:
        return list_subscriptions(scope, tx)[0]


def waiting(database: Database) -> list[tuple[str, str]]:
    with database.writer() as tx:
        return waiting_subscriptions(tx)


def sooner(database: Database, seconds: int) -> None:
    """Let time pass: everything that stands in a subscription's row is that much older."""
    with psycopg.connect(database._logins.owner) as connection:
        connection.execute(
            "UPDATE inopsio.subscriptions SET due_at = due_at - make_interval(secs => %(s)s),"
            " beat_at = beat_at - make_interval(secs => %(s)s)",
            {"s": seconds},
        )


def test_a_secret_is_kept_sealed_and_shown_nowhere(
    database: Database, acme: Scope, seal: Seal
) -> None:
    which = add(database, acme, seal, SEALED)
    poll = taken(database, acme, seal, which)
    assert (poll.secret.reveal(), poll.url) == (CANARY, URL)
    with psycopg.connect(database._logins.owner) as connection:
        kept = str(connection.execute("SELECT secret FROM inopsio.subscriptions").fetchall())
        trail = str(connection.execute("SELECT * FROM inopsio.audit_entries").fetchall())
    assert "list.csv?***" in trail
    assert "canary" not in kept + trail + json.dumps(row(database, acme), default=str)
    assert row(database, acme)["has_secret"] is True
    assert "canary" not in repr(SEALED)


def test_another_row_s_secret_does_not_open(database: Database, acme: Scope, seal: Seal) -> None:
    first = add(database, acme, seal, SEALED)
    add(database, acme, seal, replace(SEALED, feed="b", secret=Secret("bob:pw")))
    with psycopg.connect(database._logins.owner) as connection:
        connection.execute(
            "UPDATE inopsio.subscriptions SET secret = (SELECT secret FROM inopsio.subscriptions"
            " WHERE feed = 'b') WHERE feed = 'list'"
        )
    with pytest.raises(Unavailable, match="give the secret anew"):
        taken(database, acme, seal, first)
    with database.app(acme) as tx:
        change_secret(acme, tx, seal, "list", "bearer", Secret("new"))
    assert taken(database, acme, seal, first).secret.reveal() == "new"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"feed": " "}, "feed's name"),
        ({"kind": "rss"}, "is one of"),
        ({"url": "file:///etc/passwd"}, "not of the web"),
        ({"url": "https://ann:pw@feeds.example/"}, "as the secret"),
        ({"url": "https://feeds.example/\r\nX: y"}, "plain characters"),
        ({"every_minutes": 4}, "every 5 to"),
        ({"every_minutes": 10_081}, "every 5 to"),
        ({"collection": "a\nb"}, "collection"),
        ({"auth": "digest", "secret": Secret("x")}, "sent as one of"),
        ({"auth": "bearer"}, "both"),
        ({"secret": Secret("x")}, "both"),
        ({"auth": "bearer", "secret": Secret("a\r\nX: y")}, "printable"),
        ({"auth": "key", "secret": Secret("\u00fc")}, "ASCII"),
        ({"auth": "basic", "secret": Secret("word")}, "name:password"),
    ],
)
def test_what_could_never_be_polled_is_refused(
    database: Database, acme: Scope, seal: Seal, change: dict[str, Any], why: str
) -> None:
    with pytest.raises(InvalidInput, match=why):
        add(database, acme, seal, replace(NEW, **change))


def test_a_name_is_taken_once_and_a_tenant_has_so_many(
    database: Database, acme: Scope, seal: Seal
) -> None:
    for n in range(MOST):
        add(database, acme, seal, replace(NEW, feed=f"f{n}"))
    with pytest.raises(InvalidInput, match="already"):
        add(database, acme, seal, replace(NEW, feed=" f1 "))
    with pytest.raises(InvalidInput, match="at most"):
        add(database, acme, seal)


def test_another_tenant_sees_and_changes_nothing(
    database: Database, two_tenants: tuple[Scope, Scope], seal: Seal
) -> None:
    acme, bolt = two_tenants
    which = add(database, acme, seal)
    with database.app(bolt) as tx:
        assert list_subscriptions(bolt, tx) == []
        assert take_poll(tx, which) == ""
        for act in (poll_now, drop_subscription):
            with pytest.raises(NotFound):
                act(bolt, tx, "list")
        with pytest.raises(NotFound):
            pause_subscription(bolt, tx, "list", paused=True)
        with pytest.raises(NotFound):
            change_secret(bolt, tx, seal, "list", "bearer", Secret("x"))
    with database.app(VIEWER) as tx, pytest.raises(NotAllowed):
        poll_now(VIEWER, tx, "list")


def test_what_is_due_is_taken_by_one(database: Database, acme: Scope, seal: Seal) -> None:
    which = add(database, acme, seal)
    assert waiting(database) == [("acme", which)]
    poll = taken(database, acme, seal, which)
    assert waiting(database) == []
    with database.app(acme) as tx:
        assert take_poll(tx, which) == ""
        poll_goes_on(tx, poll, {"after": "x"})
        end_poll(tx, poll, {"indicators": 3}, has_more=False)
    sooner(database, 3590)
    assert waiting(database) == []
    sooner(database, 20)
    assert taken(database, acme, seal, which).cursor == {"after": "x"}


def test_with_more_to_come_it_goes_on_in_a_minute(
    database: Database, acme: Scope, seal: Seal
) -> None:
    which = add(database, acme, seal)
    poll = taken(database, acme, seal, which)
    with database.app(acme) as tx:
        end_poll(tx, poll, {}, has_more=True)
    sooner(database, 61)
    assert waiting(database) == [("acme", which)]


def test_a_killed_poll_is_taken_again_and_the_first_one_keeps_nothing_more(
    database: Database, acme: Scope, seal: Seal
) -> None:
    which = add(database, acme, seal)
    dead = taken(database, acme, seal, which)
    sooner(database, 59)
    assert waiting(database) == []
    sooner(database, 300)
    alive = taken(database, acme, seal, which)
    with database.app(acme) as tx:
        with pytest.raises(NotFound):
            poll_goes_on(tx, dead, {"after": "old"})
        end_poll(tx, dead, {}, has_more=False)
        poll_goes_on(tx, alive, {"after": "new"})
    assert row(database, acme)["is_polling"] is True


@pytest.mark.parametrize("act", ["pause", "drop", "secret"])
def test_paused_dropped_or_changed_a_poll_keeps_nothing_more(
    database: Database, acme: Scope, seal: Seal, act: str
) -> None:
    which = add(database, acme, seal)
    poll = taken(database, acme, seal, which)
    with database.app(acme) as tx:
        if act == "pause":
            pause_subscription(acme, tx, "list", paused=True)
        elif act == "drop":
            drop_subscription(acme, tx, "list")
        else:
            change_secret(acme, tx, seal, "list", "bearer", Secret("x"))
        with pytest.raises(NotFound):
            poll_goes_on(tx, poll, {})
    assert waiting(database) == ([("acme", which)] if act == "secret" else [])


def test_it_backs_off_to_a_day_and_a_good_poll_ends_that(
    database: Database, acme: Scope, seal: Seal
) -> None:
    which = add(database, acme, seal)
    waits = []
    for _ in range(10):
        poll = taken(database, acme, seal, which)
        with database.app(acme) as tx:
            fail_poll(tx, which, poll.poll_id, "down: try later")
            due = tx.execute("SELECT extract(epoch FROM due_at - now()) FROM subscriptions")
            waits.append(round(float((due.fetchone() or (0,))[0]) / 60))
        sooner(database, 86_401)
    assert waits == [5, 10, 20, 40, 80, 160, 320, 640, 1280, 1440]
    assert row(database, acme)["last_error"] == "down: try later"
    poll = taken(database, acme, seal, which)
    with database.app(acme) as tx:
        end_poll(tx, poll, {}, has_more=False)
    assert (row(database, acme)["failures"], row(database, acme)["last_error"]) == (0, "")


def test_poll_now_and_a_process_that_ended_without_a_word(
    database: Database, acme: Scope, seal: Seal
) -> None:
    which = add(database, acme, seal)
    taken(database, acme, seal, which)
    with database.app(acme) as tx:
        left_poll(tx, which, "ended")
    assert (row(database, acme)["last_error"], waiting(database)) == ("ended", [])
    with database.app(acme) as tx:
        poll_now(acme, tx, "list")
    assert waiting(database) == [("acme", which)]
    with database.app(acme) as tx:
        pause_subscription(acme, tx, "list", paused=True)
        with pytest.raises(InvalidInput, match="paused"):
            poll_now(acme, tx, "list")


def test_one_of_a_tenant_waits_at_a_time_and_the_longest_due_first(
    database: Database, two_tenants: tuple[Scope, Scope], seal: Seal
) -> None:
    acme, bolt = two_tenants
    first = add(database, acme, seal)
    add(database, acme, seal, replace(NEW, feed="b"))
    other = add(database, bolt, seal)
    assert waiting(database) == [("acme", first), ("bolt", other)]


def test_the_writer_sees_neither_address_nor_secret(database: Database) -> None:
    for column in ("url", "secret", "cursor", "feed"):
        with database.writer() as tx, pytest.raises(psycopg.errors.InsufficientPrivilege):
            tx.execute(f"SELECT {column} FROM subscriptions".encode())
