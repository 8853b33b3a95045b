"""Drive the console in a real Chromium: list, keys, what is new, theme, session."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

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
    page = browser.new_context(**told).new_page()
    page.goto(f"{home}/sign-in")
    page.fill("#tenant", "acme")
    page.fill("#name", f"p-{scheme}")
    page.fill("#password", password)
    page.click("button")
    page.wait_for_selector("#page > div")
    return page


def scroll_to_rows(page: Page) -> None:
    """Scroll until the grid draws its rows; the page may put a new grid in place meanwhile."""
    for _ in range(150):
        page.evaluate("document.querySelector('.grid')?.scrollIntoView()")
        if page.locator(".ag-row .cut").count():
            return
        page.wait_for_timeout(100)
    pytest.fail("the grid drew no rows in 15 s")


def opened(page: Page, path: str) -> None:
    """Go there inside the application, as a click on a link does."""
    if page.evaluate("location.pathname + location.search") != path:
        with page.expect_response("**/_dash-update-component*"):
            page.evaluate("path => window.inopsio.go(path)", path)
    page.wait_for_selector("#page > div")
    page.wait_for_selector("#page .skeleton >> visible=true", state="detached")
    if path.startswith("/findings"):
        page.wait_for_selector(".queue tbody tr")
    if "span=" in path:
        scroll_to_rows(page)
    page.wait_for_load_state("networkidle")


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
