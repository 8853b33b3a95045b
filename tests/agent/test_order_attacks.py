"""Sit in the attacker's seat: forged, foreign, old, repeated and greedy orders and policies."""

import hashlib
import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from agent.act import Refuses, _copies, _evidence, collect
from agent.lift import lifted
from agent.orders import InForce
from agent.policy import LARGEST, OFFERED, BadPolicy, Follower, checked, read
from agent.settings import Settings as AgentSettings
from agent.signed import NotSigned, opened
from api import evidence
from api.agent_actions import action_of, actions, approve, ask, orders, undo
from api.agent_policy import PolicyDocument, read_document, set_policy
from api.signer import SIGNER_URI, Signer, signer_of
from storage.errors import InvalidInput, NotAllowed, NotFound
from storage.sealing import Seal
from storage.tenant import Actor, Role, Scope
from tests.agent.ordered_house import ANN, BEA, BOLT, Agent, enrolled, forged, signature_of, signed
from tests.agent.test_orders import _approved, _uid
from tests.api.agents_house import House, say

EMPTY = PolicyDocument.model_validate({})


def outcome(agent: Agent, id_: str, text: str) -> tuple[str, str]:
    """Lay an order down as the speaking half would; give what the responding half makes of it."""
    agent.orders.offer(id_, text, time.time())
    agent.responder().round()
    (result,) = [r for r in agent.orders.untold() if r.id == id_]
    return result.state, str(result.told.get("why", ""))


def test_an_order_of_the_house_is_done(agent: Agent) -> None:
    assert outcome(agent, *signed(agent)) == ("done", "")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda t: t.update(body=t["body"].replace("users", "files")), "signature is not"),
        (lambda t: t.update(body=t["body"] + " "), "signature is not"),
        (lambda t: t.update(signature="AAAA"), "signature is not"),
        (lambda t: t.update(signature="?"), "cannot be read"),
        (lambda t: t.pop("certificate"), "cannot be read"),
        (lambda t: t.update(certificate="-----BEGIN"), "cannot be read"),
    ],
)
def test_changed_bytes_are_refused(
    agent: Agent, change: Callable[[dict[str, Any]], None], why: str
) -> None:
    id_, text = signed(agent)
    state, said = outcome(agent, id_, forged(text, change))
    assert state == "refused"
    assert why in said
    assert [e["state"] for e in agent.events()] == ["refused"]


def _own_certificate(key: Ed25519PrivateKey) -> str:
    """Certify a key by itself, with all the names that a signer of the house has."""
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")]), datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(SIGNER_URI)]), False
        )
        .sign(key, None)
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def test_a_key_of_ones_own_is_refused(agent: Agent) -> None:
    key, (id_, text) = Ed25519PrivateKey.generate(), signed(agent)
    body = json.loads(text)["body"]
    shown = {"signature": signature_of(key, body), "certificate": _own_certificate(key)}
    state, why = outcome(agent, id_, forged(text, lambda t: t.update(shown)))
    assert (state, "not certified by the house" in why) == ("refused", True)


def test_the_certificate_of_an_agent_signs_no_orders(agent: Agent) -> None:
    key, (id_, text) = Ed25519PrivateKey.generate(), signed(agent)
    pem = (agent.identity.folder / "identity.pem").read_text()
    mine = pem[pem.index("-----BEGIN CERTIFICATE") :]
    shown = {"signature": signature_of(key, json.loads(text)["body"]), "certificate": mine}
    state, why = outcome(agent, id_, forged(text, lambda t: t.update(shown)))
    assert (state, "not certified for orders" in why) == ("refused", True)


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"tenant": "bolt"}, "another tenant"),
        ({"agent": str(uuid.UUID(int=7))}, "another agent"),
        ({"about": "policy"}, "another about"),
        ({"expires_us": 1_000_000}, "too old"),
        ({"at_us": int((time.time() + 7200) * 1e6)}, "of the future"),
        ({"at_us": int((time.time() - 86_400) * 1e6)}, "too old"),
        ({"expires_us": "tomorrow"}, "no time"),
        ({"arguments": ["users"]}, "no arguments"),
        ({"arguments": {"table": "shell"}}, "no table"),
        ({"kind": "run"}, "not let through"),
        ({"kind": "isolate", "arguments": {"minutes": 10**9}}, "minutes"),
    ],
)
def test_what_is_not_for_this_agent_now_is_refused(
    agent: Agent, changed: dict[str, Any], why: str
) -> None:
    state, said = outcome(agent, *signed(agent, **changed))
    assert (state, why in said) == ("refused", True), said


