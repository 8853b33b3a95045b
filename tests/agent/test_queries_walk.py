"""Walk a scheduled query from the house's policy to a rule's hit on what a host told."""

import json
import threading
import time
from pathlib import Path

import pytest

from agent.collect import collectors
from agent.run import Loop
from api.agent_policy import read_document, set_policy
from deploy.cli import run
from tests.agent.ordered_house import ANN, Agent

RULE = """\
title: A program came into a watched folder
id: 5a0d0a52-5d5a-4f43-9c3b-8a8f1f3f0a11
status: experimental
logsource:
  product: linux
detection:
  selection:
    live_query.name: drop
    live_query.change: added
    row.mode|startswith: '-rwx'
  condition: selection
level: high
"""


def test_what_a_policy_asks_on_a_schedule_is_told_and_a_rule_hits_it(
    agent: Agent, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, rules, log = tmp_path / "drop", tmp_path / "rules", tmp_path / "told.jsonl"
    for made in (folder, rules):
        made.mkdir()
    (rules / "rule.yml").write_text(RULE)
    (folder / "old").write_text("x")
    off = sorted(set(collectors("linux")) - {"queries"})
    asked = {"name": "drop", "table": "files", "path": str(folder), "every_s": 60}
    document = read_document({"off": off, "queries": [asked]})
    database, now = agent.house.database, agent.house.desk.now()
    set_policy(database, ANN, document, now, note="what is dropped there")
    loop = Loop(agent.spool, [], {"off": [*off, "queries"]}, threading.Event())
    agent.turn()
    loop.apply(agent.ordered.settings.rest)
    rows = _told(loop, agent, "initial")
    (folder / "new").write_text("x")
    (folder / "new").chmod(0o755)
    # A minute later, as the agent sees it.
    loop._watchers[0].out.notes["drop"]["at_s"] -= 60
    rows += _told(loop, agent, "added")
    loop.finish()
    log.write_bytes(b"\n".join(rows))
    assert run(["detect", str(log), "--rules", str(rules), "--json"]) == 0
    out = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    (hit,) = [json.loads(line) for line in out]
    assert hit["count"] == 1


def _told(loop: Loop, agent: Agent, change: str) -> list[bytes]:
    """Let the agent look until it has told of such a change; give all rows up to there."""
    end_s, rows = time.monotonic() + 10, list[bytes]()
    while not any(f'"change":"{change}"'.encode() in row for row in rows):
        assert time.monotonic() < end_s
        loop.round()
        while (batch := agent.spool.next_batch()) is not None:
            rows += batch.rows
            agent.spool.done(batch)
        time.sleep(0.05)
    return rows
