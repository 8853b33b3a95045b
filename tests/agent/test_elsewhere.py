"""See what Windows and macOS hosts tell; `wevtutil` is a stand-in that gives real records' XML.

The agent as a whole runs on a Windows in `test_windows.py`.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import evtx
import polars as pl
import psutil
import pytest
from polars.testing import assert_frame_equal

from agent.collect import Look, Notes
from agent.collect.elsewhere import connections, event_log, processes, services, sign_ins
from pipelines.parsers import evtx as evtx_parser
from pipelines.parsers import windows_json
from storage.database import Database
from storage.settings import Settings
from storage.tenant import Scope
from tests.agent.door import open_door
from tests.shared import shared_data

NOW_US = 1_790_000_000_000_000
SYSMON = "Microsoft-Windows-Sysmon/Operational"
_NUMBER = re.compile(r"<EventRecordID>(\d+)<")
STAND_IN = """#!{python}
import json, re, sys
words = sys.argv[1:]
channel, most = words[1], int(next(w for w in words if w.startswith("/c:"))[3:])
told = json.load(open({records!r})).get(channel)
if not isinstance(told, list):
    sys.exit(told or 15007)
query = next((w for w in words if w.startswith("/q:")), "EventRecordID>0")
after = int(re.search(r"EventRecordID>(\\d+)", query).group(1))
found = [xml for number, xml in told if number > after]
found = found[::-1][:most] if "/rd:true" in words else found[:most]
sys.stdout.buffer.write("\\r\\n".join(found).encode("utf-16"))
"""


class _Host:
    """A host whose channels hold what is put there."""

    def __init__(self, folder: Path) -> None:
        self._records = folder / "records.json"
        self.program = folder / "wevtutil"
        self.program.write_text(STAND_IN.format(python=sys.executable, records=str(self._records)))
        self.program.chmod(0o755)
        self.has({})

    def has(self, channels: dict[str, list[tuple[int, str]] | int]) -> None:
        self._records.write_text(json.dumps(channels))


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Host:
    made = _Host(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    return made


def _real() -> tuple[Path, list[tuple[int, str]]]:
    path = (
        shared_data("evtx") / "Execution" / "exec_sysmon_1_rundll32_pcwutl_LaunchApplication.evtx"
    )
    found = [r for r in evtx.PyEvtxParser(str(path)).records() if r is not None]
    xmls = [str(record["data"]).partition("?>")[2].strip() for record in found]
    return path, [(int(_NUMBER.findall(xml)[0]), xml) for xml in xmls]


def test_the_log_reads_as_the_file_that_windows_keeps(host: _Host) -> None:
    path, records = _real()
    host.has({SYSMON: []})
    first = event_log.collect({}, NOW_US)
    assert (first.lines, first.written_as) == ([], "windows_json")
    host.has({SYSMON: records})
    look = event_log.collect(first.notes, NOW_US)
    (told,) = windows_json.parse([b"\n".join(look.lines)])
    (kept,) = evtx_parser.parse([path.read_bytes()])
    assert not told.rejects
    both = sorted(set(told.frame.columns) & set(kept.frame.columns))
    assert {"process.cmd_line", "process.file.path", "time", "unmapped.EventID"} <= set(both)
    assert set(kept.frame.columns) - set(both) <= {"metadata.log_format"}
    assert_frame_equal(told.frame.select(both), kept.frame.select(both))
    assert event_log.collect(look.notes, NOW_US).lines == []


def test_nothing_is_skipped_when_there_is_more_than_one_look_takes(
    host: _Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, records = _real()
    monkeypatch.setattr(event_log, "MOST", 1)
    host.has({SYSMON: records})
    notes: Notes = {"places": {SYSMON: 0}}
    numbers = []
    for _ in records:
        look = event_log.collect(notes, NOW_US)
        numbers += [json.loads(line)["Event"]["System"]["EventRecordID"] for line in look.lines]
        notes = look.notes
    assert numbers == [str(number) for number, _ in records]


def test_a_cleared_channel_is_told_and_read_anew_and_a_closed_one_told_once(host: _Host) -> None:
    _, records = _real()
    host.has({SYSMON: records[:1], "Security": 5})
    look = event_log.collect({"places": {SYSMON: 10**9}}, NOW_US)
    codes = [e["metadata"]["event_code"] for e in look.events]
    assert (codes, len(look.lines)) == (["channel_refused", "log_cleared"], 1)
    assert event_log.collect(look.notes, NOW_US).events == []


@pytest.mark.parametrize(
    "xml",
    [
        "<Event xmlns='x'><System></Event>",
        "<Event " + "<a>" * 5000 + "</Event>",
        "\ufffd\ud7ff no event",
    ],
)
def test_what_is_no_record_is_left_out(host: _Host, xml: str) -> None:
    host.has({SYSMON: [(1, xml)]})
    assert event_log.collect({"places": {SYSMON: 0}}, NOW_US).lines == []


EVENT = (
    "<Event xmlns='http://schemas.microsoft.com/win/2004/08/events/event'><System>"
    "<Provider Name='P'/><EventID>1</EventID><TimeCreated SystemTime='2026-11-30T10:00:00Z'/>"
    "<EventRecordID>{}</EventRecordID><Channel>C</Channel></System>"
    "<EventData><Data Name='CommandLine'>{}</Data></EventData></Event>"
)


@pytest.mark.parametrize(
    ("said", "kept"),
    [("a\x01b", "a\ufffdb"), ("\ufffe", "\ufffd"), ("&#1;", "&#1;"), ("<", ""), ("<!x", "<!x")],
)
def test_a_record_that_is_no_xml_is_sent_and_clears_nothing(
    host: _Host, said: str, kept: str
) -> None:
    host.has({SYSMON: [(7, EVENT.format(7, "x")), (8, EVENT.format(8, said))]})
    look = event_log.collect({"places": {SYSMON: 6}}, NOW_US)
    assert (look.events, len(look.lines)) == ([], 2)
    assert kept in look.lines[1].decode()
    assert look.notes["places"] == {SYSMON: 8}
    assert event_log.collect(look.notes, NOW_US).lines == []


def test_many_records_that_say_nothing_do_not_hold_up_what_comes_behind(host: _Host) -> None:
    strange = [(n, "<Event xmlns='x'>\x01</Event>") for n in range(1, 1200)]
    host.has({SYSMON: [*strange, (1200, EVENT.format(1200, "x"))]})
    notes: Notes = {"places": {SYSMON: 0}}
    lines = []
    for _ in range(4):
        look = event_log.collect(notes, NOW_US)
        lines += look.lines
        notes = look.notes
    assert len(lines) == 1
    host.has({SYSMON: []})
    assert event_log.collect(notes, NOW_US).events == [], "nothing was read: nothing was cleared"


class User(NamedTuple):
    """As psutil gives a session."""

    name: str
    terminal: str
    host: str | None
    started: float


class _Strange:
    """A process of which the system says one thing with an error of its own."""

    pid = 77

    def as_dict(self, attrs: list[str], ad_value: object) -> dict[str, Any]:
        if "exe" in attrs:
            raise OSError(87, "Invalid parameter")
        known = {"pid": 77, "ppid": 4, "name": "odd.exe", "cmdline": ["odd.exe", "-x"]}
        return {name: known.get(name, ad_value) for name in attrs}

    def exe(self) -> str:
        raise OSError(87, "Invalid parameter")

    def name(self) -> str:
        return "odd.exe"


def test_one_process_that_cannot_be_read_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    alive = [_Strange(), psutil.Process()]
    monkeypatch.setattr(psutil, "process_iter", lambda: alive)
    told = {e["process"]["pid"]: e["process"] for e in processes.collect({}, NOW_US).events}
    assert told[77]["file"]["path"] == "odd.exe"
    assert told[77]["cmd_line"] == "odd.exe -x"
    assert told[os.getpid()]["file"]["path"] == os.path.realpath(sys.executable)
    monkeypatch.setattr(psutil, "Process", lambda _pid: _Strange())
    assert connections._program(77) == "odd.exe"


def test_sessions_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    here = User("ann", "console", None, 1000.0)
    far = User("bob", "ttys001", "10.0.0.9", 2000.0)
    told = _looks(sign_ins.collect, monkeypatch, "users", [[here], [here, far], [far]])
    found = [
        [(e["activity_id"], e["user"]["name"], e["logon_type_id"]) for e in look.events]
        for look in told
    ]
    assert found == [[], [(1, "bob", 10)], [(2, "ann", 2)]]
    assert told[1].events[0]["time"] == 2_000_000


class _Service:
    def __init__(self, name: str, **about: str) -> None:
        self._name, self._about = name, about

    def name(self) -> str:
        return self._name

    def as_dict(self) -> dict[str, Any]:
        if not self._about:
            raise psutil.AccessDenied
        return self._about


def test_services_start_stop_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def spooler(status: str) -> _Service:
        return _Service("Spooler", status=status, start_type="automatic", binpath="spoolsv.exe")

    looks = [[spooler("running")], [spooler("stopped"), _Service("closed")], []]
    told = _looks(services.collect, monkeypatch, "win_service_iter", looks)
    found = [[(e["class_uid"], e["activity_id"], e["state"]) for e in t.events] for t in told]
    assert found == [[(5002, 2, "running")], [(6002, 4, "stopped")], [(6002, 99, "removed")]]


def _looks(
    collect: Callable[[Notes, int], Look],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    told: list[list[Any]],
) -> list[Look]:
    looks: list[Look] = []
    for found in told:
        monkeypatch.setattr(psutil, name, lambda found=found: found, raising=False)
        looks.append(collect(looks[-1].notes if looks else {}, NOW_US))
    return looks


NO_LINUX = """
import os, runpy, subprocess, sys
import asyncio, multiprocessing, selectors, shutil, socket, sqlite3, ssl, tempfile, urllib.request
import psutil
for name in ("pwd", "grp", "resource", "termios"):
    sys.modules[name] = None
sys.platform = "darwin"
sys.argv[0] = "inopsio-agent"
runpy.run_module("agent", run_name="__main__")
"""


def test_the_agent_looks_and_ships_where_nothing_of_linux_is(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> None:
    with open_door(settings, database, two_tenants[0], tmp_path) as door:
        words = ["--data", str(tmp_path / "agent"), "once", "--url", door.server.url]
        done = subprocess.run(
            [sys.executable, "-c", NO_LINUX, *words],
            check=False,
            env={**os.environ, "INOPSIO_AGENT_TOKEN": door.server.token},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        found = door.stored()
    mine = found.filter((pl.col("class_uid") == 1007) & (pl.col("process.pid") == os.getpid()))
    assert mine.height == 1
    assert set(found["class_uid"]) >= {1007, 4001}
