"""Drive the work pages in a real Chromium: axe, narrow screens, the brush, attack texts."""

import pytest
from playwright.sync_api import Browser

from business import erp
from tests.dashboards.conftest import House
from tests.dashboards.test_browser import (
    ATTACKS,
    RULES,
    Watch,
    axe_script,
    browser,
    scroll_to_rows,
    signed_in,
)
from tests.dashboards.test_money_pages import hold_of

__all__ = ["browser"]
pytestmark = pytest.mark.browser
PATHS = (
    "/hunt?span=all",
    "/hunt?sql=SELECT%201",
    "/vendors",
    "/vendors?vendor=V-1",
    "/payments",
    "/payments?payment=P-1",
    "/rules",
    "/rule/33770822-355e-5038-8852-68ee5b8aa5ef",
    "/pipelines",
    "/agents",
    "/audit",
)
GRIDS = ("/hunt?span=all", "/vendors", "/payments", "/rules", "/audit")


@pytest.mark.parametrize(("scheme", "width"), [("light", 1440), ("dark", 390)])
def test_no_work_page_violates_axe_or_scrolls_sideways(
    filled: House, served: str, browser: Browser, scheme: str, width: int
) -> None:
    hold_of(filled, "acme", "Northwind")
    script = axe_script()
    page = signed_in(browser, filled, served, scheme, width)
    watch = Watch(page, served)
    found = {}
    for path in PATHS:
        page.goto(f"{served}{path}")
        page.wait_for_selector("#page h1")
        page.wait_for_selector("#page .skeleton >> visible=true", state="detached")
        if path in GRIDS:
            scroll_to_rows(page)
        page.wait_for_timeout(500)
        page.evaluate(script)
        answer = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        for violation in answer["violations"]:
            found[path, violation["id"]] = [n["html"][:160] for n in violation["nodes"][:3]]
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            found[path, "too wide"] = [str(wide)]
    assert found == {}
    assert watch.heard == []


def test_a_drag_over_the_bars_narrows_the_time(
    filled: House, served: str, browser: Browser
) -> None:
    page = signed_in(browser, filled, served, "light")
    page.goto(f"{served}/hunt?span=all")
    page.wait_for_selector(".brush .bars")
    box = page.locator(".brush .bars").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.99, box["y"] + 20, steps=4)
    page.mouse.up()
    page.wait_for_url("**since=*until=*")
    page.wait_for_selector(".chip:has-text('Time:')")


def test_no_attack_runs_in_the_work_pages(house: House, served: str, browser: Browser) -> None:
    house.fill(house.acme, list(ATTACKS))
    with house.database.app(house.acme) as tx:
        for i, text in enumerate(ATTACKS[:20]):
            name = "".join(c for c in text if c.isprintable())[:190]
            new = erp.NewVendor(
                name=name, bank_account="DE02120300000000202051", vendor_id=f"A-{i}"
            )
            erp.create_vendor(house.acme, tx, new)
    page = signed_in(browser, house, served, "dark")
    watch = Watch(page, served)
    for path in ("/hunt?span=all", "/vendors", "/vendors?vendor=A-1", "/rules", "/audit"):
        page.goto(f"{served}{path}")
        scroll_to_rows(page)
        assert page.evaluate("window.__ran || 0") == 0, path
    assert watch.heard == []


def test_a_hold_opens_beside_the_list_and_escape_closes_it(
    house: House, served: str, browser: Browser
) -> None:
    hold_of(house, "acme", "Northwind")
    page = signed_in(browser, house, served, "light")
    page.goto(f"{served}/payments")
    page.wait_for_selector(".hold >> text=186,400.00 EUR")
    page.click("text=Look and decide")
    page.wait_for_selector("text=Only a person of finance")
    page.keyboard.press("Escape")
    page.wait_for_url("**/payments*", wait_until="commit")
    page.wait_for_selector("text=Only a person of finance", state="detached")
