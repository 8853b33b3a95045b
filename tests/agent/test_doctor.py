"""Have doctor and status say what is so: who runs, what was dropped of late, what is in force."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent import cli, doctor
from agent.halves import note_half
from agent.identity import machine_hash
from agent.keep import keep_losses
from agent.orders import FILE, InForce, Orders
from agent.spool import Spool
from agent.status import lines, standing
from api.agent_packages import enrolling
from storage.database import Database
from storage.settings import Settings
from storage.tenant import Scope
from tests.agent.door import Door, open_door
from tests.api.agents_house import House

DAY_US = 86_400_000_000


@contextlib.contextmanager
def running(folder: Path, *road: str) -> Iterator[None]:
    words = [sys.executable, "-P", "-m", "agent", "--data", str(folder), "run", *road]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL) as child:
        yield
        child.terminate()
        child.wait(30)


def until(is_so: Callable[[], bool], wait_s: float = 30) -> None:
    end_s = time.monotonic() + wait_s
    while not is_so():
        assert time.monotonic() < end_s
        time.sleep(0.2)


def _life(data: Path) -> dict[str, bool]:
    return {f.name: f.is_ok for f in doctor._queue(data)}


def _taken(door: Door) -> bool:
    return bool(door.taken())


def test_doctor_tells_an_agent_that_runs_from_one_that_does_not(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> None:
    data, token = tmp_path / "agent", tmp_path / "token"
    assert _life(data) == {"looks": False, "queue": True}
    with open_door(settings, database, two_tenants[0], tmp_path) as door:
        token.write_text(door.server.token)
        with running(data, "--url", door.server.url, "--token-file", str(token)):
            until(lambda: _taken(door) and _life(data)["ships"])
            assert _life(data) == {"looks": True, "ships": True, "queue": True, "disk": True}
    assert _life(data) == {"looks": False, "ships": False, "queue": True, "disk": True}


def test_a_half_that_runs_and_says_nothing_is_not_well(tmp_path: Path) -> None:
    with contextlib.closing(Spool(tmp_path / "spool.sqlite")) as spool:
        for half in ("look", "ship"):
            note_half(spool, half, os.getpid())
        now_us = time.time_ns() // 1000
        old = {"version": "1", "at_us": now_us - 3600_000_000}
        spool.set_note("health", old)
        spool.set_note("accepted", old)
        assert [f.is_ok for f in doctor._life(spool, now_us)] == [False, False]
        spool.set_note("health", {**old, "at_us": now_us})
        spool.set_note("accepted", {**old, "at_us": now_us})
        assert [f.is_ok for f in doctor._life(spool, now_us)] == [True, True]


def test_what_was_dropped_counts_for_a_day(tmp_path: Path) -> None:
    now_us = time.time_ns() // 1000
    with contextlib.closing(Spool(tmp_path / "spool.sqlite")) as spool:
        for at_us in (now_us - 2 * DAY_US, now_us):
            spool.append("events", "f", [b"one", b"two"])
            batch = spool.next_batch()
            assert batch is not None
            assert doctor._waiting(spool).is_ok
            spool.give_up(batch)
            keep_losses(spool, at_us)
            told = spool.next_batch()
            assert told is not None
            spool.done(told)
        found = doctor._waiting(spool)
    assert str(found).startswith(
        "FAIL queue: 0 events wait, 2 were dropped in the last day, 4 ever; the spool was full"
    )


def test_status_says_what_the_console_calls_it_and_what_is_in_force(
    house: House, tmp_path: Path
) -> None:
    made = house.enroll("ws-1")
    told = made.folder / "identity.json"
    told.write_text(json.dumps({**json.loads(told.read_text()), "machine": machine_hash()}))
    spool, orders = Spool(made.folder / "spool.sqlite"), Orders(made.folder / FILE)
    until_s = time.time() + 1800
    orders.hold(InForce("7f1e", "isolate", until_s, {"house": []}))
    spool.set_note("policy", {"version": 4, "refused": 0, "reason": ""})
    spool.set_note("accepted", {"version": "1", "at_us": time.time_ns() // 1000 - 5_000_000})
    row = standing(made.folder, spool)
    spool.close()
    orders.close()
    assert (row["agent_id"], row["tenant_id"], row["url"]) == (made.agent_id, "acme", house.url)
    assert row["in_force"] == [{"kind": "isolate", "id": "7f1e", "until_us": int(until_s * 1e6)}]
    text = "\n".join(lines(row, time.time_ns() // 1000))
    for words in (made.agent_id, "isolate 7f1e until 20", "(in 30.0 min)", "version 4", "s ago)"):
        assert words in text
    assert "look: no, ship: no" in text


def test_status_is_a_row_for_a_program_and_of_a_host_that_never_enrolled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Spool(tmp_path / "spool.sqlite").close()
    words = ["--data", str(tmp_path), "status"]
    assert cli.command(words) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["accepted"] == {}  # the updater of the version before reads these
    monkeypatch.setattr("agent.status.is_for_people", lambda: True)
    assert cli.command(words) == 0
    assert "tenant         not enrolled" in capsys.readouterr().out
    assert cli.command([*words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["spool_id"] == row["spool_id"]


def test_help_names_every_act_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.command(["--help"]) == 0
    assert "|doctor|lift|" in capsys.readouterr().out.replace("\n", "")


def test_a_token_by_standard_input_lets_in_and_stands_in_no_command(
    house: House, tmp_path: Path
) -> None:
    line = enrolling(house.url, house.token(), house.fingerprint)
    program = tmp_path / "inopsio-agent"
    program.write_text(
        f'#!/bin/sh\nexec {sys.executable} -P -m agent --data "{tmp_path}/data" "$@"\n'
    )
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["sh", "-c", line], env=env, capture_output=True, check=False, text=True)
    assert "enrolled in tenant acme" in done.stderr
    token, _, command = line.removeprefix("echo ").partition(" | ")
    assert token not in command


def test_status_names_damaged_orders_and_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"junk" * 4000)
    with contextlib.closing(Spool(tmp_path / "spool.sqlite")) as spool:
        text = "\n".join(lines(standing(tmp_path, spool), 1))
    assert "in force       it could not be read: file is not a database" in text
    assert (tmp_path / FILE).read_bytes() == b"junk" * 4000
