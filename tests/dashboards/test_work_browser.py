"""Drive the work pages in a real Chromium: the brush, a hold beside its list."""

import pytest
from playwright.sync_api import Browser

from tests.dashboards.conftest import House
from tests.dashboards.test_browser import browser, signed_in
from tests.dashboards.test_money_pages import hold_of

__all__ = ["browser"]
pytestmark = pytest.mark.browser


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


@pytest.mark.parametrize(("path", "chip"), [("/risk", "Vendor"), ("/rules", "Cannot run")])
def test_a_chip_changes_what_is_shown(
    filled: House, served: str, browser: Browser, path: str, chip: str
) -> None:
    page = signed_in(browser, filled, served, "light")
    page.goto(f"{served}{path}")
    page.click(f".chips a:has-text('{chip}')")
    page.wait_for_selector(f".chips a.chip:not(.soft):has-text('{chip}')")
    page.go_back()
    page.wait_for_selector(".chips a.chip:not(.soft):has-text('All')")