def test_the_process_that_checks_says_the_same(agent: Agent) -> None:
    id_, text = signed(agent)
    assert checked(agent.identity.folder, text, "action")["id"] == id_
    for wrong in (text, text.replace("users", "files"), "", "x" * (LARGEST + 1)):
        with pytest.raises(BadPolicy):
            checked(agent.identity.folder, wrong, "policy")


def test_an_order_under_another_id_is_refused(agent: Agent) -> None:
    _, text = signed(agent)
    assert outcome(agent, str(uuid.uuid4()), text)[0] == "refused"


def test_a_replay_is_refused_also_after_a_restart(agent: Agent) -> None:
    id_, text = signed(agent)
    assert agent.orders.offer(id_, text, time.time())
    assert agent.responder().round() == 1
    assert not agent.orders.offer(id_, text, time.time())
    assert agent.responder().round() == 0


def test_what_a_crash_interrupted_is_told_and_not_done_again(agent: Agent) -> None:
    id_, text = signed(agent)
    agent.orders.offer(id_, text, time.time())
    assert agent.orders.begin(id_)  # and here the agent was killed
    responder = agent.responder()
    assert responder.round() == 0
    (result,) = agent.orders.untold()
    assert (result.state, "not done again" in result.told["why"]) == ("failed", True)


def test_another_tenants_agent_cannot_be_acted_on(agent: Agent) -> None:
    database, now = agent.house.database, agent.house.desk.now()
    with pytest.raises(NotFound):
        ask(database, BOLT, agent.id, "query", {"table": "users"}, now, note="curious")
    mine = ask(database, ANN, agent.id, "isolate", {}, now, note="worm")
    for foreign in (action_of, lambda d, s, i: approve(d, s, i, now)):
        with pytest.raises(NotFound):
            foreign(database, BOLT, mine["action_id"])
    with pytest.raises(NotFound):
        undo(database, BOLT, mine["action_id"], now)
    with pytest.raises(NotFound):
        set_policy(database, BOLT, EMPTY, now, agent.id)
    assert actions(database, BOLT) == []


def test_who_asks_does_not_approve_and_no_program_does(agent: Agent) -> None:
    database, now = agent.house.database, agent.house.desk.now()
    made = ask(database, ANN, agent.id, "isolate", {"minutes": 5}, now, note="worm")
    program = Scope("acme", Actor("token", "soar"), frozenset({Role.ADMIN}))
    for who in (ANN, Scope("acme", Actor("user", "ANN"), frozenset({Role.ADMIN})), program):
        with pytest.raises(NotAllowed):
            approve(database, who, made["action_id"], now)
    agent.turn()
    assert action_of(database, ANN, made["action_id"])["state"] == "waits"
    assert ("agent-action.approve", "refused") in [(a, r) for a, r, _ in agent.house.trail()]


def test_a_program_waits_for_a_person_even_where_one_pair_of_eyes_is_enough(agent: Agent) -> None:
    database, now = agent.house.database, agent.house.desk.now()
    set_policy(database, ANN, read_document({"four_eyes": False}), now)
    program = Scope("acme", Actor("token", "soar"), frozenset({Role.ANALYST}))
    for who, state in ((program, "waits"), (BEA, "ready")):
        made = ask(database, who, agent.id, "isolate", {}, now, note="worm")
        assert made["state"] == state


