"""The walk: bytes at the front door become an incident on the screen, once."""

import json
import threading
from pathlib import Path

import pytest

from api.app import create_app
from business import consume
from pipelines.flow import run_flow
from storage.lake import Lake
from storage.outbox import relay
from storage.tenant import Role
from tests.api.conftest import Front

SYSMON = {
    "EventID": 1,
    "Channel": "Microsoft-Windows-Sysmon/Operational",
    "Provider": "Microsoft-Windows-Sysmon",
    "Hostname": "pc-7",
    "TimeCreated": "2026-11-18T11:00:00.000Z",
    "@timestamp": "2026-11-18T11:00:00.000Z",
    "SourceName": "Microsoft-Windows-Sysmon",
    "Image": "C:\\Windows\\System32\\vssadmin.exe",
    "OriginalFileName": "VSSADMIN.EXE",
    "CommandLine": "vssadmin delete shadows /all /quiet",
    "ParentImage": "C:\\Windows\\System32\\cmd.exe",
    "User": "ACME\\eve",
}


@pytest.mark.slow
def test_an_event_becomes_a_finding_and_an_incident_once(front: Front, tmp_path: Path) -> None:
    settings = front.app.state.desk.settings
    lake = Lake(tmp_path / "lake")
    front.app = create_app(settings, front.database, front.log, lake, front.clock)
    body = (json.dumps(SYSMON) + "\n").encode()
    sender = front.bearer(front.acme, Role.INGEST)
    for _ in range(2):
        assert sender.post("/v1/ingest?source=pc-7&position=0", content=body).status_code == 202
        run_flow(settings, front.database, front.log, lake, runner="loop", once=True)
        relay(front.database.writer, front.log)
        consume(front.database, front.log, threading.Event(), once=True)
    ann = front.bearer(front.acme, Role.ANALYST)
    found = ann.get("/v1/findings", params={"entity": "pc-7"}).json()["items"]
    incidents = ann.get("/v1/incidents", params={"entity": "pc-7"}).json()["items"]
    assert [i["finding_count"] for i in incidents] == [1] * len(found)
    assert found
    assert "delete shadows" in json.dumps(found)
    (source,) = ann.get("/v1/sources").json()["items"]
    assert (source["source"], source["events"], source["rejected"]) == ("pc-7", 1, 0)
    bob = front.bearer(front.bolt, Role.ANALYST)
    assert bob.get("/v1/findings").json()["items"] == []
    assert bob.get("/v1/incidents").json()["items"] == []
    lake.close()
