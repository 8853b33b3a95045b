"""Walk policies and actions from the house to a real agent and back."""

import hashlib
import os
import subprocess
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from api import evidence
from api.agent_actions import action_of, approve, ask, undo
from api.agent_policy import read_document, set_policy, wanted_versions
from tests.agent.ordered_house import ANN, BEA, Agent


def test_a_policy_runs_on_the_agent_and_the_house_sees_which(agent: Agent) -> None:
    database, now = agent.house.database, agent.house.desk.now()
    document = read_document({"off": ["packages"], "watch_paths": ["/srv"], "spool_mb": 64})
    made = set_policy(database, ANN, document, now, note="less noise")
    agent.turn()
    row = agent.house.agents()[0]
    assert wanted_versions(database, ANN) == {agent.id: made.version}
    assert (row["policy_version"], row["policy_state"]) == (made.version, "applied")
    assert agent.ordered.settings.rest["off"] == ["packages"]
    assert agent.ordered.settings.rest["collect"]["file_integrity"]["paths"] == ["/srv"]
    assert agent.ordered.settings.spool_mb == 64
    assert [e["metadata"]["event_code"] for e in agent.events()] == ["policy_applied"]
    assert ("agent.policy-set", "done", "") in agent.house.trail()


def test_a_query_is_answered_and_needs_no_second_person(agent: Agent) -> None:
    database, now = agent.house.database, agent.house.desk.now()
    made = ask(database, BEA, agent.id, "query", {"table": "users"}, now, note="who is there")
    agent.turn()
    found = action_of(database, BEA, made["action_id"])
    assert found["state"] == "done"
    assert "root" in {row["name"] for row in found["result"]["rows"]}
    events = agent.events()
    assert [(e["kind"], e["state"]) for e in events] == [("query", "done")]
    trail = [action for action, _, _ in agent.house.trail() if action.startswith("agent-action")]
    assert trail == ["agent-action.ask", "agent-action.send", "agent-action.result"]


def test_a_file_becomes_evidence_with_its_hash_and_custody(agent: Agent, tmp_path: Path) -> None:
    database, now = agent.house.database, agent.house.desk.now()
    content = os.urandom(1_300_000)
    path = tmp_path / "dropper.bin"
    path.write_bytes(content)
    made = ask(database, BEA, agent.id, "collect", {"path": str(path)}, now, note="malware?")
    agent.turn()
    assert action_of(database, BEA, made["action_id"])["state"] == "waits"
    approve(database, ANN, made["action_id"], now)
    agent.turn()
    assert action_of(database, BEA, made["action_id"])["state"] == "done"
    later = now + timedelta(seconds=1)
    found, held = evidence.hand_out(database, BEA, made["action_id"], later)
    assert (b"".join(held), found["sha256"]) == (content, hashlib.sha256(content).hexdigest())
    custody = evidence.evidence_of(database, BEA, made["action_id"])["custody"]
    assert [(c["what"], c["actor"]) for c in custody] == [
        ("received", f"agent:{agent.id}"),
        ("handed out", "user:bea"),
    ]
    assert custody[0]["detail"]["approved_by"] == "user:ann"
    assert list((agent.identity.folder / "evidence").iterdir()) == []


def test_a_process_tree_is_suspended_goes_on_and_is_ended(agent: Agent) -> None:
    database, now = agent.house.database, agent.house.desk.now()
    words = ["sh", "-c", "sleep 60 & sleep 60; true"]
    with subprocess.Popen(words) as started:
        try:
            process = {"process": _uid(started.pid)}
            made = _approved(agent, "suspend", process)
            agent.turn()
            assert _state(started.pid) == "T"
            undo(database, BEA, made, now)
            agent.turn()
            assert _state(started.pid) in "SR"
            made = _approved(agent, "kill", process)
            agent.turn()
            assert started.wait(10) == -9
        finally:
            started.kill()
    found = action_of(database, BEA, made)
    assert (found["state"], found["result"]["count"]) == ("done", 3)


def _approved(agent: Agent, kind: str, arguments: Mapping[str, object]) -> str:
    database, now = agent.house.database, agent.house.desk.now()
    made = ask(database, BEA, agent.id, kind, dict(arguments), now, note="a test of it")
    approve(database, ANN, made["action_id"], now)
    return str(made["action_id"])


def _uid(pid: int) -> str:
    stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()[:8]
    return f"{boot}-{pid}-{stat[19]}"


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_name_that_is_no_text_keeps_no_answer_away(agent: Agent, tmp_path: Path) -> None:
    (tmp_path / "odd").mkdir()
    with open(os.fsencode(tmp_path / "odd") + b"/\xff", "wb"):  # noqa: PTH123  no text
        pass
    Path(tmp_path / "odd/link").symlink_to(b"to\xfe".decode("utf-8", "surrogateescape"))
    database, now = agent.house.database, agent.house.desk.now()
    asked = {"table": "files", "path": str(tmp_path / "odd")}
    made = ask(database, BEA, agent.id, "query", asked, now, note="what is there")
    agent.turn()
    found = action_of(database, BEA, made["action_id"])
    assert found["state"] == "done"
    assert {row.get("link") for row in found["result"]["rows"]} == {None, "to\\udcfe"}
