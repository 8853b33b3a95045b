"""A rule that matches everything keeps so many claims of a window; what is beyond is counted."""

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from psycopg import Rollback

from storage import telemetry
from storage.database import Database
from storage.database.bounds import MOST_CLAIMS, WINDOW_S
from storage.database.rows import insert_findings
from storage.rules import capped_claims
from storage.schema import Finding, finding_id
from storage.tenant import Scope

START_US = 1_795_000_200_000_000
SECOND_US = 1_000_000
Two = tuple[Scope, Scope]


def claims(
    count: int, rule: str = "all", tenant: str = "acme", at_us: int = START_US
) -> list[Finding]:
    """Give claims of a rule on single events of one window, in their order."""
    return [
        Finding(
            finding_id=finding_id(tenant, "sigma", "1.a", rule, f"{at_us}.{n}"),
            tenant_id=tenant,
            detector="sigma",
            detector_version="1.a",
            rule_id=rule,
            title="Everything",
            level="low",
            time_us=at_us + n,
            entity_type="host",
            entity="pc-7",
            event_ids=("0196f000-0000-8000-8000-000000000001",),
            kind="signal",
        )
        for n in range(count)
    ]


def put(database: Database, *parts: Sequence[Finding]) -> list[str]:
    """Insert each part in a transaction of its own; give the ids that are new."""
    new: list[str] = []
    for part in parts:
        with database.writer() as tx:
            new += insert_findings(tx, part)
    return new


def capped(database: Database, scope: Scope) -> dict[str, int]:
    with database.app(scope) as tx:
        return capped_claims(tx)


def test_the_window_starts_where_the_clock_says() -> None:
    assert START_US // SECOND_US % WINDOW_S == 0


def test_claims_beyond_the_bound_are_counted_and_told_to_nobody(
    database: Database, two_tenants: Two
) -> None:
    before = telemetry.values()["inopsio_claims_capped_total"]
    many = claims(MOST_CLAIMS + 30)
    assert put(database, many) == [c.finding_id for c in many[:MOST_CLAIMS]]
    assert capped(database, two_tenants[0]) == {"all": 30}
    assert capped(database, two_tenants[1]) == {}
    assert telemetry.values()["inopsio_claims_capped_total"] - before == 30
    with database.writer() as tx:
        assert tx.execute("SELECT count(*) FROM outbox").fetchone() == (MOST_CLAIMS,)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_another_cut_of_the_stream_keeps_the_same_claims(
    database: Database, two_tenants: Two, seed: int
) -> None:
    dice = random.Random(seed)
    stream = claims(MOST_CLAIMS + 200)
    for n, other in enumerate(claims(40, "calm")):
        stream.insert(n * 25, other)
    cuts = sorted(dice.sample(range(1, len(stream)), 6))
    parts = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    kept = {c.finding_id for c in [*claims(MOST_CLAIMS), *claims(40, "calm")]}
    assert set(put(database, *parts)) == kept
    assert capped(database, two_tenants[0]) == {"all": 200}


def test_each_rule_tenant_and_window_has_a_bound_of_its_own(
    database: Database, two_tenants: Two
) -> None:
    whole = claims(MOST_CLAIMS)
    later = claims(5, at_us=START_US + WINDOW_S * SECOND_US)
    bolt, other = claims(5, tenant="bolt"), claims(5, "other")
    model = [
        replace(c, detector="beaconing", finding_id=finding_id("acme", "b", "1", "all", str(n)))
        for n, c in enumerate(claims(5))
    ]
    assert len(put(database, whole, [*later, *bolt, *other, *model])) == MOST_CLAIMS + 20
    assert put(database, claims(MOST_CLAIMS + 1)) == []
    assert capped(database, two_tenants[0]) == {"all": 1}


def test_what_is_there_already_takes_no_room_and_what_is_rolled_back_is_not_counted(
    database: Database, two_tenants: Two
) -> None:
    with database.writer() as tx:
        insert_findings(tx, claims(MOST_CLAIMS + 7))
        raise Rollback
    assert capped(database, two_tenants[0]) == {}
    half = claims(600)
    assert len(put(database, half, half, claims(900))) == 900
    assert capped(database, two_tenants[0]) == {}
    assert len(put(database, claims(MOST_CLAIMS))) == 100


def test_old_counts_are_trimmed_those_of_capped_rules_later(
    database: Database, two_tenants: Two
) -> None:
    put(database, claims(1, "calm"), claims(MOST_CLAIMS + 1))
    with database.owner() as tx:
        tx.execute("SELECT set_config('inopsio.tenant', 'acme', true)")
        tx.execute("UPDATE rule_windows SET made_at = now() - interval '3 days'")
    put(database, claims(1, "new"))
    with database.app(two_tenants[0]) as tx:
        left = tx.execute("SELECT rule_id FROM rule_windows ORDER BY 1").fetchall()
    assert left == [("all",), ("new",)]
