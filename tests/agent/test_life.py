"""Install below a folder, examine, run as a process, be told to stop, hold to the ceilings."""

import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

import agent.run
from agent import cli, doctor, settings
from agent.collect import Look, Out
from agent.errors import AgentError
from agent.run import Loop
from agent.ship import Server
from agent.spool import Spool
from agent.units import CAPABILITIES, RESPOND, SHIP, UPDATE, WATCH, units
from agent.watchdog import BEGUN_ANEW, SUSTAINED, Watchdog, begun_anew, guard
from storage.database import Database
from storage.settings import Settings
from storage.tenant import Scope
from tests.agent.door import open_door
from tests.shared import ROOT


def test_what_is_installed_is_gone_after_uninstall(tmp_path: Path) -> None:
    token, root = tmp_path / "token", tmp_path / "root"
    token.write_text("secret")
    words = ["install", "--url", "https://a.example", "--token-file", str(token)]
    assert cli.command([*words, "--root", str(root)]) == 0
    said = settings.load(root / "etc/inopsio-agent/agent.toml")
    assert (said.url, said.token_file) == ("https://a.example", Path("/etc/inopsio-agent/token"))
    assert (root / "etc/inopsio-agent/token").stat().st_mode & 0o777 == 0o600
    assert (root / "etc/systemd/system" / WATCH).exists()
    assert cli.command(["uninstall", "--root", str(root)]) == 0
    assert [p for p in root.rglob("*") if p.is_file()] == []


def test_an_address_in_the_clear_is_not_installed(tmp_path: Path) -> None:
    words = ["install", "--url", "http://a.example", "--root", str(tmp_path)]
    assert cli.command(words) == cli.FAILED
    assert list(tmp_path.iterdir()) == []


def test_an_address_without_a_token_is_not_installed(tmp_path: Path) -> None:
    words = ["install", "--url", "https://a.example", "--root", str(tmp_path)]
    assert cli.command(words) == cli.FAILED
    assert list(tmp_path.iterdir()) == []


def test_what_speaks_with_the_network_has_no_rights() -> None:
    both = units("/opt/x")
    assert "CapabilityBoundingSet=\n" in both[SHIP]
    assert "AF_INET" not in both[WATCH] + both[RESPOND]
    assert f"AmbientCapabilities={CAPABILITIES}\n" in both[WATCH]


def test_a_host_may_take_no_actions(tmp_path: Path) -> None:
    token, root = tmp_path / "token", tmp_path / "root"
    token.write_text("secret")
    words = ["install", "--url", "https://a.example", "--token-file", str(token), "--no-response"]
    assert cli.command([*words, "--root", str(root)]) == 0
    assert settings.load(root / "etc/inopsio-agent/agent.toml").response == ()
    assert not (root / "etc/systemd/system" / RESPOND).exists()
    assert (root / "etc/systemd/system" / WATCH).exists()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
