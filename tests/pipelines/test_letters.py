"""What was refused is listed with its place and reason, counted, and put back once."""

from dataclasses import replace

import pytest

from business._consume import consume_once
from business._event import Event, Transaction
from pipelines.dead_letter import TOPIC, letter_id
from pipelines.letters import Retried, counts_of, letters, retry, rows_of
from storage.audit import write_audit
from storage.database import Database
from storage.log import EventLog, Record
from storage.log.memory import MemoryLog
from storage.outbox import relay
from storage.outcome import DeadLetter, dead_letter_message
from storage.tenant import Scope
from storage.wire import DEAD_LETTER

Two = tuple[Scope, Scope]
LINE = b'{"class_uid":4003,"activity_id":1,"time":1714550401000,"query":{"hostname":"a.test"}}'


def a_letter(tenant: str, position: int, **more: object) -> DeadLetter:
    name = letter_id(tenant, "f", position)
    made = DeadLetter(name, tenant, "f", "f.json", "ocsf_json", position, "odd 7", LINE)
    return replace(made, topic="raw.events", partition=0, offset=9, **more)  # type: ignore[arg-type]


def put(log: EventLog, *given: DeadLetter) -> None:
    headers = {"schema": DEAD_LETTER}
    for letter in given:
        log.append(TOPIC, [Record(letter.tenant_id.encode(), dead_letter_message(letter), headers)])


def tell_all(database: Database, log: EventLog) -> None:
    while relay(database.writer, log):
        pass


def trail(database: Database, scope: Scope) -> list[dict[str, object]]:
    with database.app(scope) as tx:
        rows = tx.execute(
            b"SELECT actor, detail FROM audit_entries WHERE action = 'dead_letter.retry'"
        ).fetchall()
    return [{"actor": actor, **detail} for actor, detail in rows]


def test_newest_letters_of_a_tenant_are_listed_once_with_their_place(
    database: Database, two_tenants: Two
) -> None:
    log = MemoryLog(2)
    for position in range(6):
        put(log, a_letter("acme", position), a_letter("bolt", position))
    put(log, a_letter("acme", 5))  # the relay may repeat
    rows = rows_of(database, log, "acme", 3)
    assert [(r["tenant"], r["position"], r["place"], r["reason"]) for r in rows] == [
        ("acme", position, "raw.events/0@9", "odd 7") for position in (3, 4, 5)
    ]
    assert len(list(letters(log))) == 12


def test_letters_are_counted_by_reason_whatever_numbers_it_holds(
    database: Database, two_tenants: Two
) -> None:
    log = MemoryLog(2)
    put(log, *(a_letter("acme", n, reason=f"line {n}: odd") for n in range(3)))
    put(log, a_letter("bolt", 0))
    assert counts_of(log) == [
        {"tenant": "acme", "consumer": "", "reason": "line #: odd", "count": 3},
        {"tenant": "bolt", "consumer": "", "reason": "odd #", "count": 1},
    ]
    assert counts_of(log, "bolt")[0]["count"] == 1


def test_retry_puts_each_letter_back_once_and_audits_it(
    database: Database, two_tenants: Two
) -> None:
    log = MemoryLog(2)
    put(log, a_letter("acme", 0, trace_id="t1"), a_letter("bolt", 0))
    assert retry(database, log, "test", "acme") == Retried(1)
    assert retry(database, log, "test") == Retried(1, {"it was put back before": 1})
    assert retry(database, log, "test").put_back == 0
    tell_all(database, log)
    raw = [m for p in range(2) for m in log.read("raw.events", p, 0)]
    told = {(m.headers["tenant"], m.headers.get("trace_id"), m.value) for m in raw}
    assert told == {("acme", "t1", LINE), ("bolt", None, LINE)}
    assert all(row["is_retried"] for row in rows_of(database, log))
    ids = [letter_id("acme", "f", 0)]
    assert trail(database, two_tenants[0]) == [{"actor": "system:test", "letters": 1, "ids": ids}]


