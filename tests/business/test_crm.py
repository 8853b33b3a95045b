"""Commands of the CRM: once in effect, audited, told as facts that the flow reads typed."""

from collections.abc import Callable
from typing import Any

import pytest

from business import crm
from business._conflict import Conflict, OldVersion
from business._event import Transaction
from business._fact import Acting
from pipelines.decode import parse_run
from storage.database import Database
from storage.database.queries import select
from storage.errors import InopsioError, InvalidInput, NotAllowed, NotFound
from storage.log.memory import MemoryLog
from storage.outbox import relay
from storage.tenant import Actor, Role, Scope

NOON_US = 1_795_000_000_000_000
ANN = Scope("acme", Actor("user", "ann"), frozenset({Role.SALES}))
BOSS = Scope("acme", Actor("user", "boss"), frozenset({Role.OPERATOR}))
BRIDGE = Scope("acme", Actor("token", "bridge"), frozenset({Role.INTEGRATION}))
AUDITOR = Scope("acme", Actor("user", "aud"), frozenset({Role.AUDITOR}))
VIEWER = Scope("acme", Actor("user", "vic"), frozenset({Role.VIEWER}))
BOLT = Scope("bolt", Actor("user", "bob"), frozenset({Role.SALES}))
WHO = Acting("sam.hill", NOON_US, NOON_US, "dev-7", "10.20.4.7", "token:bridge")


@pytest.fixture(autouse=True)
def _tenants(two_tenants: tuple[Scope, Scope]) -> None:
    """Have the tenants acme and bolt."""


def company(tx: Transaction, scope: Scope = ANN, uid: str = "C-1") -> dict[str, Any]:
    return crm.create_company(scope, tx, crm.NewCompany("Bolt & Sons", "Dock 4", uid))


def deal(tx: Transaction, uid: str = "D-1", cents: int = 200_000) -> dict[str, Any]:
    new = crm.NewDeal("C-1", cents, "EUR", contact_mail="kim@bolt.example", deal_uid=uid)
    return crm.open_deal(ANN, tx, new)


def facts(database: Database) -> list[dict[str, Any]]:
    """Give the rows that the events flow makes of what was told."""
    log = MemoryLog(partitions=1)
    relay(database.writer, log)
    rows: list[dict[str, Any]] = []
    told = tuple(log.read("raw.events", 0, 0))
    for batch, rejects in parse_run(told) if told else ():
        assert rejects == []
        rows += batch.frame.to_dicts() if batch else []
    log.close()
    return rows


def trail(database: Database) -> list[object]:
    nothing = dict.fromkeys(("action", "actor", "before", "before_id"))
    with database.app(ANN) as tx:
        return [r["action"] for r in reversed(select(tx, "audit_page", **nothing, limit=100))]


def test_what_sales_do_is_kept_and_told_with_who_did_it(database: Database) -> None:
    with database.app(BRIDGE) as tx:
        crm.create_company(BRIDGE, tx, crm.NewCompany("Bolt", "Dock 4", "C-1"), WHO)
        new = crm.NewContact("C-1", "Kim Po", "kim@bolt.example", "K-1")
        crm.create_contact(BRIDGE, tx, new, WHO)
        crm.open_deal(BRIDGE, tx, crm.NewDeal("C-1", 90_000, "EUR", deal_uid="D-1"), WHO)
        crm.move_deal(BRIDGE, tx, "D-1", "proposal", None, WHO)
        crm.give_discount(BRIDGE, tx, "D-1", 42.5, None, "spring", "eve.boss", WHO)
        crm.export_records(BRIDGE, tx, crm.NewExport("contacts", "annual", "X-1", 4200), WHO)
    rows = facts(database)
    assert [(r["class_uid"], r["activity_id"]) for r in rows] == [
        (999011, 1),
        (999012, 1),
        (999013, 1),
        (999013, 5),
        (999013, 6),
        (999014, 1),
    ]
    who = {(r["actor.user.name"], r["device.uid"], r["src_endpoint.ip"]) for r in rows}
    assert who == {("sam.hill", "dev-7", "10.20.4.7")}
    given, export = rows[4], rows[5]
    assert (given["discount_percent"], given["customer.uid"], given["amount_cents"]) == (
        42.5,
        "C-1",
        90_000,
    )
    assert (export["record_count"], export["document.type"]) == (4200, "contacts")
    assert trail(database)[-2:] == ["deal.discount", "records.export"]


def test_the_same_requests_again_change_nothing(database: Database) -> None:
    def day(tx: Transaction) -> list[dict[str, Any]]:
        by = Acting("sam.hill", NOON_US, NOON_US, through="token:bridge")
        return [
            company(tx),
            crm.create_contact(ANN, tx, crm.NewContact("C-1", "Kim", "k@b.example", "K-1")),
            deal(tx),
            crm.move_deal(BRIDGE, tx, "D-1", "proposal", None, by),
            crm.give_discount(ANN, tx, "D-1", 5, 2),
            crm.export_records(ANN, tx, crm.NewExport(export_uid="X-1")),
        ]

    with database.app(ANN) as tx:
        day(tx)
    told, audited = len(facts(database)), trail(database)
    with database.app(ANN) as tx:
        again = day(tx)
    assert (again[4]["stage"], again[4]["discount_percent"], again[4]["version"]) == (
        "proposal",
        5.0,
        3,
    )
    assert (told, facts(database), trail(database)) == (6, [], audited)


