"""Ask a host on a schedule: what came and went is told once, in the bounds of an action."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.collect import Event, Out
from agent.collect.linux import _tables, queries
from agent.policy import BadPolicy, merged, read
from agent.questions import Asked, BadQuestion, asked
from agent.run import _keep_all, watchers
from agent.settings import Settings
from agent.spool import Spool
from api.agent_policy import read_document
from storage.errors import InvalidInput

GOOD: dict[str, Any] = {"name": "tmp", "table": "files", "path": "/tmp", "every_s": 60}


class _Once(threading.Event):
    """Stop after one round."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        self.set()
        return True


class _After(threading.Event):
    """Stop after so many waits, none of which takes time."""

    def __init__(self, waits: int) -> None:
        super().__init__()
        self._waits = waits

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        self._waits -= 1
        if self._waits <= 0:
            self.set()
        return self.is_set()


def _asked(out: Out, *said: dict[str, Any]) -> list[tuple[str, str]]:
    """Let each question be asked once; give (change, name) of what was told."""
    out.notes = {name: {**kept, "at_s": 0.0} for name, kept in out.notes.items()}
    queries.watch(out, _Once(), {"queries": list(said)})
    return [_told(e) for e in out.take()[0].events]


def _told(seen: Event) -> tuple[str, str]:
    if "live_query" not in seen:
        return str(seen["metadata"]["event_code"]), str(seen["message"])
    row = seen["row"]
    return seen["live_query"]["change"], Path(str(row.get("path") or row.get("name"))).name


def test_the_first_answer_is_state_and_later_ones_are_differences(tmp_path: Path) -> None:
    question, out = {**GOOD, "path": str(tmp_path)}, Out()
    (tmp_path / "a").write_text("1")
    assert _asked(out, question) == [("initial", "a")]
    assert _asked(out, question) == []
    (tmp_path / "b").write_text("2")
    (tmp_path / "a").unlink()
    assert _asked(out, question) == [("added", "b"), ("removed", "a")]


def test_what_was_told_is_not_told_again_after_a_restart(tmp_path: Path) -> None:
    question, out = {**GOOD, "path": str(tmp_path)}, Out()
    (tmp_path / "a").write_text("1")
    _asked(out, question)
    assert _asked(Out(out.notes), question) == []


def test_another_question_of_the_same_name_begins_anew(tmp_path: Path) -> None:
    question, out = {**GOOD, "path": str(tmp_path)}, Out()
    (tmp_path / "a").write_text("1")
    _asked(out, question)
    assert _asked(out, {**question, "limit": 7}) == [("initial", "a")]
    assert _asked(out) == []
    assert out.notes == {}


def test_a_path_that_is_not_there_yet_has_no_rows_and_its_coming_is_told(tmp_path: Path) -> None:
    question, out = {**GOOD, "path": str(tmp_path / "later")}, Out()
    assert _asked(out, question) == []
    (tmp_path / "later").write_text("x")
    assert _asked(out, question) == [("added", "later")]


def test_of_an_answer_that_was_cut_nothing_is_said_to_have_gone(tmp_path: Path) -> None:
    question, out = {**GOOD, "path": str(tmp_path), "limit": 3}, Out()
    for name in "abc":
        (tmp_path / name).write_text("1")
    assert len(_asked(out, question)) == 3
    for name in "defg":
        (tmp_path / name).write_text("1")
    assert "removed" not in {change for change, _ in _asked(out, question)}


def test_a_row_that_changes_rewrites_the_note_of_its_question_alone_and_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = Spool(tmp_path / "spool.sqlite", 4 << 20)
    (tmp_path / "a").mkdir()
    for number in range(900):
        (tmp_path / "a" / f"file-{number}").touch()
    names = [f"q{number}" for number in range(5)]
    said = [{**GOOD, "name": n, "path": str(tmp_path / "a"), "limit": 1000} for n in names]
    settings = {"collect": {"queries": {"queries": said}}}
    written: list[tuple[str, int]] = []
    note = spool._note

    def noted(name: str, value: object) -> None:
        written.append((name, len(json.dumps(value))))
        note(name, value)

    monkeypatch.setattr(spool, "_note", noted)

    def asked_again() -> int:
        (one,) = [w for w in watchers(spool, settings) if w.name == "queries"]
        for kept in one.out.notes.values():
            kept["at_s"] = 0.0
        queries.watch(one.out, _After(6), one.options)
        look = one.out.take()[0]
        written.clear()
        return _keep_all(spool, [], [(one, look)])

    assert asked_again() == 4500
    assert sorted(name for name, _ in written) == ["queries", *(f"queries:{n}" for n in names)]
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "one").touch()
    said[2]["path"] = str(tmp_path / "b")
    assert asked_again() == 1
    assert [name for name, _ in written] == ["queries:q2"]
    (tmp_path / "a" / "another").touch()
    assert asked_again() == 4
    assert sum(size for _, size in written) < 4 * 60_000
    del said[0]
    asked_again()
    assert dict(written)["queries:q0"] == len("null")
    assert spool.note("queries", []) == names[1:]
    spool.close()


