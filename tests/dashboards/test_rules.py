"""A rule says when it claims more than is kept."""

from dataclasses import replace

from dashboards.pages.rules import state
from dashboards.read import rules as read
from storage.database import Database
from storage.database.bounds import MOST_CLAIMS
from storage.database.rows import insert_findings
from storage.settings import Settings
from storage.tenant import Scope
from tests.business.conftest import a_finding


def test_a_rule_that_was_capped_is_told_as_such_to_its_own_tenant_only(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    with database.writer() as tx:
        insert_findings(tx, [a_finding(f"{n}") for n in range(MOST_CLAIMS + 3)])
        insert_findings(tx, [a_finding("b", tenant="bolt")])
    mine, theirs = (read.one(database, settings, scope, "r1") for scope in two_tenants)
    assert mine is not None
    assert theirs is not None
    assert (mine.figures.capped, state(mine)["words"]) == (3, "Capped")
    assert state(theirs)["words"] == "Runs"
    resting = replace(mine, rule=replace(mine.rule, enabled=False))
    assert state(resting)["words"] == "Rests"
