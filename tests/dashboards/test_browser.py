"""Drive the console in a real Chromium: no violation of axe, of the policy, no attack that runs."""

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
RUN = "window.__ran=(window.__ran||0)+1"
ATTACKS = (
    f"<script>{RUN}</script>",
    f"<img src=x onerror='{RUN}'>",
    f"<svg onload='{RUN}'>",
    f"<svg><script>{RUN}</script></svg>",
    f'"><script>{RUN}</script>',
    f"'><img src=x onerror={RUN}>",
    f"</title><script>{RUN}</script>",
    f"</textarea><script>{RUN}</script>",
    f"</style><script>{RUN}</script>",
    f"--><script>{RUN}</script>",
    f"javascript:{RUN}",
    f"[click](javascript:{RUN})",
    f"![x](x' onerror='{RUN})",
    f"<a href='javascript:{RUN}'>x</a>",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'>",
    f"<iframe src='javascript:parent.{RUN}'>",
    f"<body onload='{RUN}'>",
    f"<details open ontoggle='{RUN}'>",
    f"<video><source onerror='{RUN}'></video>",
    f"<input autofocus onfocus='{RUN}'>",
    f"<math><mtext><script>{RUN}</script></mtext></math>",
    f"<object data='javascript:{RUN}'>",
    f"<embed src='javascript:{RUN}'>",
    f"<form action='javascript:{RUN}'><button>x</button></form>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<base href='https://evil.example/'>",
    "<link rel=stylesheet href='https://evil.example/x.css'>",
    "${alert(1)}",
    "{{constructor.constructor('" + RUN + "')()}}",
    "params.api; " + RUN,
    "function(){" + RUN + "}()",
    "\u202e<script>" + RUN + "</script>",
    "\x1b]0;evil\x07",
    "a\r\nSet-Cookie: evil=1",
    "=cmd|'/c calc'!A0",
)


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


def paths(house: House) -> list[str]:
    finding, incident = house.finding_ids(house.acme), house.incident_ids(house.acme)
    hunt = "/hunt?span=all&q=class_uid%3D1007"
    told = ["/", "/live", "/findings", "/findings?kind=all&shape=flat", "/incidents", "/hunt", hunt]
    return [*told, f"/finding/{finding[0]}", f"/finding/{finding[2]}", f"/incident/{incident[0]}"]


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
    with page.expect_response("**/_dash-update-component*"):
        page.evaluate("path => window.inopsio.go(path)", path)
    page.wait_for_selector("#page > div")
    if path.startswith("/findings"):
        page.wait_for_selector(".queue tbody tr")
    if path == "/incidents" or "span=" in path:
        scroll_to_rows(page)
    page.wait_for_load_state("networkidle")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_violates_axe(filled: House, served: str, browser: Browser, scheme: str) -> None:
    script = axe_script()
    page = signed_in(browser, filled, served, scheme)
    found = {}
    for path in [*paths(filled), "/finding/none"]:
        opened(page, path)
        assert page.get_attribute("html", "data-mantine-color-scheme") == scheme
        page.evaluate(script)
        answer = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        for violation in answer["violations"]:
            nodes = [n["html"][:160] for n in violation["nodes"][:3]]
            found[path, violation["id"]] = nodes
    assert found == {}


def test_no_attack_runs_and_the_policy_is_never_touched(
    house: House, served: str, browser: Browser
) -> None:
    house.fill(house.acme, list(ATTACKS))
    page = signed_in(browser, house, served, "dark")
    watch = Watch(page, served)
    finding, incident = house.finding_ids(house.acme), house.incident_ids(house.acme)
    told = ["/findings", "/incidents", "/hunt?span=all&q=class_uid%3D1007"]
    told += [f"/finding/{name}" for name in finding[:: max(1, len(finding) // 8)]]
    told += [f"/incident/{incident[0]}", f"/incident/{incident[1]}"]
    for path in told:
        opened(page, path)
        assert page.evaluate("window.__ran || 0") == 0, path
    opened(page, f"/finding/{finding[1]}")
    assert ATTACKS[1] in page.inner_text("#page h1")
    assert watch.heard == []


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
    page.wait_for_function(f"document.querySelectorAll('.queue tbody tr').length < {before}")
    page.click("#undo")
    page.wait_for_selector(".toast:has-text('Undone')")
    page.wait_for_function(f"document.querySelectorAll('.queue tbody tr').length === {before}")
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
    page.wait_for_function(f"document.querySelectorAll('.queue tbody tr').length > {rows}")
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


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_needs_no_sideways_scrolling(
    filled: House, served: str, browser: Browser, scheme: str
) -> None:
    page = signed_in(browser, filled, served, scheme, 390)
    wide = {}
    for path in paths(filled):
        opened(page, path)
        wide[path] = page.evaluate("document.documentElement.scrollWidth")
    assert {p: w for p, w in wide.items() if w > 390} == {}
