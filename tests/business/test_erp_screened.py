"""A payment goes once both real flows have passed its newest fact, whatever else comes along."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from business import consume_once, erp, incidents
from business._conflict import Conflict
from pipelines.flow import flow_of, house_of, run_flow, signals_of
from pipelines.runners import loop
from storage.database import Database
from storage.database.commit import flow_position
from storage.database.queries import select
from storage.database.rows import insert_findings
from storage.lake import Lake
from storage.log import Record
from storage.outbox import relay
from storage.outcome import Mark, mark_message
from storage.schema import Finding
from storage.schema.finding import finding_id
from storage.settings import Settings
from storage.tenant import Scope
from tests.business.books import NOON_US, Books, clerk

_CLAIM = Finding(
    finding_id=finding_id("acme", "sigma", "1", "r1", "0"),
    tenant_id="acme",
    detector="sigma",
    detector_version="1",
    rule_id="r1",
    title="Seen",
    level="low",
    time_us=NOON_US,
    entity_type="host",
    entity="pc-7",
    event_ids=("0196f000-0000-8000-8000-000000000001",),
    kind="signal",
)


class Flows:
    """Both flows over the books' log, moved one by one."""

    def __init__(self, settings: Settings, books: Books) -> None:
        self._settings, self.books = settings, books
        self._lake = Lake(settings.data_dir / "lake")
        self._first = house_of(settings)
        self._claims = 0

    def told(self) -> None:
        while relay(self.books.database.writer, self.books.log):
            pass

    def first(self) -> None:
        """Let the first flow read what was told; its claims stay in the outbox."""
        self.told()
        books = self.books
        run_flow(
            *(self._settings, books.database, books.log, self._lake, "loop"),
            once=True,
            house=self._first,
        )

    def second(self) -> None:
        books, house = self.books, signals_of(self._first)
        loop.run(
            flow_of(self._settings, books.database, books.log, self._lake, house=house), once=True
        )

    def second_a_little(self, messages: int) -> None:
        """Let the second flow do one step of so many messages."""
        books, house = self.books, signals_of(self._first)
        flow = flow_of(
            *(self._settings, books.database, books.log, self._lake),
            poll_rows=messages,
            house=house,
        )
        if work := flow.poll():
            flow.commit(flow.process(work))

    def claim(self, count: int, tenant: str = "acme") -> None:
        """Make claims of other things."""
        made = []
        for _ in range(count):
            self._claims += 1
            name = finding_id(tenant, "sigma", "1", "r1", f"{self._claims}")
            made.append(replace(_CLAIM, tenant_id=tenant, finding_id=name))
        with self.books.database.writer() as tx:
            insert_findings(tx, made)

    def behind(self) -> int:
        """Give how many messages of topic `signals` the second flow has not read."""
        read = flow_position(self.books.database, "signals").get(("signals", 0), (0, 0))[0]
        return self.books.log.end("signals", 0) - read


@pytest.fixture
def books(database: Database, two_tenants: tuple[Scope, Scope]) -> Books:
    made = Books(database)
    made.vendor()
    made.propose(payment_id="P-1", vendor_id="V-9", amount_cents=5, currency="EUR")
    made.approve("P-1", 1)
    return made


@pytest.fixture
def flows(settings: Settings, books: Books) -> Iterator[Flows]:
    yield Flows(settings, books)
    books.log.close()


def refused(books: Books) -> None:
    with pytest.raises(Conflict, match=r"not screened yet: the correlations .*; try again$"):
        books.pay("P-1", 2)


@pytest.mark.parametrize("stands", [Flows.first, lambda f: (f.first(), f.told())])
def test_a_second_flow_that_stands_still_stops_the_money_until_it_goes_on(
    flows: Flows, stands: Callable[[Flows], object]
) -> None:
    stands(flows)  # the claims are in the outbox, or in the log
    refused(flows.books)
    flows.told()
    flows.second()
    assert flows.books.pay("P-1", 2)["status"] == "paid"


def test_every_fact_of_a_payment_is_to_be_passed_not_only_its_first(flows: Flows) -> None:
    flows.first()
    flows.told()
    flows.second()
    with flows.books.database.app(clerk("dora")) as tx:
        erp.hold_payment(clerk("dora"), tx, "P-1", "odd", 2)
        erp.release_payment(clerk("eve"), tx, "P-1", "called", 3)
    flows.first()
    with pytest.raises(Conflict, match="the correlations"):
        flows.books.pay("P-1", 4)
    flows.told()
    flows.second()
    assert flows.books.pay("P-1", 4)["status"] == "paid"


def test_a_tenant_whose_claims_never_end_is_not_starved(flows: Flows) -> None:
    flows.claim(300)
    flows.first()
    for step in range(4):
        if step:
            refused(flows.books)
        flows.claim(120)
        flows.told()
        flows.second_a_little(100)
    assert flows.books.pay("P-1", 2)["status"] == "paid"
    assert flows.behind() > 100


def test_another_tenants_claims_in_the_outbox_and_its_marks_mean_nothing(flows: Flows) -> None:
    name, value = mark_message(Mark("acme", "business:erp", 999))
    flows.books.log.append("signals", [Record(b"bolt", value, {"id": name, "tenant": "bolt"})])
    flows.first()
    flows.second()
    refused(flows.books)
    flows.told()
    flows.second()
    flows.claim(50, "bolt")  # behind the mark, in the outbox
    assert flows.books.pay("P-1", 2)["status"] == "paid"


def test_a_crash_between_the_log_and_the_outbox_fails_closed_and_marks_are_no_incident(
    flows: Flows,
) -> None:
    flows.first()
    books = flows.books
    with books.database.writer() as tx:
        rows = tx.execute("SELECT value FROM outbox WHERE topic = 'signals'").fetchall()
    assert len(rows) == 1
    refused(books)
    flows.told()
    books.log.append(
        "signals", [Record(m.key, m.value, m.headers) for m in books.log.read("signals", 0, 0)]
    )
    flows.second()
    consume_once(books.database, books.log, "incidents", incidents, "m1")
    assert flows.books.pay("P-1", 2)["status"] == "paid"
    flows.told()
    assert books.log.read("dead-letter", 0, 0) == []
    with books.database.app(clerk("ann")) as tx:
        assert select(tx, "source_screened", source="business:erp")[0]["screened_to"] == 3
