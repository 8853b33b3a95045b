"""Walk what an analyst does all day in a real Chromium, counting every click and key."""

from dataclasses import dataclass

import pytest
from playwright.sync_api import Browser, Page

from tests.dashboards.conftest import House
from tests.dashboards.test_browser import Watch, browser, opened, settled, signed_in

__all__ = ["browser"]
pytestmark = pytest.mark.browser
ROWS = ".queue tbody tr"


@dataclass(slots=True)
class Hand:
    """Act on a page and count."""

    page: Page
    acts: int = 0

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)
        self.acts += 1

    def click(self, place: str) -> None:
        self.page.click(place)
        self.acts += 1


def fewer_rows(page: Page, than: int) -> None:
    page.wait_for_selector(f"{ROWS} >> nth={than - 1}", state="detached")


def test_a_finding_gets_its_verdict_in_three_acts(
    filled: House, served: str, browser: Browser
) -> None:
    page = signed_in(browser, filled, served, "light")
    watch = Watch(page, served)
    opened(page, "/findings")
    before = page.locator(ROWS).count()
    hand = Hand(page)
    hand.press("j")
    hand.press("e")
    page.wait_for_selector(".mantine-Modal-content [data-act]")
    hand.press("1")
    page.wait_for_selector(".toast:has-text('closed as true positive')")
    fewer_rows(page, before)
    assert hand.acts <= 3
    assert watch.heard == []


def test_from_a_finding_to_its_entity_timeline_and_graph_in_four_acts(
    filled: House, served: str, browser: Browser
) -> None:
    page = signed_in(browser, filled, served, "dark")
    watch = Watch(page, served)
    opened(page, "/findings")
    hand = Hand(page)
    hand.click(f"{ROWS}:has-text('Title alpha') .c1 a")
    page.wait_for_selector("#page h1:has-text('Title alpha')")
    hand.click("#page header .entity-chip >> nth=0")
    page.wait_for_url("**/entity/**")
    page.wait_for_selector("#page section[aria-label^='Last ']")
    hand.click("#page header a:has-text('Open graph')")
    page.wait_for_selector("#graph-canvas canvas >> nth=0", state="attached")
    assert hand.acts <= 4
    assert watch.heard == []


def test_the_whole_queue_is_emptied_by_keys_alone(
    house: House, served: str, browser: Browser
) -> None:
    house.fill(house.acme, ["alpha", "beta", "gamma", "delta", "epsilon"])
    page = signed_in(browser, house, served, "light")
    watch = Watch(page, served)
    opened(page, "/findings")
    hand = Hand(page)
    hand.press("?")
    page.wait_for_selector(".facts.keys")
    hand.press("Escape")
    page.wait_for_selector(".facts.keys", state="detached")
    for key in ("j", "x", "j", "j", "k", "x"):
        hand.press(key)
    page.wait_for_selector("#findings-bar[data-open] :text('2 rows chosen')")
    hand.press("c")
    page.wait_for_selector(".toast")
    page.wait_for_selector("#findings-bar[data-open]", state="detached")
    settled(page)
    while left := page.locator(ROWS).count():
        hand.press("j")
        hand.press("e")
        page.wait_for_selector(".mantine-Modal-content [data-act]")
        hand.press("2")
        fewer_rows(page, left)
        page.wait_for_selector(".mantine-Modal-content", state="detached")
        settled(page)
    with house.database.app(house.acme) as tx:
        judged = tx.execute("SELECT DISTINCT verdict FROM incidents WHERE merged_into IS NULL")
        assert [row[0] for row in judged] == ["false_positive"]
    assert watch.heard == []
