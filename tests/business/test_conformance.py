"""What holds for every business module found: the same events twice give the same ledger."""

from types import ModuleType

import pytest

from business import CONTRACT, consume_once
from storage.database import Database
from storage.log.memory import MemoryLog
from storage.plugins import discover
from tests.business.conftest import Tell, a_finding

MODULES = discover("business", CONTRACT)
TABLES = (
    *("incidents", "incident_findings", "incident_notes", "outbox"),
    *("incident_claims", "incident_entities", "incident_parts"),
)


def ledger(database: Database) -> list[list[str]]:
    with database.owner() as tx:
        tx.execute("SELECT set_config('inopsio.tenant', 'acme', true)")
        return [
            sorted(str(r[0]) for r in tx.execute(f"SELECT t::text FROM {table} AS t".encode()))
            for table in TABLES
        ]


@pytest.mark.parametrize("name", sorted(MODULES))
def test_the_same_events_twice_give_the_same_ledger(
    name: str, database: Database, log: MemoryLog, tell: Tell
) -> None:
    module: ModuleType = MODULES[name]
    findings = [a_finding("a"), a_finding("b", 5), a_finding("c", 200), a_finding("d", 3, "low")]
    tell(*findings)
    consume_once(database, log, name, module, "m1")
    before = ledger(database)
    for f in reversed(findings):
        tell(f)
    with database.owner() as tx:
        tx.execute("TRUNCATE inbox")
    consume_once(database, log, name, module, "m1")
    assert ledger(database) == before
    assert not [m for p in range(2) for m in log.read("dead-letter", p, 0)]
