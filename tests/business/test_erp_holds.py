"""A grave finding stops payments before they are paid; another person lets them go on."""

import json
import threading
import uuid
from dataclasses import replace
from typing import Any

import pytest

from business import Event, consume_once, erp
from business._conflict import Conflict, OldVersion
from business.erp import ReleaseRefused
from storage.database import Database
from storage.database.rows import insert_findings
from storage.errors import InvalidInput, NotAllowed
from storage.outbox import relay
from storage.schema import Finding, Reason
from storage.schema.finding import Kind, Level, finding_id
from storage.tenant import Actor, Role, Scope
from tests.business.books import ACCOUNT, ACME, NOON_US, OTHER, SECOND_US, Books, by, clerk

DAY_US = 86_400 * SECOND_US
FREE: dict[str, Any] = {"vendor_id": "V-9", "amount_cents": 5, "currency": "EUR"}


def claim(
    name: str = "a",
    level: Level = "critical",
    entity: tuple[str, str] = ("vendor", "V-9"),
    tenant: str = "acme",
    links: tuple[tuple[str, str], ...] = (),
    kind: Kind = "finding",
    parts: tuple[str, ...] = (),
) -> Finding:
    """Give a claim of a correlation an hour after noon."""
    return Finding(
        finding_id=finding_id(tenant, "correlation", "1", "fraud", name),
        tenant_id=tenant,
        detector="correlation",
        detector_version="1",
        rule_id="fraud",
        title="Account changed, then an unusual payment",
        level=level,
        time_us=NOON_US + 3600 * SECOND_US,
        entity_type=entity[0],
        entity=entity[1],
        event_ids=("0196f000-0000-8000-8000-000000000001",),
        reasons=(Reason("amount", "9,000.00", "1,200.00"),),
        links=links,
        kind=kind,
        parts=parts,
    )


@pytest.fixture
def books(database: Database, two_tenants: tuple[Scope, Scope]) -> Books:
    made = Books(database)
    made.vendor()
    made.vendor("V-8", "Clean Ltd", OTHER)
    return made


def claimed(books: Books, *findings: Finding) -> None:
    with books.database.writer() as tx:
        insert_findings(tx, findings)


def heard(books: Books, *findings: Finding) -> None:
    """Claim the findings and let the module take them from the log."""
    claimed(books, *findings)
    relay(books.database.writer, books.log)
    consume_once(books.database, books.log, "erp", erp, "m1")
    assert books.log.read("dead-letter", 0, 0) == []


def release(
    books: Books, who: str, version: int, note: str = "called the vendor", clears: bool = False
) -> dict[str, Any]:
    scope = clerk(who)
    return erp.try_release(books.database, scope, "P-1", note, version, clears_warnings=clears)


def test_the_walk_from_a_fact_to_a_hold_to_its_release_is_told_and_audited(books: Books) -> None:
    books.propose(payment_id="P-1", **FREE)
    books.approve("P-1", 1)
    heard(books, claim())
    assert books.payment("P-1")["hold_reason"] == "amount: 9,000.00"
    with pytest.raises(Conflict, match="on hold"):
        books.pay("P-1", 3)
    with pytest.raises(ReleaseRefused):
        release(books, "ann", 3)
    assert release(books, "cleo", 3)["status"] == "approved"
    books.read_by_the_flow()
    assert books.pay("P-1", 4)["status"] == "paid"
    steps = [
        ("payment.propose", "done"),
        ("payment.approve", "done"),
        ("payment.hold", "done"),
        ("payment.release", "refused"),
        ("payment.release", "done"),
        ("payment.pay", "done"),
    ]
    assert [(a, r) for a, o, r in books.trail() if o == "P-1"] == steps
    told = [f for f in books.facts() if f.get("document.uid") == "P-1"]
    who = [(f["activity_id"], f["actor.user.name"], f.get("status_id")) for f in told]
    assert who == [
        (1, "ann", None),
        (6, "bob", None),
        (7, "system", None),
        (8, "ann", 2),
        (8, "cleo", 1),
        (9, "cleo", None),
    ]
    assert told[2]["finding_id"] == claim().finding_id
    assert told[4]["user.name"] == "ann"


