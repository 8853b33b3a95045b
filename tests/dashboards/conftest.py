"""Lend console tests a whole house with findings, events, a lake and incidents of two tenants."""

import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest
import uvicorn

from api.app import create_app
from api.auth import create_user
from business import incidents
from business._event import Event
from dashboards.app import mount
from dashboards.console import Console
from storage.database import Database
from storage.database.dialect import ensure_days
from storage.database.rows import copy_events, insert_findings, insert_lake_files
from storage.identity import event_ids
from storage.lake import Lake
from storage.log.memory import MemoryLog
from storage.outcome import finding_message
from storage.schema import EventBatch, Finding, Reason, dtypes
from storage.schema.finding import finding_id
from storage.settings import Settings
from storage.tenant import Role, Scope
from tests.api.conftest import START_US, Clock, Front

CANARY = "CANARY-OF-BOLT"
MINUTE_US = 60_000_000
RULE = "33770822-355e-5038-8852-68ee5b8aa5ef"


@dataclass(slots=True)
class House(Front):
    """The front door with the console mounted and the ids of what was put in."""

    console: Console
    settings: Settings

    def callbacks(self) -> list[dict[str, Any]]:
        """Give every callback that the server answers."""
        listed = self.console.dash._callback_list
        return [c for c in listed if not c.get("clientside_function")]

    def call(
        self, client: httpx.Client, listed: dict[str, Any], **values: object
    ) -> httpx.Response:
        """Call a callback as a browser does; values by `component.property` of its inputs."""
        body = {
            "output": listed["output"],
            "outputs": outputs_of(listed["output"]),
            "inputs": [
                {**i, "value": values.get(f"{i['id']}.{i['property']}")} for i in listed["inputs"]
            ],
            "state": [
                {**s, "value": values.get(f"{s['id']}.{s['property']}")} for s in listed["state"]
            ],
            "changedPropIds": [
                k for k in values if k in {f"{i['id']}.{i['property']}" for i in listed["inputs"]}
            ],
        }
        return client.post("/_dash-update-component", json=body)

    def open(self, client: httpx.Client, path: str, search: str = "") -> str:
        """Open a page through the router; give what it would show, as JSON text."""
        router = next(c for c in self.callbacks() if "page.children" in c["output"])
        told = {"url.pathname": path, "url.search": search}
        answer = self.call(client, router, **told)
        assert answer.status_code == 200, answer.text
        return json.dumps(answer.json()["response"], ensure_ascii=False)

    def named(self, output: str) -> dict[str, Any]:
        """Give the first callback that writes this output."""
        return next(c for c in self.callbacks() if output in c["output"])

    def finding_ids(self, scope: Scope) -> list[str]:
        with self.database.app(scope) as tx:
            rows = tx.execute("SELECT finding_id::text FROM findings ORDER BY time, finding_id")
            return [str(r[0]) for r in rows]

    def incident_ids(self, scope: Scope) -> list[str]:
        with self.database.app(scope) as tx:
            rows = tx.execute(
                "SELECT incident_id::text FROM incidents ORDER BY first_time, incident_id"
            )
            return [str(r[0]) for r in rows]

    def fill(self, scope: Scope, texts: list[str]) -> None:
        """Put one event, finding and incident into the tenant for each text, which is in all."""
        events = some_events(scope.tenant_id, texts)
        lake = self.console.lake
        files = lake.write(events, "events", 0, 0, len(texts) - 1)
        found = some_findings(scope.tenant_id, texts, events.frame["event_id"].to_list())
        ensure_days(self.database, [START_US // 86_400_000_000])
        with self.database.writer() as tx:
            copy_events(tx, events)
            insert_lake_files(tx, files)
            insert_findings(tx, found)
        for one in found:
            data = json.loads(finding_message(one))["data"]
            with self.database.app(scope) as tx:
                incidents.handle(
                    scope, tx, Event(one.finding_id, "inopsio.finding", "findings", data)
                )


def outputs_of(output: str) -> object:
    """Give the outputs of a callback id the way a browser names them."""
    parts = output.strip(".").split("...") if output.startswith("..") else [output]
    told = []
    for part in parts:
        name, _, prop = part.rpartition(".")
        told.append({"id": name, "property": prop.partition("@")[0]})
    return told if output.startswith("..") else told[0]


def some_events(tenant: str, texts: list[str]) -> EventBatch:
    """Make one process start a text."""
    count = len(texts)
    frame = pl.DataFrame(
        {
            "tenant_id": [tenant] * count,
            "time": [
                datetime.fromtimestamp((START_US + i * MINUTE_US) / 1e6, UTC) for i in range(count)
            ],
            "ingested_at": [datetime.fromtimestamp(START_US / 1e6, UTC)] * count,
            "source": ["made"] * count,
            "position": list(range(count)),
            "is_late": [False] * count,
            "is_time_clamped": [False] * count,
            "category_uid": [1] * count,
            "class_uid": [1007] * count,
            "activity_id": [1] * count,
            "type_uid": [100701] * count,
            "severity_id": [1] * count,
            "metadata.log_format": ["made"] * count,
            "metadata.product.name": ["windows"] * count,
            "device.hostname": [f"host {text}" for text in texts],
            "process.cmd_line": [f"cmd {text}" for text in texts],
            "process.file.path": [f"C:\\{text}.exe" for text in texts],
        }
    )
    ids = event_ids(tenant, "made", frame["time"].dt.epoch("us"), frame["position"])
    types = {n: t for n, t in dtypes().items() if n in frame.columns}
    return EventBatch.of(frame.with_columns(ids).cast(pl.Schema(types)))


def some_findings(tenant: str, texts: list[str], evidence: list[str]) -> list[Finding]:
    """Make one finding a text: by a rule of the house, and every third by a model."""
    found = []
    for i, text in enumerate(texts):
        is_model = i % 3 == 2
        reason = (
            Reason(text, "16", "about 0.1 in 10 min", 0.9)
            if is_model
            else Reason("CommandLine", f"cmd {text}", f"contains {text}")
        )
        found.append(
            Finding(
                finding_id=finding_id(tenant, "sigma", "1", "r", str(i)),
                tenant_id=tenant,
                detector="behaviour" if is_model else "sigma",
                detector_version="1",
                rule_id="behaviour" if is_model else RULE,
                title=f"Title {text}",
                level=("critical", "high", "medium", "low", "informational")[i % 5],
                time_us=START_US + i * MINUTE_US,
                entity_type="host",
                entity=f"host {text}",
                event_ids=(evidence[i],),
                reasons=(reason,),
                attack=("T1059.001",),
                links=(("user", f"user {text}"),),
            )
        )
    return found


@pytest.fixture
def house(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> Iterator[House]:
    """Give the console of a house in which nothing has happened yet."""
    log, clock = MemoryLog(partitions=1), Clock()
    lake = Lake(settings.data_dir / "lake")
    app = create_app(settings, database, log, lake, clock)
    console = mount(app, settings, database, lake)
    yield House(app, database, log, clock, *two_tenants, console, settings)
    lake.close()
    log.close()


@pytest.fixture
def filled(house: House) -> House:
    """Give the same with three findings in acme and one, the canary, in bolt."""
    house.fill(house.acme, ["alpha", "beta", "gamma"])
    house.fill(house.bolt, [CANARY])
    return house


@pytest.fixture
def served(house: House, request: pytest.FixtureRequest) -> Iterator[str]:
    """Serve the house on a free port; give its address. Pages are closed before it ends."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = uvicorn.Config(
        house.app, port=port, log_level="error", access_log=False, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    until = time.monotonic() + 20
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{port}"
    if "browser" in request.fixturenames:
        for context in request.getfixturevalue("browser").contexts:
            context.close()
    server.should_exit = True
    thread.join(20)


def chromium() -> Path:
    """Give the browser of this machine; without one skip, but where CI=true fail."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found:
        return Path(found)

    if os.environ.get("CI") == "true":
        pytest.fail("chromium is not installed; the console is tested in a real browser")
    pytest.skip("chromium is not installed")


def password_of(house: House, scope: Scope, name: str, *roles: Role) -> str:
    """Make an account; give its password."""
    return create_user(house.database, scope, name, None, roles)
