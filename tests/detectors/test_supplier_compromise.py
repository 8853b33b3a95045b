"""See that money and a hostile domain must meet in time, for this tenant, and are told once."""

from datetime import datetime
from typing import Any

import pytest

from detectors import supplier_compromise
from storage.schema import Context, EventBatch, Finding, State
from storage.schema.indicator import Known
from tests.detectors.recorded import Scenario, scenario
from tests.walks.months import DAY, START, at, fact, stream_of, told

STORY = scenario("08-supplier-compromise.positive")
RECORD, INVOICE = STORY.steps
HOSTILE = STORY.known("acme")
V8 = {"vendor__uid": "V-8", "vendor__name": "Kestrel Parts"}


def _claims(given: Scenario, known: dict[str, Known] | None = None) -> list[Finding]:
    found = told(given.records(), HOSTILE if known is None else known)
    return [f for f in found if f.detector == "supplier_compromise"]


def _known(**other: object) -> dict[str, Known]:
    (one,) = STORY.indicators
    values = {name: getattr(one, name) for name in one.__slots__} | other
    changed: Any = type(one)(**values)
    return Scenario((), (changed,)).known("acme")


def _us(minute: float) -> int:
    return int(datetime.fromisoformat(at(minute)).timestamp() * 1e6)


def test_the_claim_names_the_vendor_the_document_and_the_moment_both_were_true() -> None:
    (claim,) = _claims(STORY)
    assert (claim.level, claim.entity_type, claim.entity) == ("high", "vendor", "V-8")
    assert set(claim.links) == {("document", "INV-8"), ("domain", "kestrel-parts.example")}
    assert claim.time_us == _us(2 * DAY)


def test_a_document_paid_before_the_indicator_came_is_settled() -> None:
    paid = fact(DAY + 60, "bob.kay", 999001, 9, document__uid="INV-8", **V8)
    late = fact(2 * DAY + 60, "bob.kay", 999001, 9, document__uid="INV-8", **V8)
    assert _claims(STORY.plus(paid)) == []
    assert len(_claims(STORY.plus(late))) == 1


def test_other_tenants_domains_and_days_are_nobodys_business() -> None:
    assert _claims(STORY, {"bolt": HOSTILE["acme"]}) == []
    assert _claims(STORY, _known(value="parts.example")) == []
    assert _claims(STORY, _known(valid_until_us=_us(DAY - 1), valid_from_us=_us(0))) == []
    assert _claims(STORY, _known(valid_from_us=_us(30 * DAY))) == []


@pytest.mark.parametrize(
    "said",
    [
        {"domain": None, "mail": "Sales <sales@kestrel-parts.example>"},
        {"domain": None, "website": "https://www.kestrel-parts.example/de"},
        {"domain": "KESTREL-PARTS.example"},
    ],
)
def test_the_domain_is_read_where_the_record_says_it(said: dict[str, Any]) -> None:
    assert len(_claims(STORY.changed(RECORD, **said))) == 1


@pytest.mark.parametrize("said", ["", "kestrel", "@", "\x00.", "a" * 5000])
def test_what_is_no_domain_is_none(said: str) -> None:
    assert _claims(STORY.changed(RECORD, domain=said)) == []


def test_an_unsure_feed_holds_nothing() -> None:
    ((unsure,), (doubtful,)) = (_claims(STORY, _known(confidence=c)) for c in (60, 30))
    assert (unsure.level, unsure.kind) == ("medium", "finding")
    assert doubtful.kind == "signal"


def test_an_indicator_that_comes_later_finds_what_is_open_and_tells_it_once() -> None:
    stream, state = stream_of(STORY.records()), supplier_compromise.META.empty_state()
    found: list[int] = []
    kept: State = state
    now = int(START.timestamp() * 1e6) + 90 * DAY * 60_000_000
    for batch, known in ((stream, {}), (stream.clear(), HOSTILE), (stream.clear(), HOSTILE)):
        context = Context(watermark_us=now, indicators=known)
        kept, claims = supplier_compromise.detect(kept, EventBatch.of(batch), context)
        found.append(len(claims))
    assert found == [0, 1, 0]
