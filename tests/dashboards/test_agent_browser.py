"""See the Actions of a host in a real Chromium: no name is broken in two."""

import os
from datetime import timedelta

import pytest
from playwright.sync_api import Browser

from api.agent_actions import approve, ask
from storage.tenant import Actor, Role, Scope
from tests.dashboards.conftest import House
from tests.dashboards.test_agent_pages import AGENT, an_agent
from tests.dashboards.test_browser import browser, signed_in

__all__ = ["browser"]
pytestmark = pytest.mark.browser
_LINES: str = """cell => [...cell.children].map(line => {
  const range = document.createRange();
  range.selectNodeContents(line);
  return new Set([...range.getClientRects()].map(box => Math.round(box.top))).size;
})"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_who_asked_and_who_approved_stand_whole(
    filled: House, served: str, browser: Browser, scheme: str
) -> None:
    an_agent(filled)
    admin = Scope("acme", Actor("user", "administrator"), frozenset({Role.ADMIN}))
    other = Scope("acme", Actor("user", "bea"), frozenset({Role.ANALYST}))
    now = filled.console.now()
    asked = {"address": "203.0.113.0/24", "minutes": 90}
    note = "a beacon to an address that is known from three incidents of this week"
    made = ask(filled.database, admin, AGENT, "block_ip", asked, now, note=note)
    approve(filled.database, other, made["action_id"], now + timedelta(seconds=1))
    page = signed_in(browser, filled, served, scheme)
    page.goto(f"{served}/agent/{AGENT}")
    for width in (1440, 390):
        page.set_viewport_size({"width": width, "height": 900})
        cell = page.locator(".names", has_text="administrator")
        cell.wait_for()
        assert cell.inner_text().split("\n") == ["administrator", "approved by bea"]
        assert cell.evaluate(_LINES)[0] == 1
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        if folder := os.environ.get("PICTURES"):
            page.screenshot(path=f"{folder}/actions-{scheme}-{width}.png", full_page=True)
