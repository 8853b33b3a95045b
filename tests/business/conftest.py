"""Lend business tests a house: real PostgreSQL, a log in memory, findings ready to be told."""

from collections.abc import Callable, Iterator

import pytest

from storage.database import Database
from storage.database.rows import insert_findings
from storage.log import Record
from storage.log.memory import MemoryLog
from storage.outcome import finding_message
from storage.schema import Finding
from storage.schema.finding import Level, finding_id
from storage.tenant import Scope

NOON_US = 1_795_000_000_000_000
MINUTE_US = 60_000_000


def a_finding(
    name: str, minute: int = 0, level: Level = "high", entity: str = "pc-7", tenant: str = "acme"
) -> Finding:
    """Give a finding of rule `r1`, so many minutes after noon."""
    return Finding(
        finding_id=finding_id(tenant, "sigma", "1", "r1", name),
        tenant_id=tenant,
        detector="sigma",
        detector_version="1",
        rule_id="r1",
        title="Shadow copies deleted",
        level=level,
        time_us=NOON_US + minute * MINUTE_US,
        entity_type="host",
        entity=entity,
        event_ids=("0196f000-0000-8000-8000-000000000001",),
    )


Tell = Callable[..., None]


@pytest.fixture
def log() -> Iterator[MemoryLog]:
    made = MemoryLog(partitions=2)
    yield made
    made.close()


@pytest.fixture
def tell(database: Database, two_tenants: tuple[Scope, Scope], log: MemoryLog) -> Tell:
    """Give a function that keeps findings in the ledger and tells them on topic `findings`."""

    def told(*findings: Finding) -> None:
        with database.writer() as tx:
            insert_findings(tx, findings)
        for f in findings:
            headers = {"id": f.finding_id, "tenant": f.tenant_id}
            log.append("findings", [Record(f.entity.encode(), finding_message(f), headers)])

    return told
