"""What a house holds once it has settled, in a form that two houses can be compared by.

Read past row-level security, as the server's superuser: what is doubled or of a wrong tenant must
show. Moments at which the house did something are left out; all else must be the same.
"""

import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import polars as pl
import psycopg

from deploy.running import settings_for
from pipelines import signals
from pipelines.dead_letter import RAW_TOPIC
from pipelines.flow import FLOW
from storage.log import EventLog
from storage.log.open import open_log
from tests.faults.house import House, as_environment, until

_SETTLE_S: Final = 240.0
_SHOWN: Final = 1000
_CONSUMED: Final = {"business.incidents": ("findings", "signals"), "business.erp": ("findings",)}
_QUERIES: Final = {
    "events": "SELECT tenant_id, source, position, event_id, time, class_uid, hostname, cmd_line"
    " FROM events",
    "findings": "SELECT tenant_id, finding_id, rule_id, title, level, entity_type, entity,"
    " event_count, time FROM findings",
    "evidence": "SELECT tenant_id, finding_id, unnest(event_ids) FROM findings",
    "windows": "SELECT tenant_id, entity_type, entity, class_uid, window_start, window_s,"
    " sum(events) FROM window_counts GROUP BY 1, 2, 3, 4, 5, 6",
    "sources": "SELECT tenant_id, source, next_position, events, rejected FROM sources",
    "incidents": "SELECT i.tenant_id, i.level, i.status, i.finding_count, i.signal_count,"
    " (SELECT array_agg(f.finding_id ORDER BY f.finding_id) FROM incident_findings f"
    "  WHERE (f.tenant_id, f.incident_id) = (i.tenant_id, i.incident_id))"
    " FROM incidents i WHERE i.merged_into IS NULL",
    "vendors": "SELECT tenant_id, vendor_id, name, bank_account, version FROM erp_vendors",
    "invoices": "SELECT tenant_id, invoice_id, vendor_id, amount_cents, currency, status,"
    " created_by, version FROM erp_invoices",
    "audit": "SELECT tenant_id, actor, action, object, result FROM audit_entries"
    " WHERE result = 'done' AND action NOT LIKE 'token.%%'",
    "lake_manifest": "SELECT tenant_id, sum(events) FROM lake_files"
    " WHERE replaced_by IS NULL GROUP BY tenant_id",
}
_FILES: Final = "SELECT path FROM lake_files WHERE replaced_by IS NULL"

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Left:
    """Name of a table -> its rows, each with how often it is there."""

    tables: Mapping[str, Counter[Row]]

    def differences(self, expected: "Left", most: int = 3) -> dict[str, str]:
        """Say by table what is lost and what is too much; empty where all is the same."""
        found = {}
        for name, wanted in expected.tables.items():
            lost, more = wanted - self.tables[name], self.tables[name] - wanted
            if lost or more:
                found[name] = (
                    f"{lost.total()} lost {str(list(lost)[:most])[:_SHOWN]}, "
                    f"{more.total()} too much {str(list(more)[:most])[:_SHOWN]}"
                )
        return found

    def doubled(self) -> dict[str, int]:
        """Give by table how many rows are there twice or more."""
        counts = {name: sum(n - 1 for n in rows.values()) for name, rows in self.tables.items()}
        return {name: n for name, n in counts.items() if n and name not in {"audit", "lake"}}

    def lost(self, expected: "Left") -> int:
        """Count the rows of the tables that are missing."""
        return sum((rows - self.tables[n]).total() for n, rows in expected.tables.items())

    def sizes(self) -> dict[str, int]:
        """Give the rows of each table."""
        return {name: rows.total() for name, rows in self.tables.items()}


@contextmanager
def _log_of(house: House) -> Iterator[EventLog]:
    with as_environment(house.environment):
        settings = settings_for(house.data)
    log = open_log(settings)
    try:
        yield log
    finally:
        log.close()


def settle(house: House, wait_s: float = _SETTLE_S) -> float:
    """Wait until everything that was sent has gone everywhere; give the seconds."""
    house.until_ready()
    with _log_of(house) as log:
        try:
            return until(lambda: _is_settled(house, log), wait_s, "the house does not settle")
        except AssertionError as error:
            raise AssertionError(f"{error}: {unsettled(house, log)}") from None


def _is_settled(house: House, log: EventLog) -> bool:
    """Look twice: what moves on between the places of one look is behind in none of them."""
    looks = [(unsettled(house, log), _ends(log)) for _ in range(2)]
    return looks[0] == looks[1] and not looks[0][0]


def _ends(log: EventLog) -> dict[str, int]:
    return {t: sum(log.end(t, p) for p in range(n)) for t, n in log.topics().items()}


def unsettled(house: House, log: EventLog) -> dict[str, int]:
    """Give what is on its way, by where: messages behind a reader, rows in the outbox."""
    behind: dict[str, int] = {}
    with psycopg.connect(house.database.admin(), autocommit=True) as tx:
        tx.execute("SET search_path TO inopsio, public")
        told = tx.execute("SELECT count(*) FROM outbox").fetchone()
        behind["outbox"] = told[0] if told else 0
        rows = tx.execute("SELECT flow, partition, next_offset FROM flow_offsets").fetchall()
    read = {(flow, partition): offset for flow, partition, offset in rows}
    topics = log.topics()
    for flow, topic in ((FLOW, RAW_TOPIC), (signals.FLOW, signals.TOPIC)):
        for p in range(topics.get(topic, 0)):
            behind[f"{flow}/{topic}"] = (
                behind.get(f"{flow}/{topic}", 0) + log.end(topic, p) - read.get((flow, p), 0)
            )
    for group, heard in _CONSUMED.items():
        for topic in heard:
            for p in range(topics.get(topic, 0)):
                here = log.end(topic, p) - log.committed(group, topic, p)
                behind[f"{group}/{topic}"] = behind.get(f"{group}/{topic}", 0) + here
    return {place: n for place, n in behind.items() if n > 0}


def left(house: House) -> Left:
    """Read everything."""
    tables: dict[str, Counter[Row]] = {}
    with psycopg.connect(house.database.admin(), autocommit=True) as tx:
        tx.execute("SET search_path TO inopsio, public")
        for name, query in _QUERIES.items():
            tables[name] = Counter(_plain(row) for row in tx.execute(query.encode()))
        files = [str(path) for (path,) in tx.execute(_FILES)]
        states = tx.execute("SELECT flow, detector, state FROM flow_state").fetchall()
    tables["lake"] = Counter(_lake_rows(house, files))
    tables["state"] = Counter(_state_rows(states))
    return Left(tables)


def _plain(row: Row) -> Row:
    return tuple(tuple(v) if isinstance(v, list) else v for v in row)


def _lake_rows(house: House, files: list[str]) -> Iterator[Row]:
    wanted = ["tenant_id", "event_id"]
    for file in files:
        frame = pl.read_parquet(house.data / "lake" / file, columns=wanted)
        yield from frame.rows()


def _state_rows(states: list[Row]) -> Iterator[Row]:
    """Give each entity's state as text, numbers rounded: sums depend on the order of adding."""
    for flow, detector, blob in states:
        if "/" not in detector:
            continue
        frame = pl.read_ipc(io.BytesIO(bytes(blob)))
        for row in frame.iter_rows(named=True):
            told = json.dumps({k: _rounded(v) for k, v in row.items()}, default=str, sort_keys=True)
            yield flow, detector, told


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return value
