"""See what the quality page reckons from claims and verdicts, and that it is one's own."""

import json
from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dashboards.pages import quality as page
from dashboards.read import quality as read
from dashboards.read.quality import Quality, drift_of, wilson
from storage.database.rows import insert_findings
from storage.tenant import Role
from tests.dashboards.conftest import House, some_findings
from tests.dashboards.test_entity import counted


def quality(**told: object) -> Quality:
    """Give a detector with 28 findings, one a day, over 100 entities."""
    words: dict[str, object] = {"name": "d", "title": "D", "by_day": (1,) * 28, "signals": 0}
    words |= {"right": 0, "wrong": 0, "benign": 0, "entities": 100, "asked": None}
    return Quality(**words | told)  # type: ignore[arg-type]  # the words above


def test_before_any_verdict_every_finding_counts_as_false() -> None:
    assert quality().realised == pytest.approx(10.0)
    assert quality(right=3, wrong=1).realised == pytest.approx(2.5)
    assert quality(right=3, benign=1).realised == pytest.approx(2.5)
    assert quality(right=3).realised == 0.0
    assert quality(entities=0).realised is None
    assert quality(by_day=(0,) * 26 + (1, 1), days=2.0).realised == pytest.approx(10.0)


def test_a_young_house_does_not_drift() -> None:
    burst = (0,) * 27 + (40,)
    assert quality(by_day=burst).drift == "rises"
    assert quality(by_day=burst, days=3.0).drift == ""


@example(0, 319)
@given(st.integers(0, 400), st.integers(1, 400))
def test_the_interval_holds_the_share(right: int, more: int) -> None:
    share, low, high = wilson(right, right + more)
    assert 0.0 <= low <= share <= high <= 1.0


@given(st.integers(0, 300), st.integers(0, 900))
def test_no_week_both_rises_and_falls_and_the_usual_week_does_neither(week: int, n: int) -> None:
    assert drift_of(week, n) in {"rises", "falls", ""}
    assert drift_of(n // 3, n // 3 * 3) == ""


def test_verdicts_count_once_an_incident_and_for_ones_own_tenant(filled: House) -> None:
    counted(filled, "host", "h1", "h2.corp.example", "h2")
    with filled.database.app(filled.acme) as tx:
        tx.execute("UPDATE incidents SET verdict = 'true_positive'")
    now = filled.console.now()
    told = {q.name: q for q in read.qualities(filled.database, filled.acme, now)}
    theirs = {q.name: q for q in read.qualities(filled.database, filled.bolt, now)}
    with filled.database.app(filled.acme) as tx:
        rows = tx.execute("SELECT count(*) FROM incidents").fetchall()
    assert told["sigma"].right == rows[0][0] > 0
    assert told["sigma"].findings > 0
    assert (theirs["sigma"].right, theirs["sigma"].wrong) == (0, 0)
    assert told["sigma"].entities == 2
    assert theirs["sigma"].entities == 0
    assert told["beaconing"].findings == 0


def test_the_page_tells_every_detector(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    shown = filled.open(person, "/quality")
    assert "That did not work" not in shown
    assert "False a day" in shown
    assert json.dumps({"share": None, "words": "no verdict"}) in shown


def test_every_detector_it_tells_of_has_a_page(filled: House) -> None:
    (one,) = some_findings(filled.acme.tenant_id, ["entered"], [filled.finding_ids(filled.acme)[0]])
    one = replace(one, detector="spraying", rule_id="spraying.entered", finding_id=str(uuid4()))
    with filled.database.writer() as tx:
        insert_findings(tx, [one])
    person = filled.person(filled.acme, "p", Role.ANALYST)
    told = read.qualities(filled.database, filled.acme, filled.console.now())
    assert {"spraying", "beaconing"} <= {q.name for q in told}
    for found in told:
        shown = filled.open(person, page.address_of(found.name))
        assert "That did not work" not in shown
        assert "no rule of that id" not in shown
    assert "Title entered" in filled.open(person, "/rule/spraying")  # a claim of one of its parts
    assert "/findings?detector=spraying" in filled.open(person, "/rule/spraying")
