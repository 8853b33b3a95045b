"""Rules of a folder that somebody drops in are on the screens as the house's own are."""

from dataclasses import replace
from pathlib import Path

import pytest

from dashboards.pages import View
from dashboards.pages.rule import layout as rule_page
from dashboards.pages.rules import layout as rules_page
from dashboards.read import rules as read
from dashboards.read.coverage import coverage
from dashboards.read.rules import Listed, rule_text
from storage.settings import Settings
from tests.dashboards.conftest import RULE, House

HOUSE = Path(__file__).parents[2] / "detectors" / "rules"
ODD = "11111111-2222-4333-8444-0000000000f1"
LOOKS_AHEAD = "11111111-2222-4333-8444-0000000000f2"
WAITS = "11111111-2222-4333-8444-0000000000f3"
TEXT = """title: {title}
id: {rule_id}
description: What the folder says of it.
level: high
tags: [attack.t1674]
logsource: {{product: windows, category: process_creation}}
detection: {{s: {{{test}}}, condition: s}}
"""


@pytest.fixture
def dropped(filled: House, tmp_path: Path) -> House:
    """Give a house with a folder of rules: one good, two that cannot run, two that are none."""
    folder = tmp_path / "tree" / "windows"
    folder.mkdir(parents=True)
    tests = {
        (ODD, "Odd tool"): "Image|endswith: odd.exe",
        (LOOKS_AHEAD, "Looks ahead"): "Image|re: '(?=a)b'",
        (WAITS, "Waits for names"): "User|expand: '%our_admins%'",
    }
    for (rule_id, title), test in tests.items():
        text = TEXT.format(rule_id=rule_id, title=title, test=test)
        (folder / f"{title.replace(' ', '_').lower()}.yml").write_text(text, encoding="utf-8")
    (folder / "broken.yml").write_text("title: [unclosed\n  : {", encoding="utf-8")
    again = next(f for f in sorted(HOUSE.rglob("*.yml")) if RULE in f.read_text(encoding="utf-8"))
    (folder / "again.yml").write_bytes(again.read_bytes())
    settings = replace(filled.settings, rules_dirs=str(tmp_path / "tree"))
    return replace(filled, settings=settings, console=replace(filled.console, settings=settings))


def listed(house: House) -> dict[str, Listed]:
    return {f.rule.title: f for f in read.listed(house.database, house.settings, house.acme)}


def test_each_is_listed_and_what_cannot_run_says_why(dropped: House) -> None:
    found = listed(dropped)
    assert found["Odd tool"].rule.problem == ""
    assert "look-around" in found["Looks ahead"].rule.problem
    assert "%our_admins%" in found["Waits for names"].rule.problem
    assert "broken YAML" in found["windows/broken.yml"].rule.problem
    assert str(dropped.settings.rules_dirs) not in str([f.rule for f in found.values()])


def test_a_copy_of_a_rule_says_so_and_the_rule_itself_runs(dropped: House) -> None:
    same = [f.rule for f in listed(dropped).values() if f.rule.title.startswith("WDigest told")]
    every = read.listed(dropped.database, dropped.settings, dropped.acme)
    twice = [f.rule for f in every if f.rule.title == same[0].title]
    assert sorted((r.rule_id == RULE, bool(r.problem)) for r in twice) == [
        (False, True),
        (True, False),
    ]


def test_values_of_one_tenant_let_the_rule_run_for_it_alone(dropped: House) -> None:
    values = f"title: Ours\nid: {ODD[:-2]}aa\nvalues:\n  our_admins: [ann]\n"
    assert read.save(dropped.database, dropped.settings, dropped.acme, values) == f"{ODD[:-2]}aa"
    assert listed(dropped)["Waits for names"].rule.problem == ""
    assert listed(dropped)["Ours"].rule.kind == "values"
    theirs = read.listed(dropped.database, dropped.settings, dropped.bolt)
    assert any(f.rule.rule_id == WAITS and f.rule.problem for f in theirs)


def test_its_page_has_its_text_and_a_finding_its_name(dropped: House) -> None:
    shown = str(rule_page(View(dropped.console, dropped.acme, ODD)))
    assert "Image|endswith: odd.exe" in shown
    assert "What the folder says of it." in shown
    named = rule_text(dropped.settings, ODD)
    assert named is not None
    assert named.title == "Odd tool"
    broken = next(f for f in listed(dropped).values() if f.rule.title == "windows/broken.yml")
    assert "[unclosed" in str(rule_page(View(dropped.console, dropped.acme, broken.rule.rule_id)))


def test_it_covers_its_technique_if_it_runs(dropped: House) -> None:
    found = coverage(dropped.database, dropped.settings, dropped.acme)
    every = [t for of in found.by_tactic.values() for t in of] + found.unknown
    titles = [title for t in every if t.technique == "T1674" for title, _ in t.rules]
    assert titles == ["Odd tool"]


def test_the_list_can_be_narrowed_to_what_cannot_run_and_by_words(dropped: House) -> None:
    stopped = str(rules_page(View(dropped.console, dropped.acme, search="?show=stopped")))
    assert "Looks ahead" in stopped
    assert "look-around" in stopped
    assert "Odd tool" not in stopped
    found = str(rules_page(View(dropped.console, dropped.acme, search="?q=odd+t1674")))
    assert "Odd tool" in found
    assert "Looks ahead" not in found


def test_a_house_without_folders_knows_no_rule_of_them(filled: House) -> None:
    assert rule_text(Settings(), ODD) is None
    assert read.one(filled.database, filled.settings, filled.acme, ODD) is None