def test_an_agent_hands_over_only_what_it_was_told_to_collect(agent: Agent, house: House) -> None:
    database, now = house.database, house.desk.now()
    made = ask(database, ANN, agent.id, "query", {"table": "users"}, now, note="who is there")
    with house.database.app(agent_scope(agent)) as tx:
        orders(tx, agent_scope(agent), _signer(house), now)
    for path in (made["action_id"], str(uuid.uuid4())):
        run = agent.identity.run
        status, _ = say(agent.identity, f"/v1/agents/evidence/{path}?number=0", b"x", run)
        assert status == 403
    with pytest.raises(NotFound):
        evidence.evidence_of(database, BEA, made["action_id"])


def agent_scope(agent: Agent) -> Scope:
    return Scope("acme", Actor("agent", agent.id), frozenset({Role.INGEST}))


def _signer(house: House) -> Signer:
    return signer_of(house.database, Seal.of(house.desk.settings), house.desk.now())


def test_evidence_that_is_not_what_the_agent_says_is_not_kept(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content")
    made = _approved(agent, "collect", {"path": str(path)})
    agent.beat.beat(agent.now_s())
    agent.responder().round()
    (agent.identity.folder / "evidence" / made).write_bytes(b"changed")
    agent.beat.beat(agent.now_s())
    found = action_of(agent.house.database, BEA, made)
    assert (found["state"], "not what the agent says" in found["result"]["why"]) == ("failed", True)
    with pytest.raises(NotFound):
        evidence.hand_out(agent.house.database, BEA, made, agent.house.desk.now())


def test_a_results_word_on_another_agents_action_changes_nothing(house: House) -> None:
    with ExitStack() as stack:
        one, two = enrolled(house, "ws-1", stack), enrolled(house, "ws-2", stack)
        database, now = house.database, house.desk.now()
        made = ask(database, ANN, one.id, "query", {"table": "users"}, now, note="who is there")
        told = {"id": made["action_id"], "state": "done", "result": {"rows": []}}
        body = json.dumps({"results": [told]}).encode()
        assert say(two.identity, "/v1/agents/beat", body, two.identity.run)[0] == 200
        assert action_of(database, ANN, made["action_id"])["state"] == "ready"


def test_an_older_policy_and_the_same_again_are_refused(agent: Agent) -> None:
    house, folder = agent.house, agent.identity.folder
    for path in ("/srv", "/opt"):
        document = read_document({"watch_paths": [path]})
        set_policy(house.database, ANN, document, house.desk.now())
        agent.turn()
        if path == "/srv":
            old = (folder / OFFERED).read_text()
    (folder / OFFERED).write_text(old)
    assert not agent.ordered.look()
    note = agent.spool.note("policy", {})
    assert (note["version"], note["refused"]) == (2, 1)
    assert "not above 2" in note["reason"]
    assert Follower(folder).policy.watch_paths == ("/opt",)  # also after a restart
    assert "policy_refused" in {e["metadata"]["event_code"] for e in agent.events()}


def test_a_policy_taken_back_is_a_step_forward(agent: Agent) -> None:
    house, now = agent.house, agent.house.desk.now()
    set_policy(house.database, ANN, read_document({"spool_mb": 100}), now)
    set_policy(house.database, ANN, read_document({"spool_mb": 200}), now, agent.id)
    agent.turn()
    assert agent.ordered.settings.spool_mb == 200
    _client_delete(agent)
    agent.turn()
    assert agent.ordered.settings.spool_mb == 100
    assert agent.house.agents()[0]["policy_state"] == "applied"


def _client_delete(agent: Agent) -> None:
    client = agent.house.front().person(ANN, "cleo", Role.ADMIN)
    answer = client.delete(f"/v1/agents/{agent.id}/policy")
    assert (answer.status_code, answer.json()["version"]) == (200, 3), answer.text


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({"beat_s": 0}, "beat_s"),
        ({"beat_s": True}, "beat_s"),
        ({"spool_mb": 10**9}, "spool_mb"),
        ({"watch_paths": ["relative"]}, "watch_paths"),
        ({"watch_paths": ["/srv/../etc"]}, "watch_paths"),
        ({"watch_paths": ["/x"] * 1000}, "up to 200"),
        ({"off": "processes"}, "off"),
        ({"every_s": {"packages": 0}}, "every_s"),
        ({"run": "rm -rf /"}, "unknown"),
        ([], "no content"),
    ],
)
def test_a_policy_out_of_bounds_is_refused_by_the_agent_too(said: object, why: str) -> None:
    with pytest.raises(BadPolicy, match=why):
        read({"version": 1, "policy": said})
    if isinstance(said, dict):
        with pytest.raises(InvalidInput):
            read_document(said)