@pytest.mark.parametrize(
    "finding",
    [
        claim(entity=("document", "P-1")),
        claim(entity=("document", "I-1")),
        claim(entity=("user", "ann"), links=(("host", "pc-7"), ("vendor", "V-9"))),
        claim(entity=("host", "pc-7"), level="high", links=(("document", "P-1"),)),
    ],
)
def test_a_payment_is_held_by_its_id_its_invoice_or_its_vendor(
    books: Books, finding: Finding
) -> None:
    books.invoice("I-1", 500)
    books.propose(payment_id="P-1", invoice_id="I-1")
    books.propose(payment_id="P-2", vendor_id="V-8", amount_cents=5, currency="EUR")
    heard(books, finding)
    assert (books.payment("P-1")["status"], books.payment("P-2")["status"]) == ("held", "proposed")


@pytest.mark.parametrize(
    "finding",
    [
        claim(level="medium"),
        claim(kind="signal"),
        claim(entity=("host", "V-9")),
        claim(entity=("vendor", "V-99")),
        claim(tenant="bolt"),
    ],
)
def test_lesser_other_and_foreign_findings_hold_nothing(books: Books, finding: Finding) -> None:
    books.propose(payment_id="P-1", **FREE)
    heard(books, finding)
    assert books.payment("P-1")["status"] == "proposed"


def test_what_is_paid_is_not_held(books: Books) -> None:
    books.propose(payment_id="P-1", **FREE)
    books.approve("P-1", 1)
    books.read_by_the_flow()
    books.pay("P-1", 2)
    heard(books, claim())
    assert (books.payment("P-1")["status"], books.holds()) == ("paid", [])


def test_a_repeat_changes_nothing_even_after_the_release_and_with_the_inbox_lost(
    books: Books,
) -> None:
    books.propose(payment_id="P-1", **FREE)
    heard(books, claim())
    release(books, "cleo", 2)
    before = books.payment("P-1"), books.holds(), len(books.facts()), len(books.trail())
    with books.database.owner() as tx:
        tx.execute("TRUNCATE inbox")
    books.log.commit("business.erp", "findings", 0, 0)
    consume_once(books.database, books.log, "erp", erp, "m1")
    after = books.payment("P-1"), books.holds(), len(books.facts()), len(books.trail())
    assert after == before
    assert before[0]["status"] == "proposed"


def test_a_second_finding_is_a_further_reason_and_must_be_seen_before_the_release(
    books: Books,
) -> None:
    books.propose(payment_id="P-1", **FREE)
    heard(books, claim("a"))
    heard(books, claim("b"))
    assert len(books.holds()) == 2
    assert [f["activity_id"] for f in books.facts() if f["class_uid"] == 999002] == [1, 7]
    with pytest.raises(OldVersion):
        release(books, "cleo", 2)
    release(books, "cleo", 3)
    assert {h["released_by"] for h in books.holds()} == {"cleo"}


def test_a_new_finding_after_the_release_holds_again(books: Books) -> None:
    books.propose(payment_id="P-1", **FREE)
    heard(books, claim("a"))
    release(books, "cleo", 2)
    heard(books, claim("b"))
    assert books.payment("P-1")["status"] == "held"


def test_a_payment_proposed_after_the_finding_is_held_at_birth_for_thirty_days(
    books: Books,
) -> None:
    heard(books, claim())
    soon, late = NOON_US + 29 * DAY_US, NOON_US + 31 * DAY_US
    assert books.propose(at_us=soon, payment_id="P-1", **FREE)["status"] == "held"
    assert books.propose(at_us=late, payment_id="P-2", **FREE)["status"] == "proposed"
    assert [(h["payment_id"], h["placed_by"]) for h in books.holds()] == [("P-1", "system")]
    assert [f["activity_id"] for f in books.facts()[-3:]] == [1, 7, 1]


def test_an_invoice_that_a_finding_names_holds_its_payment_at_birth(books: Books) -> None:
    books.invoice("I-1")
    heard(books, claim(entity=("document", "I-1")))
    assert books.propose(payment_id="P-1", invoice_id="I-1")["status"] == "held"
    assert books.propose(payment_id="P-2", **FREE)["status"] == "proposed"


def test_a_release_may_say_that_the_vendor_is_in_order(books: Books) -> None:
    heard(books, claim())
    books.propose(payment_id="P-1", **FREE)
    release(books, "cleo", 1, clears=True)
    assert books.propose(payment_id="P-2", **FREE)["status"] == "proposed"


