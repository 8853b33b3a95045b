"""Let a real agent's verdicts arrive: the latest counts, changes are history, tenants are apart."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.collect.linux.configuration import _event, rules
from pipelines.parsing import parse_stream
from pipelines.sinks import agent_checks
from storage.database import Database
from storage.outcome import Outcome
from storage.settings import Settings
from storage.tenant import Role, Scope
from tests.api.agents_house import House, listening

FAILED = "fail: it is '1'"


@pytest.fixture
def house(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> Iterator[House]:
    with listening(settings, database, two_tenants, tmp_path) as made:
        yield made


def told(house: House, agent_id: str, *verdicts: tuple[int, str | None, str]) -> str:
    """Keep what the agent tells of its first rule: second, before, now; give the rule's id."""
    uid, rule = next(iter(rules(Path("/nonexistent")).items()))
    began_us = house.clock.now_us
    events = [_event(rule, was, now, began_us + at * 1_000_000) for at, was, now in verdicts]
    text = "\n".join(map(json.dumps, events)).encode()
    source = f"agent:{agent_id}.0a:events"
    read = parse_stream(
        "ocsf_json", [text], tenant_id="acme", source=source, ingested_at_us=began_us
    )
    made = Outcome("events", (), tuple(batch for batch, _ in read))
    for _ in range(2):
        with house.database.writer() as tx:
            agent_checks.write(tx, made)
    return uid


def test_the_latest_verdict_counts_with_its_fix_and_since_when(house: House) -> None:
    made = house.enroll("ws-1")
    uid = told(
        house, made.agent_id, (0, None, "pass"), (5, "pass", FAILED), (9, FAILED, "fail: it is '2'")
    )
    client = house.front().bearer(house.acme, Role.ANALYST)
    (row,) = client.get("/v1/checks?failed=true").json()["items"]
    (agent,) = house.agents()
    assert (row["host"], row["check_uid"], row["is_passed"]) == (agent["host"], uid, False)
    assert row["detail"] == "it is '2'"
    assert row["fix"] == rules(Path("/nonexistent"))[uid]["fix"]
    assert row["told_at"] > row["since"]
    past = client.get(f"/v1/agents/{made.agent_id}/checks?check_uid={uid}").json()["items"]
    assert [(v["is_passed"], v["detail"]) for v in past] == [
        (False, "it is '2'"),
        (False, "it is '1'"),
        (True, ""),
    ]


def test_what_was_mended_is_not_among_the_failed_and_keeps_its_history(house: House) -> None:
    made = house.enroll("ws-1")
    told(house, made.agent_id, (5, "pass", FAILED), (9, FAILED, "pass"), (0, None, "pass"))
    client = house.front().bearer(house.acme, Role.ANALYST)
    assert client.get("/v1/checks?failed=true").json()["items"] == []
    (row,) = client.get(f"/v1/checks?agent_id={made.agent_id}").json()["items"]
    assert (row["is_passed"], row["since"] == row["told_at"]) == (True, True)


def test_another_tenant_sees_none_and_an_id_that_is_not_enrolled_tells_none(house: House) -> None:
    made = house.enroll("ws-1")
    told(house, made.agent_id, (0, None, FAILED))
    told(house, "0196f000-0000-7000-8000-00000000000a", (0, None, FAILED))
    front = house.front()
    stranger = front.bearer(house.bolt, Role.ANALYST)
    assert stranger.get("/v1/checks").json()["items"] == []
    assert stranger.get(f"/v1/agents/{made.agent_id}/checks").json()["items"] == []
    assert len(front.bearer(house.acme, Role.ANALYST).get("/v1/checks").json()["items"]) == 1
    assert front.bearer(house.acme, Role.INGEST).get("/v1/checks").status_code == 403