def test_retry_takes_only_the_reason_or_the_letters_asked_for(
    database: Database, two_tenants: Two
) -> None:
    log = MemoryLog(1)
    put(log, a_letter("acme", 0), a_letter("acme", 1, reason="other"), a_letter("acme", 2))
    assert retry(database, log, "test", reason="other").put_back == 1
    assert retry(database, log, "test", only=frozenset({letter_id("acme", "f", 2)})).put_back == 1
    assert retry(database, log, "test").put_back == 1


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"reason": "event is kept; detector 'x' raised"}, "its event is kept"),
        ({"is_cut": True}, "its bytes were cut"),
        ({"raw": b""}, "it has no readable record"),
        ({"tenant_id": "nobody"}, "its tenant is not known"),
        ({"log_format": ""}, "nobody knows its format"),
    ],
)
def test_letter_that_cannot_be_put_back_stays_and_says_why(
    database: Database, two_tenants: Two, more: dict[str, object], why: str
) -> None:
    log = MemoryLog(1)
    put(log, a_letter("acme", 0, **more))
    assert retry(database, log, "test") == Retried(0, {why: 1})


def test_garbage_and_newer_letters_do_not_stop_the_rest(
    database: Database, two_tenants: Two
) -> None:
    log = MemoryLog(1)
    log.append(TOPIC, [Record(b"k", b"not json", {"consumer": "outbox", "topic": "t"})])
    log.append(TOPIC, [Record(b"k", b"\xff", {"tenant": "acme"})])
    newer = dead_letter_message(a_letter("acme", 1))
    log.append(TOPIC, [Record(b"k", newer, {"tenant": "acme", "schema": "dead-letter/2.0"})])
    put(log, a_letter("acme", 0))
    done = retry(database, log, "test")
    assert done.put_back == 1
    assert done.left == {"the log refuses it": 1, "it is no letter that can be read here": 2}


class Picky:
    """A consumer that cannot take its events until it is mended."""

    TOPICS = ("findings",)
    is_mended = False
    taken = 0

    def handle(self, scope: Scope, tx: Transaction, event: Event) -> None:
        if not self.is_mended:
            raise ZeroDivisionError
        self.taken += 1
        write_audit(tx, scope, "test.take", event.event_id)


def test_what_a_consumer_refused_goes_back_to_its_topic_and_is_handled_once(
    database: Database, two_tenants: Two
) -> None:
    log, picky, easy = MemoryLog(1), Picky(), Picky()
    easy.is_mended = True
    value = b'{"id":"0196f000-0000-8000-8000-000000000001","type":"t","data":{}}'
    log.append("findings", [Record(b"k", value, {"tenant": "acme", "id": "7"})])
    for name, one in (("picky", picky), ("easy", easy)):
        consume_once(database, log, name, one, "m")
    (row,) = rows_of(database, log)
    assert (row["place"], row["consumer"]) == ("findings/0@0", "picky")
    picky.is_mended = True
    assert retry(database, log, "test").put_back == 1
    assert retry(database, log, "test").put_back == 0
    tell_all(database, log)
    for name, one in (("picky", picky), ("easy", easy)):
        consume_once(database, log, name, one, "m")
    assert (picky.taken, easy.taken) == (1, 1)
    first, again = log.read("findings", 0, 0)
    assert dict(again.headers) | {"id": "7"} == dict(first.headers)
    assert again.headers["id"] != "7"


def test_finding_of_a_newer_major_version_is_set_aside_and_can_be_put_back(
    database: Database, two_tenants: Two
) -> None:
    log, easy = MemoryLog(1), Picky()
    easy.is_mended = True
    headers = {"tenant": "acme", "schema": "finding/2.0"}
    value = b'{"id":"0196f000-0000-8000-8000-000000000001","type":"t","data":{}}'
    log.append("findings", [Record(b"k", value, headers)])
    consume_once(database, log, "easy", easy, "m")
    (letter,) = letters(log)
    assert easy.taken == 0
    assert letter.reason.startswith("message has schema finding/2.0, this version reads finding/1")
    assert letter.again is not None
    assert letter.again.headers["schema"] == "finding/2.0"
