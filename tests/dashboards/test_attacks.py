"""Give the attacker a seat: a hundred hostile texts in every field, none may run."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle

import polars as pl
import pytest
from playwright.sync_api import Browser, Page, Response

from api.auth import create_token, create_user
from business import erp, incidents
from dashboards import judging
from dashboards.read import rules
from pipelines.sinks import source_rates
from storage.database.queries import execute
from storage.database.rows import copy_events
from storage.errors import InvalidInput, NotFound
from storage.identity import event_ids
from storage.log import Record
from storage.outcome import DeadLetter, Outcome, dead_letter_message
from storage.schema import EventBatch
from storage.tenant import Actor, Role, Scope
from tests.attacks import ATTACKS
from tests.dashboards.conftest import House, some_events
from tests.dashboards.test_browser import Watch, browser, opened, settled, signed_in
from tests.dashboards.test_every_page import every_path, keep_books

__all__ = ["browser"]
pytestmark = pytest.mark.browser
PERSON = Scope("acme", Actor("user", "p-dark"), frozenset({Role.ADMIN}))
WORKS = frozenset({Role.OPERATOR, Role.FINANCE, Role.ADMIN})


class Guard(Watch):
    """Listen for what the browser complains of, and hold each page to its policy."""

    def __init__(self, page: Page, home: str) -> None:
        super().__init__(page, home)
        self.pages = 0
        page.on("response", self._answered)
        page.add_init_script(
            "window.__broken = [];"
            "document.addEventListener('securitypolicyviolation',"
            " e => window.__broken.push(e.violatedDirective + ' ' + e.blockedURI));"
        )

    def _answered(self, answer: Response) -> None:
        if answer.status >= 500:
            self.heard.append(f"{answer.status} of {answer.url}")
        if "text/html" in answer.headers.get("content-type", ""):
            self.pages += 1
            parts = answer.headers.get("content-security-policy", "").split(";")
            told = [p for p in parts if p.split()[:1] in (["script-src"], ["default-src"])]
            if len(told) != 2 or "unsafe" in "".join(told) or "*" in "".join(told):
                self.heard.append(f"weak policy of {answer.url}: {told}")

    def is_quiet(self, page: Page, where: str) -> None:
        """Hold that nothing ran, no policy was violated and no page broke."""
        ran = page.evaluate("[window.__ran || 0, window.__broken]")
        assert ran == [0, []], where
        assert self.heard == [], where


@pytest.fixture
def besieged(house: House) -> House:
    """Give the house with every text in every field that a stranger or a member may fill."""
    house.fill(house.acme, list(ATTACKS))
    keep_books(house, list(ATTACKS))
    give_sources(house)
    give_letters(house)
    give_rules(house)
    give_names(house)
    give_acts(house)
    return house


def taken(texts: Sequence[str], act: Callable[[str], object]) -> int:
    """Do the act with each text; give how many were taken: what refuses a text is safe too."""
    count = 0
    for text in texts:
        try:
            act(text)
            count += 1
        except (InvalidInput, NotFound):
            continue
    return count


def give_sources(house: House) -> None:
    """Keep events and an origin of each name: parsers name origins too, not only the door."""
    texts = [text.replace("\x00", "") for text in ATTACKS]
    events = some_events("acme", texts).frame.with_columns(
        pl.Series("source", texts), pl.Series("metadata.product.name", texts)
    )
    ids = event_ids("acme", "hostile", events["time"].dt.epoch("us"), events["position"])
    batch = EventBatch.of(events.with_columns(ids))
    rows = [
        {
            "tenant_id": "acme",
            "source": text,
            "name": text,
            "log_format": text,
            "next_position": 1,
            "events": 1,
            "rejected": 1,
            "last_reason": text,
        }
        for text in texts
    ]
    with house.database.writer() as tx:
        copy_events(tx, batch)
        source_rates.write(tx, Outcome(flow="events", steps=(), batches=(batch,)))
        execute(tx, "sources_move", rows=json.dumps(rows))


def give_letters(house: House) -> None:
    """Refuse a record for each text: its source, file name, format, reason and bytes."""
    letters = [
        DeadLetter(f"id-{n}", "acme", text, text, text, n, text, text.encode())
        for n, text in enumerate(ATTACKS)
    ]
    told = [Record(b"k", dead_letter_message(letter)) for letter in letters]
    house.log.append("dead-letter", told)


def rule_of(text: str, number: int) -> str:
    """Write a rule that has the text wherever a rule has words (JSON is YAML)."""
    return json.dumps(
        {
            "title": text,
            "id": f"attack-{number}",
            "description": text,
            "author": text,
            "references": [text],
            "falsepositives": [text],
            "tags": [f"attack.{text}", "attack.t1059"],
            "level": "high",
            "logsource": {"category": "process_creation"},
            "detection": {"part": {"CommandLine|contains": text}, "condition": "part"},
        }
    )


def give_rules(house: House) -> None:
    """Keep a rule of the tenant's own for every fourth text; each is checked beside the others."""
    texts = [rule_of(text, n) for n, text in enumerate(ATTACKS) if n % 4 == 0]
    assert taken(texts, lambda t: rules.save(house.database, house.settings, PERSON, t)) > 0


