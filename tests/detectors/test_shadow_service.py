"""See where exported records go, whether the books know the place, and who else uses it."""

from typing import Any

import polars as pl
import pytest

from detectors import shadow_service
from detectors._services import owner_of
from storage.schema import Context, EventBatch, Finding, State
from tests.detectors.recorded import Scenario, scenario
from tests.walks.months import DAY, Record, fact, flow, name_asked, ocsf, stream_of, told

STORY = scenario("12-shadow-service.positive")
EXPORT, CARRIED = STORY.steps
SID_IP, PLACE, PLACE_NAME = "10.20.4.31", "203.0.113.90", "cdn.b.example"


def _claims(given: Scenario) -> list[Finding]:
    return [f for f in told(given.records()) if f.detector == "shadow_service"]


def _contract(minute: float, activity: int = 1, **said: object) -> Record:
    paper = {"document__uid": "CON-9", "document__type": "contract", **said}
    return fact(minute, "bob.kay", 999006, activity, **paper)


def test_the_claim_names_who_what_and_where() -> None:
    (claim,) = _claims(STORY)
    assert (claim.level, claim.entity_type, claim.entity) == (
        "high",
        "domain",
        "api.lead-sorter.example",
    )
    assert {("user", "sid.kay"), ("host", "ws-031"), ("ip", PLACE)} <= set(claim.links)
    assert [r.value for r in claim.reasons[:2]] == ["3,100 contacts", "940 kB"]


def test_the_name_is_the_one_asked_before_and_not_much_later() -> None:
    for minute, domain in ((5, PLACE_NAME), (40, "api.lead-sorter.example")):
        asked = name_asked(8 * DAY + 12 + minute, SID_IP, PLACE_NAME, PLACE)
        assert [f.entity for f in _claims(STORY.plus(asked))] == [domain]


def test_an_export_that_is_told_after_the_upload_still_explains_it() -> None:
    whole = stream_of(STORY.records())
    flows = pl.col("class_uid") == 4001
    carried_us = whole.filter(flows)["time"].cast(pl.Int64).item()
    state: State = shadow_service.META.empty_state()
    found: list[Finding] = []
    for rows, watermark_us in (
        (whole.filter(flows), carried_us),
        (whole.filter(~flows), carried_us + 60_000_000),
        (whole.clear(), 2**60),
    ):
        context = Context(watermark_us=watermark_us)
        state, new = shadow_service.detect(state, EventBatch.of(rows), context)
        found += new
    assert [f.rule_id for f in found] == ["shadow_service.upload"]


@pytest.mark.parametrize(
    "paper",
    [
        {"domains": "other.example; Lead-Sorter.example"},
        {"service": "lead-sorter"},
        {"domain": "api.lead-sorter.example"},
    ],
)
def test_a_contract_covers_the_service_and_what_lies_under_it(paper: dict[str, Any]) -> None:
    assert _claims(STORY.plus(_contract(DAY, **paper))) == []
    assert len(_claims(STORY.plus(_contract(9 * DAY, **paper)))) == 1


def test_a_contract_that_has_ended_covers_nothing() -> None:
    paper: dict[str, Any] = {"domains": "lead-sorter.example"}
    ended = [_contract(DAY, **paper), _contract(2 * DAY, 5, **paper)]
    assert len(_claims(STORY.plus(*ended))) == 1
    over = _contract(DAY, ends_at="2025-11-05T00:00:00Z", **paper)
    assert len(_claims(STORY.plus(over))) == 1


def test_a_vendor_of_that_name_is_a_purchase() -> None:
    vendor = {"document__uid": "V-5", "vendor__uid": "V-5", "vendor__name": "Dropbox Ltd"}
    bought = STORY.plus(fact(DAY, "bob.kay", 999003, 1, **vendor))
    asked = name_asked(8 * DAY + 11.5, SID_IP, "content.dropbox.com", PLACE)
    assert _claims(bought.plus(asked)) == []
    assert len(_claims(STORY.plus(asked))) == 1


def test_what_several_use_on_other_days_is_the_houses_own() -> None:
    used = [name_asked(7 * DAY, f"10.20.5.{n}", "app.lead-sorter.example", PLACE) for n in range(3)]
    assert _claims(STORY.plus(*used)) == []
    assert len(_claims(STORY.plus(*used[:2]))) == 1


def test_little_or_late_or_of_another_is_nothing_carried() -> None:
    assert _claims(STORY.changed(CARRIED, orig_bytes=60_000)) == []
    late = STORY.without(CARRIED).plus(flow(8 * DAY + 121, SID_IP, PLACE, 940_000))
    assert _claims(late) == []
    other = STORY.without(CARRIED).plus(flow(8 * DAY + 12, "10.20.4.32", PLACE, 940_000))
    assert _claims(other) == []
    assert _claims(STORY.changed(EXPORT, document__type="visits")) == []


def test_a_trial_of_somebody_else_is_no_excuse() -> None:
    plan = {"document__type": "trial", "document__uid": "PLAN-1", "subject": "lead-sorter.example"}

    def said(by: str, who: str) -> Record:
        return ocsf(6 * DAY, "plans", 999022, 1, actor__user__name=by, user__name=who, **plan)

    assert _claims(STORY.plus(said("ivy.desk", "sid.kay"))) == []
    assert len(_claims(STORY.plus(said("ivy.desk", "tom.fox")))) == 1
    assert len(_claims(STORY.plus(said("sid.kay", "sid.kay")))) == 1


def test_it_is_told_once_a_week() -> None:
    again = flow(8 * DAY + 20, SID_IP, PLACE, 940_000)
    assert len(_claims(STORY.plus(again))) == 1


def test_an_application_let_in_to_contacts_is_told_and_one_for_the_calendar_is_not() -> None:
    def grant(scopes: str) -> Record:
        app = {"app__name": "Lead Sorter", "scopes": scopes}
        operation = "Consent to application."
        who = {"actor__user__name": "tom.fox@meridian.example"}
        return ocsf(DAY, "idp", 6003, 1, api__operation=operation, **app, **who)

    bare = Scenario((), ()).plus
    (claim,) = _claims(bare(grant("Contacts.Read Mail.Read")))
    assert (claim.rule_id, claim.level) == ("shadow_service.grant", "medium")
    assert _claims(bare(grant("Calendars.Read"))) == []
    assert _claims(bare(_contract(0, service="lead sorter"), grant("Contacts.Read"))) == []


@pytest.mark.parametrize(
    ("name", "owner"),
    [("a.b.example.com", "example.com"), ("x.co.uk", "x.co.uk"), ("com", "com"), ("", "")],
)
def test_the_owner_of_a_domain(name: str, owner: str) -> None:
    assert pl.DataFrame({"d": [name]}).select(owner_of("d")).item() == owner
