"""Processes share a flow: whoever comes, goes or is killed loses and doubles nothing."""

import os
import random
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from pipelines.flow import flow_of, house_of, lanes_of, run_flow
from pipelines.lanes import GROUP, Lanes, partitions_in
from pipelines.ledger import DatabaseLedger
from pipelines.runners import loop
from pipelines.running import Flow
from storage.database import Database
from storage.database.commit import lanes_of as claimed
from storage.errors import InvalidInput, PluginError
from storage.lake import Lake
from storage.log.open import open_log
from storage.settings import Settings, variable
from storage.tenant import Scope
from tests.pipelines import kills
from tests.services import address_of
from tests.shared import ROOT

PARTITIONS = 4
PER_SOURCE, PER_MESSAGE = 1500, 25
TOTAL = 3 * PER_SOURCE // PER_MESSAGE


@pytest.fixture(params=["sqlite", "kafka"])
def shared(request: pytest.FixtureRequest, settings: Settings) -> Settings:
    """Give settings of a house whose pipelines share the partitions, on either log."""
    settings = replace(kills.with_rule(settings), share=GROUP, partitions=PARTITIONS)
    if request.param == "sqlite":
        return settings
    prefix = f"lanes-{uuid.uuid4().hex[:12]}."
    return replace(settings, log_url=address_of("kafka"), kafka_prefix=prefix)


def _environment(settings: Settings) -> dict[str, str]:
    names = ("data_dir", "rules_dirs", "share", "partitions", "log_url", "kafka_prefix")
    told = {variable(name): str(getattr(settings, name)) for name in names}
    return os.environ | told | {variable("database_url"): settings.database_url.reveal()}


def _start(settings: Settings) -> subprocess.Popen[bytes]:
    words = [sys.executable, "-m", "tests.pipelines.flow_child", "loop", "6"]
    return subprocess.Popen(words, cwd=ROOT, env=_environment(settings))


def _until(is_so: Callable[[], bool], children: list[subprocess.Popen[bytes]]) -> None:
    until_s = time.monotonic() + 180
    while not is_so():
        assert time.monotonic() < until_s, "it takes too long"
        assert all(child.poll() is None for child in children), "a process ended by itself"
        time.sleep(0.05)


@contextmanager
def _running(settings: Settings, count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    children = [_start(settings) for _ in range(count)]
    try:
        yield children
    finally:
        for child in children:
            child.kill()
            child.wait()


def _owners(database: Database) -> set[str]:
    return {owner for _, owner in claimed(database, "events").values()}


@pytest.mark.slow
def test_killed_and_joining_processes_leave_what_one_alone_leaves(
    shared: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    dice = random.Random(11)
    with closing(open_log(shared)) as log:
        kills.fill(log, PER_SOURCE, PER_MESSAGE)
        with _running(shared, 2) as children:
            _until(lambda: len(_owners(database)) == 2, children)
            time.sleep(dice.uniform(0, 0.5))
            children[0].kill()  # kill -9 within a step
            children[0].wait()
            children[0] = _start(shared)
            children[1].send_signal(signal.SIGTERM)  # a rolling restart
            assert children[1].wait(60) == 0
            children[1] = _start(shared)
            _until(lambda: kills.committed(database) == TOTAL, children)
        expected, found = kills.uninterrupted(shared, log), kills.left(database, two_tenants)
    assert len(expected.events) == 3 * PER_SOURCE
    assert expected.findings
    assert found == expected
    ids = sorted(str(event[3]) for event in found.events)
    assert kills.lake_rows(shared, database, two_tenants) == ids


def test_two_processes_that_both_believe_they_own_a_partition(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    settings = replace(kills.with_rule(settings), partitions=1)
    with closing(open_log(settings)) as log:
        kills.fill(log, 100, 10)
        flows = []
        ledgers = []
        house = house_of(settings)
        for owner in ("a", "b"):
            ledger = DatabaseLedger(database, [], 0, owner)
            lake = Lake(settings.data_dir / "lake")
            flows.append(
                flow_of(settings, database, log, lake, poll_rows=5, house=house, ledger=ledger)
            )
            ledgers.append(ledger)
        slow, quick = flows
        work = slow.poll()
        assert work is not None
        done = slow.process(work)
        taken = quick.poll()
        assert taken is not None
        slow.commit(done)
        assert [ledger.is_lost for ledger in ledgers] == [True, False]
        assert kills.committed(database) == 0
        quick.commit(quick.process(taken))
        assert kills.committed(database) == 5


def test_a_share_by_hand_reads_these_partitions_only(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    settings = replace(kills.with_rule(settings), partitions=PARTITIONS, share="0-1")
    with closing(open_log(settings)) as log:
        kills.fill(log, 200, 10)
        ends = {p: log.end("raw.events", p) for p in range(PARTITIONS)}
        lake = Lake(settings.data_dir / "lake")
        stop, house = threading.Event(), house_of(settings)
        for share in ("0-1", "2,3"):
            given = replace(settings, share=share)
            loop.run(lanes_of(given, database, log, lake, stop, house), once=True)
            read = kills.committed(database)
            assert read == sum(ends[p] for p in range(2 if share == "0-1" else 4))
        assert kills.left(database, two_tenants) == kills.uninterrupted(settings, log)


def test_a_lane_begins_with_what_was_learnt_over_all_and_one_alone_is_refused_then(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    settings = replace(kills.with_rule(settings), partitions=2)
    with database.writer() as tx:
        tx.execute(
            "INSERT INTO flow_state (flow, detector, shard, state) VALUES ('events', 'x/y', 3, 'z')"
        )
    ledger = DatabaseLedger(database, [], 1, "me")
    assert ledger.standing("events", "raw.events").state == {("x/y", 3): b"z"}
    with closing(open_log(settings)) as log:
        lake = Lake(settings.data_dir / "lake")
        with pytest.raises(InvalidInput, match="INOPSIO_SHARE"):
            run_flow(settings, database, log, lake, once=True)
        kills.fill(log, 50, 10)
        one = flow_of(settings, database, log, lake)
        work = one.poll()
        assert work is not None
        with pytest.raises(PluginError, match="shared"):
            one.commit(one.process(work))
        run_flow(replace(settings, share="alone"), database, log, lake, "loop", once=True)
    assert claimed(database, "events") == {}


def test_a_share_is_read_or_refused() -> None:
    assert partitions_in("0-3,7", 8) == [0, 1, 2, 3, 7]
    for wrong in ("", "a", "3-", "8", "-1", "0,,1"):
        with pytest.raises(InvalidInput):
            partitions_in(wrong, 8)


def test_lanes_are_left_when_the_share_shrinks(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    settings = replace(kills.with_rule(settings), partitions=PARTITIONS)
    share, house = {0, 1, 2, 3}, house_of(settings)
    with closing(open_log(settings)) as log:
        kills.fill(log, 200, 10)
        lake = Lake(settings.data_dir / "lake")

        def make(lane: int) -> tuple[Flow, DatabaseLedger]:
            ledger = DatabaseLedger(database, [], lane, "me")
            flow = flow_of(settings, database, log, lake, poll_rows=1, house=house, ledger=ledger)
            return flow, ledger

        lanes = Lanes(make, lambda: share, threading.Event(), 0.0)
        served = set()
        for _ in range(8):
            work = lanes.poll()
            assert work is not None
            served.add(work.lane)
            lanes.commit(lanes.process(work))
        full = {p for p in range(PARTITIONS) if log.end("raw.events", p)}
        assert served == full
        share = {min(full)}
        work = lanes.poll()
        assert work is not None
        assert work.lane == min(full)