def test_a_vendor_with_the_account_of_one_that_is_warned_of_is_held_until_that_is_cleared(
    books: Books,
) -> None:
    heard(books, claim())
    books.vendor("V-10", "Bolt Brothers", ACCOUNT)
    new: dict[str, Any] = {"vendor_id": "V-10", "amount_cents": 5, "currency": "EUR"}
    clean: dict[str, Any] = new | {"vendor_id": "V-8"}
    assert books.propose(payment_id="P-1", **new)["status"] == "held"
    assert books.propose(payment_id="P-2", **clean)["status"] == "proposed"
    told = f"goes to account {ACCOUNT}, that of vendor V-9 too; amount: 9,000.00"
    assert [h["reason"] for h in books.holds()] == [told]
    release(books, "cleo", 1, clears=True)
    assert books.propose(payment_id="P-3", **new)["status"] == "proposed"


def test_an_account_stays_warned_of_when_its_vendor_has_another_one_again(books: Books) -> None:
    heard(books, claim(entity=("user", "ann"), links=(("vendor", "V-9"),)))
    with books.database.app(clerk("mia")) as tx:
        erp.change_bank_account(clerk("mia"), tx, "V-9", "FR7630006000011234567890189", 1)
    books.vendor("V-10", "Bolt Brothers", ACCOUNT)
    books.vendor("V-11", "Bolt Sisters", "FR7630006000011234567890189")
    for vendor in ("V-10", "V-11"):
        made = books.propose(
            payment_id=f"P-{vendor}", vendor_id=vendor, amount_cents=5, currency="EUR"
        )
        assert made["status"] == "held"
    first, second = (h["reason"].partition(";")[0] for h in books.holds())
    assert first == f"goes to account {ACCOUNT}, which the finding is about"
    assert second == "goes to account FR7630006000011234567890189, that of vendor V-9 too"


def test_what_goes_to_the_account_already_is_held_and_stopped_before_the_finding_is_handled(
    books: Books,
) -> None:
    books.vendor("V-10", "Bolt Brothers", ACCOUNT)
    books.propose(payment_id="P-1", vendor_id="V-10", amount_cents=5, currency="EUR")
    books.propose(payment_id="P-2", vendor_id="V-8", amount_cents=5, currency="EUR")
    books.approve("P-1", 1)
    books.read_by_the_flow()
    claimed(books, claim())
    with pytest.raises(Conflict, match="waits for a decision on"):
        books.pay("P-1", 2)
    heard(books)
    assert (books.payment("P-1")["status"], books.payment("P-2")["status"]) == ("held", "proposed")
    assert "which the finding is about" in books.payment("P-1")["hold_reason"]


def test_a_finding_about_an_account_holds_what_goes_there(books: Books) -> None:
    books.propose(payment_id="P-1", **FREE)
    heard(books, claim(entity=("bank_account", "de89 3704 0044 0532 0130 00")))
    assert books.payment("P-1")["status"] == "held"


def test_a_finding_that_nobody_has_handled_yet_stops_the_money_too(books: Books) -> None:
    books.propose(payment_id="P-1", **FREE)
    books.approve("P-1", 1)
    books.read_by_the_flow()
    claimed(books, claim(entity=("user", "ann"), links=(("vendor", "V-9"),)))
    with pytest.raises(Conflict, match="waits for a decision on: Account changed"):
        books.pay("P-1", 2)


def test_a_proposal_and_a_finding_at_the_same_time_never_miss_each_other(books: Books) -> None:
    claimed(books, *(claim(f"{n}", entity=("vendor", f"V-{n}")) for n in range(100, 106)))
    for n in range(100, 106):
        books.vendor(f"V-{n}")
    relay(books.database.writer, books.log)
    start = threading.Barrier(2)

    def listen() -> None:
        start.wait()
        consume_once(books.database, books.log, "erp", erp, "m1")

    listener = threading.Thread(target=listen)
    listener.start()
    start.wait()
    for n in range(100, 106):
        books.propose(payment_id=f"P-{n}", vendor_id=f"V-{n}", amount_cents=5, currency="EUR")
    listener.join()
    assert {books.payment(f"P-{n}")["status"] for n in range(100, 106)} == {"held"}


@pytest.mark.parametrize("who", ["ann", "bob", "ACME\\Ann", "ann@meridian.example", "mia"])
def test_nobody_with_a_hand_in_it_releases_it(books: Books, who: str) -> None:
    with books.database.app(clerk("mia")) as tx:
        erp.change_bank_account(clerk("mia"), tx, "V-9", "GB33BUKB20201555555555", 1, by=by("mia"))
    books.propose(payment_id="P-1", **FREE)
    books.approve("P-1", 1)
    heard(books, claim())
    with pytest.raises(ReleaseRefused, match="had a hand in"):
        release(books, who, 3)
    assert books.payment("P-1")["status"] == "held"