def test_an_id_taken_by_another_content_is_a_conflict(database: Database) -> None:
    with database.app(ANN) as tx:
        company(tx)
        deal(tx)
    with pytest.raises(Conflict), database.app(ANN) as tx:
        crm.create_company(ANN, tx, crm.NewCompany("Other", customer_uid="C-1"))
    with pytest.raises(Conflict), database.app(ANN) as tx:
        deal(tx, cents=1)


def test_a_change_on_an_old_version_is_refused_and_leaves_nothing(database: Database) -> None:
    with database.app(ANN) as tx:
        company(tx)
        deal(tx)
        crm.move_deal(ANN, tx, "D-1", "proposal", 1)
    before = len(facts(database))
    for _ in range(2):
        with pytest.raises(OldVersion), database.app(ANN) as tx:
            crm.give_discount(ANN, tx, "D-1", 10, 1)
    with database.app(ANN) as tx:
        assert crm.get_deal(ANN, tx, "D-1")["discount_percent"] == 0
    assert (before, facts(database)) == (3, [])


def test_a_deal_that_is_won_stays_as_it_is(database: Database) -> None:
    with database.app(ANN) as tx:
        company(tx)
        deal(tx)
        crm.move_deal(ANN, tx, "D-1", "won", 1)
    with pytest.raises(Conflict), database.app(ANN) as tx:
        crm.give_discount(ANN, tx, "D-1", 10, 2)


def test_another_tenant_sees_and_touches_none_of_it(database: Database) -> None:
    with database.app(ANN) as tx:
        company(tx)
        deal(tx)
    with database.app(BOLT) as tx:
        assert crm.list_companies(BOLT, tx) == []
        assert crm.exposure(BOLT, tx, [("customer", "C-1"), ("document", "D-1")]) == []
        with pytest.raises(NotFound):
            crm.get_company(BOLT, tx, "C-1")
        with pytest.raises(NotFound):
            crm.move_deal(BOLT, tx, "D-1", "lost", 1)
        with pytest.raises(NotFound):
            crm.open_deal(BOLT, tx, crm.NewDeal("C-1", 5, "EUR"))


def test_exposure_is_the_open_deals_of_those_named_after_their_discount(
    database: Database,
) -> None:
    with database.app(ANN) as tx:
        company(tx)
        for uid, cents in (("D-1", 200_000), ("D-2", 300_000), ("D-3", 900_000)):
            deal(tx, uid, cents)
        crm.give_discount(ANN, tx, "D-1", 12.5, 1)
        crm.move_deal(ANN, tx, "D-3", "lost", 1)
        named = [("customer", "C-1"), ("document", "D-1"), ("host", "C-1")]
        found = crm.exposure(ANN, tx, named)
    assert [(e.uid, e.title, e.amount_cents) for e in found] == [
        ("D-2", "Bolt & Sons", 300_000),
        ("D-1", "Bolt & Sons", 175_000),
    ]


def test_an_export_counts_what_is_there(database: Database) -> None:
    with database.app(ANN) as tx:
        company(tx)
        for n in range(3):
            crm.create_contact(ANN, tx, crm.NewContact("C-1", f"Kim {n}"))
        assert crm.export_contacts(ANN, tx, "mailing") == 3
    assert facts(database)[-1]["record_count"] == 3


Wrong = Callable[[Transaction], object]
WRONG: list[tuple[type[InopsioError], Wrong]] = [
    (NotAllowed, lambda tx: crm.export_records(ANN, tx, crm.NewExport(record_count=9))),
    (NotAllowed, lambda tx: crm.export_records(BOSS, tx, crm.NewExport(record_count=9))),
    (NotAllowed, lambda tx: crm.create_company(AUDITOR, tx, crm.NewCompany("x"))),
    (NotAllowed, lambda tx: crm.exposure(VIEWER, tx, [("customer", "C-1")])),
    (InvalidInput, lambda tx: crm.export_records(BRIDGE, tx, crm.NewExport("ledger"))),
    (InvalidInput, lambda tx: crm.create_company(ANN, tx, crm.NewCompany("a\x00b"))),
    (InvalidInput, lambda tx: crm.create_company(ANN, tx, crm.NewCompany("x", "", "../1"))),
    (InvalidInput, lambda tx: crm.create_contact(ANN, tx, crm.NewContact("C-1", "K", "no mail"))),
    (InvalidInput, lambda tx: crm.open_deal(ANN, tx, crm.NewDeal("C-1", 0, "EUR"))),
    (InvalidInput, lambda tx: crm.open_deal(ANN, tx, crm.NewDeal("C-1", 5, "euro"))),
    (InvalidInput, lambda tx: crm.give_discount(ANN, tx, "D-1", float("nan"), 1)),
    (InvalidInput, lambda tx: crm.give_discount(ANN, tx, "D-1", 100.5, 1)),
    (InvalidInput, lambda tx: crm.give_discount(ANN, tx, "D-1", 5, 1, "", "ann@acme.example")),
    (InvalidInput, lambda tx: crm.move_deal(ANN, tx, "D-1", "sold", 1)),
    (NotFound, lambda tx: crm.open_deal(ANN, tx, crm.NewDeal("C-404", 5, "EUR"))),
]


@pytest.mark.parametrize(("error", "command"), WRONG)
def test_what_is_wrong_is_refused(
    database: Database, error: type[InopsioError], command: Wrong
) -> None:
    with database.app(ANN) as tx:
        company(tx)
        deal(tx)
    with pytest.raises(error), database.app(ANN) as tx:
        command(tx)
    assert len(facts(database)) == 2
