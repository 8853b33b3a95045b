"""Measure the console's reads on a filled database: the queue, its filters, Home and Live.

    python -m benchmarks.console [--findings 100000]

A house of its own with that many findings of 40 rules about 3,000 entities over 30 days. Goals:
first page <= 1.5 s and a filter <= 1 s in all, of which these reads are the largest part; the
page's JSON <= 300 KB.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from dashboards.read import findings, home, live
from dashboards.read.filters import FindingFilter
from dashboards.ui.queue_shown import queue_shown
from storage.database import Database
from storage.settings import Settings
from storage.tenant import system_scope

GOAL_MS: Final = 1000.0
GOAL_BYTES: Final = 300_000
_FILL: Final = """
INSERT INTO findings (tenant_id, finding_id, "time", detector, detector_version, rule_id, title,
    level, entity_type, entity, event_ids, event_count, reasons, attack, kind, created_at)
SELECT 'main', gen_random_uuid(), now() - n * interval '30 days' / %(count)s, 'sigma', '1',
    'rule-' || n %% 40, 'A claim of rule ' || n %% 40,
    (ARRAY['critical', 'high', 'medium', 'low', 'informational'])[1 + n %% 5], 'host',
    'WS-' || (n * 7919) %% 3000, ARRAY[gen_random_uuid()], 1 + n %% 9, '[]', ARRAY['T1059.001'],
    CASE WHEN n %% 10 = 0 THEN 'signal' ELSE 'finding' END,
    now() - n * interval '30 days' / %(count)s
FROM generate_series(1, %(count)s) AS n
"""
"""A benchmark's filling, no query of the product: it stays here."""


def main() -> int:
    """Fill, read each view five times, print the median; give 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.console", description=__doc__)
    parser.add_argument("--findings", type=int, default=100_000)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="inopsio-console-"))
    database = Database.open(Settings(data_dir=folder))
    try:
        database.create_tenant("main")
        with database.writer() as tx:
            tx.execute(_FILL, {"count": given.findings})
        with database.owner() as tx:
            tx.execute("ANALYZE findings")
        return _measure(database)
    finally:
        database.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _measure(database: Database) -> int:
    scope, now = system_scope("main", "bench"), datetime.now(UTC)
    wanted = {
        "queue, grouped": FindingFilter(),
        "one by one, signals too": FindingFilter(shape="flat", kind="all"),
        "one level": FindingFilter(level=("high",)),
        "a text": FindingFilter(q="rule-7"),
        "one entity": FindingFilter(entity="WS-7"),
        "gravest first": FindingFilter(sort="level"),
        "7 days": FindingFilter(range="7d"),
    }
    reads: dict[str, Callable[[], object]] = {
        name: lambda asked=asked: findings.queue(database, scope, asked)  # type: ignore[misc]  # a default binds the loop's value
        for name, asked in wanted.items()
    }
    reads["rules to choose from"] = lambda: findings.rules(database, scope, "finding")
    reads["home"] = lambda: home.home(database, scope, now)
    reads["live, whole"] = lambda: live.live(database, scope, "10m", now)
    reads["live, a tick"] = lambda: live.live(database, scope, "10m", now, False)
    slowest = max(_timed(name, read) for name, read in reads.items())
    found = findings.queue(database, scope, FindingFilter())
    size = len(
        str([part.to_plotly_json() for part in queue_shown(found, FindingFilter(), now, True)])
    )
    print(f"{'page, about':28} {size / 1000:8.0f} KB")
    return 0 if slowest < GOAL_MS and size < GOAL_BYTES else 1


def _timed(name: str, read: Callable[[], object]) -> float:
    took = []
    for _ in range(5):
        began = time.perf_counter()
        read()
        took.append((time.perf_counter() - began) * 1000)
    print(f"{name:28} {statistics.median(took):8.0f} ms")
    return statistics.median(took)


if __name__ == "__main__":
    sys.exit(main())