def test_who_approves_the_invoice_after_the_proposal_has_a_hand_in_it_too(books: Books) -> None:
    books.invoice("I-7")
    payment = books.propose("ann", invoice_id="I-7", payment_id="P-7")
    books.approved_invoice("I-7", "cleo")
    with books.database.app(clerk("dan")) as tx:
        held = erp.hold_payment(clerk("dan"), tx, "P-7", "odd", payment["version"])
    with pytest.raises(ReleaseRefused):
        erp.try_release(books.database, clerk("ACME\\Cleo"), "P-7", "fine", held["version"])
    released = erp.try_release(books.database, clerk("eve"), "P-7", "fine", held["version"])
    assert released["status"] == "proposed"


@pytest.mark.parametrize("kind", ["token", "system", "agent"])
def test_a_program_never_releases_a_payment_and_its_attempt_is_written_down(
    books: Books, kind: str
) -> None:
    books.propose(payment_id="P-1", **FREE)
    heard(books, claim())
    program = Scope("acme", Actor(kind, "bot"), frozenset({Role.FINANCE}))
    with pytest.raises(ReleaseRefused, match="signed-in person"):
        erp.try_release(books.database, program, "P-1", "all is well", 2)
    assert ("payment.release", "P-1", "refused") in books.trail()
    assert books.facts()[-1]["status_id"] == 2


def test_who_lacks_the_grant_releases_nothing(books: Books) -> None:
    books.propose(payment_id="P-1", **FREE)
    heard(books, claim())
    with pytest.raises(NotAllowed, match="payments:release"):
        erp.try_release(books.database, ACME, "P-1", "all is well", 2)


@pytest.mark.parametrize("note", ["", " \n ", "a\x00b", "x" * 2001])
def test_a_release_says_why(books: Books, note: str) -> None:
    books.propose(payment_id="P-1", **FREE)
    heard(books, claim())
    with pytest.raises(InvalidInput, match="note"):
        release(books, "cleo", 2, note)


def test_what_is_not_on_hold_is_not_released(books: Books) -> None:
    books.propose(payment_id="P-1", **FREE)
    with pytest.raises(Conflict, match="not on hold"):
        release(books, "cleo", 1)


def test_a_person_holds_by_own_decision_and_another_releases(books: Books) -> None:
    books.propose(payment_id="P-1", **FREE)
    with books.database.app(clerk("dora")) as tx:
        held = erp.hold_payment(clerk("dora"), tx, "P-1", "odd letter", 1, by("dora"))
    assert held["status"] == "held"
    with pytest.raises(ReleaseRefused):
        release(books, "dora", 2)
    assert release(books, "cleo", 2)["status"] == "proposed"


def test_the_chain_of_a_hold_leads_to_the_parts_of_its_finding(books: Books) -> None:
    parts = [
        replace(claim(n, "low", ("user", "ann"), kind="signal"), detector="sigma", time_us=NOON_US)
        for n in ("p", "q")
    ]
    books.propose(payment_id="P-1", **FREE)
    heard(books, *parts, claim(parts=tuple(p.finding_id for p in parts)))
    with books.database.app(clerk("ann")) as tx:
        chain = erp.chain_of_hold(clerk("ann"), tx, "P-1")
        assert erp.chain_of_hold(clerk("ann"), tx, "P-2") == []
    assert [(c["is_part"], c["kind"]) for c in chain] == [
        (True, "signal"),
        (True, "signal"),
        (False, "finding"),
    ]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"finding_id": "x"},
        {"time_us": 2**62},
        {"level": "enormous"},
        {"links": [["vendor"]]},
        {"tenant_id": "bolt"},
        {"title": 5},
    ],
)
def test_a_finding_that_is_garbage_is_refused(books: Books, data: dict[str, Any]) -> None:
    good = json.loads(json.dumps({k: getattr(claim(), k) for k in ("tenant_id", "finding_id")}))
    good |= {"rule_id": "r", "title": "t", "level": "high", "time_us": NOON_US}
    good |= {"entity_type": "vendor", "entity": "V-9"}
    event = Event(str(uuid.uuid4()), "inopsio.finding", "findings", good | data if data else {})
    with books.database.app(ACME) as tx, pytest.raises(InvalidInput):
        erp.handle(ACME, tx, event)
