"""Change the agent behind its back, really; each change is told, its own updates are not."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.collect.linux import tamper
from agent.keep import value_of
from agent.lifeline import begin, end
from agent.spool import HIGH, Spool
from agent.units import SHIP, WATCH
from tests.shared import ROOT


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a root with an agent in it."""
    for place, content in (
        ("opt/inopsio-agent/versions/0.1.0/inopsio-agent", "program"),
        ("opt/inopsio-agent/versions/0.1.0/_internal/lib.so", "library"),
        ("opt/inopsio-agent/release.pub", "key"),
        (f"lib/systemd/system/{WATCH}", "[Service]"),
        ("etc/inopsio-agent/agent.toml", 'url = "x"'),
        ("var/lib/inopsio-agent/identity.pem", "KEY"),
        ("var/lib/inopsio-agent/identity.json", "{}"),
        ("var/lib/inopsio-agent/spool.sqlite", "spool"),
    ):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "opt/inopsio-agent/current").symlink_to("versions/0.1.0")
    wants = tmp_path / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(parents=True)
    (wants / SHIP).symlink_to(f"/lib/systemd/system/{SHIP}")
    return tmp_path


def _told(root: Path, notes: dict[str, Any]) -> list[tuple[str, str, str]]:
    kept = json.loads(json.dumps(notes))
    events = tamper.collect(kept, 1, root).events
    assert {value_of(event) for event in events} <= {HIGH}
    return [(e["metadata"]["event_code"], e["change"], e["file"]["path"]) for e in events]


PROGRAM = "opt/inopsio-agent/versions/0.1.0/inopsio-agent"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda r: (r / PROGRAM).write_text("evil"), ("changed", PROGRAM)),
        (lambda r: (r / PROGRAM).chmod(0o4755), ("changed", PROGRAM)),
        (lambda r: (r / PROGRAM).unlink(), ("removed", PROGRAM)),
        (
            lambda r: (r / f"{PROGRAM}.so").write_text("x"),
            ("added", f"{PROGRAM}.so"),
        ),
        (
            lambda r: (r / "lib/systemd/system" / WATCH).write_text("[Service]\nUser=x"),
            ("changed", f"lib/systemd/system/{WATCH}"),
        ),
        (
            lambda r: _new(r / f"etc/systemd/system/{SHIP}.d/x.conf"),
            ("added", f"etc/systemd/system/{SHIP}.d/x.conf"),
        ),
        (
            lambda r: (r / "etc/systemd/system" / WATCH).symlink_to("/dev/null"),
            ("added", f"etc/systemd/system/{WATCH}"),
        ),
        (
            lambda r: (r / "etc/inopsio-agent/agent.toml").write_text('off = ["processes"]'),
            ("changed", "etc/inopsio-agent/agent.toml"),
        ),
        (
            lambda r: (r / "opt/inopsio-agent/release.pub").write_text("another"),
            ("changed", "opt/inopsio-agent/release.pub"),
        ),
        (
            lambda r: (r / "var/lib/inopsio-agent/identity.pem").write_text("OTHER"),
            ("changed", "var/lib/inopsio-agent/identity.pem"),
        ),
        (
            lambda r: (r / "var/lib/inopsio-agent/identity.pem").chmod(0o644),
            ("changed", "var/lib/inopsio-agent/identity.pem"),
        ),
        (
            lambda r: (r / "var/lib/inopsio-agent/spool.sqlite").unlink(),
            ("removed", "var/lib/inopsio-agent/spool.sqlite"),
        ),
    ],
)
def test_a_change_is_told_once(
    root: Path, change: Callable[[Path], object], told: tuple[str, str]
) -> None:
    (root / "var/lib/inopsio-agent/identity.pem").chmod(0o600)
    (root / PROGRAM).chmod(0o755)
    learned = tamper.collect({}, 0, root)
    assert learned.events == []
    assert _told(root, learned.notes) == []
    change(root)
    assert _told(root, learned.notes) == [("agent_tampered", told[0], f"/{told[1]}")]
    again = tamper.collect(learned.notes, 1, root).notes
    assert _told(root, again) == []


