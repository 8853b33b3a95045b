"""Hold the house to its twelve stories: each recorded one is found whole, each near miss is not.

The recordings go through the log, the parsers, both flows and the database, as on the way in.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import pytest

from pipelines.flow import house_of, run_flow, signals_of
from pipelines.step import House
from pipelines.tenant_indicators import TenantIndicators
from storage.database import Database
from storage.indicators import put_indicators
from storage.lake import Lake
from storage.log.memory import MemoryLog
from storage.outbox import relay
from storage.settings import Settings
from storage.tenant import Scope
from tests.detectors.recorded import Scenario, recorded, scenario
from tests.shared import ROOT
from tests.walks.months import told
from tests.walks.path import rule_id

GRAVE: Final = ("high", "critical")


@dataclass(frozen=True, slots=True)
class Story:
    """A story: `name` of its files; `rules` that tell it: a rule's file, or `detector.claim`.

    `signals`: what is told beside them and opens nothing.
    """

    name: str
    rules: tuple[str, ...]
    signals: tuple[str, ...] = ()

    def ids(self) -> set[str]:
        """Give the rule ids of its findings."""
        files = {p.stem for p in (ROOT / "detectors" / "rules" / "stories").glob("*.yml")}
        return {rule_id(rule) if rule in files else rule for rule in self.rules}


STORIES: Final = (
    Story("01-vendor-fraud", ("vendor_fraud_payment", "new_device_then_mail_hidden")),
    Story("02-ghost-vendor", ("ghost_vendor_paid",)),
    Story("03-self-approval-by-proxy", ("proxy_approval.one_hand",)),
    Story("04-leaver", ("leaver_takes_data_away",)),
    Story(
        "05-account-takeover",
        ("entered_account_gets_second_factor", "entered_account_exports_records"),
    ),
    Story("06-insider-pricing", ("insider_pricing",)),
    Story("07-campaign-hijack", ("campaign_hijack",)),
    Story("08-supplier-compromise", ("supplier_compromise",)),
    Story("09-ransomware", ("ransomware",), ("money_room",)),
    Story("10-books-walk-out", ("books_walk_out", "books_walk_out_by_address")),
    Story("11-stock-shrinkage", ("stock_shrinkage",)),
    Story("12-shadow-service", ("shadow_service.upload",)),
)
each = pytest.mark.parametrize("story", STORIES, ids=lambda s: s.name)


@cache
def _house() -> House:
    return house_of(Settings())


@dataclass(frozen=True, slots=True)
class _Found:
    rule_id: str
    kind: str
    level: str
    finding_id: str
    event_ids: frozenset[str]
    parts: tuple[str, ...]

    def opens(self) -> bool:
        return self.kind == "finding" and self.level in GRAVE


def _played(
    settings: Settings, database: Database, scope: Scope, given: Scenario
) -> dict[str, _Found]:
    """Carry the scenario through both flows; give what stands in the database, by id."""
    log, lake, intel = MemoryLog(1), Lake(settings.data_dir / "lake"), TenantIndicators(database)
    if given.indicators:
        with database.app(scope) as tx:
            put_indicators(scope, tx, given.indicators[0].feed, given.indicators)
        intel.look()
    house = replace(_house(), indicators=lambda: intel.frames)
    log.append("raw.events", given.messages(scope.tenant_id))
    run_flow(settings, database, log, lake, "loop", once=True, house=house)
    while relay(database.writer, log):
        pass
    run_flow(settings, database, log, lake, "loop", once=True, house=signals_of(house))
    with database.app(scope) as tx:
        rows = tx.execute(
            "SELECT finding_id::text, rule_id, kind, level, event_ids::text[], parts::text[]"
            " FROM findings"
        ).fetchall()
    return {
        str(i): _Found(str(r), str(k), str(v), str(i), frozenset(e), tuple(p))
        for i, r, k, v, e, p in rows
    }


def _told_by(found: dict[str, _Found], chosen: Iterable[_Found]) -> set[str]:
    """Give the events that findings rest on, with those of the claims they are made of."""
    events: set[str] = set()
    for finding in chosen:
        parts = [found[p] for p in finding.parts if p in found]
        events |= finding.event_ids.union(*(p.event_ids for p in parts))
    return events


def _events_of(database: Database, scope: Scope, given: Scenario, step: str) -> set[str]:
    places = {(x.source, x.position) for x in given.lines if x.step == step}
    with database.app(scope) as tx:
        rows = tx.execute("SELECT source, position, event_id::text FROM events").fetchall()
    return {str(e) for source, position, e in rows if (source, position) in places}


@each
def test_a_story_is_found_with_the_events_of_its_chain(
    story: Story, settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    scope, given = two_tenants[0], scenario(f"{story.name}.positive")
    found = _played(settings, database, scope, given)
    wanted = story.ids()
    chosen = [f for f in found.values() if f.rule_id in wanted.union(story.signals)]
    assert {f.rule_id for f in chosen if f.opens()} == wanted
    assert {f.rule_id for f in chosen if not f.opens()} >= set(story.signals)
    told_events = _told_by(found, chosen)
    lacking = [s for s in given.steps if not told_events & _events_of(database, scope, given, s)]
    assert lacking == []
    with database.app(two_tenants[1]) as tx:
        assert tx.execute("SELECT count(*) FROM findings").fetchone() == (0,)


@each
def test_its_near_miss_opens_nothing(
    story: Story, settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    scope, given = two_tenants[0], scenario(f"{story.name}.near_miss")
    found = _played(settings, database, scope, given)
    assert sorted(f.rule_id for f in found.values() if f.opens()) == []
    assert {f.rule_id for f in found.values()} & story.ids().union(story.signals) == set()
    with database.app(scope) as tx:
        assert tx.execute("SELECT count(*) FROM events").fetchone() == (len(given.lines),)


@each
def test_a_story_without_one_of_its_steps_is_not_that_story(story: Story) -> None:
    given = scenario(f"{story.name}.positive")
    wanted = story.ids().union(story.signals)
    assert _rules(given) >= wanted
    for step in given.steps:
        assert not _rules(given.without(step)) >= wanted, step


def _rules(given: Scenario) -> set[str]:
    return {f.rule_id for f in told(given.records(), given.known("acme"))}


def test_every_recording_is_of_a_story() -> None:
    names = {f"{s.name}.{kind}" for s in STORIES for kind in ("positive", "near_miss")}
    assert {p.stem for p in recorded()} == names


def test_the_table_of_the_stories_names_what_tells_them() -> None:
    page = (ROOT / "docs" / "reference" / "stories.md").read_text("utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| ") and line[2].isdigit()]
    assert len(rows) == len(STORIES)
    for story, row in zip(STORIES, rows, strict=True):
        assert [r for r in (*story.rules, *story.signals) if f"`{r}`" not in row] == [], story.name
