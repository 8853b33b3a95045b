"""Walk the package through its life on a machine whose first process is a real systemd."""

import contextlib
import json
import shutil
import socket
import sys
import sysconfig
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.units import RESPOND, RESPOND_PATH, SHIP, UPDATE_PATH, WATCH
from api.agent_actions import action_of, approve, ask, undo
from api.agent_policy import read_document, set_policy
from storage.database import Database
from storage.settings import Settings
from storage.tenant import Scope
from tests.agent.clean_root import files
from tests.agent.live_machine import HOUSE, STRANGER, Machine, machine, soon
from tests.agent.ordered_house import ANN, BEA
from tests.agent.packages import DATA, ILL, Made, offer, packages, repacked
from tests.agent.publisher import Publisher, member, packed
from tests.api.agents_house import House, listening
from tests.shared import ROOT

WORD = "inopsio-was-here"


@dataclass(slots=True)
class Walk:
    """A machine, the house at its far end, and a stranger there."""

    on: Machine
    house: House
    stranger: int
    publisher: Publisher = field(default_factory=Publisher)

    def told(self, code: str = "") -> list[dict[str, Any]]:
        """Give the events that the house has, all or what the agent tells of itself so."""
        log = self.house.log
        found = [m.value for p in range(2) for m in log.read("raw.events", p, 0, 10_000, 1 << 28)]
        rows = [json.loads(row) for value in found for row in value.splitlines()]
        events = [row for row in rows if isinstance(row, dict) and "class_uid" in row]
        return [e for e in events if code in {"", e["metadata"].get("event_code")}]

    def codes(self) -> set[str]:
        return {str(e["metadata"].get("event_code", "")) for e in self.told()}

    def state(self, action: Mapping[str, Any]) -> str:
        """Give how far an action is."""
        return str(action_of(self.house.database, BEA, str(action["action_id"]))["state"])

    def agent_id(self) -> str:
        return str(self.house.agents()[0]["agent_id"])


