"""Measure every page in Chromium on a full house: first paint, content, a filter, bytes of JSON.

    python -m benchmarks.pages [--events 5000000] [--findings 100000]

A house of its own with that many events of 300 hosts and findings of 40 rules over 30 days. Goals:
first paint <= 1.5 s, a filter <= 1 s, a page's JSON <= 300 KB. The lake stays empty: what hunts
read is not part of this.
"""

import argparse
import shutil
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from playwright.sync_api import Browser, Page, Response, sync_playwright

from benchmarks.on_screen import house_up
from dashboards.pages import CONTRACT
from deploy.house import database_of
from deploy.running import settings_for
from storage.database import Database
from storage.database.dialect import ensure_days
from storage.plugins import discover

GOAL_PAINT_S: Final = 1.5
GOAL_FILTER_S: Final = 1.0
GOAL_BYTES: Final = 300_000
DAYS: Final = 30
_SPAN: Final = "now() - n * interval '30 days' / %(count)s"
_FILL: Final = {
    "events": f"""
INSERT INTO events (tenant_id, event_id, "time", class_uid, activity_id, log_format, product,
    source, "position", hostname, actor_user, process_path, src_ip, dst_ip, message)
SELECT 'main', gen_random_uuid(), {_SPAN}, (ARRAY[1007, 4001, 4003, 3002])[1 + n %% 4], 1, 'made',
    'windows', 'made', n, 'WS-' || n %% 300, 'user' || n %% 300, 'C:\\tool' || n %% 50 || '.exe',
    '10.0.' || n %% 200 || '.' || n %% 250, '10.1.0.' || n %% 250, 'event'
FROM generate_series(1, %(count)s) AS n""",
    "findings": f"""
INSERT INTO findings (tenant_id, finding_id, "time", detector, detector_version, rule_id, title,
    level, entity_type, entity, event_ids, event_count, reasons, attack, kind, created_at)
SELECT 'main', gen_random_uuid(), {_SPAN}, 'sigma', '1', 'rule-' || n %% 40,
    'A claim of rule ' || n %% 40,
    (ARRAY['critical', 'high', 'medium', 'low', 'informational'])[1 + n %% 5], 'host',
    'WS-' || (n * 7919) %% 300, ARRAY[gen_random_uuid()], 1 + n %% 9, '[]', ARRAY['T1059.001'],
    CASE WHEN n %% 10 = 0 THEN 'signal' ELSE 'finding' END, {_SPAN}
FROM generate_series(1, %(count)s) AS n""",
    "window_counts": f"""
INSERT INTO window_counts (tenant_id, entity_type, entity, class_uid, window_start, window_s,
    events)
SELECT 'main', 'host', 'ws-' || n %% 300, 1007, date_bin('10 min', {_SPAN}, 'epoch'), 600, 4
FROM generate_series(1, %(count)s) AS n ON CONFLICT DO NOTHING""",
    "event_hours": """
INSERT INTO event_hours (tenant_id, hour, events)
SELECT 'main', date_trunc('hour', now()) - n * interval '1 hour', 7000
FROM generate_series(1, 720) AS n""",
}
"""A benchmark's filling, no query of the product: it stays here."""


def main() -> int:
    """Fill, open each page three times, print the medians; give 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--findings", type=int, default=100_000)
    parser.add_argument("--port", type=int, default=8658)
    given = parser.parse_args()
    with house_up(given.port) as (url, link, folder), sync_playwright() as play:
        with database_of(settings_for(folder)) as database:
            fill(database, given.events, given.findings)
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium") or None, args=["--no-sandbox", "--disable-gpu"]
        )
        missed = measure(browser, url, url + link)
        browser.close()
    print(f"goals missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


def fill(database: Database, events: int, findings: int) -> None:
    """Write the rows in pieces, as the writer."""
    today = int(time.time() // 86_400)
    ensure_days(database, list(range(today - DAYS - 1, today + 1)))
    counts = {"events": events, "findings": findings, "window_counts": events // 4}
    for table, text in _FILL.items():
        began = time.monotonic()
        with database.writer() as tx:
            tx.execute(text.encode(), {"count": counts.get(table, 0)})
        print(f"{table}: {counts.get(table, 720):,} rows in {time.monotonic() - began:.0f} s")
    with database.owner() as tx:
        tx.execute("ANALYZE")


def measure(browser: Browser, url: str, link: str) -> list[str]:
    """Give the goals that were missed, one text each."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(link)
    if page.locator("form button").count():
        page.locator("form button").first.click()
    page.wait_for_selector("#page > div", timeout=60_000)
    missed = []
    plain = [m.PAGE.path for m in discover("dashboards.pages", CONTRACT).values()]
    for path in [p for p in plain if "<" not in p]:
        looks = [_look(page, url + path) for _ in range(3)]
        paint, content = (statistics.median(x) for x in list(zip(*looks, strict=True))[:2])
        size = max(look[2] for look in looks)
        print(
            f"{path:12} paint {paint:5.2f} s  content {content:5.2f} s  JSON {size / 1000:6.0f} KB"
        )
        if paint > GOAL_PAINT_S or size > GOAL_BYTES:
            missed.append(f"{path} ({paint:.2f} s, {size / 1000:.0f} KB)")
    took = statistics.median(_filtered(page, url) for _ in range(3))
    print(f"filter by rule on /findings: {took:.2f} s")
    return [*missed, f"filter ({took:.2f} s)"] if took > GOAL_FILTER_S else missed


def _look(page: Page, address: str) -> tuple[float, float, int]:
    """Open a page; give first paint and content (s), and the bytes of its largest answer."""
    with _sizes(page) as sizes:
        began = time.perf_counter()
        page.goto(address, wait_until="commit")
        page.wait_for_selector("#page > div", timeout=60_000)
        content = time.perf_counter() - began
        page.wait_for_load_state("networkidle")
    told: Any = page.evaluate(
        "performance.getEntriesByName('first-contentful-paint').map(e => e.startTime)[0] || 0"
    )
    return float(told) / 1000, content, max(sizes, default=0)


def _filtered(page: Page, url: str) -> float:
    """Filter the queue by a rule that every fortieth finding has; give seconds until it shows."""
    page.goto(f"{url}/findings")
    page.wait_for_selector(".queue tbody tr")
    page.wait_for_load_state("networkidle")
    other = ".queue tbody tr:has-text('A claim of rule 8')"
    page.wait_for_selector(other)
    began = time.perf_counter()
    page.evaluate("window.inopsio.go('/findings?rule=rule-7')")
    page.wait_for_selector(".chip:has-text('rule-7')")
    page.wait_for_selector(other, state="detached")
    page.wait_for_selector(".queue tbody tr:has-text('A claim of rule 7')")
    return time.perf_counter() - began


@contextmanager
def _sizes(page: Page) -> Iterator[list[int]]:
    found: list[int] = []

    def heard(response: Response) -> None:
        if "_dash-update-component" in response.url:
            found.append(int(response.headers.get("content-length", 0)))

    page.on("response", heard)
    yield found
    page.remove_listener("response", heard)


if __name__ == "__main__":
    sys.exit(main())