@pytest.mark.parametrize("name", [SHIP, WATCH, RESPOND, UPDATE])
def test_exposure_is_three_at_most(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(units("/bin/true")[name])
    words = [
        "systemd-analyze",
        "security",
        "--offline=true",
        "--threshold=30",
        str(tmp_path / name),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-300:] + done.stderr[-300:]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("urll = 'x'", "'urll' is unknown"),
        ("spool_mb = 0", "spool_mb is a whole number"),
        ("response = ['shell']", "response is true, false or a list"),
        ("url = ", "cannot be read"),
    ],
)
def test_wrong_settings_stop_the_start(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(AgentError, match=why):
        settings.load(tmp_path / "a.toml")


def test_doctor_finds_all_well_and_makes_no_event(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> None:
    with open_door(settings, database, two_tenants[0], tmp_path) as door:
        found = {f.name: f for f in doctor.examine(door.server, tmp_path)}
        wrong = list(doctor.examine(Server(door.server.url, "wrong"), tmp_path))
        assert door.taken() == {}
    assert [
        str(f)
        for n, f in found.items()
        if not f.is_ok and n not in {"processes", "files", "looks", "ships"}
    ] == []
    assert {"name", "connection", "token", "clock", "queue"} <= set(found)
    assert [f.fix for f in wrong if f.name == "token"] == [
        "make a new token: the Agents page gives the command"
    ]


def test_doctor_says_what_hinders(tmp_path: Path) -> None:
    nobody = list(doctor.examine(Server("http://127.0.0.1:9", "t"), tmp_path))
    assert next(f.name for f in nobody if not f.is_ok) == "connection"
    nameless = list(doctor.examine(Server("https://a.invalid", "t"), tmp_path))
    assert str(nameless[0]).startswith("FAIL name: a.invalid")


def test_the_command_runs_looks_and_stops_when_told(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "agent", "--data", str(tmp_path)]
    child = subprocess.Popen([*words, "run", "--only", "look"], cwd=ROOT, stderr=subprocess.PIPE)
    end_s = time.monotonic() + 60
    row: dict[str, Any] = {}
    while time.monotonic() < end_s and not (row.get("memory_bytes") and row["waiting"]):
        done = subprocess.run([*words, "status"], cwd=ROOT, capture_output=True, check=False)
        row = json.loads(done.stdout) if done.returncode == 0 else {}
    child.send_signal(signal.SIGTERM)
    assert child.stderr is not None
    assert (child.wait(30), child.stderr.read()) == (0, b"")
    child.stderr.close()
    assert row["waiting"] > 0
    assert 0 < row["memory_bytes"] < 60 << 20


def test_the_two_halves_share_one_spool(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> None:
    data, token = tmp_path / "agent", tmp_path / "token"
    words = [sys.executable, "-m", "agent", "--data", str(data), "run"]
    with open_door(settings, database, two_tenants[0], tmp_path) as door:
        token.write_text(door.server.token)
        road = ["--url", door.server.url, "--token-file", str(token)]
        halves = [
            subprocess.Popen([*words, "--only", half, *road], cwd=ROOT, stderr=subprocess.PIPE)
            for half in ("look", "ship")
        ]
        end_s = time.monotonic() + 60
        while time.monotonic() < end_s and not door.taken():
            time.sleep(0.2)
        twice = subprocess.run([*words, "--only", "ship", *road], cwd=ROOT, check=False)
        for half in halves:
            half.send_signal(signal.SIGTERM)
        said = [half.communicate(timeout=30)[1] for half in halves]
        assert door.taken()
    assert [half.returncode for half in halves] == [0, 0]
    assert twice.returncode == cli.FAILED
    assert b"Traceback" not in b"".join(said)


def test_over_its_share_it_slows_down_and_recovers() -> None:
    dog, told = Watchdog(1 << 30, 0.2, 0.0, 0.0), list[dict[str, Any]]()
    for n in range(1, SUSTAINED + 1):
        told += dog.check(n * 5.0, n * 2.0, lambda: 0)[0]
    assert (dog.slower, [e["factor"] for e in told]) == (2.0, [2.0])
    told += dog.check(100.0, SUSTAINED * 2.0, lambda: 0)[0]
    assert (dog.slower, len(told)) == (1.0, 2)


def test_over_its_memory_it_begins_anew_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    dog = Watchdog(64 << 20, 0.2, 0.0, 0.0)
    assert dog.check(5.0, 0.0, lambda: 65 << 20) == (
        [],
        "memory: 65 MB are over the ceiling of 64 MB",
    )
    monkeypatch.setenv(BEGUN_ANEW, "2|memory: so much")
    assert "2 times" in begun_anew()[0]["message"]


def test_a_process_over_its_memory_replaces_itself(tmp_path: Path) -> None:
    (tmp_path / "agent.toml").write_text("memory_mb = 1\n")
    words = [sys.executable, "-m", "agent", "--data", str(tmp_path)]
    more = ["--config", str(tmp_path / "agent.toml"), "run", "--only", "look"]
    child = subprocess.Popen([*words, *more], cwd=ROOT)
    end_s, found = time.monotonic() + 90, b""
    while time.monotonic() < end_s and b"began anew" not in found:
        time.sleep(0.5)
        if (tmp_path / "spool.sqlite").exists():
            spool = Spool(tmp_path / "spool.sqlite")
            while (batch := spool.next_batch()) is not None:
                found += b"\n".join(batch.rows)
                spool.done(batch)
            spool.close()
    child.send_signal(signal.SIGTERM)
    child.wait(30)
    assert b"began anew (1 times since its start): memory: " in found


def test_a_loop_that_hangs_is_acted_upon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.watchdog.CHECK_S", 0.01)
    monkeypatch.setattr("agent.watchdog.HUNG_S", 0.05)
    said: list[str] = []
    guard(lambda: 7, threading.Event(), said.append)
    assert said == ["hung: no round ended for 0.05 s"]


class _LastWord:
    """A watcher that says something when it is told to stop."""

    NAME = "last"

    @staticmethod
    def watch(out: Out, stop: threading.Event, options: dict[str, Any]) -> None:
        stop.wait()
        time.sleep(0.2)
        out.put([{"class_uid": 1007, "activity_id": 1, "message": "last word"}])


def test_what_a_watcher_says_at_the_end_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent.run, "collectors", lambda: {"last": _LastWord})
    spool, stop = Spool(tmp_path / "s.sqlite"), threading.Event()
    agent.run.run(spool, None, [], stop, each_round=lambda _: stop.set())
    batch = spool.next_batch()
    assert batch is not None
    assert b"last word" in batch.rows[0]


def test_what_could_not_be_kept_is_kept_in_the_next_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agent.run, "collectors", dict)
    spool = Spool(tmp_path / "s.sqlite")
    loop = Loop(spool, [], {}, threading.Event())
    out = Out()
    loop._watchers.append(agent.run.Watcher("w", agent.run, {}, out))
    out.put([{"class_uid": 1007, "activity_id": 1}], {"n": 1}, [b"line"])
    full = monkeypatch.context
    with full() as patch:
        patch.setattr(spool, "append", _full)
        with pytest.raises(OSError, match="full"):
            loop.round()
    assert loop.round() == 2
    assert spool.note("w", {}) == {"n": 1}


def _full(*_: object, **__: object) -> int:
    raise OSError("disk full")


def test_what_finds_no_room_in_memory_is_counted() -> None:
    out = Out(most=2)
    out.put([{"n": n} for n in range(5)])
    assert out.take() == (Look([{"n": 0}, {"n": 1}], {}), 3, False)


def test_a_watcher_that_hangs_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free, stop = threading.Event(), threading.Event()

    class Hangs:
        NAME = "hangs"

        @staticmethod
        def watch(out: Out, stop: threading.Event, options: dict[str, Any]) -> None:
            free.wait()

    class Comes:
        NAME = "comes"

        @staticmethod
        def watch(out: Out, stop: threading.Event, options: dict[str, Any]) -> None:
            while not stop.wait(0.02):
                pass

    monkeypatch.setattr(agent.run, "collectors", lambda: {"hangs": Hangs, "comes": Comes})
    monkeypatch.setattr(agent.run, "WATCHER_HUNG_S", 0.3)
    loop = Loop(Spool(tmp_path / "s.sqlite"), [], {}, stop)
    loop.start()
    assert loop.hung() == ""
    time.sleep(0.6)
    assert loop.hung() == "hangs"
    free.set()
    stop.set()
    loop.finish()