@pytest.fixture
def walk(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> Iterator[Walk]:
    with contextlib.ExitStack() as stack:
        on = stack.enter_context(machine(tmp_path))
        ear = on.listen(HOUSE)
        house = stack.enter_context(listening(settings, database, two_tenants, tmp_path, ear))
        other = stack.enter_context(on.listen(STRANGER))
        yield Walk(on, house, _port(other))


def _port(ear: socket.socket) -> int:
    return int(ear.getsockname()[1])


def test_the_package_lives_under_systemd(walk: Walk, tmp_path: Path) -> None:
    made, before = packages(), files(walk.on.root)
    for step in (
        is_seen_after_one_command,
        comes_back_when_killed_or_stuck,
        is_cut_off_and_let_back,
        responds_only_while_there_is_something,
        updates_itself_and_goes_back,
        says_nothing_of_errors,
    ):
        began_s = time.monotonic()
        step(walk, made)
        print(f"{step.__name__}: {time.monotonic() - began_s:.1f} s")
    leaves_no_trace(walk.on, before)


def is_seen_after_one_command(walk: Walk, made: Made) -> None:
    on, house = walk.on, walk.house
    set_policy(house.database, ANN, read_document({"beat_s": 5}), house.desk.now(), note="quick")
    shutil.copy(made.deb, on.root / "root/agent.deb")
    (on.root / "root/release.pub").write_bytes(walk.publisher.public)
    on.done("apt-get", "install", "-qq", "-y", "/root/agent.deb")
    for unit in (SHIP, RESPOND):
        _changed(on, unit, "RestartSec=100ms")  # five seconds, really
    pasted = f"inopsio-agent enroll --url {house.url} --token {house.token()} "
    pasted += f"--ca-fingerprint {house.fingerprint} && inopsio-agent install"
    on.done("sh", "-c", f"{pasted} --release-key /root/release.pub")
    for unit in (WATCH, SHIP, RESPOND_PATH, UPDATE_PATH):
        assert on.show(unit, "ActiveState", "UnitFileState") == ["active", "enabled"], unit
    assert soon(lambda: {"agent_health", "policy_applied"} <= walk.codes()), walk.codes()
    opened = [e["message"] for e in walk.told("source_opened")]
    assert any("watched by fanotify" in text for text in opened), opened
    assert "processes are seen by eBPF" in opened
    on.done("sh", "-c", f"/bin/echo {WORD} > /etc/{WORD}")
    assert soon(lambda: any(_is_exec(e) for e in walk.told()))
    assert soon(lambda: any(_is_file(e) for e in walk.told()))


def _is_exec(event: dict[str, Any]) -> bool:
    line = str(event.get("process", {}).get("cmd_line") or "")
    return event["class_uid"] == 1007 and line == f"/bin/echo {WORD}"


def _is_file(event: dict[str, Any]) -> bool:
    path = event.get("file", {}).get("path", "")
    return bool(event["class_uid"] == 1001 and path == f"/etc/{WORD}")


def comes_back_when_killed_or_stuck(walk: Walk, _made: Made) -> None:
    on = walk.on
    on.done("systemctl", "kill", "--signal=KILL", SHIP)
    _changed(on, WATCH, "WatchdogSec=2", "RestartSec=100ms")  # three minutes, really
    on.done("systemctl", "restart", WATCH)
    on.done("systemctl", "kill", "--kill-whom=main", "--signal=STOP", WATCH)
    for unit in (WATCH, SHIP):
        assert soon(partial(_has_restarted, on, unit)), on.show(unit, "ActiveState", "NRestarts")
    assert "watchdog" in on.done("journalctl", "--no-pager", "--unit", WATCH).lower()
    on.done("rm", "-r", f"/run/systemd/system/{WATCH}.d")
    on.done("systemctl", "daemon-reload")
    assert soon(lambda: {e["half"] for e in walk.told("agent_killed")} == {"look", "ship"})


def _changed(on: Machine, unit: str, *lines: str) -> None:
    """Have a unit be more impatient than it is."""
    place = f"/run/systemd/system/{unit}.d"
    on.done("mkdir", "-p", place)
    on.done("tee", f"{place}/quick.conf", given="\n".join(["[Service]", *lines, ""]))
    on.done("systemctl", "daemon-reload")


def _has_restarted(on: Machine, unit: str) -> bool:
    return on.show(unit, "ActiveState", "NRestarts") == ["active", "1"]


def is_cut_off_and_let_back(walk: Walk, _made: Made) -> None:
    on, database, port = walk.on, walk.house.database, int(walk.house.url.rpartition(":")[2])
    assert on.show(RESPOND, "ActiveState") == ["inactive"]
    assert on.reaches(STRANGER, walk.stranger)
    now = walk.house.desk.now()
    made = ask(database, BEA, walk.agent_id(), "isolate", {"minutes": 5}, now, note="a beacon")
    approve(database, ANN, made["action_id"], now)
    assert soon(lambda: walk.state(made) == "done"), action_of(database, BEA, made["action_id"])
    assert "inopsio_isolate" in on.done("nft", "list", "tables")
    assert not on.reaches(STRANGER, walk.stranger)
    assert on.reaches(HOUSE, port)
    on.done("systemctl", "kill", "--signal=KILL", RESPOND)
    undo(database, BEA, made["action_id"], walk.house.desk.now())
    assert soon(lambda: on.reaches(STRANGER, walk.stranger))
    assert "inopsio_isolate" not in on.done("nft", "list", "tables")


def responds_only_while_there_is_something(walk: Walk, _made: Made) -> None:
    on = walk.on
    program = "/opt/inopsio-agent/current/inopsio-agent --data /var/lib/inopsio-agent"
    _changed(on, RESPOND, "ExecStart=", f"ExecStart={program} run --only respond --idle-s 1")
    on.done("systemctl", "restart", RESPOND)
    assert soon(lambda: on.show(RESPOND, "ActiveState", "Result") == ["inactive", "success"])
    on.done("rm", "-r", f"/run/systemd/system/{RESPOND}.d")
    on.done("systemctl", "daemon-reload")


def updates_itself_and_goes_back(walk: Walk, made: Made) -> None:
    on, folder = walk.on, walk.on.root.parent
    good = repacked(made, folder / "good", "0.9.0")
    ill = packed([member("./inopsio-agent", ILL.format("0.9.1").encode(), 0o755)])
    for serial, newer, content, outcome in (
        (1, "0.9.0", good, "updated"),
        (2, "0.9.1", ill, "rolled_back"),
    ):
        offer(on.root, walk.publisher, newer, serial, content)
        assert soon(partial(_has_ended, on, newer), 60)
        assert _result(on)["outcome"] == outcome, _result(on)
        assert on.done("inopsio-agent", "--version") == "inopsio-agent 0.9.0\n"
    for unit in (WATCH, SHIP):
        assert soon(partial(_is_active, on, unit))


def _has_ended(on: Machine, version: str) -> bool:
    return _result(on).get("version") == version


def _is_active(on: Machine, unit: str) -> bool:
    return on.show(unit, "ActiveState") == ["active"]


def _result(on: Machine) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((on.root / f"{DATA}-update/result.json").read_text())
    except (OSError, ValueError):
        return {}
    return found


def says_nothing_of_errors(walk: Walk, _made: Made) -> None:
    said = walk.on.done("journalctl", "--no-pager", "--output=cat", "--unit=inopsio-agent*")
    for word in ("Traceback", "failed:", "numbers of their own", "not permitted"):
        assert word not in said
    told = {"collector_failed", "agent_tampered", "policy_refused", "events_dropped"}
    assert not told & walk.codes(), [e["message"] for c in told for e in walk.told(c)]


def leaves_no_trace(on: Machine, before: dict[str, str]) -> None:
    on.done("apt-get", "remove", "-qq", "-y", "inopsio-agent")
    assert on.done("systemctl", "list-units", "--all", "--plain", "--no-legend", "inopsio*") == ""
    on.done("apt-get", "purge", "-qq", "-y", "inopsio-agent")
    for place in (f"etc/{WORD}", "root/agent.deb", "root/release.pub"):
        (on.root / place).unlink()
    after = files(on.root)
    left = {k for k in after.keys() | before.keys() if after.get(k) != before.get(k)}
    assert left <= {"opt", "var/lib/apt/lists/auxfiles"}  # dpkg and apt themselves


SENSOR = """\
#!/bin/sh
export PYTHONPATH=/opt/project:/opt/site PYTHONDONTWRITEBYTECODE=1 LD_LIBRARY_PATH=/opt/python/lib
exec /opt/python/bin/python3 -P -c 'from deploy.cli import main; main()' "$@"
"""


def test_the_sensor_sees_a_connection_under_systemd(tmp_path: Path) -> None:
    lent = {
        "/opt/python": Path(sys.base_prefix),
        "/opt/site": Path(sysconfig.get_path("purelib")),
        "/opt/project": ROOT,
    }
    unit, out = "inopsio-sensor@host0.service", "/var/lib/inopsio-sensor/host0/events.ndjson"
    with machine(tmp_path, lent) as on, on.listen(HOUSE) as ear:
        on.done("mkdir", "-p", "/opt/inopsio/bin")
        on.done("tee", "/opt/inopsio/bin/inopsio", given=SENSOR)
        on.done("chmod", "755", "/opt/inopsio/bin/inopsio")
        shutil.copy(ROOT / "deploy/sensor/inopsio-sensor@.service", on.root / "etc/systemd/system")
        on.done("systemctl", "daemon-reload")
        on.done("systemctl", "enable", "--now", unit)
        assert soon(lambda: "capture_started" in on.run("cat", out).stdout), _journal(on, unit)
        assert on.reaches(HOUSE, _port(ear))
        ear.accept()[0].close()
        flow = f'_endpoint.port":{_port(ear)}'
        assert soon(lambda: flow in on.run("cat", out).stdout.replace(" ", "")), on.run("cat", out)
        assert on.done("stat", "--format=%a", "/var/lib/private/inopsio-sensor/host0") == "750\n"


def _journal(on: Machine, unit: str) -> str:
    return on.run("journalctl", "--no-pager", "--unit", unit).stdout
