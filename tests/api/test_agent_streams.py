"""Take numbers away from an agent's streams, as a thief of its key and a full disk do."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from agent.deliver import ship_all
from agent.identity import Identity
from agent.keep import keep_losses
from agent.ship import Sender, Server, _in_source
from agent.spool import Spool
from api.agent_streams import MOST_AHEAD
from api.agent_watch import GRACE, SILENT_AFTER, watch
from pipelines.flow import house_of, run_flow
from pipelines.sinks.agent_drops import in_source
from storage.database import Database
from storage.lake import Lake
from storage.outbox import relay
from storage.settings import Settings
from storage.tenant import Scope
from tests.api.agents_house import House, listening, say, send

LOG = "log:/tmp/ot/l1.log"


@dataclass(slots=True)
class Watched:
    """A house with its flow and its watch; `later` lets seconds pass, then both look."""

    house: House
    catch_up: Callable[[], None]

    def later(self, wait: timedelta = GRACE, may_judge: bool = True) -> dict[str, int]:
        self.catch_up()
        self.house.clock.forward(int(wait.total_seconds()))
        told = watch(self.house.database, self.house.desk.now(), may_judge)
        self.catch_up()
        return told

    def findings(self, scope: Scope | None = None) -> list[str]:
        with self.house.database.app(scope or self.house.acme) as tx:
            rows = tx.execute("SELECT title FROM findings ORDER BY created_at, title").fetchall()
        return [str(title) for (title,) in rows]

    def records(self) -> int:
        with self.house.database.app(self.house.acme) as tx:
            rows = tx.execute("SELECT count(*) FROM events WHERE source LIKE 'agent:%'")
            return int((rows.fetchone() or (0,))[0])


@pytest.fixture
def watched(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> Iterator[Watched]:
    lake, flow = Lake(tmp_path / "lake"), house_of(settings)
    with listening(settings, database, two_tenants, tmp_path) as house:

        def catch_up() -> None:
            while relay(database.writer, house.log):
                pass
            run_flow(settings, database, house.log, lake, "loop", once=True, house=flow)

        yield Watched(house, catch_up)


@contextmanager
def spooled(house: House, made: Identity) -> Iterator[tuple[Spool, Sender]]:
    spool = Spool(house.folder / "spool.sqlite")
    sender = Sender(Server(made.url, identity=made), "abcdef0123456789", "ws-1")
    try:
        yield spool, sender
    finally:
        sender.close()
        spool.close()


def lines(*numbers: int) -> list[bytes]:
    return [b"Nov 30 18:00:00 ws-1 app[1]: number %d" % n for n in numbers]


def test_a_number_that_no_spool_reaches_silences_nothing(watched: Watched) -> None:
    house = watched.house
    made = house.enroll("ws-1")
    with spooled(house, made) as (spool, sender):
        spool.append(LOG, "syslog", lines(*range(5)))
        ship_all(spool, sender)
        stolen = f"agent:{made.agent_id}.abcdef012345:{LOG}"
        status, why = send(made, source=stolen, position=str(10**15))
        assert (status, "enrol it again" in why) == (409, True)
        assert house.refused() == [("agent.leap", "numbers too far ahead")]
        spool.append(LOG, "syslog", lines(*range(5, 9)))
        assert ship_all(spool, sender) == 4
        watched.later()
        assert watched.records() == 9
        assert watched.findings() == ["A number far beyond an agent's stream"]


def test_a_thief_who_skips_less_is_told_and_so_are_the_rows_he_silenced(watched: Watched) -> None:
    house = watched.house
    made = house.enroll("ws-1")
    with spooled(house, made) as (spool, sender):
        spool.append(LOG, "syslog", lines(*range(5)))
        ship_all(spool, sender)
        assert (
            send(made, source=f"agent:{made.agent_id}.abcdef012345:{LOG}", position="2000")[0]
            == 202
        )
        spool.append(LOG, "syslog", lines(*range(5, 9)))
        ship_all(spool, sender)
        assert watched.later() == {"agent_gap": 1, "agent_numbers_back": 1}
        gap, back = (
            "Records of an agent's stream are missing",
            "An agent's numbers came a second time",
        )
        assert sorted(watched.findings()) == sorted([gap, back])
        assert watched.later() == {}


def test_what_the_agent_says_that_it_dropped_is_no_gap(watched: Watched) -> None:
    house = watched.house
    made = house.enroll("ws-1")
    with spooled(house, made) as (spool, sender):
        spool.append(LOG, "syslog", lines(*range(5)))
        ship_all(spool, sender)
        spool.bound(3000)
        for n in range(100):
            spool.append(LOG, "syslog", lines(n))
        spool.bound(1 << 30)
        keep_losses(spool, house.clock.now_us)
        ship_all(spool, sender)
        with house.database.app(house.acme) as tx:
            ((first, records),) = tx.execute(
                "SELECT first_position, records FROM agent_gaps"
            ).fetchall()
        assert first == 5
        assert 0 < records < 100
        assert watched.later() == {}
        assert watched.findings() == ["The agent dropped events"]


def test_rows_beyond_what_the_agent_owns_up_to_are_a_gap(watched: Watched) -> None:
    house = watched.house
    made = house.enroll("ws-1")
    source = f"agent:{made.agent_id}.0:events"
    drop = (
        b'{"time":1795000000000,"class_uid":0,"activity_id":0,"stream":"events","first":1,'
        b'"record_count":3,"metadata":{"event_code":"events_dropped"},"device":{"hostname":"w"}}\n'
    )
    assert send(made, source=source, position="0")[0] == 202
    assert send(made, source=source, position="11")[0] == 202
    high = f"agent:{made.agent_id}.0:events.high"
    assert say(made, f"/v1/ingest?format=ocsf_json&source={high}&position=0", drop)[0] == 202
    assert watched.later() == {"agent_gap": 1}
    with house.database.app(house.acme) as tx:
        assert tx.execute("SELECT records, explained FROM agent_gaps").fetchall() == [(10, 3)]


def test_a_batch_without_an_answer_may_come_again_but_not_with_other_rows(watched: Watched) -> None:
    made = watched.house.enroll("ws-1")
    source = f"agent:{made.agent_id}.0:events"
    for _ in range(2):
        assert send(made, source=source, position="0")[0] == 202
    assert watched.later() == {}
    path = f"/v1/ingest?format=ocsf_json&source={source}&position=0"
    assert say(made, path, b'{"time":1795000000000,"class_uid":1007,"message":"other"}\n')[0] == 202
    assert watched.later() == {"agent_numbers_back": 1}


def test_a_stream_that_was_read_before_its_numbers_were_kept_has_no_gap(watched: Watched) -> None:
    house = watched.house
    made = house.enroll("ws-1")
    source = f"agent:{made.agent_id}.0:events"
    assert send(made, source=source, position="0")[0] == 202
    watched.catch_up()
    with house.database.owner() as tx:
        tx.execute("TRUNCATE inopsio.agent_streams")
    assert send(made, source=source, position="500")[0] == 202
    assert watched.later() == {}
    far = str(501 + MOST_AHEAD + 1)
    assert send(made, source=source, position=far)[0] == 409


def test_a_silent_agent_is_told_once_and_once_that_it_speaks_again(watched: Watched) -> None:
    made = watched.house.enroll("ws-1")
    send(made)
    more = SILENT_AFTER + timedelta(seconds=1)
    assert watched.later(more, may_judge=False) == {}
    assert watched.later() == {"agent_silent": 1}
    assert watched.later() == {}
    assert watched.findings() == ["An agent went silent"]
    assert watched.findings(watched.house.bolt) == []
    send(made)
    assert watched.later() == {"agent_heard_again": 1}
    assert watched.later(more) == {"agent_silent": 1}


def test_a_copied_key_is_a_finding(watched: Watched) -> None:
    made = watched.house.enroll("ws-1")
    send(made, "a" * 16)
    send(made, "b" * 16)
    watched.house.clock.forward(11)
    assert send(made, "a" * 16)[0] == 403
    assert send(made, "b" * 16)[0] == 403
    watched.catch_up()
    assert watched.findings() == ["An agent's key is used in two places"]


@pytest.mark.parametrize(
    "stream", ["events", "log:/my app.log", "log:/" + "x" * 200, "log:/\udcff"]
)
def test_the_house_names_streams_as_agents_do(stream: str) -> None:
    assert in_source(stream) == _in_source(stream)
