import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import polars as pl
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from dashboards import live
from dashboards.read.live import rates_of
from pipelines.sinks import source_rates
from storage.outcome import Outcome
from storage.tenant import Role
from tests.dashboards.conftest import CANARY, House, some_events

NOW = datetime(2026, 11, 23, 12, 0, 5, tzinfo=UTC)
Feed = tuple[str, dict[str, str]]


@pytest.fixture
def feed(filled: House, served: str) -> Feed:
    """Give the feed's address and the headers of a signed-in page."""
    person: httpx.Client = filled.person(filled.acme, "p", Role.ADMIN)
    cookies = "; ".join(f"{k}={v}" for k, v in person.cookies.items())
    return served.replace("http", "ws") + live.PATH, {"Cookie": cookies, "Origin": served}


def heard(socket: ClientConnection) -> dict[str, Any]:
    found = json.loads(socket.recv(timeout=20))
    assert isinstance(found, dict)
    return found


def last_heard(socket: ClientConnection, times: int) -> dict[str, Any]:
    return [heard(socket) for _ in range(times)][-1]


def commit_events(house: House, tenant: str) -> None:
    """Do what the pipelines do at the end of a step, without the offsets."""
    with house.database.writer() as tx:
        batches = (some_events(tenant, ["x", "y"]),)
        source_rates.write(tx, Outcome(flow="events", steps=(), batches=batches))


def test_a_page_hears_its_own_tenant_and_no_other(filled: House, feed: Feed) -> None:
    with connect(feed[0], additional_headers=feed[1]) as socket:
        told = heard(socket)
    assert {f["id"] for f in told["findings"]} == set(filled.finding_ids(filled.acme))
    assert CANARY not in str(told)


def test_a_commit_is_told_to_open_pages_of_its_tenant(filled: House, feed: Feed) -> None:
    with connect(feed[0], additional_headers=feed[1]) as socket:
        heard(socket)
        commit_events(filled, "acme")
        commit_events(filled, "bolt")
        with filled.database.app(filled.acme) as tx:
            events = tx.execute("SELECT sum(events) FROM source_rates WHERE bucket_s = 60")
            assert [row[0] for row in events] == [2]
        assert "per_s" in heard(socket)


@pytest.mark.parametrize(
    "headers", [{}, {"Cookie": "inopsio=nobody"}, {"Origin": "https://evil.example"}]
)
def test_strangers_and_other_sites_hear_nothing(feed: Feed, headers: dict[str, str]) -> None:
    told = {**feed[1], **headers} if "Origin" in headers else headers
    with pytest.raises(InvalidStatus):
        connect(feed[0], additional_headers=told)


def test_a_page_that_speaks_is_closed(feed: Feed) -> None:
    with connect(feed[0], additional_headers=feed[1]) as socket:
        heard(socket)
        socket.send("hello")
        with pytest.raises(ConnectionClosed):
            list(socket)


def test_a_page_whose_session_ends_hears_no_more(
    filled: House, served: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "QUIET_S", 0.1)
    person = filled.person(filled.acme, "q", Role.ADMIN)
    cookies = "; ".join(f"{k}={v}" for k, v in person.cookies.items())
    told = {"Cookie": cookies, "Origin": served}
    with connect(served.replace("http", "ws") + live.PATH, additional_headers=told) as socket:
        heard(socket)
        with filled.database.app(filled.acme) as tx:
            tx.execute("DELETE FROM sessions")
        with pytest.raises(ConnectionClosed):
            last_heard(socket, 40)


def test_a_tenant_has_a_bounded_number_of_seats(
    feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MOST_OF_A_TENANT", 1)
    with connect(feed[0], additional_headers=feed[1]) as first:
        heard(first)
        with pytest.raises(InvalidStatus):
            connect(feed[0], additional_headers=feed[1])


def test_a_role_without_events_hears_of_findings_only(filled: House) -> None:
    told = live.snapshot(filled.database, filled.acme, NOW)
    assert {"findings", "per_s"} <= set(told)
    auditor = type(filled.acme)("acme", filled.acme.actor, frozenset({Role.AUDITOR}))
    assert "per_s" not in live.snapshot(filled.database, auditor, NOW)


def test_sources_beyond_fifty_are_counted_as_other() -> None:
    events = pl.DataFrame(
        {
            "tenant_id": ["acme"] * 70,
            "source": [f"s{n:02d}" if n < 60 else "files/a.log" for n in range(70)],
            "time": [NOW] * 70,
        }
    ).cast({"time": pl.Datetime("us", "UTC")})
    counted = dict(
        source_rates.rates_of(source_rates.counts_of(events)).select("source", "events").iter_rows()
    )
    assert (len(counted), counted["files"], counted["other"]) == (51, 10, 11)


def test_rates_are_events_a_second_in_whole_steps() -> None:
    rows = [
        {"source": "wec", "bucket": NOW.replace(second=0) - timedelta(seconds=10), "events": 50},
        {"source": "idp", "bucket": NOW.replace(second=0), "events": 7},
    ]
    found = rates_of(rows, NOW, timedelta(seconds=30), 10)
    assert found.by_source == {"wec": [0.0, 0.0, 5.0]}