def give_names(house: House) -> None:
    """Name tokens, people and kept views so."""
    database = house.database
    tokens = taken(
        ATTACKS, lambda t: create_token(database, PERSON, f"host:{t}", [Role.INGEST], 9999)
    )
    people = taken(ATTACKS[::20], lambda t: create_user(database, PERSON, t, None, [Role.VIEWER]))
    views = taken(
        ATTACKS[:60], lambda t: judging.keep_view(database, PERSON, "/findings", t[:80], t)
    )
    assert min(tokens, people, views) > 0


def give_acts(house: House) -> None:
    """Put the texts into titles by hand, items, ids, and the words of a hold and its release."""
    makes = replace(PERSON, actor=Actor("user", "olga"), roles=WORKS)
    frees = replace(PERSON, actor=Actor("user", "fritz"), roles=WORKS)
    findings = cycle(house.finding_ids(house.acme))

    def name_incident(text: str) -> None:
        with house.database.app(PERSON) as tx:
            incidents.open_by_hand(PERSON, tx, text[: incidents.LONGEST_TITLE], [next(findings)])

    def keep_item(text: str) -> None:
        with house.database.app(makes) as tx:
            erp.create_item(makes, tx, erp.NewItem(text, 100, "EUR"))

    def name_invoice(text: str) -> None:
        with house.database.app(makes) as tx:
            erp.post_invoice(makes, tx, erp.NewInvoice("V-0", 1, "EUR", None, text))

    def release(text: str) -> None:
        number = ATTACKS.index(text)
        with house.database.app(frees) as tx:
            at = erp.get_payment(frees, tx, f"P-{number}")["version"]
            erp.release_payment(frees, tx, f"P-{number}", text, at)

    assert taken(ATTACKS[::3], name_incident) > 0
    assert taken(ATTACKS, keep_item) > 0
    taken(ATTACKS, name_invoice)
    assert taken([text for n, text in enumerate(ATTACKS) if n % 2], release) > 0


def guarded(browser: Browser, house: House, home: str) -> tuple[Page, Guard]:
    """Sign in; open a page afresh so that the guard listens from its first byte."""
    page = signed_in(browser, house, home, "dark")
    guard = Guard(page, home)
    page.goto(f"{home}/findings")
    settled(page)
    return page, guard


def test_the_door_takes_no_hostile_source_and_breaks_on_none(house: House) -> None:
    agent = house.bearer(house.acme, Role.INGEST)
    for text in ATTACKS:
        sent = agent.post("/v1/ingest", params={"source": text, "name": text}, content=b"x")
        assert sent.status_code == 422 or text == "__proto__", text
        assert agent.post("/v1/ingest", params={"name": text}, content=b"x").status_code < 500


def test_no_text_in_any_field_runs_on_any_page(
    besieged: House, served: str, browser: Browser
) -> None:
    page, guard = guarded(browser, besieged, served)
    finding, incident = besieged.finding_ids(PERSON), besieged.incident_ids(PERSON)
    told = [p for p in every_path(besieged) if not p.endswith("none")]
    told += [f"/finding/{name}" for name in finding[:: max(1, len(finding) // 12)]]
    told += [f"/incident/{name}" for name in incident[:: max(1, len(incident) // 6)]]
    told += [f"/rule/attack-{n}" for n in range(0, len(ATTACKS), 20)]
    told += [f"/payments?payment=P-{n}" for n in (1, 9, 61)]
    for path in told:
        opened(page, path)
        guard.is_quiet(page, path)
    assert guard.pages > 0
