"""Set a policy and ask for an action by command, on a house without an agent and with one."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.cli import run
from deploy.output import DONE
from storage.database import Database
from storage.database.queries import execute
from storage.settings import Settings
from storage.tenant import Scope

AGENT = "0196f000-0000-7000-8000-00000000000a"


@pytest.fixture(autouse=True)
def place(
    settings: Settings,
    database: Database,
    two_tenants: tuple[Scope, Scope],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("INOPSIO_DATABASE_URL", settings.database_url.reveal())
    monkeypatch.setenv("INOPSIO_DATA_DIR", str(settings.data_dir))
    now = datetime.now(UTC)
    with database.app(two_tenants[0]) as tx:
        told = {"host": "ws-1", "serial": "1", "version": "", "machine": "", "hardware": ""}
        when = {"now": now, "not_after": now + timedelta(days=7)}
        execute(tx, "agent_add", agent_id=AGENT, address="", **told, **when)


def said(capfd: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = run(["agent", *words, "--tenant", "acme"])
    return code, capfd.readouterr().out


def test_a_policy_goes_out_changed_and_comes_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, text = said(capfd, "policy", "show")
    assert (code, json.loads(text)["beat_s"]) == (DONE, 15)
    file = tmp_path / "policy.json"
    file.write_text(json.dumps({**json.loads(text), "off": ["packages"]}))
    assert said(capfd, "policy", "set", str(file), "--note", "quieter")[0] == DONE
    assert json.loads(said(capfd, "policy", "show")[1])["off"] == ["packages"]
    file.write_text('{"beat_s": 1}')
    assert said(capfd, "policy", "set", str(file))[0] != DONE
    assert said(capfd, "policy", "set")[0] != DONE
    (row,) = [json.loads(x) for x in said(capfd, "policy", "show", "--history")[1].splitlines()]
    assert (row["version"], row["of"], row["note"]) == (1, "all agents", "quieter")


def test_what_a_command_asks_for_waits_for_a_person(capfd: pytest.CaptureFixture[str]) -> None:
    asked = ("act", AGENT, "isolate", '{"minutes": 5}', "--note", "worm")
    code, text = said(capfd, *asked)
    assert (code, json.loads(text)["state"]) == (DONE, "waits")
    assert json.loads(said(capfd, *asked, "--dry")[1])["state"] == "ready"
    made = json.loads(text)["action_id"]
    assert json.loads(said(capfd, "undo", made)[1])["state"] == "denied"
    assert len(said(capfd, "actions", "--agent", AGENT)[1].splitlines()) == 2
    assert said(capfd, "act", AGENT, "isolate", "[]", "--note", "worm")[0] != DONE


def test_a_new_agent_waits_until_a_command_approves_it(
    database: Database, two_tenants: tuple[Scope, Scope], capfd: pytest.CaptureFixture[str]
) -> None:
    assert said(capfd, "approval")[0] == DONE
    with database.app(two_tenants[0]) as tx:
        execute(tx, "agent_let_in", agent_id=AGENT, named="web1", now=datetime.now(UTC))
    shown = said(capfd, "list")[1]
    assert "ws-1 (let in as web1)  waits for approval" in shown
    assert said(capfd, "approve", AGENT)[0] == DONE
    assert "never seen" in said(capfd, "list")[1]
    assert said(capfd, "approve", AGENT)[0] != DONE
    assert said(capfd, "approval", "--off")[0] == DONE
