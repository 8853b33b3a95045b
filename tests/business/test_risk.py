import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from business import incidents, risk
from business._event import Event
from business.risk._model import risk as put_together
from storage.database import Database
from storage.database.rows import insert_findings
from storage.errors import InvalidInput
from storage.outcome import finding_message
from storage.schema import Finding
from storage.schema.finding import finding_id
from storage.tenant import Scope
from tests.business.conftest import MINUTE_US, NOON_US

NOON = datetime.fromtimestamp(NOON_US / 1e6, UTC)
DAY = 24 * 60


def claim(name: str, **told: object) -> Finding:
    """Give a claim of acme about host pc-7 touching ann and vendor V-1, at noon unless told."""
    minute = int(str(told.pop("minute", 0)))
    words: dict[str, object] = {
        "finding_id": finding_id("acme", "sigma", "1", "r1", name),
        "tenant_id": "acme",
        "detector": "sigma",
        "detector_version": "1",
        "rule_id": "r1",
        "title": "Shadow copies deleted",
        "level": "high",
        "time_us": NOON_US + minute * MINUTE_US,
        "entity_type": "host",
        "entity": "PC-7.corp.example",
        "links": (("user", "CORP\\Ann"), ("vendor", "V-1")),
        "event_ids": ("0196f000-0000-8000-8000-000000000001",),
    }
    return Finding(**words | told)  # type: ignore[arg-type]  # the words above


def put(database: Database, scope: Scope, *claims: Finding) -> None:
    """Keep claims in the ledger and tell the incidents of them."""
    with database.writer() as tx:
        insert_findings(tx, claims)
    for one in claims:
        data = json.loads(finding_message(one))["data"]
        with database.app(scope) as tx:
            incidents.handle(scope, tx, Event(one.finding_id, "inopsio.finding", "findings", data))


def score(
    database: Database, scope: Scope, kind: str, name: str, at: datetime, cents: int = 0
) -> risk.Risk:
    with database.app(scope) as tx:
        money = {(kind, name): (cents, f"{cents} cents")}
        return risk.risk_of(scope, tx, kind, name, at, money)


@given(
    st.lists(
        st.tuples(st.sampled_from([*risk.WEIGHTS, "odd"]), st.floats(0, 50, allow_nan=False)),
        max_size=12,
    ),
    st.integers(0, 10**13),
)
def test_parts_add_up_to_the_score_whatever_there_is(
    found: list[tuple[str, float]], cents: int
) -> None:
    rows = [
        {"rule_id": str(i), "level": level, "fresh": fresh, "claims": 1, "title": "t"}
        | {"detector": "sigma", "kind": "finding", "last_time": NOON}
        for i, (level, fresh) in enumerate(found)
    ]
    told = put_together("host", "pc-7", rows, cents, "money")
    assert sum(part.share for part in told.parts) == pytest.approx(told.score, abs=1e-9)
    assert 0.0 <= told.score <= 100.0
    assert [p.points for p in told.parts] == sorted((p.points for p in told.parts), reverse=True)


def test_a_claim_weighs_by_level_for_its_own_entity_and_by_half_for_those_it_touches(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    acme, bolt = two_tenants
    put(database, acme, claim("a"))
    host = score(database, acme, "host", "pc-7", NOON)
    user = score(database, acme, "user", "ann", NOON)
    assert [round(p.points, 6) for p in host.parts] == [40.0]
    assert [round(p.points, 6) for p in user.parts] == [20.0]
    assert (host.band, user.band) == ("medium", "low")
    assert score(database, bolt, "host", "pc-7", NOON).parts == ()
    with database.app(bolt) as tx:
        assert risk.ranking(bolt, tx, NOON) == []


def test_it_halves_in_a_week_and_is_gone_after_thirty_days(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    acme = two_tenants[0]
    put(database, acme, claim("a"))
    week, end = NOON + timedelta(days=7), NOON + timedelta(days=31)
    assert [round(p.points, 6) for p in score(database, acme, "host", "pc-7", week).parts] == [20.0]
    assert score(database, acme, "host", "pc-7", end).score == 0.0
    assert score(database, acme, "host", "pc-7", NOON - timedelta(seconds=1)).score == 0.0


def test_a_noisy_rule_makes_no_more_risk_than_three_fresh_claims(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    acme = two_tenants[0]
    put(database, acme, *(claim(f"n{i}", level="low", rule_id="noisy") for i in range(40)))
    put(database, acme, claim("grave", level="critical", entity="pc-8", links=()))
    noisy = score(database, acme, "host", "pc-7", NOON)
    assert [(p.claims, round(p.points, 6)) for p in noisy.parts] == [(40, 15.0)]
    with database.app(acme) as tx:
        assert risk.ranking(acme, tx, NOON, "host") == [("host", "pc-8"), ("host", "pc-7")]


def test_a_verdict_takes_its_claims_out_of_the_risk_and_of_its_past(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    acme = two_tenants[0]
    put(database, acme, claim("a"))
    with database.app(acme) as tx:
        tx.execute("UPDATE incidents SET verdict = 'false_positive'")
    assert score(database, acme, "host", "pc-7", NOON).parts == ()
    with database.app(acme) as tx:
        assert risk.ranking(acme, tx, NOON) == []
        assert {d.score for d in risk.history(acme, tx, "host", "pc-7", NOON)} == {0.0}


def test_history_ends_with_the_score_and_each_day_is_what_was_then(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    acme = two_tenants[0]
    put(
        database,
        acme,
        claim("a", minute=-9 * DAY),
        claim("b", minute=-2 * DAY, level="critical", rule_id="r2"),
        claim("c", minute=-45 * DAY),
        *(claim(f"d{i}", minute=-3 * DAY + i, rule_id="r3", entity="ann") for i in range(9)),
    )
    cents = 5_000_000
    with database.app(acme) as tx:
        days = risk.history(acme, tx, "user", "ann", NOON, cents)
    assert len(days) == risk.DAYS
    assert days[-1].at == NOON
    for day in (days[-1], days[-5], days[-12], days[0]):
        told = score(database, acme, "user", "ann", day.at, cents)
        assert day.score == pytest.approx(told.score, abs=1e-6)
    assert days[-1].score > days[-5].score > 0.0


def test_money_behind_an_entity_makes_it_weigh_more_and_says_so(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    acme = two_tenants[0]
    put(database, acme, claim("a"))
    plain = score(database, acme, "host", "pc-7", NOON)
    rich = score(database, acme, "host", "pc-7", NOON, cents=100_000_000)
    assert rich.score > plain.score
    assert [p.factor for p in rich.parts] == ["finding", "value"]
    assert rich.parts[1].title == "100000000 cents behind it"
    with database.app(acme) as tx:
        assert risk.behind(acme, tx, [("host", "pc-7"), ("host", "none")], NOON) == {
            ("host", "pc-7"): [("vendor", "V-1")],
            ("host", "none"): [],
        }


def test_a_ranking_is_bounded(database: Database, two_tenants: tuple[Scope, Scope]) -> None:
    with database.app(two_tenants[0]) as tx, pytest.raises(InvalidInput):
        risk.ranking(two_tenants[0], tx, NOON, limit=risk.MOST_RANKED + 1)
