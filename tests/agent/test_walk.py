"""Walk from each collector to the stored event: real looks at this host, through the real house."""

import os
import socket
import subprocess
import time
from pathlib import Path

import polars as pl
import pytest

from agent import deliver
from agent.collect import Event, collectors
from agent.collect.linux import connections, file_integrity, logins, processes, queries
from agent.keep import keep, keep_losses
from agent.run import agent_id
from agent.ship import Sender
from agent.spool import Spool
from storage.database import Database
from storage.settings import Settings
from storage.tenant import Scope
from tests.agent.door import open_door
from tests.agent.test_collect import code, watched
from tests.agent.test_collect_states import _utmp

NOW_US = time.time_ns() // 1000


def _looked(spool: Spool) -> int:
    """Look once with each collector that looks in turn."""
    kept = 0
    for module in collectors("linux").values():
        if not hasattr(module, "watch"):
            first = module.collect({}, NOW_US)
            kept += keep(spool, first.events)
    return kept


def _watched(spool: Spool, folder: Path) -> int:
    """Let the watchers see a process, a connection and a changed file."""
    with (
        watched(processes, {}) as started,
        watched(connections, {"every_s": 0.2}) as connected,
        watched(file_integrity, {"paths": [str(folder)]}) as changed,
        watched(queries, {"queries": [{"name": "who", "table": "users", "every_s": 60}]}) as asked,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        for one in (started, changed):
            one.until(code("source_opened"), 60)
        subprocess.run(["sh", "-c", f"echo x > {folder}/walked; sleep 0.5"], check=True)
        with socket.create_connection(server.getsockname()) as client:
            port = client.getsockname()[1]
            connected.until(lambda e: e["class_uid"] == 4001 and _port(e) == port, 60)
        started.until(lambda e: str(folder) in str(e), 60)
        changed.until(lambda e: e["class_uid"] == 1001, 60)
        asked.until(code("query"), 60)
        found = (started, connected, changed, asked)
        for one in found:
            one.end()
    return sum(keep(spool, one.events) for one in found)


def _port(event: Event) -> int:
    return int(event["src_endpoint"]["port"])


@pytest.mark.skipif(os.geteuid() != 0, reason="kernel events are for root")
def test_what_each_collector_sees_is_stored_under_the_names_of_the_house(
    settings: Settings,
    database: Database,
    two_tenants: tuple[Scope, Scope],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    wtmp, folder = tmp_path / "wtmp", tmp_path / "watched"
    wtmp.write_bytes(
        _utmp(7, b"pts/0", b"walker", b"far.example", bytes([203, 0, 113, 9, *[0] * 12]))
    )
    monkeypatch.setattr(logins, "WTMP", wtmp)
    folder.mkdir()
    spool = Spool(tmp_path / "agent" / "spool.sqlite", 4 << 20)
    kept = keep(spool, logins.collect({"wtmp": [0, 0]}, NOW_US).events)
    kept += _looked(spool) + _watched(spool, folder)
    spool._db.execute("INSERT INTO losses VALUES ('events.low', 7, 3, 'spool full')")
    keep_losses(spool, NOW_US)
    with open_door(settings, database, two_tenants[0], tmp_path) as door:
        sender = Sender(door.server, agent_id(spool), socket.gethostname())
        assert deliver.ship_all(spool, sender) == kept + 1
        sender.close()
        stored = door.stored()
    assert stored.height == kept + 1
    assert stored["metadata.log_format"].unique().to_list() == ["ocsf_json"]
    _expect(
        stored,
        {"class_uid": 1007, "process.cmd_line": f"sh -c echo x > {folder}/walked; sleep 0.5"},
    )
    started = stored.filter(pl.col("process.cmd_line").str.starts_with("sh -c echo x"))
    assert started["process.parent_process.pid"][0] == os.getpid()
    assert started["process.file.hashes"][0].startswith("SHA256=")
    assert started["actor.user.name"][0] == "root"
    _expect(stored, {"class_uid": 1001, "file.path": f"{folder}/walked", "actor.user.name": "root"})
    _expect(stored, {"class_uid": 3002, "user.name": "walker", "src_endpoint.ip": "203.0.113.9"})
    _expect(stored, {"class_uid": 4001, "activity_id": 1, "dst_endpoint.ip": "127.0.0.1"})
    _expect(stored, {"class_uid": 5002, "metadata.event_code": "check", "status_id": 1})
    _expect(stored, {"metadata.event_code": "package", "unmapped.package.name": "dpkg"})
    _expect(stored, {"class_uid": 5019, "unmapped.live_query.name": "who", "user.name": "root"})
    _expect(stored, {"metadata.event_code": "events_dropped", "record_count": 3})


def _expect(stored: pl.DataFrame, wanted: dict[str, object]) -> None:
    found = stored
    for name, value in wanted.items():
        found = found.filter(pl.col(name) == pl.lit(value))
    assert found.height >= 1, wanted
