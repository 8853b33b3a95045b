"""Drive the console in a real Chromium: list, keys, what is new, theme, session."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, sync_playwright

from storage.tenant import Role
from tests.dashboards.conftest import House, chromium, password_of

pytestmark = pytest.mark.browser
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 60_000
SETTLE = """
async most => {
  const shown = box => box.getClientRects().length > 0;
  function lacking(grid) {
    if (!grid.querySelector('.ag-root') || grid.querySelector('.ag-delay-render')) return 'layout';
    if (!grid.querySelector('.ag-header-cell')) return 'header cells';
    if (grid.querySelector('.bone')) return 'rows from the server';
    const isEmpty = [...grid.querySelectorAll('.ag-overlay-no-rows-center')].some(shown);
    return isEmpty || grid.querySelector('.ag-row .ag-cell-value') ? '' : 'rows';
  }
  function left() {
    const page = document.querySelector('#page > div');
    if (!page || !window.store) return 'no page yet';
    if (window.store.getState().isLoading || window.inopsio.isAsking()) return 'callbacks';
    if ([...page.querySelectorAll('.skeleton')].some(shown)) return 'bones';
    for (const grid of [...document.querySelectorAll('.grid')].filter(shown)) {
      const what = lacking(grid);
      if (what) return `grid ${grid.id}: ${what}`;
    }
    return '';
  }
  // An answer may ask for the next callback a moment later: three frames in a row must be still.
  const until = performance.now() + most;
  let why = left();
  for (let still = 0; still < 3 && performance.now() < until;) {
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    why = left();
    still = why ? 0 : still + 1;
  }
  return why;
}
"""
RULES = {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        yield opened
        opened.close()


def axe_script() -> str:
    """Give axe-core as the package of that name carries it; where CI=true it must be there."""
    found = importlib.util.find_spec("axe_playwright_python")
    if found is None or found.origin is None:
        if os.environ.get("CI") == "true":
            pytest.fail("axe-playwright-python is not installed; it carries axe-core")
        pytest.skip("axe-playwright-python is not installed")
    return Path(found.origin).with_name("axe.min.js").read_text(encoding="utf-8")


class Watch:
    """Listen to a page: complaints of the browser, answers that failed, addresses elsewhere."""

    def __init__(self, page: Page, home: str) -> None:
        self.heard: list[str] = []
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.heard.append(f"error: {error}"))
        page.on("dialog", lambda dialog: self.heard.append(f"dialog: {dialog.message}"))
        page.on(
            "request",
            lambda r: (
                None
                if r.url.startswith((home, "data:", "blob:"))
                else self.heard.append(f"went to {r.url}")
            ),
        )

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.heard.append(f"{message.type}: {message.text[:300]}")


def signed_in(browser: Browser, house: House, home: str, scheme: str, width: int = 1440) -> Page:
    password = password_of(house, house.acme, f"p-{scheme}", Role.ADMIN)
    size = {"width": width, "height": 900}
    told: Any = {"viewport": size, "color_scheme": scheme, "bypass_csp": False}
    context = browser.new_context(**told)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    page.goto(f"{home}/sign-in")
    page.fill("#tenant", "acme")
    page.fill("#name", f"p-{scheme}")
    page.fill("#password", password)
    page.click("button")
    page.wait_for_url(lambda url: "/sign-in" not in url)
    page.wait_for_selector("#page > div")
    settled(page)
    return page


def settled(page: Page) -> None:
    """Wait until the page is drawn whole: no callback under way, no bone, each grid complete."""
    left = page.evaluate(SETTLE, WAIT_MS)
    assert left == "", f"{page.url} did not settle: {left}"


def opened(page: Page, path: str) -> None:
    """Go there inside the application, as a click on a link does; wait until it is drawn whole."""
    here = page.evaluate("location.pathname")
    if here != path.partition("?")[0]:
        with page.expect_response(is_of_router, timeout=WAIT_MS):
            page.evaluate("path => window.inopsio.go(path)", path)
    else:
        page.evaluate("path => window.inopsio.go(path)", path)
    settled(page)


def is_of_router(answer: Response) -> bool:
    """Tell the answer that brings a page from those that feed what is on it."""
    told = answer.request.post_data or ""
    return "/_dash-update-component" in answer.url and "page.children" in told


def test_the_whole_way_from_list_to_closed_incident(
    filled: House, served: str, browser: Browser
) -> None:
    page = signed_in(browser, filled, served, "light")
    watch = Watch(page, served)
    opened(page, "/findings")
    page.fill("#findings-q", "beta")
    page.wait_for_url("**/findings?q=beta")
    page.wait_for_selector(".queue tbody tr >> nth=1", state="detached")
    page.click(".queue .c1 a")
    page.wait_for_url("**/finding/*")
    page.wait_for_selector("#page h1:has-text('Title beta')")
    page.click("#incident-status label:has-text('Closed')")
    page.wait_for_selector(".done:has-text('Status: Closed')")
    page.click("#incident-undo")
    page.wait_for_selector(".done:has-text('Undone')")
    page.go_back()
    page.wait_for_url("**/findings?q=beta")
    page.wait_for_selector(".chip:has-text('Text: beta')")
    assert watch.heard == []


def test_the_queue_is_worked_by_keys_alone(filled: House, served: str, browser: Browser) -> None:
    page = signed_in(browser, filled, served, "light")
    watch = Watch(page, served)
    opened(page, "/findings")
    before = page.locator(".queue tbody tr").count()
    page.keyboard.press("?")
    page.wait_for_selector(".facts.keys")
    page.keyboard.press("Escape")
    page.wait_for_selector(".facts.keys", state="detached")
    page.keyboard.press("j")
    page.keyboard.press("x")
    page.wait_for_selector("#findings-bar[data-open] :text('1 row chosen')")
    page.keyboard.press("e")
    page.wait_for_selector(".mantine-Modal-content [data-act]")
    page.keyboard.press("2")
    page.wait_for_selector(".toast:has-text('closed as false positive')")
    page.wait_for_selector(f".queue tbody tr >> nth={before - 1}", state="detached")
    page.click("#undo")
    page.wait_for_selector(".toast:has-text('Undone')")
    page.wait_for_selector(f".queue tbody tr >> nth={before - 1}")
    assert watch.heard == []


def test_new_findings_wait_behind_a_pill_and_come_in_by_themselves_on_live(
    filled: House, served: str, browser: Browser
) -> None:
    page = signed_in(browser, filled, served, "light")
    opened(page, "/findings")
    rows = page.locator(".queue tbody tr").count()
    filled.fill(filled.acme, ["delta", "epsilon", "zeta", "eta"])
    with filled.database.writer() as tx:
        tx.execute("SELECT pg_notify('inopsio_live', 'acme')")
    page.wait_for_selector("#findings-new:visible")
    assert page.locator(".queue tbody tr").count() == rows
    page.click("#findings-new")
    page.wait_for_selector(f".queue tbody tr >> nth={rows}")
    opened(page, "/live")
    page.wait_for_selector(".stream li:has-text('Title eta')")


def test_the_theme_is_remembered_and_set_before_the_first_paint(
    filled: House, served: str, browser: Browser
) -> None:
    page = signed_in(browser, filled, served, "light")
    page.click("#theme")
    page.wait_for_selector("html[data-mantine-color-scheme=dark]")
    page.goto(f"{served}/incidents", wait_until="commit")
    page.wait_for_selector("#react-entry-point")
    assert page.get_attribute("html", "data-mantine-color-scheme") == "dark"


def test_a_session_that_ended_leads_to_the_sign_in(
    filled: House, served: str, browser: Browser
) -> None:
    page = signed_in(browser, filled, served, "light")
    page.click(".account summary")
    page.click("#sign-out")
    page.wait_for_url("**/sign-in")
    page.goto(f"{served}/findings")
    assert "/sign-in" in page.url
