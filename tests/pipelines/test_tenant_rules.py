"""A tenant's own rules run soon after they were saved, for its own events only, without restart."""

from dataclasses import replace

from pipelines.flow import flow_of, house_of, with_tenant_rules
from pipelines.runners import loop
from storage.database import Database
from storage.lake import Lake
from storage.log.memory import MemoryLog
from storage.rules import CheckedRule, capped_claims, delete_rule, enable_rule, save_rule
from storage.settings import Settings
from storage.tenant import Actor, Role, Scope
from tests.pipelines.windows_events import RULE, messages

ID = "11111111-2222-4333-8444-555555555555"


def _check(_text: str, _others: object) -> CheckedRule:
    return CheckedRule(ID, "Whoami was started")


def _findings(database: Database, scope: Scope) -> int:
    with database.app(scope) as tx:
        (count,) = tx.execute("SELECT count(*) FROM findings").fetchone() or (0,)
    return int(count)


def test_a_running_flow_takes_saved_changed_and_deleted_rules(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    log, (acme, bolt) = MemoryLog(1), two_tenants
    acme = replace(acme, actor=Actor("user", "ann"), roles=frozenset({Role.ANALYST}))
    house, rules = with_tenant_rules(house_of(settings), database)
    flow = flow_of(settings, database, log, Lake(settings.data_dir / "lake"), house=house)

    def read(first: int) -> tuple[int, int]:
        rules.look()
        for tenant in ("acme", "bolt"):
            log.append("raw.events", messages(50 * first, 50, tenant, "one")[-1:])
        loop.run(flow, once=True)
        return _findings(database, acme), _findings(database, bolt)

    assert read(1) == (0, 0)
    with database.app(acme) as tx:
        save_rule(acme, tx, RULE, _check)
    assert read(2) == (1, 0)
    assert rules.look() is False
    with database.app(acme) as tx:
        enable_rule(acme, tx, ID, enabled=False)
    assert read(3) == (1, 0)
    with database.app(acme) as tx:
        enable_rule(acme, tx, ID, enabled=True)
    assert read(4) == (2, 0)
    with database.app(acme) as tx:
        delete_rule(acme, tx, ID)
    assert read(5) == (2, 0)


def test_a_rule_that_cannot_run_any_more_stops_nothing(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    acme = two_tenants[0]
    with database.app(acme) as tx:
        save_rule(acme, tx, "a: [", _check)
    house, rules = with_tenant_rules(house_of(settings), database)
    assert house.tenant_rules is not None
    assert [r.executable for r in rules.sets["acme"].reports] == [False]


def test_a_rule_that_matches_everything_keeps_the_same_first_claims_however_it_is_cut(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    everything = RULE.replace("endswith", "contains").replace("\\\\whoami.exe", "tool")
    for scope in two_tenants:
        own = replace(scope, roles=frozenset({Role.ANALYST}))
        with database.app(own) as tx:
            save_rule(own, tx, everything, _check)
    house, _ = with_tenant_rules(house_of(settings), database)
    log, lake = MemoryLog(1), Lake(settings.data_dir / "lake")
    for tenant, at_once in (("acme", 8192), ("bolt", 170)):  # 20 min: 1,176 of each 1,200 match
        log.append("raw.events", messages(2400, 50, tenant, "one"))
        flow = flow_of(settings, database, log, lake, poll_rows=at_once, house=house)
        loop.run(flow, once=True)
    kept = []
    for scope in two_tenants:
        with database.app(scope) as tx:
            kept.append(tx.execute('SELECT "time", title FROM findings ORDER BY 1').fetchall())
            assert capped_claims(tx) == {ID: 352}
    assert kept[0] == kept[1]
    assert len(kept[0]) == 2000
