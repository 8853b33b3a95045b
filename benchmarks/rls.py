"""Measure what row-level security costs: the console's dearest queries against an explicit filter.

    .venv/bin/python -m benchmarks.rls [--events 200000] [--findings 30000] [--rounds 15]

Four tenants of that size each. The console's reads of one of them (queue, Home, Live, an entity,
quality, hosts) are run and their queries noted; the five that take longest are then run in turn as
the app role in its scope, and as a superuser over views that filter by the tenant's name, with the
same text and the same rows. On the server of INOPSIO_DATABASE_URL, else on the embedded one.
Goal: each <= 1.4 times the explicit filter.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import Connection, Cursor, sql
from psycopg.rows import TupleRow

from benchmarks.sink import database_on
from dashboards.read import agents, entity, findings, home, live, quality
from dashboards.read.filters import FindingFilter
from dashboards.read.names import Key
from storage.database import Database
from storage.database.dialect import ensure_days
from storage.database.rollups import fold
from storage.settings import Settings
from storage.tenant import Scope, system_scope

GOAL: Final = 1.4
TENANTS: Final = ("main", "north", "south", "west")
DEAREST: Final = 5
Asked = tuple[bytes, dict[str, Any]]

_EVENTS: Final = """
INSERT INTO events (tenant_id, event_id, "time", class_uid, activity_id, log_format, product,
    source, "position", hostname, actor_user, process_path, src_ip, dst_ip, message)
SELECT %(tenant)s, gen_random_uuid(), now() - n * interval '10 days' / %(count)s,
    (ARRAY[1007, 4001, 4003, 3002])[1 + n %% 4], 1, 'made', 'windows', 'made', n,
    'WS-' || n %% 300, 'user' || n %% 300, 'C:\\tool' || n %% 50 || '.exe',
    '10.0.' || n %% 200 || '.' || n %% 250, '10.1.0.' || n %% 250, 'event'
FROM generate_series(1, %(count)s) AS n
"""
_FINDINGS: Final = """
INSERT INTO findings (tenant_id, finding_id, "time", detector, detector_version, rule_id, title,
    level, entity_type, entity, event_ids, event_count, reasons, attack, kind, created_at)
SELECT %(tenant)s, gen_random_uuid(), now() - n * interval '30 days' / %(count)s, 'sigma', '1',
    'rule-' || n %% 40, 'A claim of rule ' || n %% 40,
    (ARRAY['critical', 'high', 'medium', 'low', 'informational'])[1 + n %% 5], 'host',
    'WS-' || n %% 300, ARRAY[gen_random_uuid()], 1 + n %% 9, '[]', ARRAY['T1059.001'],
    CASE WHEN n %% 10 = 0 THEN 'signal' ELSE 'finding' END,
    now() - n * interval '30 days' / %(count)s
FROM generate_series(1, %(count)s) AS n
"""
_COUNTS: Final = """
INSERT INTO entity_deltas (tenant_id, entity_type, entity, class_uid, minute, events)
SELECT %(tenant)s, (ARRAY['host', 'user'])[1 + n %% 2], 'ws-' || n %% 300, 1007,
    date_bin('1 min', now() - n * interval '30 days' / %(count)s, 'epoch'), 4
FROM generate_series(1, %(count)s) AS n
"""
_FILTERED: Final = """
SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'inopsio'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    AND a.attname = 'tenant_id' AND NOT a.attisdropped
"""
"""Queries of the benchmark, none of the product: they stay here."""


def fill(database: Database, events: int, claims: int) -> None:
    """Give each tenant that many events, claims and counts."""
    today = int(time.time() // 86_400)
    ensure_days(database, list(range(today - 11, today + 1)))
    for tenant in TENANTS:
        database.create_tenant(tenant)
        with database.writer() as tx:
            tx.execute(_EVENTS, {"tenant": tenant, "count": events})
            tx.execute(_FINDINGS, {"tenant": tenant, "count": claims})
            tx.execute(_COUNTS, {"tenant": tenant, "count": events // 2})
        fold(database)
    with psycopg.connect(database.owner_login(), autocommit=True) as admin:
        admin.execute("SET client_min_messages = error")
        admin.execute("ANALYZE")


def reads(database: Database, scope: Scope) -> list[Callable[[], object]]:
    """Give what the console's pages read."""
    now = datetime.now(UTC)
    wanted = (
        FindingFilter(),
        FindingFilter(shape="flat", kind="all"),
        FindingFilter(q="rule-7"),
        FindingFilter(entity="WS-7"),
        FindingFilter(sort="level"),
    )
    host = entity.entity(database, scope, Key("host", "ws-7"), now)
    return [
        *(lambda w=w: findings.queue(database, scope, w) for w in wanted),
        lambda: findings.rules(database, scope, "finding"),
        lambda: home.home(database, scope, now),
        lambda: live.live(database, scope, "10m", now),
        lambda: entity.entity(database, scope, host.key, now),
        lambda: quality.qualities(database, scope, now),
        lambda: agents.watched(database, scope),
        lambda: _hot(database, scope, host),
    ]


