"""What the ledger promised to tell reaches the log: in order, once or again, never not."""

import uuid
from collections.abc import Sequence

import pytest
from psycopg import Rollback
from psycopg.errors import InsufficientPrivilege

from storage.database import Database
from storage.errors import InvalidInput, Unavailable
from storage.log import Record
from storage.log.memory import MemoryLog
from storage.outbox import relay, tell
from storage.tenant import Scope

Two = tuple[Scope, Scope]


@pytest.fixture
def log() -> MemoryLog:
    return MemoryLog(partitions=1)


def test_rows_arrive_in_order_with_their_tenant_and_leave_the_outbox(
    database: Database, two_tenants: Two, log: MemoryLog
) -> None:
    for number, scope in enumerate((*two_tenants, *two_tenants)):
        with database.app(scope) as tx:
            tell(tx, "erp.notices", Record(b"k", b"%d" % number, {"tenant": "evil", "type": "x"}))
    assert relay(database.writer, log, limit=3) == 3
    assert relay(database.writer, log, limit=3) == 1
    assert relay(database.writer, log, limit=3) == 0
    told = log.read("erp.notices", 0, 0)
    assert [(m.value, m.headers["tenant"], m.headers["type"]) for m in told] == [
        (b"0", "acme", "x"),
        (b"1", "bolt", "x"),
        (b"2", "acme", "x"),
        (b"3", "bolt", "x"),
    ]


def test_a_change_that_is_rolled_back_is_not_told(
    database: Database, two_tenants: Two, log: MemoryLog
) -> None:
    with database.app(two_tenants[0]) as tx:
        tell(tx, "t", Record(b"k", b"v"))
        raise Rollback
    assert relay(database.writer, log) == 0


class DeafLog(MemoryLog):
    """Keep what it is told, and lose the connection before it says so, once."""

    is_down = True

    def append(self, topic: str, records: Sequence[Record]) -> list[tuple[int, int]]:
        places = super().append(topic, records)
        if self.is_down:
            self.is_down = False
            raise Unavailable("the log went away")
        return places


def test_a_crash_between_the_two_writes_repeats_with_the_same_id(
    database: Database, two_tenants: Two
) -> None:
    log = DeafLog(partitions=1)
    with database.app(two_tenants[0]) as tx:
        tell(tx, "t", Record(b"k", b"v"))
    with pytest.raises(Unavailable, match="went away"):
        relay(database.writer, log)
    assert relay(database.writer, log) == 1
    first, again = (m.headers["id"] for m in log.read("t", 0, 0))
    assert first == again == str(uuid.UUID(first))


def test_what_a_broken_turn_had_told_is_not_told_again(
    database: Database, two_tenants: Two
) -> None:
    log = DeafLog(partitions=2)
    log.is_down = False
    with database.app(two_tenants[0]) as tx:
        for number in range(60):
            tell(tx, "t", Record(b"%d" % number, b"v%d" % number))
    assert relay(database.writer, log, 50) == 50
    log.is_down = True
    with pytest.raises(Unavailable, match="went away"):
        relay(database.writer, log)
    with database.app(two_tenants[0]) as tx:
        tell(tx, "t", Record(b"60", b"v60"))
    assert relay(database.writer, log, is_after_break=True) == 11
    told = sorted(m.value for p in range(2) for m in log.read("t", p, 0))
    assert told == sorted(b"v%d" % number for number in range(61))


def test_a_second_relay_waits_for_its_turn(
    database: Database, two_tenants: Two, log: MemoryLog
) -> None:
    with database.app(two_tenants[0]) as tx:
        tell(tx, "t", Record(b"k", b"v"))
    with database.writer() as tx:
        tx.execute("SELECT pg_advisory_xact_lock(hashtextextended('inopsio.outbox', 0))")
        assert relay(database.writer, log) == 0
    assert relay(database.writer, log) == 1


def test_a_row_that_the_log_refuses_is_set_aside_and_the_others_go_on(
    database: Database, two_tenants: Two, log: MemoryLog
) -> None:
    with database.writer() as tx:
        for topic, value in (("no/topic", b"a"), ("t", b"b"), ("t", bytes((16 << 20) + 1))):
            tx.execute(
                "INSERT INTO outbox (tenant_id, topic, key, value) VALUES ('acme', %s, 'k', %s)",
                (topic, value),
            )
    assert relay(database.writer, log) == 3
    assert [m.value for m in log.read("t", 0, 0)] == [b"b"]
    aside = log.read("dead-letter", 0, 0)
    assert [(m.headers["topic"], m.headers["tenant"], len(m.value)) for m in aside] == [
        ("no/topic", "acme", 1),
        ("t", "acme", 64 << 10),
    ]


def test_large_rows_are_read_a_few_at_a_time(
    database: Database, two_tenants: Two, log: MemoryLog
) -> None:
    with database.app(two_tenants[0]) as tx:
        for _ in range(3):
            tell(tx, "t", Record(b"k", bytes(16 << 20)))
    assert [relay(database.writer, log) for _ in range(3)] == [2, 1, 0]


@pytest.mark.parametrize(
    ("topic", "record"),
    [
        ("no/topic", Record(b"k", b"")),
        ("t", Record(b"\xff", b"")),
        ("t", Record(b"k\x00", b"")),
        ("t", Record(b"k", b"", {"name": "\udcff"})),
        ("t", Record(b"k", b"", {"name": "\x00"})),
        ("t", Record(b"k", bytes((16 << 20) + 1))),
    ],
)
def test_what_could_not_be_told_is_refused_with_the_change(
    database: Database, two_tenants: Two, topic: str, record: Record
) -> None:
    with pytest.raises(InvalidInput), database.app(two_tenants[0]) as tx:
        tell(tx, topic, record)


def test_the_app_role_cannot_read_or_forge_another_tenants_notices(
    database: Database, two_tenants: Two, log: MemoryLog
) -> None:
    with database.app(two_tenants[0]) as tx:
        tell(tx, "t", Record(b"k", b"v"))
    with (
        pytest.raises(InsufficientPrivilege, match="permission denied"),
        database.app(two_tenants[1]) as tx,
    ):
        tx.execute("SELECT * FROM outbox")
    forged = "INSERT INTO outbox (tenant_id, topic, key, value) VALUES ('acme', 't', 'k', 'v')"
    with (
        pytest.raises(InsufficientPrivilege, match="row-level security"),
        database.app(two_tenants[1]) as tx,
    ):
        tx.execute(forged)
