"""The consume loop loses nothing, doubles nothing, and poison does not stop it."""

import threading
from dataclasses import dataclass, field, replace

import pytest

from business import Event, Transaction, consume, consume_once
from business._consume import DEAD_LETTER
from storage.database import Database
from storage.errors import Unavailable
from storage.log import Record
from storage.log.memory import MemoryLog
from storage.outcome import finding_message
from storage.tenant import Scope, system_scope
from tests.business.conftest import Tell, a_finding

POISON = [
    (b"", {"tenant": "acme"}),
    (b"not json", {"tenant": "acme"}),
    (b"[" * 100_000, {"tenant": "acme"}),
    (b'{"id":"x","type":"t","data":{}}', {"tenant": "acme"}),
    (b'{"id":"0196f000-0000-8000-8000-000000000001","type":"t","data":{}}', {"tenant": "acme"}),
    (finding_message(a_finding("p")), {}),
    (finding_message(a_finding("p")), {"tenant": "No Such!"}),
    (finding_message(a_finding("p")), {"tenant": "absent"}),
    (finding_message(a_finding("p")), {"tenant": "bolt"}),
    (finding_message(replace(a_finding("q"), entity="a\x00b")), {"tenant": "acme"}),
    (finding_message(replace(a_finding("s"), time_us=2**62)), {"tenant": "acme"}),
]


@dataclass
class Counting:
    """A module that counts what it is given, and may fail."""

    TOPICS: tuple[str, ...] = ("findings",)
    seen: list[str] = field(default_factory=list)
    fails: list[Exception] = field(default_factory=list)

    def handle(self, scope: Scope, tx: Transaction, event: Event) -> None:
        self.seen.append(event.event_id)
        if self.fails:
            raise self.fails.pop()


def letters(log: MemoryLog, consumer: str = "counting") -> list[str]:
    found = [m for p in range(2) for m in log.read(DEAD_LETTER, p, 0)]
    return [m.headers["reason"] for m in found if m.headers["consumer"] == consumer]


def test_poison_goes_to_the_dead_letter_and_the_good_goes_on(
    database: Database, log: MemoryLog, tell: Tell
) -> None:
    for n, (value, headers) in enumerate(POISON):
        log.append("findings", [Record(b"pc-7", value, headers)])
        tell(a_finding(f"good-{n}", n))
    consume(database, log, threading.Event(), once=True)
    with database.app(system_scope("acme", "test")) as tx:
        kept = tx.execute("SELECT sum(finding_count) FROM incidents").fetchone()
    assert len(letters(log, "incidents")) == len(POISON)
    assert kept == (len(POISON),)


def test_the_world_being_down_loses_no_event(
    database: Database, log: MemoryLog, tell: Tell
) -> None:
    tell(a_finding("a"), a_finding("b", 1))
    module = Counting(fails=[Unavailable("away")])
    with pytest.raises(Unavailable):
        consume_once(database, log, "counting", module, "m1")
    assert consume_once(database, log, "counting", module, "m1") == 2
    assert module.seen == [module.seen[0], *(a_finding(n).finding_id for n in ("a", "b"))]
    assert letters(log) == []


def test_what_a_module_wrote_before_it_failed_is_undone_and_set_aside(
    database: Database, log: MemoryLog, tell: Tell
) -> None:
    tell(a_finding("a"))
    module = Counting(fails=[KeyError("odd")])
    assert consume_once(database, log, "counting", module, "m1") == 1
    assert letters(log) == ["KeyError in counting"]
    with database.owner() as tx:
        tx.execute("SELECT set_config('inopsio.tenant', 'acme', true)")
        assert tx.execute("SELECT count(*) FROM inbox").fetchone() == (0,)


def test_an_event_handled_before_a_crash_is_not_handled_again(
    database: Database, log: MemoryLog, tell: Tell
) -> None:
    tell(a_finding("a"))
    module = Counting()
    consume_once(database, log, "counting", module, "m1")
    for partition in range(2):
        log.commit("business.counting", "findings", partition, 0)  # the commit was lost
    consume_once(database, log, "counting", module, "m1")
    assert module.seen == [a_finding("a").finding_id]