def _hot(database: Database, scope: Scope, found: entity.Entity) -> object:
    with database.app(scope) as tx:
        return entity._latest(tx, found.key, found.until.replace(hour=0), found.until)


@contextmanager
def noted(database: Database, scope: Scope) -> Iterator[dict[bytes, tuple[float, dict[str, Any]]]]:
    """Note each query of the app role's connection, its parameters and its longest time."""
    seen: dict[bytes, tuple[float, dict[str, Any]]] = {}

    class Noting(Cursor[TupleRow]):
        def execute(self, query: Any, params: Any = None, **more: Any) -> Any:  # noqa: ANN401  as psycopg has it
            began = time.perf_counter()
            done = super().execute(query, params, **more)
            took = time.perf_counter() - began
            if isinstance(params, dict) and took > seen.get(query, (0.0, {}))[0]:
                seen[query] = (took, params)
            return done

    with database.app(scope) as tx:
        connection = tx
    connection.cursor_factory = Noting
    yield seen
    connection.cursor_factory = Cursor


def dearest(database: Database, scope: Scope) -> list[Asked]:
    """Run the reads twice and give the queries that took longest."""
    acts = reads(database, scope)
    with noted(database, scope) as seen:
        for act in (*acts, *acts):
            act()
    ranked = sorted(seen.items(), key=lambda pair: -pair[1][0])
    return [(query, params) for query, (_, params) in ranked[:DEAREST]]


def explicit(database: Database, tenant: str) -> Connection[TupleRow]:
    """Give a superuser's connection in which each table's name stands for a filter by tenant."""
    admin = psycopg.connect(database.owner_login(), autocommit=True)
    admin.execute("CREATE SCHEMA explicit")
    for (table,) in admin.execute(_FILTERED).fetchall():
        admin.execute(
            sql.SQL("CREATE VIEW {} AS SELECT * FROM {} WHERE tenant_id = {}").format(
                sql.Identifier("explicit", table), sql.Identifier("inopsio", table), tenant
            )
        )
    admin.execute("SET search_path = explicit, inopsio, pg_temp")
    admin.execute("SELECT set_config('inopsio.tenant', %s, false)", (tenant,))
    admin.prepare_threshold = None
    return admin


def _timed(connection: Connection[TupleRow], asked: Asked) -> tuple[float, list[TupleRow]]:
    began = time.perf_counter()
    rows = connection.execute(asked[0], asked[1], prepare=False).fetchall()
    return time.perf_counter() - began, rows


def measure(database: Database, rounds: int) -> int:
    """Print the table; give 1 when a query misses the goal or its rows differ."""
    scope = system_scope(TENANTS[0], "bench")
    asked = dearest(database, scope)
    worst, differing = 0.0, 0
    print(f"{'query':58} {'policy':>9} {'filter':>9} {'ratio':>6}  rows")
    with explicit(database, TENANTS[0]) as plain:
        for one in asked:
            best = [float("inf"), float("inf")]
            for _ in range(rounds):
                with database.app(scope) as tx:
                    took, held = _timed(tx, one)
                other, told = _timed(plain, one)
                best = [min(best[0], took), min(best[1], other)]
            differing += sorted(map(str, held)) != sorted(map(str, told))
            worst = max(worst, best[0] / best[1])
            name = " ".join(one[0].decode().split())[:58]
            print(
                f"{name:58} {best[0] * 1000:6.1f} ms {best[1] * 1000:6.1f} ms "
                f"{best[0] / best[1]:6.2f}  {len(held)}"
            )
    is_met = worst <= GOAL and not differing
    print(f"worst {worst:.2f}, goal {GOAL}; answers that differ: {differing}")
    return 0 if is_met else 1


def main() -> int:
    """Fill, find the dearest, measure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rls", description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--findings", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    url = os.environ.get("INOPSIO_DATABASE_URL", "")
    with database_on(url) if url else _embedded() as database:
        fill(database, given.events, given.findings)
        return measure(database, given.rounds)


@contextmanager
def _embedded() -> Iterator[Database]:
    folder = Path(tempfile.mkdtemp(prefix="inopsio-rls-"))
    database = Database.open(Settings(data_dir=folder))
    try:
        yield database
    finally:
        database.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
