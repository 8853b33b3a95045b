"""A rule says when it claims more than is kept."""

from dataclasses import replace

from dashboards.pages.rules import state
from dashboards.read import rules as read
from storage.database import Database
from storage.database.bounds import MOST_CLAIMS
from storage.database.rows import insert_findings
from storage.rule_costs import keep
from storage.settings import Settings
from storage.tenant import Role, Scope
from tests.business.conftest import a_finding
from tests.dashboards.conftest import RULE, House


def test_a_rule_that_was_capped_is_told_as_such_to_its_own_tenant_only(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    with database.writer() as tx:
        insert_findings(tx, [a_finding(f"{n}") for n in range(MOST_CLAIMS + 3)])
        insert_findings(tx, [a_finding("b", tenant="bolt")])
    mine, theirs = (read.one(database, settings, scope, "r1") for scope in two_tenants)
    assert mine is not None
    assert theirs is not None
    assert (mine.figures.capped, state(mine)["words"]) == (3, "Capped")
    assert state(theirs)["words"] == "Runs"
    resting = replace(mine, rule=replace(mine.rule, enabled=False))
    assert state(resting)["words"] == "Rests"


def test_a_rule_is_tried_on_the_past_and_an_earlier_text_runs_again(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    own = "11111111-2222-4333-8444-00000000000a"
    text = (
        f"title: Odd tool\nid: {own}\nlevel: high\n"
        "logsource: {product: windows, category: process_creation}\n"
        "detection: {s: {Image|endswith: odd.exe}, condition: s}\n"
    )
    later = text.replace("Odd tool", "Odder tool")
    for one in (text, later):
        assert person.post("/v1/rules", json={"text": one}).status_code == 201
    shown = filled.open(person, f"/rule/{own}")
    assert "Version 2" in shown
    assert "What changed" in shown
    asked = filled.call(
        person,
        filled.named("past-waiting.children"),
        **{"rule-try.n_clicks": 1, "rule-text.value": later},
    ).json()["response"]["past-waiting"]["children"]
    wanted = asked[0]["props"]["data"]
    look = filled.named("rule-past.children")
    told = filled.call(person, look, **{"past-tick.n_intervals": 1, "past-id.data": wanted}).text
    assert "waits for its turn" in told
    other = filled.person(filled.bolt, "q", Role.ANALYST)
    theirs = filled.call(other, look, **{"past-tick.n_intervals": 1, "past-id.data": wanted}).text
    assert "waits for its turn" not in theirs
    house = filled.open(person, f"/rule/{RULE}")
    assert "Back-test 30 days" in house
    assert "Versions" not in house
    viewer = filled.person(filled.acme, "v", Role.VIEWER)
    assert "Back-test 30 days" not in filled.open(viewer, f"/rule/{RULE}")


def test_the_list_says_what_each_rule_costs_and_when_that_was_measured(house: House) -> None:
    person = house.person(house.acme, "vera", Role.VIEWER)
    assert "Cost is not measured yet" in house.open(person, "/rules")
    keep(house.settings.data_dir, "2026-11-30", 1_000, {RULE.upper(): 12.5})
    shown = house.open(person, "/rules")
    assert '"cost": 12.5' in shown
    assert "last measured 2026-11-30 over 1,000 events" in shown