def test_all_questions_together_are_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MOST_ALL_BYTES", 4000)
    for number in range(100):
        (tmp_path / f"file-{number}").touch()
    out = Out()
    said = [{**GOOD, "name": f"q{n}", "path": str(tmp_path)} for n in range(4)]
    _asked(out, *said)
    sizes = [kept["size"] for kept in out.notes.values()]
    assert len(sizes) == 4
    assert min(sizes) > 500
    assert sum(sizes) < 8000
    assert all(kept["is_cut"] for kept in out.notes.values())


def test_a_slow_table_is_cut_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_tables, "MOST_S", -1.0)
    monkeypatch.setitem(_tables.TABLES, "users", lambda _: iter([{"name": "a", "uid": "1"}] * 9))
    assert _tables.answer(Asked("users", "", 100)) == ([], True)


def test_each_table_has_the_names_of_the_house() -> None:
    names = ("processes", "sockets", "users", "packages")
    said = [{"name": n, "table": n, "every_s": 60, "limit": 20} for n in names]
    out = Out()
    queries.watch(out, _Once(), {"queries": said})
    seen = {e["live_query"]["table"]: e for e in out.take()[0].events}
    assert {e["class_uid"] for e in seen.values()} == {5019}
    assert seen["processes"]["process"]["pid"] == seen["processes"]["row"]["pid"]
    assert isinstance(seen["sockets"]["src_endpoint"]["port"], int)
    assert seen["users"]["user"]["name"]
    assert seen["packages"]["package"]["version"]


BAD: list[Callable[[dict[str, Any]], object]] = [
    lambda q: [q] * 21,
    lambda q: [q, q],
    lambda q: [{**q, "name": "A b"}],
    lambda q: [{**q, "every_s": 59}],
    lambda q: [{**q, "every_s": 86_401}],
    lambda q: [{**q, "table": "secrets"}],
    lambda q: [{**q, "limit": 1001}],
    lambda q: [{**q, "path": None}],
    lambda q: [{**q, "path": "/tmp/../etc"}],
    lambda q: [{**q, "path": "tmp"}],
    lambda q: [{**q, "table": "users"}],
    lambda q: [{**q, "shell": "rm"}],
    lambda q: [{k: v for k, v in q.items() if k != "every_s"}],
    lambda _: "users",
]


@pytest.mark.parametrize("bad", BAD, ids=range(len(BAD)))
def test_what_is_out_of_bounds_neither_half_takes(bad: Callable[[Any], Any]) -> None:
    said = bad(GOOD)
    with pytest.raises(InvalidInput):
        read_document({"queries": said})
    with pytest.raises(BadPolicy):
        read({"version": 1, "policy": {"queries": said}})


@pytest.mark.parametrize("path", ["/tmp/a\0b", "/tmp/\ud800"])
def test_a_path_that_no_file_can_have_is_refused_not_asked_for(path: str) -> None:
    with pytest.raises(BadQuestion, match="no file"):
        asked({"table": "files", "path": path})


def test_a_device_is_seen_and_not_opened(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/null")
    words = [sys.executable, "-c", _TRACED, str(tmp_path / "link")]
    assert subprocess.run(words, check=True, capture_output=True, text=True).stdout == "[]\n"


_TRACED = """
import os, sys
opened = []
def heard(name, words):
    if name == "open" and not words[2] & os.O_PATH:
        opened.append(words[0])
from agent.collect.linux._hashes import hash_file
sys.addaudithook(heard)
assert hash_file(sys.argv[1]) == ""
print(opened)
"""


def test_what_the_house_tells_the_agent_takes_and_the_host_is_the_outer_bound() -> None:
    told = read_document({"queries": [GOOD]}).told()
    policy = read({"version": 1, "policy": told})
    assert merged(Settings(), policy).rest["collect"]["queries"]["queries"] == told["queries"]
    assert "queries" not in merged(Settings(response=("kill",)), policy).rest["collect"]
    # An agent that does not know the word yet would refuse the policy for it.
    assert "queries" not in read_document({}).told()


def test_the_hosts_own_questions_stay_beside_the_policys() -> None:
    own = [{**GOOD, "name": "own"}, {**GOOD, "every_s": 3600}]
    said = Settings(rest={"collect": {"queries": {"queries": own}}})
    policy = read({"version": 1, "policy": {"queries": [GOOD]}})
    assert merged(said, policy).rest["collect"]["queries"]["queries"] == [GOOD, own[0]]
    assert said.rest["collect"]["queries"]["queries"] == own


def test_what_the_host_itself_asks_wrongly_is_said() -> None:
    with pytest.raises(BadQuestion, match="every 60 to"):
        queries.watch(Out(), threading.Event(), {"queries": [{**GOOD, "every_s": 1}]})
