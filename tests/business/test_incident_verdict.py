"""See that a verdict travels to the detectors as a fact, once, with the claims it judges."""

import threading

import polars as pl

from business import consume
from business.incidents import Change, change, set_verdict
from pipelines.decode import parse_run
from storage.database import Database
from storage.database.queries import select
from storage.log.memory import MemoryLog
from storage.outbox import relay
from storage.tenant import Actor, Role, Scope
from tests.business.conftest import Tell, a_finding

ACME = Scope("acme", Actor("user", "ann"), frozenset({Role.ANALYST}))


def facts(database: Database, log: MemoryLog) -> pl.DataFrame:
    """Give the facts of incidents as the flow reads them."""
    while relay(database.writer, log):
        pass
    told = [m for p in range(2) for m in log.read("raw.events", p, 0)]
    frames = [batch.frame for m in told for batch, _ in parse_run((m,))]
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame()


def test_a_verdict_is_told_with_the_claims_that_it_judges(
    database: Database, tell: Tell, log: MemoryLog
) -> None:
    first, second = a_finding("a"), a_finding("b", 5)
    tell(first, second)
    consume(database, log, threading.Event(), once=True)
    with database.app(ACME) as tx:
        listed = select(tx, "incidents_page", **_filter(), limit=10)
        incident, version = listed[0]["incident_id"], int(str(listed[0]["version"]))
        assert facts(database, log).is_empty()
    with database.app(ACME) as tx:
        after = set_verdict(ACME, tx, str(incident), "benign", version)
        after = change(ACME, tx, str(incident), Change(status="closed"), after["version"])
        set_verdict(ACME, tx, str(incident), "benign", after["version"])
    (row,) = facts(database, log).iter_rows(named=True)
    assert (row["class_uid"], row["activity_id"], row["document.status"]) == (999021, 5, "benign")
    assert row["tenant_id"] == "acme"
    assert set(row["unmapped.findings"].split("\n")) == {first.finding_id, second.finding_id}
    with database.app(ACME) as tx:
        version = int(str(select(tx, "incidents_page", **_filter(), limit=10)[0]["version"]))
        change(ACME, tx, str(incident), Change(verdict=""), version)
    assert facts(database, log).height == 1


def _filter() -> dict[str, None]:
    return dict.fromkeys(
        ("status", "level", "assignee", "entity", "rule_id", "before", "before_id")
    )
