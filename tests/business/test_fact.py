"""A fact is told both ways, typed for the flow, in the order of its positions."""

import json
import threading

import pytest
from psycopg import Rollback

from business._fact import Acting, Claim, Fact, acting, announce
from pipelines.decode import parse_run, runs_of
from storage.database import Database
from storage.errors import InvalidInput, NotAllowed
from storage.log.memory import MemoryLog
from storage.outbox import relay
from storage.tenant import Actor, Role, Scope

NOON_US = 1_795_000_000_000_000
Two = tuple[Scope, Scope]
BRIDGE = Scope("acme", Actor("token", "bridge"), frozenset({Role.INTEGRATION}))
ANN = Scope("acme", Actor("user", "ann"), frozenset({Role.OPERATOR}))


def a_fact(uid: str = "P-1") -> Fact:
    data: dict[str, str | int | float | None] = {
        "document.uid": uid,
        "vendor.uid": "V-9",
        "amount_cents": 12_345_678_901,
        "currency": "EUR",
        "discount_percent": 12.5,
        "record_count": 7,
        "due": "2026-12-01",
        "address": "",
        "confirmed_by": None,
    }
    who = Acting("ann", NOON_US, NOON_US, "dev-4", "10.20.1.9").columns()
    return Fact("erp.payment", "payment", "Approve", {**who, **data}, uid)


def test_the_flow_reads_what_was_told_typed_and_under_the_same_id(
    database: Database, two_tenants: Two
) -> None:
    log = MemoryLog(partitions=1)
    with database.app(two_tenants[0]) as tx:
        event_id = announce(two_tenants[0], tx, "erp", a_fact(), NOON_US, "trace-1")
    relay(database.writer, log)
    (raw,) = log.read("raw.events", 0, 0)
    ((batch, rejects),) = parse_run((raw,))
    assert (raw.headers["position"], raw.headers["trace_id"], rejects) == ("0", "trace-1", [])
    row = batch.frame.row(0, named=True)
    assert row["event_id"] == event_id
    assert row["time"].timestamp() * 1_000_000 == NOON_US
    expected = {
        "tenant_id": "acme",
        "source": "business:erp",
        "class_uid": 999002,
        "activity_id": 6,
        "amount_cents": 12_345_678_901,
        "vendor.uid": "V-9",
        "device.uid": "dev-4",
        "src_endpoint.ip": "10.20.1.9",
        "actor.user.name": "ann",
        "discount_percent": 12.5,
        "record_count": 7,
        "unmapped.due": "2026-12-01",
        "metadata.product.name": "inopsio",
    }
    assert {k: row[k] for k in expected} == expected
    assert not {"unmapped.address", "unmapped.confirmed_by"} & set(row)


def test_the_modules_own_topic_has_the_same_data_in_an_envelope(
    database: Database, two_tenants: Two
) -> None:
    log = MemoryLog(partitions=1)
    with database.app(two_tenants[0]) as tx:
        event_id = announce(two_tenants[0], tx, "erp", a_fact(), NOON_US)
    relay(database.writer, log)
    own = json.loads(log.read("erp.payment", 0, 0)[0].value)
    raw = json.loads(log.read("raw.events", 0, 0)[0].value)
    assert (own["id"], own["type"]) == (event_id, "inopsio.erp.payment.approve")
    assert own["data"] == raw


def test_facts_of_commands_at_the_same_time_arrive_in_the_order_of_their_positions(
    database: Database, two_tenants: Two
) -> None:
    log = MemoryLog(partitions=4)
    start = threading.Barrier(6)

    def command(worker: int) -> None:
        start.wait()
        for number in range(8):
            with database.app(two_tenants[worker % 2]) as tx:
                for part in range(2):
                    uid = f"{worker}-{number}-{part}"
                    announce(two_tenants[worker % 2], tx, "erp", a_fact(uid), NOON_US)
                if number % 3 == 2:
                    raise Rollback

    workers = [threading.Thread(target=command, args=(n,)) for n in range(6)]
    for worker in workers:
        worker.start()
    while any(w.is_alive() for w in workers):
        relay(database.writer, log, limit=5)
    for worker in workers:
        worker.join()
    while relay(database.writer, log):
        pass
    told = [m for p in range(4) for m in log.read("raw.events", p, 0)]
    for tenant in ("acme", "bolt"):
        places = [int(m.headers["position"]) for m in told if m.headers["tenant"] == tenant]
        assert places == list(range(3 * 6 * 2))


def test_facts_of_many_requests_are_read_in_one_go_as_each_alone(
    database: Database, two_tenants: Two
) -> None:
    log = MemoryLog(partitions=1)
    told = []
    for number in range(3):
        with database.app(two_tenants[0]) as tx:
            fact = a_fact(f"P-{number}")
            told.append(announce(two_tenants[0], tx, "erp", fact, NOON_US, f"trace-{number}"))
    relay(database.writer, log)
    (run,) = runs_of(log.read("raw.events", 0, 0))
    ((batch, _),) = parse_run(run)
    assert batch.frame["event_id"].to_list() == told


def test_two_modules_and_two_tenants_count_apart(database: Database, two_tenants: Two) -> None:
    log = MemoryLog(partitions=1)
    for scope in two_tenants:
        with database.app(scope) as tx:
            announce(scope, tx, "erp", a_fact(), NOON_US)
            announce(scope, tx, "crm", a_fact(), NOON_US)
    relay(database.writer, log)
    assert {m.headers["position"] for m in log.read("raw.events", 0, 0)} == {"0"}


def test_a_program_that_may_import_says_who_acted_when_and_from_where() -> None:
    claim = Claim("ann.lee", NOON_US - 5, "dev-4", "::ffff:10.0.0.1")
    who = acting(BRIDGE, claim, now_us=NOON_US)
    assert (who.name, who.at_us, who.now_us) == ("ann.lee", NOON_US - 5, NOON_US)
    assert who.through == "token:bridge"
    assert who.detail(note="") == {"on_behalf_of": "ann.lee"}


def test_everybody_else_is_themselves_now() -> None:
    assert acting(ANN, now_us=NOON_US) == Acting("ann", NOON_US, NOON_US)
    system = Scope("acme", Actor("system", "erp"), frozenset({Role.OPERATOR}))
    assert acting(system, now_us=NOON_US).name == "system"


@pytest.mark.parametrize(
    "claim", [Claim("bob"), Claim(occurred_at_us=NOON_US), Claim("", None, "x")]
)
def test_a_person_or_a_token_without_the_grant_states_nothing(claim: Claim) -> None:
    clerk = Scope("acme", Actor("token", "clerk"), frozenset({Role.FINANCE}))
    for scope in (ANN, clerk):
        with pytest.raises(NotAllowed):
            acting(scope, claim, now_us=NOON_US)


@pytest.mark.parametrize(
    "claim",
    [
        Claim("a\x00b"),
        Claim("a" * 201),
        Claim("\u202eann"),
        Claim(occurred_at_us=NOON_US + 301_000_000),
        Claim(occurred_at_us=-1),
        Claim(src_ip="not an address"),
        Claim(device_uid="\ud800"),
    ],
)
def test_a_claim_that_is_garbage_is_refused(claim: Claim) -> None:
    with pytest.raises(InvalidInput):
        acting(BRIDGE, claim, now_us=NOON_US)