def test_a_huge_policy_is_not_even_read(agent: Agent) -> None:
    with pytest.raises(NotSigned, match="over"):
        opened("x" * (LARGEST + 1), agent.identity, "policy", time.time())
    (agent.identity.folder / OFFERED).write_text("[" * (2 * LARGEST))
    assert not agent.ordered.look()
    assert agent.ordered.settings == agent.said


def test_the_hosts_own_settings_come_before_what_the_house_wants(house: House) -> None:
    with ExitStack() as stack:
        agent = enrolled(house, "ws-1", stack, AgentSettings(response=(), spool_mb=32))
        database, now = house.database, house.desk.now()
        set_policy(database, ANN, read_document({"spool_mb": 4096}), now)
        made = ask(database, ANN, agent.id, "query", {"table": "users"}, now, note="who is there")
        agent.turn()
        assert action_of(database, ANN, made["action_id"])["state"] == "refused"
        assert agent.ordered.settings.spool_mb == 32
        assert house.agents()[0]["response"] == []


def test_the_policy_takes_a_kind_of_action_away(agent: Agent) -> None:
    set_policy(
        agent.house.database, ANN, read_document({"response": ["isolate"]}), agent.house.desk.now()
    )
    agent.turn()
    assert "not let through" in outcome(agent, *signed(agent))[1]


@pytest.mark.parametrize(
    "path",
    ["etc/passwd", "/etc/../etc/shadow", "/etc//passwd", "/proc/1/environ", "/dev/sda", "/", ""],
)
def test_no_path_leads_out_of_what_may_be_collected(agent: Agent, path: str) -> None:
    state, why = outcome(agent, *signed(agent, kind="collect", arguments={"path": path}))
    assert state == "refused", why


def test_no_link_is_followed_and_no_pipe_waited_for(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "file").write_text("secret")
    (tmp_path / "folder").symlink_to(tmp_path / "real")
    (tmp_path / "link").symlink_to(tmp_path / "real" / "file")
    os.mkfifo(tmp_path / "pipe")
    for path, why in (
        ("folder/file", "'folder' is a link"),
        ("link", "'link' is a link"),
        ("pipe", "no regular file"),
        ("real", "no regular file"),
        ("nothing", "No such file"),
    ):
        with pytest.raises(Refuses, match=why):
            _evidence.opened(str(tmp_path / path), tmp_path / "none")
    os.close(_evidence.opened(str(tmp_path / "real/file"), tmp_path / "none"))


def test_the_agents_own_key_is_not_collected_by_any_name(agent: Agent, tmp_path: Path) -> None:
    key = agent.identity.folder / "identity.pem"
    (tmp_path / "copy").hardlink_to(key)
    for path in (key, tmp_path / "copy"):
        arguments = {"path": str(path)}
        state, why = outcome(agent, *signed(agent, kind="collect", arguments=arguments))
        assert (state, "keeps for itself" in why) == ("refused", True), why


