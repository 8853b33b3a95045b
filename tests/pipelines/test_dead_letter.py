"""Refused records are listed, and driven again once."""

from pipelines.dead_letter import TOPIC, dead_letters, letter_id, retry
from storage.log import Record
from storage.log.memory import MemoryLog
from storage.outcome import DeadLetter, dead_letter_message


def tell(log: MemoryLog, tenant: str, position: int) -> None:
    letter = DeadLetter(
        letter_id(tenant, "f", position), tenant, "f", "f.json", "test", position, "odd", b"raw"
    )
    log.append(TOPIC, [Record(tenant.encode(), dead_letter_message(letter))])


def test_newest_letters_of_a_tenant_are_listed_once() -> None:
    log = MemoryLog(2)
    for position in range(6):
        tell(log, "acme", position)
        tell(log, "bolt", position)
    tell(log, "acme", 5)  # the relay may repeat
    rows = dead_letters(log, "acme", 3)
    assert [(r["tenant"], r["position"], r["reason"]) for r in rows] == [
        ("acme", 3, "odd"),
        ("acme", 4, "odd"),
        ("acme", 5, "odd"),
    ]
    assert len(dead_letters(log)) == 12


def test_retry_puts_each_letter_on_the_raw_topic_once() -> None:
    log = MemoryLog(2)
    tell(log, "acme", 0)
    tell(log, "bolt", 0)
    assert retry(log, "acme") == 1
    assert retry(log) == 1
    assert retry(log) == 0
    assert all(row["is_driven"] for row in dead_letters(log))
    raw = [m for p in range(2) for m in log.read("raw.events", p, 0)]
    assert {m.headers["tenant"] for m in raw} == {"acme", "bolt"}
    assert {(m.headers["position"], m.headers["format"], m.value) for m in raw} == {
        ("0", "test", b"raw")
    }


def test_letter_of_another_consumer_does_not_stop_the_rest() -> None:
    log = MemoryLog(1)
    log.append(TOPIC, [Record(b"k", b"not json", {"consumer": "outbox"})])
    tell(log, "acme", 0)
    assert retry(log) == 1
