"""Set a spool back to a snapshot: what is new is stored, what was sent is not stored twice."""

import json
import shutil
from pathlib import Path

import pytest

from agent.deliver import ship_all
from agent.incarnation import Marking, boot_of, place_of, remember, settle
from agent.keep import keep
from agent.ship import Sender
from agent.spool import Spool
from storage.database import Database
from storage.settings import Settings
from storage.tenant import Scope
from tests.agent.door import Door, open_door


def _event(word: str) -> dict[str, object]:
    return {"time": 1795000000000, "class_uid": 1007, "activity_id": 1, "message": word}


class _Host:
    """An agent's folder, and what a start of the agent does with it."""

    def __init__(self, folder: Path, door: Door) -> None:
        self.data, self.door = folder / "data", door
        self.boot = folder / "boot"
        self.boot.write_text("one")

    def runs(self, *words: str, ship: bool = True) -> bool:
        spool = Spool(self.data / "s.sqlite")
        is_anew = settle(spool, place_of(self.data), self.boot)
        keep(spool, [_event(word) for word in words])
        if ship:
            sender = Sender(self.door.server, "0123456789ab", "ws-1")
            remember(spool, place_of(self.data), self.boot)
            ship_all(spool, sender)
            sender.close()
            remember(spool, place_of(self.data), self.boot)
        spool.close()
        return is_anew


@pytest.mark.parametrize("kind", ["spool", "disk"])
def test_after_a_snapshot_nothing_new_is_lost_and_nothing_old_doubled(
    settings: Settings,
    database: Database,
    two_tenants: tuple[Scope, Scope],
    tmp_path: Path,
    kind: str,
) -> None:
    with open_door(settings, database, two_tenants[0], tmp_path) as door:
        host = _Host(tmp_path, door)
        assert not host.runs("first")
        assert not host.runs("waits", ship=False)
        shutil.copytree(host.data, tmp_path / "snapshot")
        assert not host.runs("after the snapshot")
        if kind == "spool":
            shutil.copy(tmp_path / "snapshot" / "s.sqlite", host.data / "s.sqlite")
        else:
            shutil.rmtree(host.data)
            shutil.copytree(tmp_path / "snapshot", host.data)
            host.boot.write_text("two")
        assert host.runs("new one", "new two")
        assert not host.runs("new three")
        told = sorted(door.stored()["message"].to_list())
    assert told == ["after the snapshot", "first", "new one", "new three", "new two", "waits"]


def test_a_restart_of_the_agent_goes_on_with_its_numbers(tmp_path: Path) -> None:
    spool, mark, boot = Spool(tmp_path / "s.sqlite"), tmp_path / "m", tmp_path / "boot"
    boot.write_text("one")
    keep(spool, [_event("a")])
    assert not settle(spool, mark, boot)
    batch = spool.next_batch()
    assert batch is not None
    remember(spool, mark, boot)
    spool.done(batch)
    assert not settle(spool, mark, boot)
    mark.write_text(json.dumps({"boot": "one", "asked": {"events": 5}}))
    assert settle(spool, mark, boot)
    assert not settle(spool, mark, boot)


def test_lanes_of_before_are_swept_and_split_again(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite")
    seen: list[int] = []
    for mark in ("", "aaa", "bbb"):
        if mark:
            spool.renumber(mark)
        spool.append("s", "f", [b"%d" % n for n in range(8000)])
        while (batch := spool.next_batch()) is not None:
            seen += [int(row) for row in batch.rows]
            spool.done(batch)
            if len(seen) % 8000 == 2000:
                spool.append("s", "f", [])
    assert len(seen) == 24_000
    assert {str(row["stream"]).partition("@")[0] for row in spool.queue()} == {"s~bbb"}


def test_the_mark_is_left_before_the_batch_is_sent(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.sqlite")
    spool.append("s", "f", [b"x"])
    found: list[dict[str, int]] = []

    class _Sees:
        skew_s = None

        def send(self, batch: object) -> None:
            found.append(json.loads(place_of(tmp_path).read_text())["asked"])

    ship_all(spool, Marking(_Sees(), spool, tmp_path))
    assert found == [{"s": 1}]


def test_a_unit_that_sees_no_boot_id_is_told_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "boot"
    seen.write_text("6f0c8a52-93a4-4b0c-8f0e-0a3f7c1d2e4b\n")
    monkeypatch.delenv("INOPSIO_AGENT_BOOT", raising=False)
    own = boot_of(seen)
    monkeypatch.setenv("INOPSIO_AGENT_BOOT", "6f0c8a5293a44b0c8f0e0a3f7c1d2e4b")
    assert boot_of(tmp_path / "none") == own
