"""A house on a real Kafka and TimescaleDB: in by the API, through both, found on the API."""

import json
import uuid
from collections import Counter
from collections.abc import Iterator

import httpx
import psutil
import psycopg
import pytest
from confluent_kafka.admin import AdminClient
from psycopg.conninfo import make_conninfo

from deploy.running import is_ready, running
from tests.deploy.conftest import Place, until
from tests.services import address_of

pytestmark = pytest.mark.slow
_BATCHES = 40
_LINES = 250


@pytest.fixture
def settled(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    """Bring a house up on a new database and new topics of the two services."""
    admin = address_of("timescaledb")
    name = f"test_{uuid.uuid4().hex[:12]}"
    database = make_conninfo(admin, dbname=name)
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("SET client_min_messages = error")
        connection.execute("CREATE EXTENSION timescaledb")
    url = f"{admin.rpartition('/')[0]}/{name}"
    monkeypatch.setenv("INOPSIO_DATABASE_URL", url)
    monkeypatch.setenv("INOPSIO_LOG_URL", address_of("kafka"))
    monkeypatch.setenv("INOPSIO_KAFKA_PREFIX", f"{name}.")
    started = place.up()
    assert started.returncode == 0, started.stdout + started.stderr
    yield place
    assert place.start("down").returncode == 0
    with psycopg.connect(admin, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _lines(batch: int) -> bytes:
    start = batch * _LINES
    dns = [
        json.dumps(
            {
                "class_uid": 4003,
                "activity_id": 1,
                "time": 1_714_550_401_000 + n,
                "query": {"hostname": f"h{n}.example.test"},
                "src_endpoint": {"ip": "10.0.0.5"},
            }
        )
        for n in range(start, start + _LINES)
    ]
    return "\n".join(dns).encode()


_RANSOM = json.dumps(
    {
        "Channel": "Microsoft-Windows-Sysmon/Operational",
        "EventID": 1,
        "Hostname": "ws7",
        "UtcTime": "2024-05-01 08:00:01.000",
        "Image": "C:\\Windows\\System32\\vssadmin.exe",
        "OriginalFileName": "VSSADMIN.EXE",
        "CommandLine": "vssadmin.exe delete shadows /all /quiet",
        "User": "CORP\\ann",
    }
).encode()


def _kill(house: Place, name: str) -> None:
    state = running(house.settings)
    assert state is not None
    before = state.children[name]
    psutil.Process(before).kill()

    def is_new() -> bool:
        now = running(house.settings)
        return now is not None and now.children.get(name) not in {None, before}

    until(is_new)


def test_events_go_through_both_while_processes_are_killed(settled: Place) -> None:
    settled.call("tenant", "create", "acme")
    settled.call("tenant", "create", "bolt")
    [made] = settled.call("token", "create", "in", "--tenant", "acme", "--role", "ingest")
    with httpx.Client(
        base_url=f"http://127.0.0.1:{settled.port}",
        headers={"Authorization": f"Bearer {made['token']}"},
        timeout=60,
    ) as door:
        for batch in range(_BATCHES):
            where = {"source": "dns", "position": str(batch * _LINES), "format": "ocsf_json"}
            answer = door.post("/v1/ingest", params=where, content=_lines(batch))
            assert answer.status_code == 202, answer.text
            if batch in {10, 30}:
                _kill(settled, "pipelines")
        where = {"source": "ws7", "position": "0", "format": "windows_json"}
        assert door.post("/v1/ingest", params=where, content=_RANSOM).status_code == 202
        _kill(settled, "business")
    whole = _BATCHES * _LINES + 1
    until(lambda: settled.events("acme")[0] >= whole)
    assert settled.events("acme") == (whole, whole)
    _kill(settled, "pipelines")
    until(lambda: is_ready(settled.settings))
    found = settled.read("acme", "/v1/events", until="2024-05-02T00:00:00Z", limit="10")
    assert len(found) == 10
    until(lambda: bool(settled.read("acme", "/v1/findings")))
    titles = Counter(str(row["title"]) for row in settled.read("acme", "/v1/findings"))
    assert max(titles.values()) == 1, titles
    assert settled.read("bolt", "/v1/events", until="2024-05-02T00:00:00Z") == []
    assert settled.events("acme") == (whole, whole)
    assert not (settled.data / "log.sqlite").exists()
    assert not (settled.data / "postgres").exists()


def test_the_doctor_and_the_topics_are_told_of_the_cluster(settled: Place) -> None:
    settled.call("tenant", "create", "acme")
    [made] = settled.call("token", "create", "in", "--tenant", "acme", "--role", "ingest")
    door = f"http://127.0.0.1:{settled.port}/v1/ingest"
    sent = httpx.post(door, content=_lines(0), headers={"Authorization": f"Bearer {made['token']}"})
    assert sent.status_code == 202
    until(lambda: settled.events("acme") == (_LINES, _LINES))
    assert [row for row in settled.call("doctor") if not row["well"]] == []
    seen = AdminClient({"bootstrap.servers": address_of("kafka").partition("//")[2]})
    groups = seen.list_consumer_groups(request_timeout=20).result().valid
    mine = [g.group_id for g in groups if g.group_id.startswith("test_")]
    assert any(group.endswith(".business.incidents") for group in mine)
