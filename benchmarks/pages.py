"""Measure every page in Chromium on a full house: first paint, content, a filter, bytes of JSON.

    python -m benchmarks.pages [--events 5000000] [--findings 100000]

A house of its own with that many events of 300 hosts, in the hot days and in the lake, and findings
of 40 rules over 30 days. Goals: first paint <= 1.5 s, a filter <= 1 s (also one of a hunt), a
page's JSON <= 300 KB.
"""

import argparse
import math
import re
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from playwright.sync_api import Browser, Page, Response, sync_playwright
from playwright.sync_api import TimeoutError as TooLong

from benchmarks.filling import fill, lake_of
from benchmarks.on_screen import house_up
from dashboards.pages import CONTRACT
from deploy.house import database_of
from deploy.running import settings_for
from storage.plugins import discover

GOAL_PAINT_S: Final = 1.5
GOAL_FILTER_S: Final = 1.0
GOAL_BYTES: Final = 300_000
MORE: Final = ("/findings?q=rule-7", "/hunt?span=7d", "/hunt?span=all")
HUNTS: Final = (
    ("hunt: another span, a week", "?span=24h", "?span=7d"),
    ("hunt: all time", "?span=24h", "?span=all"),
    ("hunt: one host in a day", "?span=24h", "?q=device.hostname=WS-7&span=24h"),
    ("hunt: one host in all time", "?span=24h", "?q=device.hostname=WS-7&span=all"),
    ("hunt: a word in a day", "?span=24h", "?q=srv8&span=24h"),
    ("hunt: a word in all time", "?span=24h", "?q=srv8&span=all"),
)
"""What is told, the hunt before and the hunt after."""


def main() -> int:
    """Fill, open each page three times, print the medians; give 1 when a goal is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pages", description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--findings", type=int, default=100_000)
    parser.add_argument("--port", type=int, default=8658)
    given = parser.parse_args()
    with house_up(given.port) as (url, link, folder), sync_playwright() as play:
        with database_of(settings_for(folder)) as database:
            fill(database, lake_of(folder), given.events, given.findings)
        browser = play.chromium.launch(
            executable_path=shutil.which("chromium") or None, args=["--no-sandbox", "--disable-gpu"]
        )
        missed = measure(browser, url, url + link)
        browser.close()
    print(f"goals missed: {', '.join(missed) or 'none'}")
    return 1 if missed else 0


def measure(browser: Browser, url: str, link: str) -> list[str]:
    """Give the goals that were missed, one text each."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.goto(link)
    if page.locator("form button").count():
        page.locator("form button").first.click()
    page.wait_for_selector("#page > div", timeout=60_000)
    missed = []
    plain = [m.PAGE.path for m in discover("dashboards.pages", CONTRACT).values()]
    for path in [*(p for p in plain if "<" not in p), *MORE, *_examples(page, url)]:
        looks = [_look(page, url + path) for _ in range(3)]
        paint, content = (statistics.median(x) for x in list(zip(*looks, strict=True))[:2])
        size = max(look[2] for look in looks)
        print(
            f"{path[:28]:28} paint {paint:5.2f} s  content {content:5.2f} s  "
            f"JSON {size / 1000:6.0f} KB"
        )
        if paint > GOAL_PAINT_S or size > GOAL_BYTES:
            missed.append(f"{path} ({paint:.2f} s, {size / 1000:.0f} KB)")
    filters: dict[str, Callable[[], float]] = {
        "filter by rule on /findings": lambda: _filtered(page, url)
    }
    for words, before, after in HUNTS:
        filters[words] = lambda b=before, a=after: _hunted(page, url, b, a)  # type: ignore[misc]  # a default binds the loop's value
    for words, run in filters.items():
        took = statistics.median(run() for _ in range(3))
        print(f"{words}: {took:.2f} s")
        if took > GOAL_FILTER_S:
            missed.append(f"{words} ({took:.2f} s)")
    return missed


def _examples(page: Page, url: str) -> list[str]:
    """Give the pages of one finding, one entity and its graph."""
    page.goto(f"{url}/findings?shape=flat")
    page.wait_for_selector(".queue tbody tr")
    shown = page.content()
    finding = re.search(r"/finding/[0-9a-f-]{36}", shown)
    if finding is None:
        raise SystemExit("the queue shows no finding")
    return [finding[0], "/entity/host:ws-7", "/graph?entity=host:ws-7"]


def _hunted(page: Page, url: str, before: str, after: str) -> float:
    """Go from one hunt to another by the address; give seconds until the second's answer shows."""
    page.goto(f"{url}/hunt{before}")
    page.wait_for_selector("#hunt-look .hunt-said", timeout=60_000)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(1500)  # a person reads; the next hunt's process starts meanwhile
    page.evaluate("document.querySelector('#hunt-look .hunt-said').dataset.old = '1'")
    began = time.perf_counter()
    page.evaluate("where => window.inopsio.go('/hunt' + where)", after)
    try:
        page.wait_for_selector("#hunt-look .hunt-said:not([data-old])", timeout=30_000)
    except TooLong:
        return math.inf  # a hunt is stopped after 15 s and says so
    return time.perf_counter() - began


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
