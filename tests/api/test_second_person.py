"""Try to be two persons: by a token, by the command line, by a policy, by the ledger itself."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from api.agent_actions import approve, ask
from api.agent_policy import read_document, set_policy
from api.auth import create_token
from api.auth.people import change_user, create_user, list_users
from api.auth.tokens import token_scope
from storage.database import Database
from storage.database.queries import execute
from storage.errors import InvalidInput, NotAllowed
from storage.identity import new_id
from storage.tenant import Actor, Role, Scope, system_scope
from tests.api.conftest import START_US, Clock

NOW = datetime.fromtimestamp(START_US / 1e6, UTC)
AGENT = "0196f000-0000-7000-8000-00000000000a"
ANN = Scope("acme", Actor("user", "ann"), frozenset({Role.ADMIN, Role.ANALYST}))
BEA = Scope("acme", Actor("user", "bea"), frozenset({Role.ANALYST}))
CLI = system_scope("acme", "inopsio agent act")


@pytest.fixture
def ledger(database: Database, two_tenants: tuple[Scope, Scope]) -> Database:
    """Give a database with one agent of acme's."""
    with database.app(two_tenants[0]) as tx:
        told = {"host": "ws-1", "serial": "1", "version": "", "machine": "", "hardware": ""}
        place = {"agent_id": AGENT, "address": "198.51.100.4", "now": NOW, "not_after": NOW}
        execute(tx, "agent_add", **told, **place)
    return database


def by_token(database: Database, maker: Scope) -> Scope:
    text = create_token(database, maker, "soar", [Role.ANALYST], 3600)
    return token_scope(database, text, Clock()())


def by_token_of_a_token(database: Database, maker: Scope) -> Scope:
    text = create_token(database, maker, "maker", [Role.ADMIN], 3600)
    return by_token(database, token_scope(database, text, Clock()()))


def by_token_of_admin(database: Database) -> Scope:
    text = create_token(database, ANN, "maker", [Role.ADMIN], 3600)
    return token_scope(database, text, Clock()())


def asked(database: Database, scope: Scope) -> str:
    made = ask(database, scope, AGENT, "isolate", {}, NOW, note="worm")
    assert made["state"] == "waits"
    return str(made["action_id"])


@pytest.mark.parametrize("through", [by_token, by_token_of_a_token])
def test_who_made_the_token_that_asks_does_not_approve(
    ledger: Database, through: Callable[[Database, Scope], Scope]
) -> None:
    named = asked(ledger, through(ledger, ANN))
    with pytest.raises(NotAllowed, match="another person does"):
        approve(ledger, replace(ANN, actor=Actor("user", "Ann")), named, NOW)
    assert approve(ledger, BEA, named, NOW)["state"] == "ready"


def test_who_ran_the_command_does_not_approve(ledger: Database) -> None:
    named = asked(ledger, replace(CLI, actor=replace(CLI.actor, behind="user:bea")))
    with pytest.raises(NotAllowed, match="another person does"):
        approve(ledger, BEA, named, NOW)


def test_who_could_have_made_a_program_of_nobody_does_not_approve_it(ledger: Database) -> None:
    named = asked(ledger, by_token(ledger, CLI))
    with pytest.raises(NotAllowed, match="who stands behind"):
        approve(ledger, ANN, named, NOW)
    assert approve(ledger, BEA, named, NOW)["state"] == "ready"


@pytest.mark.parametrize("through", [lambda _d: ANN, lambda d: by_token(d, ANN), lambda _d: CLI])
def test_who_lowers_the_guard_does_not_act_alone_that_day(
    ledger: Database, through: Callable[[Database], Scope]
) -> None:
    scope = through(ledger)
    maker = replace(scope, roles=frozenset({Role.ADMIN}))
    set_policy(ledger, maker, read_document({"four_eyes": False}), NOW)
    asked(ledger, ANN)
    later = NOW + timedelta(hours=25)
    assert ask(ledger, ANN, AGENT, "isolate", {}, later, note="worm")["state"] == "ready"


def test_another_persons_policy_lets_one_act_alone(ledger: Database) -> None:
    set_policy(ledger, ANN, read_document({"four_eyes": False}), NOW)
    assert ask(ledger, BEA, AGENT, "isolate", {}, NOW, note="worm")["state"] == "ready"


@pytest.mark.parametrize("by", ["user:ann", "user:ANN", "token:soar"])
def test_the_ledger_itself_takes_no_approval_of_the_asker(ledger: Database, by: str) -> None:
    named = asked(ledger, by_token(ledger, ANN))
    words = {"action_id": named, "by": by, "now": NOW, "expires_at": NOW}
    with pytest.raises(InvalidInput, match="second_person"), ledger.app(BEA) as tx:
        execute(tx, "agent_action_approve", **words)


def _account(ledger: Database, maker: Scope, name: str) -> Scope:
    create_user(ledger, maker, name, None, [Role.ANALYST])
    return replace(BEA, actor=Actor("user", name))


@pytest.mark.parametrize("through", [lambda _d: ANN, by_token_of_admin], ids=["itself", "token"])
def test_an_account_that_the_asker_just_made_is_no_second_person(
    ledger: Database, through: Callable[[Database], Scope]
) -> None:
    sock = _account(ledger, through(ledger), "Straße")
    mine, socks = asked(ledger, ANN), asked(ledger, sock)
    for scope, named in ((sock, mine), (ANN, socks)):
        with pytest.raises(NotAllowed, match="no second person yet"):
            approve(ledger, scope, named, NOW)
    assert approve(ledger, BEA, mine, NOW)["state"] == "ready"


def test_an_account_whose_roles_the_asker_just_changed_is_none_either(ledger: Database) -> None:
    other = replace(ANN, actor=Actor("user", "zoe"))
    sleeper = _account(ledger, other, "sleeper")
    (row,) = [u for u in list_users(ledger, ANN) if u["name"] == "sleeper"]
    assert approve(ledger, sleeper, asked(ledger, ANN), NOW)["state"] == "ready"
    change_user(ledger, ANN, row["user_id"], disabled=False)
    with pytest.raises(NotAllowed, match="no second person yet"):
        approve(ledger, sleeper, asked(ledger, ANN), NOW)


def test_a_day_later_the_account_counts_as_a_person(ledger: Database) -> None:
    create_user(ledger, replace(ANN, actor=Actor("user", "zoe")), "old", None, [Role.ANALYST])
    old = replace(BEA, actor=Actor("user", "old"))
    (row,) = [u for u in list_users(ledger, ANN) if u["name"] == "old"]
    day_us = 25 * 3_600_000_000
    with ledger.app(ANN) as tx:
        words = {"actor": "user:ann", "action": "user.change", "object": row["user_id"]}
        made = {
            "entry_id": new_id(time.time_ns() // 1000 - day_us),
            "result": "done",
            "detail": "{}",
        }
        execute(tx, "audit_write", **words, **made)
    assert approve(ledger, old, asked(ledger, ANN), NOW)["state"] == "ready"
