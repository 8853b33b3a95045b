"""Drive an incident's acts in a real Chromium: what is taken out or merged can be undone."""

import pytest
from playwright.sync_api import Browser

from tests.dashboards.conftest import House
from tests.dashboards.test_browser import browser, signed_in

__all__ = ["browser"]
pytestmark = pytest.mark.browser


def held(house: House) -> list[tuple[str, int]]:
    with house.database.app(house.acme) as tx:
        rows = tx.execute(
            "SELECT incident_id::text, finding_count FROM incidents WHERE merged_into IS NULL"
            " ORDER BY incident_id"
        ).fetchall()
    return [(str(row[0]), int(row[1])) for row in rows]


def test_taking_out_and_merging_can_be_undone_on_screen(
    filled: House, served: str, browser: Browser
) -> None:
    before = held(filled)
    which, other = filled.incident_ids(filled.acme)[:2]
    page = signed_in(browser, filled, served, "light")
    page.goto(f"{served}/incident/{which}")
    page.click("[data-unlink]")
    page.wait_for_selector(".toast:has-text('Taken out')")
    page.wait_for_selector("text=All were taken out or moved elsewhere")
    page.click("#undo")
    page.wait_for_selector(".toast:has-text('Put back')")
    page.wait_for_selector("[data-unlink]")
    assert held(filled) == before
    page.click("#incident-merge-into")
    page.click(".mantine-Select-option:visible >> nth=0")
    page.click("#incident-merge")
    page.wait_for_url(f"**/incident/{other}")
    page.wait_for_selector(".toast:has-text('Merged into')")
    page.click("#undo")
    page.wait_for_selector(".toast:has-text('stands by itself again')")
    assert held(filled) == before
    with filled.database.app(filled.acme) as tx:
        acts = tx.execute(
            "SELECT action FROM audit_entries WHERE action LIKE 'incident.%' ORDER BY entry_id"
        ).fetchall()
    told = [str(act[0]) for act in acts]
    assert told[:3] == ["incident.unlink", "incident.link", "incident.merge"]
    assert set(told[3:]) == {"incident.unmerge"}