def _new(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("x")


def test_a_unit_that_is_switched_off_is_told(root: Path) -> None:
    notes = tamper.collect({}, 0, root).notes
    wants = f"etc/systemd/system/multi-user.target.wants/{SHIP}"
    (root / wants).unlink()
    assert _told(root, notes) == [("agent_disabled", "switched off", f"/{wants}")]


def test_a_spool_put_in_the_place_of_the_own_is_told(root: Path) -> None:
    spool = root / "var/lib/inopsio-agent/spool.sqlite"
    notes = tamper.collect({}, 0, root).notes
    spool.write_text("what the agent writes by itself")
    assert _told(root, notes) == []
    (root / "other").write_text("x")
    (root / "other").replace(spool)
    assert [what for _, what, _ in _told(root, notes)] == ["changed"]


def test_an_update_and_a_renewal_of_its_own_are_not_told(root: Path) -> None:
    notes = tamper.collect({}, 0, root).notes
    place = root / "opt/inopsio-agent"
    shutil.copytree(place / "versions/0.1.0", place / "versions/0.2.0")
    (place / "current").unlink()
    (place / "current").symlink_to("versions/0.2.0")
    (root / "var/lib/inopsio-agent-update").mkdir()
    (root / "var/lib/inopsio-agent-update/result.json").write_text('{"at_us": 5}')
    (root / "var/lib/inopsio-agent/identity.pem").write_text("RENEWED")
    (root / "var/lib/inopsio-agent/identity.json").write_text('{"renewed": 1}')
    assert _told(root, notes) == []


def test_an_update_under_way_is_not_judged_and_one_that_was_left_is(root: Path) -> None:
    kept = root / "var/lib/inopsio-agent-update"
    (kept / "incoming").mkdir(parents=True)
    now_s = (kept / "incoming").stat().st_mtime
    notes = tamper.collect({}, int(now_s * 1e6), root).notes
    shutil.copytree(
        root / "opt/inopsio-agent/versions/0.1.0", root / "opt/inopsio-agent/versions/0.2.0"
    )
    (root / "etc/inopsio-agent/agent.toml").write_text("evil")
    look = tamper.collect(notes, int((now_s + 600) * 1e6), root)
    assert [e["file"]["path"] for e in look.events] == ["/etc/inopsio-agent/agent.toml"]
    late = tamper.collect(look.notes, int((now_s + 1300) * 1e6), root)
    assert {e["change"] for e in late.events} == {"added"}
    (kept / "result.json").write_text('{"at_us": 5}')
    assert tamper.collect(look.notes, int((now_s + 1300) * 1e6), root).events == []


def test_a_kill_is_told_at_the_next_start_and_a_stop_at_once(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "agent", "--data", str(tmp_path), "run", "--only", "look"]
    codes: list[str] = []
    for sign in (signal.SIGKILL, signal.SIGTERM):
        child = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL)
        codes = _codes_until(tmp_path, "agent_health", codes)
        child.send_signal(sign)
        child.wait(30)
    codes = _codes_until(tmp_path, "agent_stopped", codes)
    told = [c for c in codes if c in {"agent_health", "agent_killed", "agent_stopped"}]
    assert told == ["agent_health", "agent_killed", "agent_health", "agent_stopped"]


def _codes_until(data: Path, wanted: str, codes: list[str]) -> list[str]:
    """Take what the agent tells of itself from its spool until it tells this anew."""
    found, end_s = list(codes), time.monotonic() + 60
    while wanted not in found[len(codes) :] and time.monotonic() < end_s:
        time.sleep(0.3)
        if not (data / "spool.sqlite").exists():
            continue
        spool = Spool(data / "spool.sqlite")
        while (batch := spool.next_batch()) is not None:
            rows = [json.loads(row) for row in batch.rows if b'"event_code"' in row]
            found += [row["metadata"]["event_code"] for row in rows]
            spool.done(batch)
        spool.close()
    return found


def test_a_host_that_went_down_is_no_kill(tmp_path: Path) -> None:
    spool, boot = Spool(tmp_path / "s.sqlite"), tmp_path / "boot"
    boot.write_text("one")
    assert begin(spool, "look", False, boot) == []
    assert [e["half"] for e in begin(spool, "look", False, boot)] == ["look"]
    assert begin(spool, "look", True, boot) == []
    boot.write_text("two")
    assert begin(spool, "look", False, boot) == []
    assert len(end(spool, "look")) == 1
    assert begin(spool, "look", False, boot) == []


def test_another_authority_is_told_though_it_looks_like_a_renewal(tmp_path: Path) -> None:
    folder = tmp_path / tamper.DATA
    folder.mkdir(parents=True)
    for name in ("identity.pem", "identity.json", "authority.pem"):
        (folder / name).write_text("one")
    notes = tamper.collect({}, 0, tmp_path).notes
    for name in ("identity.pem", "identity.json", "authority.pem"):
        (folder / name).unlink()
        (folder / name).write_text("one" if name == "authority.pem" else "two")
    look = tamper.collect(notes, 0, tmp_path)
    assert look.events == [], "a renewal"
    for name in ("identity.json", "authority.pem"):
        (folder / name).write_text("three!")
    (event,) = tamper.collect(look.notes, 0, tmp_path).events
    assert event["metadata"]["event_code"] == "agent_tampered"
