"""See gaps and checks on an agent's page and the page Checks, as text and in a real Chromium."""

import contextlib
import json
import os
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as PlaywrightError

from api.agent_streams import take
from api.desk import Desk
from storage.database.queries import execute, select
from storage.log.memory import MemoryLog
from storage.tenant import Actor, Role, Scope
from tests.dashboards.conftest import House
from tests.dashboards.test_agent_pages import AGENT, an_agent
from tests.dashboards.test_browser import RULES, axe_script, browser, signed_in

__all__ = ["browser"]
LOG = f"agent:{AGENT}.0a0b0c0d0e0f:log:/var/log/auth.log"
FIX = "Set PermitRootLogin to no in /etc/ssh/sshd_config and reload sshd"


def a_told_agent(house: House) -> None:
    """Let in an agent with two gaps, one of them explained, and verdicts of two checks."""
    an_agent(house)
    agent = Scope("acme", Actor("agent", AGENT), frozenset({Role.INGEST}))
    now = house.console.now()
    at_us = int(now.timestamp() * 1e6)
    desk = Desk(house.console.settings, house.database, MemoryLog(1), None, lambda: at_us)
    for source, place in ((LOG, 0), (LOG, 40), (f"{LOG}.1", 7)):
        take(desk, agent, source, place, b"a row\n")
    own = {"tenant_id": "acme", "agent_id": AGENT}
    drop: dict[str, object] = {**own, "source": f"{LOG}.1", "first": 0, "records": 7}
    check = {**own, "why": "root is known to all", "fix": FIX}
    grave: dict[str, object] = {"severity_id": 4}
    check |= {"detail": "it is 'yes'", "title": "Root does not sign in by SSH"}
    told = [
        {**check, **grave, "check_uid": uid, "is_passed": passed, "event_id": f"{AGENT[:-1]}{n}",
         "at_us": at_us - hours * 3_600_000_000}
        for n, (uid, passed, hours) in enumerate(
            [("ssh-root", True, 40), ("ssh-root", False, 2), ("sysctl-a", True, 40)])
    ]  # fmt: skip
    with house.database.writer() as tx:
        execute(tx, "agent_drops_add", told=json.dumps([{**drop, "event_id": AGENT}]))
        execute(tx, "agent_checks_add", told=json.dumps(told))


def test_gaps_and_checks_are_on_the_agents_page_and_in_no_other_tenants(filled: House) -> None:
    a_told_agent(filled)
    admin = filled.person(filled.acme, "p", Role.ADMIN)
    shown = filled.open(admin, f"/agent/{AGENT}")
    for words in ("Never came", "Dropped by the agent", "Failed, high", FIX, "1 of 2 failed"):
        assert words in shown
    listed = filled.open(admin, "/agents/checks")
    assert FIX in listed
    assert "sysctl-a" not in listed
    stranger = filled.person(filled.bolt, "s", Role.ADMIN)
    assert FIX not in filled.open(stranger, "/agents/checks")


def _told(page: Page, act: Callable[[], None], words: str) -> None:
    """Do it until the page says so: a table that is drawn anew may take a click with it.

    Whether it was done is asked of the database afterwards.
    """
    for _ in range(4):
        with contextlib.suppress(PlaywrightError):
            act()
            page.get_by_text(words).wait_for(timeout=10_000)
            return


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_new_agents_wait_once_that_is_switched_on_and_one_is_approved(
    filled: House, served: str, browser: Browser, scheme: str
) -> None:
    an_agent(filled)
    page = signed_in(browser, filled, served, scheme)
    page.goto(f"{served}/agents")
    page.get_by_text("Add a host").first.wait_for()
    _told(
        page,
        lambda: page.get_by_label("A new agent waits until").check(force=True, timeout=10_000),
        "Agents that enrol from now on wait for approval.",
    )
    with filled.database.app(filled.acme) as tx:
        execute(tx, "agent_let_in", agent_id=AGENT, named="web1", now=filled.console.now())
    page.reload()
    page.get_by_text("Waits for approval").first.wait_for()
    page.get_by_text("let in as web1").wait_for()
    if folder := os.environ.get("PICTURES"):
        page.screenshot(path=f"{folder}/waits-{scheme}.png", full_page=True)
    page.evaluate(axe_script())
    found = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
    assert [v["id"] for v in found["violations"]] == []
    approve = page.get_by_label("Approve the agent of host alpha")
    _told(page, lambda: approve.click(timeout=10_000), "it is let in at its next try")
    with filled.database.app(filled.acme) as tx:
        assert select(tx, "agents_all", limit=1)[0]["waits_since"] is None


@pytest.mark.browser
def test_all_verdicts_and_only_what_failed_are_a_click_apart(
    filled: House, served: str, browser: Browser
) -> None:
    a_told_agent(filled)
    page = signed_in(browser, filled, served, "light")
    page.goto(f"{served}/agents/checks")
    page.get_by_text("What failed").wait_for()
    page.get_by_role("link", name="All", exact=True).click()
    page.get_by_text("All verdicts").wait_for()
    page.get_by_role("link", name="Failed only").click()
    page.get_by_text("What failed").wait_for()


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_they_stand_whole_and_can_be_read(
    filled: House, served: str, browser: Browser, scheme: str
) -> None:
    a_told_agent(filled)
    page = signed_in(browser, filled, served, scheme)
    for name, path in (("agent", f"/agent/{AGENT}"), ("checks", "/agents/checks?show=all")):
        page.goto(f"{served}{path}")
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 900})
            page.get_by_text("Root does not sign in by SSH").first.wait_for()
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            if folder := os.environ.get("PICTURES"):
                page.screenshot(path=f"{folder}/{name}-{scheme}-{width}.png", full_page=True)
        page.evaluate(axe_script())
        found = page.evaluate("rules => axe.run({runOnly: rules})", RULES)
        assert [v["id"] for v in found["violations"]] == []
