"""Add, pause, bring back and drop a feed in a real Chromium."""

import pytest
from playwright.sync_api import Browser

from storage.subscriptions import list_subscriptions
from tests.dashboards.conftest import House
from tests.dashboards.test_browser import Watch, axe_script, browser, opened, signed_in

__all__ = ["browser"]
pytestmark = pytest.mark.browser


def test_a_feed_is_added_paused_let_run_and_dropped(
    filled: House, served: str, browser: Browser
) -> None:
    page = signed_in(browser, filled, served, "light")
    watch = Watch(page, served)
    opened(page, "/intel")
    page.click("text=Add a feed >> visible=true")
    page.fill("#feed-name", "isac")
    page.fill("#feed-url", "https://taxii.example/taxii2/")
    page.click("#feed-add")
    page.wait_for_selector("text='isac' is polled within seconds")
    page.wait_for_selector("#feed-list >> text=TAXII 2.1 collection")
    page.wait_for_selector("#feed-name", state="detached")
    page.evaluate(axe_script())
    answer = page.evaluate("axe.run(document, {runOnly: {type: 'tag', values: ['wcag2a']}})")
    assert answer["violations"] == []
    page.click("[aria-label='Pause: isac']")
    page.wait_for_selector("#feed-list >> text=Paused")
    page.click("#undo")
    page.wait_for_selector("[aria-label='Poll now: isac']")
    page.click("[aria-label='Poll now: isac']")
    page.wait_for_selector("text=It is polled within seconds")
    page.click("[aria-label='Pause: isac']")
    page.click("[aria-label='Drop: isac']")
    page.wait_for_selector("text=Nothing is polled yet")
    with filled.database.app(filled.acme) as tx:
        assert list_subscriptions(filled.acme, tx) == []
    assert watch.heard == []
