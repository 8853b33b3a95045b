"""Walk every page found by folder in a real Chromium: axe and narrow screens."""

from typing import Any

import pytest
from playwright.sync_api import Browser

from business import crm, erp, incidents
from dashboards import pages
from storage.errors import InvalidInput
from storage.plugins import discover
from storage.tenant import Actor, Role, Scope
from tests.dashboards.conftest import RULE, House
from tests.dashboards.test_agent_pages import an_agent
from tests.dashboards.test_browser import (
    RULES,
    Watch,
    axe_script,
    browser,
    opened,
    signed_in,
)

__all__ = ["browser"]
pytestmark = pytest.mark.browser
MORE = (
    "/hunt?span=all&q=class_uid%3D1007",
    "/hunt?sql=SELECT%201",
    "/graph?entity=host:host%20alpha",
    "/findings?kind=all&shape=flat",
    "/incidents?view=list",
    "/vendors?vendor=V-1",
    "/payments?payment=P-1",
)
SIZES = (("light", 1440), ("dark", 1440), ("dark", 390))


def every_path(house: House) -> list[str]:
    """Give an address of each page; one with a variable part must have its example here."""
    finding, incident = house.finding_ids(house.acme), house.incident_ids(house.acme)
    examples = {
        "/finding/": [finding[0], finding[min(2, len(finding) - 1)], "none"],
        "/incident/": [incident[0]],
        "/entity/": ["host:host alpha"],
        "/rule/": [RULE],
        "/agent/": [an_agent(house)],
    }
    told: list[str] = []
    for module in discover("dashboards.pages", pages.CONTRACT).values():
        page: pages.Page = module.PAGE
        told += (
            [page.stem + key for key in examples[page.stem]] if "<" in page.path else [page.path]
        )
    return [*told, *MORE]


@pytest.mark.parametrize(("scheme", "width"), SIZES)
def test_no_page_violates_axe_or_needs_sideways_scrolling(
    filled: House, served: str, browser: Browser, scheme: str, width: int
) -> None:
    keep_books(filled, ["Northwind Ltd", "Bolt & Sons"])
    script = axe_script()
    page = signed_in(browser, filled, served, scheme, width)
    watch = Watch(page, served)
    page.evaluate(script)
    found: dict[tuple[str, str], Any] = {}
    for path in every_path(filled):
        opened(page, path)
        answer = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
        for violation in answer["violations"]:
            found[path, violation["id"]] = [n["html"][:160] for n in violation["nodes"][:3]]
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            found[path, "sideways"] = wide
    assert found == {}
    assert watch.heard == []


def keep_books(house: House, texts: list[str]) -> None:
    """Write each text into every field of business that takes it; what refuses it is safe too."""
    who = Scope("acme", Actor("user", "olga"), frozenset({Role.OPERATOR, Role.FINANCE}))
    taken = 0
    for n, text in enumerate(texts):
        try:
            with house.database.app(who) as tx:
                bank = "DE89370400440532013000"
                erp.create_vendor(who, tx, erp.NewVendor(text, bank, text, f"V-{n}"))
                erp.post_invoice(who, tx, erp.NewInvoice(f"V-{n}", 1000 + n, "EUR", None, f"I-{n}"))
                new = erp.NewPayment(invoice_id=f"I-{n}", payment_id=f"P-{n}")
                version = erp.propose_payment(who, tx, new)["version"]
                if n % 2:
                    erp.hold_payment(who, tx, f"P-{n}", text, version)
                crm.create_company(who, tx, crm.NewCompany(text, text, f"C-{n}"))
                crm.create_contact(who, tx, crm.NewContact(f"C-{n}", text, "", f"K-{n}"))
                crm.open_deal(who, tx, crm.NewDeal(f"C-{n}", 5000, "EUR", text, deal_uid=f"D-{n}"))
                taken += 1
        except InvalidInput:
            continue  # control letters and the like are turned away at the door
    assert taken > len(texts) // 2
    with house.database.app(who) as tx:
        for text in texts:
            incidents.add_note(who, tx, house.incident_ids(house.acme)[0], text)
