"""Two tenants mixed in every batch of the whole flow: each sees exactly its own, everywhere."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.app import create_app
from pipelines.flow import run_flow
from storage.lake import Lake
from storage.log import Record
from storage.tenant import Role, Scope
from tests.api.conftest import Front, front
from tests.walks.raw import FLAT_SYSMON, ndjson

__all__ = ["front"]
EVENTS = 12


class House:
    """A front door and a lake after the flow has read both tenants' messages."""

    def __init__(self, front: Front, lake: Lake) -> None:
        self.front = front
        self.lake = lake


def _message(tenant: str, number: int) -> Record:
    # Both tenants use the same source name, the same host and forge each other's id.
    other = "bolt" if tenant == "acme" else "acme"
    secret = f"vssadmin delete shadows /all /for={tenant}-secret"
    event = FLAT_SYSMON | {"CommandLine": secret, "tenant_id": other, "User": f"{tenant}\\eve"}
    headers = {"tenant": tenant, "source": "pc", "position": str(number), "name": "pc"}
    return Record(b"same key", ndjson(event), headers | {"format": "windows_json"})


@pytest.fixture
def house(front: Front, tmp_path: Path) -> Iterator[House]:
    settings = front.app.state.desk.settings
    lake = Lake(tmp_path / "lake")
    front.app = create_app(settings, front.database, front.log, lake, front.clock)
    mixed = [_message(tenant, n) for n in range(EVENTS) for tenant in ("acme", "bolt")]
    front.log.append("raw.events", mixed)
    run_flow(settings, front.database, front.log, lake, runner="loop", once=True)
    yield House(front, lake)
    lake.close()


@pytest.mark.slow
def test_each_sees_exactly_its_own(house: House) -> None:
    for scope, other in ((house.front.acme, "bolt"), (house.front.bolt, "acme")):
        _by_sql(house, scope)
        _by_lake(house, scope, other)
        _by_api(house, scope, other)


def _by_sql(house: House, scope: Scope) -> None:
    with house.front.database.app(scope) as db:
        for table in ("events", "findings", "window_counts", "sources", "lake_files"):
            owners = db.execute(f"SELECT DISTINCT tenant_id FROM {table}".encode()).fetchall()
            assert owners == [(scope.tenant_id,)], table
        assert db.execute("SELECT count(*) FROM events").fetchone() == (EVENTS,)
        assert db.execute("SELECT count(*) FROM findings").fetchone() == (EVENTS,)


def _by_lake(house: House, scope: Scope, other: str) -> None:
    frame = house.lake.scan(house.front.database, scope).collect()
    assert frame["tenant_id"].to_list() == [scope.tenant_id] * EVENTS
    assert frame["actor.user.domain"].unique().to_list() == [scope.tenant_id]
    sql = 'SELECT DISTINCT tenant_id, "process.cmd_line" FROM events'
    found = house.lake.hunt(house.front.database, scope, sql)
    assert len(found.rows) == 1
    assert f"{other}-secret" not in str(found.rows)


def _by_api(house: House, scope: Scope, other: str) -> None:
    client = house.front.bearer(scope, Role.ANALYST)
    answer = client.get("/v1/findings", params={"limit": 100})
    assert len(answer.json()["items"]) == EVENTS
    assert f"{other}-secret" not in answer.text
