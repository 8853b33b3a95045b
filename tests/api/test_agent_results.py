"""Say odd things as an enrolled agent: its beat is answered, and what can be kept is kept."""

import base64
import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from agent.identity import Identity
from api import evidence
from api.agent_actions import action_of, approve, ask, expire_silent, orders, undo
from api.agent_policy import read_document, set_policy
from api.agent_results import LARGEST
from api.agents_beat import CLAIM
from api.signer import signer_of
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import NotAllowed
from storage.sealing import Seal
from storage.settings import Settings
from storage.tenant import Actor, Role, Scope, system_scope
from tests.api.agents_house import House, listening, say

ANN = Scope("acme", Actor("user", "ann"), frozenset({Role.ADMIN}))


@pytest.fixture
def house(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> Iterator[House]:
    with listening(settings, database, two_tenants, tmp_path) as made:
        yield made


@pytest.fixture
def host(house: House) -> Identity:
    return house.enroll("ws-1")


BEA = Scope("acme", Actor("user", "bea"), frozenset({Role.ANALYST}))


def sent(house: House, host: Identity, kind: str = "query", **arguments: object) -> str:
    """Ask for an action, approve it and hand it out, as a beat does; give its id."""
    now = house.desk.now()
    given = arguments or {"table": "users"}
    made = ask(house.database, ANN, host.agent_id, kind, given, now, note="a test")
    if made["state"] == "waits":
        approve(house.database, BEA, made["action_id"], now)
    handed(house, host)
    return str(made["action_id"])


def handed(house: House, host: Identity) -> list[str]:
    agent = Scope("acme", Actor("agent", host.agent_id), frozenset({Role.INGEST}))
    now = house.desk.now()
    signer = signer_of(house.database, Seal.of(house.desk.settings), now)
    with house.database.app(agent) as tx:
        return orders(tx, agent, signer, now)


def beat(host: Identity, **said: object) -> dict[str, Any]:
    status, answer = say(host, "/v1/agents/beat", json.dumps(said).encode())
    assert status == 200, answer
    told: dict[str, Any] = json.loads(answer)
    return told


def _deep(levels: int) -> object:
    found: object = "x"
    for _ in range(levels):
        found = [found]
    return found


@pytest.mark.parametrize(
    ("result", "kept"),
    [
        ({"rows": [{"name": "\udcff"}]}, {"rows": [{"name": "\\udcff"}]}),
        ({"rows": [{"name": "a\x00b", "k\x00": "\\u0000"}]},
         {"rows": [{"name": "a\\x00b", "k\\x00": "\\u0000"}]}),
        ({"rows": float("nan")}, {"rows": "nan"}),
    ],
)  # fmt: skip
def test_what_the_ledger_cannot_hold_is_written_out(
    house: House, host: Identity, result: dict[str, object], kept: dict[str, object]
) -> None:
    named = sent(house, host)
    beat(host, results=[{"id": named, "state": "done", "result": result}])
    found = action_of(house.database, ANN, named)
    assert (found["state"], found["result"]) == ("done", kept)


@pytest.mark.parametrize(
    ("changed", "state", "why"),
    [
        ({"result": {"rows": "x" * LARGEST}}, "done", "bytes"),
        ({"state": "fine"}, "failed", "no result"),
        ({"result": [1]}, "failed", "no result"),
    ],
)
def test_one_bad_result_is_told_and_spoils_neither_the_others_nor_the_orders(
    house: House, host: Identity, changed: dict[str, object], state: str, why: str
) -> None:
    bad, good = sent(house, host), sent(house, host)
    row: dict[str, object] = {"id": bad, "state": "done", "result": {}}
    more = ask(house.database, ANN, host.agent_id, "query", {"table": "users"},
               house.desk.now(), note="more")  # fmt: skip
    told = beat(host, results=[{**row, **changed}, {**row, "id": good}])
    assert more["action_id"] in "".join(told["orders"])
    assert action_of(house.database, ANN, good)["state"] == "done"
    found = action_of(house.database, ANN, bad)
    assert (found["state"], why in found["result"]["why"]) == (state, True)


def test_what_the_ledger_refuses_all_the_same_is_kept_as_not_taken(
    house: House, host: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.agent_results.plain", lambda said: said)
    bad, good = sent(house, host), sent(house, host)
    row = {"id": bad, "state": "done", "result": {"rows": "a\x00"}}
    beat(host, results=[row, {**row, "id": good, "result": {}}])
    found = [action_of(house.database, ANN, named) for named in (bad, good)]
    assert [one["state"] for one in found] == ["failed", "done"]
    assert "not taken" in found[0]["result"]["why"]


def test_what_is_no_result_at_all_and_kinds_of_tomorrow_change_nothing(
    house: House, host: Identity
) -> None:
    named = sent(house, host)
    results = [7, {}, {"id": "../identity.pem"}, {"id": str(uuid.uuid4()), "state": "done"}]
    told = beat(host, results=results, response=["teleport", {}, "query"])
    assert named in "".join(told["orders"])
    assert house.agents()[0]["response"] == ["query"]


def test_deep_nesting_is_cut(house: House, host: Identity) -> None:
    named = sent(house, host)
    beat(host, results=[{"id": named, "state": "done", "result": {"rows": _deep(400)}}])
    assert "(too deep)" in json.dumps(action_of(house.database, ANN, named)["result"])


def test_a_reason_is_one_plain_line(house: House, host: Identity) -> None:
    beat(host, policy_reason="a\nb\u202ec\udcff" + "x" * 900, policy_refused=1)


@pytest.mark.parametrize("claim", [10**12, 2**62])
def test_a_version_that_was_never_given_is_told_and_not_believed(
    house: House, host: Identity, claim: int
) -> None:
    now = house.desk.now()
    set_policy(house.database, ANN, read_document({"beat_s": 20}), now)
    beat(host, policy_version=claim)
    (row,) = house.agents()
    assert (row["policy_version"], row["policy_reason"]) == (1, CLAIM)
    assert set_policy(house.database, ANN, read_document({"beat_s": 30}), now).version == 2
    beat(host, policy_version=2)
    assert house.agents()[0]["policy_reason"] == ""


def test_what_failed_half_way_or_came_too_late_can_be_taken_back(
    house: House, host: Identity
) -> None:
    named, late = (sent(house, host, "isolate", minutes=30) for _ in range(2))
    beat(host, results=[{"id": named, "state": "failed", "result": {"why": "was interrupted"}}])
    house.clock.forward(2 * 3600 + 1)
    handed(house, host)
    assert action_of(house.database, ANN, late)["state"] == "expired"
    for one in (named, late):
        made = undo(house.database, BEA, one, house.desk.now())
        assert (made["kind"], made["state"], made["undoes"]) == ("undo", "ready", one)


def test_what_is_denied_while_it_is_handed_out_is_not_sent(house: House, host: Identity) -> None:
    now, agent = house.desk.now(), Scope("acme", Actor("agent", host.agent_id), frozenset())
    made = ask(house.database, ANN, host.agent_id, "query", {"table": "users"}, now, note="a test")
    signer = signer_of(house.database, Seal.of(house.desk.settings), now)

    def hand_out() -> list[str]:
        with house.database.app(agent) as tx:
            return orders(tx, agent, signer, now)

    with ThreadPoolExecutor(1) as pool:
        with house.database.app(agent) as other:
            execute(other, "agent_action_deny", action_id=made["action_id"], by="user:b", now=now)
            waiting = pool.submit(hand_out)
            for _ in range(500):
                if other.execute("SELECT FROM pg_locks WHERE NOT granted").fetchall():
                    break
                time.sleep(0.01)
        assert waiting.result() == []


def piece(host: Identity, named: str, content: bytes = b"dropper", number: int = 0) -> int:
    return say(host, f"/v1/agents/evidence/{named}?number={number}", content)[0]


def held(house: House) -> int:
    with house.database.app(ANN) as tx:
        return int(str(select(tx, "evidence_held")[0]["size_bytes"]))


WHOLE = {
    "source": "/tmp/other", "sha256": hashlib.sha256(b"dropper").hexdigest(),
    "size_bytes": 7, "at_us": 1_795_000_000_000_000,
}  # fmt: skip


@pytest.mark.parametrize(
    "claimed",
    [[1], "x", None, {**WHOLE, "at_us": "x"}, {**WHOLE, "at_us": 10**30}, {**WHOLE, "detail": [1]},
     {**WHOLE, "size_bytes": True}, {**WHOLE, "sha256": 7}],
)  # fmt: skip
def test_a_claim_that_is_none_ends_the_collection_and_leaves_no_piece(
    house: House, host: Identity, claimed: object
) -> None:
    named = sent(house, host, "collect", path="/tmp/a")
    assert piece(host, named) == 204
    assert held(house) == 7
    beat(host, results=[{"id": named, "state": "done", "result": {"evidence": claimed}}])
    found = action_of(house.database, ANN, named)
    assert (found["state"], "cannot be read" in found["result"]["why"]) == ("failed", True)
    assert held(house) == 0


def test_what_fails_or_comes_too_late_leaves_no_piece(house: House, host: Identity) -> None:
    named, late = (sent(house, host, "collect", path="/tmp/a") for _ in range(2))
    assert [piece(host, one) for one in (named, late)] == [204, 204]
    beat(host, results=[{"id": named, "state": "failed", "result": {}}])
    assert held(house) == 7
    house.clock.forward(2 * 3600 + 1)
    handed(house, host)
    assert held(house) == 0


def test_pieces_that_are_no_file_yet_count_as_held(
    house: House, host: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "MOST_HELD", 10)
    one, two = (sent(house, host, "collect", path="/tmp/a") for _ in range(2))
    assert [piece(host, named) for named in (one, two)] == [204, 403]


def test_nothing_is_added_to_or_taken_from_a_whole_file(house: House, host: Identity) -> None:
    named = sent(house, host, "collect", path="/tmp/a")
    piece(host, named)
    beat(host, results=[{"id": named, "state": "done", "result": {"evidence": WHOLE}}])
    found = evidence.evidence_of(house.database, BEA, named)
    assert (found["source"], found["detail"]["asked"]["path"]) == ("/tmp/other", "/tmp/a")
    assert found["custody"][0]["detail"]["asked"]["path"] == "/tmp/a"
    with house.database.app(ANN) as tx:
        assert tx.execute("DELETE FROM evidence_pieces").rowcount == 0
    with pytest.raises(psycopg.errors.InsufficientPrivilege), house.database.app(ANN) as tx:
        execute(tx, "evidence_piece_add", evidence_id=named, number=1, content=b"more")
    _, given = evidence.hand_out(house.database, BEA, named, house.desk.now())
    assert list(given) == [b"dropper"]


def test_a_file_is_handed_out_piece_by_piece_and_the_last_one_is_checked(
    house: House, host: Identity
) -> None:
    named = sent(house, host, "collect", path="/tmp/a")
    pieces = [os.urandom(evidence.PIECE) for _ in range(3)] + [b"end"]
    for number, content in enumerate(pieces):
        assert piece(host, named, content, number) == 204
    whole = b"".join(pieces)
    claimed = {**WHOLE, "size_bytes": len(whole), "sha256": hashlib.sha256(whole).hexdigest()}
    beat(host, results=[{"id": named, "state": "done", "result": {"evidence": claimed}}])
    _, given = evidence.hand_out(house.database, BEA, named, house.desk.now())
    assert list(given) == pieces
    client = house.front().person(house.acme, "q", Role.ANALYST)
    answer = client.get(f"/v1/evidence/{named}/content")
    told = (answer.content, int(answer.headers["Content-Length"]))
    assert told == (whole, len(whole))
    digest = base64.b64encode(hashlib.sha256(whole).digest()).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    _, again = evidence.hand_out(house.database, BEA, named, house.desk.now())
    with house.database.owner() as tx:  # the application cannot
        tx.execute("SELECT set_config('inopsio.tenant', 'acme', true)")
        tx.execute("UPDATE evidence_pieces SET content = 'END' WHERE number = 3")
    with pytest.raises(NotAllowed, match="not what was collected"):
        list(again)
    with pytest.raises(NotAllowed, match="not what was collected"):
        evidence.hand_out(house.database, BEA, named, house.desk.now())


def test_what_agents_that_are_gone_left_is_dropped_by_its_age(house: House, host: Identity) -> None:
    named = sent(house, host, "collect", path="/tmp/a")
    assert piece(host, named) == 204
    isolated = sent(house, host, "isolate", minutes=60)
    for later_s, wanted, left in ((23 * 3600, 0, 7), (3 * 3600, 1, 0)):
        house.clock.forward(later_s)
        keeper = system_scope(ANN.tenant_id, "keeping")
        assert expire_silent(house.database, keeper, house.desk.now()) == wanted
        assert held(house) == left
    states = [action_of(house.database, ANN, one)["state"] for one in (named, isolated)]
    assert states == ["expired", "sent"]


def test_a_policy_that_was_refused_before_its_version_was_read_says_why(
    house: House, host: Identity
) -> None:
    set_policy(house.database, ANN, read_document({"beat_s": 20}), house.desk.now())
    assert beat(host, policy_reason="the signature is not the house's")["policy"]
    (row,) = house.agents()
    assert (row["policy_state"], row["policy_reason"]) == (
        "refused", "the signature is not the house's",
    )  # fmt: skip
    beat(host, policy_version=1, policy_reason="the signature is not the house's")
    assert house.agents()[0]["policy_state"] == "applied"
