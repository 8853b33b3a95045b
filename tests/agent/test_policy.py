"""Follow policies where a check fails: not read is not allowed."""

import json
import os
from pathlib import Path

import pytest

from agent import policy
from agent.errors import AgentError
from agent.policy import OFFERED, RUNS, Follower

ANSWER = """\
#!/bin/sh
cat > /dev/null
test -e "{0}/slow" && sleep 5
test -e "{0}/dead" && kill -9 $$
test -e "{0}/bad" && echo "inopsio-agent: it is forged" >&2 && exit 3
cat "{0}/body"
"""


@pytest.fixture
def checker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Check by a program that is slow, dies or refuses as files say."""
    program = tmp_path / "python"
    program.write_text(ANSWER.format(tmp_path))
    program.chmod(0o755)
    (tmp_path / "body").write_text(
        json.dumps({"version": 7, "policy": {"response": ["query"], "spool_mb": 32}})
    )
    monkeypatch.setattr("sys.executable", str(program))
    monkeypatch.setattr(policy, "CHECK_S", 0.5)
    return tmp_path


@pytest.mark.parametrize("how", ["slow", "dead"])
def test_a_check_that_could_not_be_made_lets_nothing_through_and_is_made_again(
    checker: Path, how: str
) -> None:
    (checker / RUNS).write_text("signed")
    (checker / how).touch()
    follower = Follower(checker, takes=False)
    assert not follower.look()
    assert (follower.is_known, "could not be checked" in follower.reason) == (False, True)
    (checker / how).unlink()
    assert follower.look()
    assert (follower.is_known, follower.policy.response) == (True, frozenset({"query"}))


def test_a_policy_that_is_refused_is_not_checked_twice(checker: Path) -> None:
    (checker / RUNS).write_text("signed")
    (checker / "bad").touch()
    follower = Follower(checker, takes=False)
    assert not follower.look()
    (checker / "bad").unlink()
    assert not follower.look()
    assert (follower.is_known, follower.reason) == (False, "it is forged")
    os.utime(checker / RUNS, (1, 1))
    assert follower.look()


def test_what_ran_before_is_read_again_where_the_first_check_failed(checker: Path) -> None:
    (checker / RUNS).write_text("signed")
    (checker / "dead").touch()
    follower = Follower(checker)
    assert follower.policy.version == 0
    (checker / "dead").unlink()
    follower.look()
    assert follower.policy.spool_mb == 32


def test_without_a_policy_the_hosts_settings_count(tmp_path: Path) -> None:
    assert Follower(tmp_path, takes=False).is_known
    assert not (tmp_path / OFFERED).exists()


def test_nothing_is_read_from_the_folder_that_the_agent_runs_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "agent" / "respond").mkdir(parents=True)
    (tmp_path / "json.py").write_text("raise SystemExit(0)")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AgentError, match="not enrolled"):  # as our own code says it
        policy.checked(tmp_path, "{}")