def test_a_file_that_is_or_grows_too_large_is_not_taken(agent: Agent, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(b"x" * 1000)
    host = agent.responder()._host
    with pytest.raises(Refuses, match="1000 bytes"):
        collect.do("a", {"path": str(path), "most_bytes": 999}, host)
    with pytest.raises(Refuses, match="over 10 bytes"):
        _evidence.keep("b", "it", 10, lambda _n: b"endless", {}, host)
    assert list((agent.identity.folder / "evidence").iterdir()) == []


def test_the_first_process_the_kernels_and_the_agent_itself_are_left_alone(agent: Agent) -> None:
    own = _uid(os.getpid())
    agent.spool.set_note("half.look", [os.getpid(), int(own.rpartition("-")[2])])
    for process, why in (
        (_uid(1), "first process"),
        (_uid(2), "first process"),
        (own, "the agent itself"),
        (_uid(os.getppid()), "the agent itself"),
        ("1", "start time"),
    ):
        arguments = {"process": process}
        for kind in ("kill", "suspend"):
            state, said = outcome(agent, *signed(agent, kind=kind, arguments=arguments))
            assert (state, why in said) == ("refused", True), (process, said)


def test_a_pid_that_is_another_process_by_now_is_not_ended(agent: Agent) -> None:
    with subprocess.Popen(["sleep", "60"]) as started:
        boot, pid, ticks = _uid(started.pid).split("-")
        for process in (f"{boot}-{pid}-{int(ticks) - 1}", f"00000000-{pid}-{ticks}"):
            arguments = {"process": process}
            assert outcome(agent, *signed(agent, kind="kill", arguments=arguments))[0] == "refused"
        assert started.poll() is None
        started.kill()


def test_a_dry_run_says_what_would_be_and_does_nothing(agent: Agent) -> None:
    database, now = agent.house.database, agent.house.desk.now()
    with subprocess.Popen(["sleep", "60"]) as started:
        arguments = {"process": _uid(started.pid)}
        made = ask(database, BEA, agent.id, "kill", arguments, now, note="would it", is_dry=True)
        assert made["state"] == "ready"
        agent.turn()
        assert started.poll() is None
        found = action_of(database, BEA, made["action_id"])
        assert found["result"]["processes"][0]["cmd_line"] == "sleep 60"
        started.kill()


def test_what_nobody_fetched_is_over_in_time(agent: Agent, house: House) -> None:
    database, now = house.database, house.desk.now()
    made = ask(database, ANN, agent.id, "query", {"table": "users"}, now, note="who is there")
    house.clock.forward(3601)
    agent.turn()
    assert action_of(database, ANN, made["action_id"])["state"] == "expired"


@pytest.mark.skipif(os.geteuid() != 0, reason="fanotify is for root")
def test_what_is_lifted_before_the_host_ends_in_the_running_agent_too(
    agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_copies, "FOLDERS", ())
    program = tmp_path / "dropper"
    program.write_bytes(Path("/bin/sleep").read_bytes() + os.urandom(16))
    program.chmod(0o755)
    asked = {"sha256": hashlib.sha256(program.read_bytes()).hexdigest(), "minutes": 5}
    made, responder = _approved(agent, "block_hash", asked), agent.responder()
    agent.turn(responder)
    assert action_of(agent.house.database, BEA, made)["state"] == "done"
    assert subprocess.run([program, "60"], check=False).returncode == -9
    with pytest.raises(PermissionError):
        subprocess.run([program, "60"], check=False)
    responder.round()
    codes = [(e["metadata"]["event_code"], e.get("how")) for e in agent.events()]
    assert [how for code, how in codes if code == "program_blocked"] == ["ended", "refused"]
    (said,) = lifted(agent.identity.folder)
    assert "taken back" in said
    responder.round()
    assert subprocess.run([program, "0.1"], check=False).returncode == 0
    assert lifted(agent.identity.folder) == []


def test_while_the_policy_is_unread_only_an_undo_is_let_through(agent: Agent) -> None:
    responder = agent.responder()
    responder._allowed = lambda: None
    held, text = signed(agent, kind="suspend", arguments={})
    agent.orders.keep_signed(held, text)
    agent.orders.hold(InForce(held, "suspend", time.time() + 60, {"processes": []}))
    responder.begin()
    assert [one.id for one in agent.orders.held()] == [held], "what is in force stays"
    for kind, arguments, wanted in (
        ("query", {"table": "users"}, "refused"),
        ("undo", {"action": held}, "done"),
    ):
        id_, text = signed(agent, kind=kind, arguments=arguments)
        agent.orders.offer(id_, text, time.time())
        responder.round()
        assert [r.state for r in agent.orders.untold() if r.id == id_] == [wanted]
