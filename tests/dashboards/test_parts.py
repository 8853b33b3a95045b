import itertools
import re
from importlib import resources

import pytest

from dashboards.read.filters import FindingFilter
from dashboards.read.rules import rule_text
from dashboards.ui.marks import LEVELS
from dashboards.ui.tokens import contrast, css, tokens
from dashboards.ui.why import features, matched
from storage.settings import Settings

SCHEMES = ("light", "dark")
GROUNDS = ("page", "surface", "sunken")


RULE = re.compile(r"\{([^{}]*)\}")
COLOUR = re.compile(r"(?<![-\w])color:\s*var\(--([\w-]+)\)")
GROUND = re.compile(r"background(?:-color)?:\s*var\(--([\w-]+)\)")


def written_pairs() -> set[tuple[str, str]]:
    """Give every text and ground that one rule of a stylesheet puts together."""
    told = set()
    for sheet in resources.files("dashboards.assets").iterdir():
        if sheet.name.endswith(".css"):
            for body in RULE.findall(sheet.read_text(encoding="utf-8")):
                told |= set(itertools.product(COLOUR.findall(body), GROUND.findall(body)))
    return told


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_text_can_be_read_on_every_ground_it_may_stand_on(scheme: str) -> None:
    told = tokens()[scheme]
    meant = (*LEVELS, "good")
    softs = [*(f"{n}-soft" for n in meant), "accent-soft"]
    pairs = written_pairs() | set(itertools.product(("text", "muted"), softs))
    pairs |= set(itertools.product((f"{n}-text" for n in meant), (*GROUNDS, "accent-soft")))
    assert ("critical-text", "critical-soft") in pairs
    weak = {p: round(contrast(told[p[0]], told[p[1]]), 2) for p in pairs}
    assert {p: c for p, c in weak.items() if c < 4.5} == {}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_texts_can_be_read_on_every_ground(scheme: str) -> None:
    told = tokens()[scheme]
    pairs = [*itertools.product(("text", "muted", "accent"), GROUNDS), ("on-accent", "accent")]
    pairs += [(f"{n}-text", f"{n}-soft") for n in (*LEVELS, "good")] + [("accent", "accent-soft")]
    weak = {p: round(contrast(told[p[0]], told[p[1]]), 2) for p in pairs}
    assert {p: c for p, c in weak.items() if c < 4.5} == {}


@pytest.mark.parametrize("scheme", SCHEMES)
def test_marks_and_edges_stand_out_from_every_ground(scheme: str) -> None:
    told = tokens()[scheme]
    marks = (*LEVELS, "series", "good", "line-strong")
    weak = {p: contrast(told[p[0]], told[p[1]]) for p in itertools.product(marks, GROUNDS)}
    assert {p: c for p, c in weak.items() if c < 3} == {}


def test_both_schemes_have_the_same_tokens() -> None:
    assert set(tokens()["light"]) == set(tokens()["dark"])
    assert "--critical-soft:" in css()


@pytest.mark.parametrize(
    "search",
    [
        "",
        "?",
        "?level=%00",
        "?level=high&level=low",
        "?since=x&until=9999999-01-01",
        "?q=" + "a" * 9000,
        "?sort=;DROP",
        "?range=1e9",
        "?&&&==",
        "?" + "a=1&" * 200,
    ],
)
def test_any_url_gives_filters_that_come_back_the_same(search: str) -> None:
    read = FindingFilter.read(search)
    assert FindingFilter.read(read.search()) == read
    assert "\x00" not in read.search()


def test_a_rule_of_the_house_is_shown_without_its_examples() -> None:
    found = rule_text(Settings(), "33770822-355E-5038-8852-68ee5b8aa5ef")
    assert found is not None
    assert found.title == "WDigest told to keep passwords in clear"
    assert "detection:" in found.text
    assert "inopsio:" not in found.text
    assert rule_text(Settings(), "../../etc/passwd") is None


def test_the_matched_part_of_a_value_is_marked() -> None:
    shown = str(
        matched([{"name": "Image", "value": "C:\\PS.exe", "expected": "endswith \\ps.exe"}])
    )
    assert "Mark(children='\\\\PS.exe'" in shown


def test_a_feature_without_numbers_is_still_told() -> None:
    shown = str(features([{"name": "peer", "value": "new", "expected": "known", "weight": 0.5}]))
    assert "50 % of the score" in shown
