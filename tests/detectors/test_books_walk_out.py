"""See which sign-ins of administrators are unusual, and which exports of the books announced."""

import pytest

from storage.schema import Finding
from tests.detectors.recorded import Scenario, scenario
from tests.walks.months import DAY, Record, ocsf, told
from tests.walks.path import rule_id

STORY = scenario("10-books-walk-out.positive")
SIGN_IN, EXPORT, UPLOAD = STORY.steps
HOME = {"device__uid": "lap-50", "location__country": "DE"}


def _claims(given: Scenario, part: str) -> list[Finding]:
    return [f for f in told(given.records()) if f.rule_id == f"books_walk_out.{part}"]


def _sign_in(minute: float, user: str = "adm.kay", **said: object) -> Record:
    who = {"user__name": f"{user}@meridian.example", "user__type_id": 2, "status_id": 1}
    fields = {**who, **HOME, "src_endpoint__ip": "10.20.4.50", **said}
    return ocsf(minute, "idp", 3002, 1, **fields)


def test_a_new_device_and_country_are_named() -> None:
    (claim,) = _claims(STORY, "sign_in")
    assert (claim.kind, claim.entity) == ("signal", "adm.kay")
    assert [r.name for r in claim.reasons] == ["country", "device"]


def test_the_own_device_at_the_own_hour_is_usual() -> None:
    assert _claims(STORY.changed(SIGN_IN, **HOME), "sign_in") == []


def test_another_hour_is_unusual_of_an_account_known_for_days() -> None:
    night = STORY.without(SIGN_IN).plus(_sign_in(7 * DAY + 15 * 60))
    (claim,) = _claims(night, "sign_in")
    assert [(r.name, r.value) for r in claim.reasons] == [("hour", "23:00 UTC")]
    assert _claims(STORY.without(SIGN_IN).plus(_sign_in(2 * DAY + 15 * 60)), "sign_in") == []
    assert _claims(STORY.without(SIGN_IN).plus(_sign_in(7 * DAY + 60)), "sign_in") == []


def test_an_account_without_rights_and_one_never_seen_before_are_not_told() -> None:
    assert _claims(STORY.changed(SIGN_IN, user__name="new.adm"), "sign_in") == []
    plain = [_sign_in(d * DAY, "ann", user__type_id=1) for d in range(6)]
    odd = _sign_in(7 * DAY, "ann", user__type_id=1, device__uid="x", location__country="BR")
    assert [f.entity for f in _claims(STORY.plus(*plain, odd), "sign_in")] == ["adm.kay"]


def test_rights_given_at_sign_in_make_an_administrator() -> None:
    ann = {"user__type_id": 1}
    rights = ocsf(-9, "wec2", 3003, 1, user__name="CORP\\ann", metadata__product__name="windows")
    usual = [_sign_in(d * DAY, "ann", **ann) for d in range(6)]
    odd = _sign_in(6 * DAY, "ann", device__uid="x", **ann)
    found = _claims(STORY.plus(rights, *usual, odd), "sign_in")
    assert {f.entity for f in found} == {"adm.kay", "ann"}


@pytest.mark.parametrize("kind", ["ledger", "Payroll", "journal"])
def test_exports_of_the_books_are_told(kind: str) -> None:
    assert len(_claims(STORY.changed(EXPORT, document__type=kind), "export")) == 1


def test_exports_of_contacts_and_what_another_approved_are_not() -> None:
    assert _claims(STORY.changed(EXPORT, document__type="contacts"), "export") == []
    assert _claims(STORY.changed(EXPORT, approved_by="head.finance"), "export") == []
    assert len(_claims(STORY.changed(EXPORT, approved_by="CORP\\Adm.Kay"), "export")) == 1


def test_the_story_is_told_of_the_account_and_of_the_address() -> None:
    found = told(STORY.records())
    by_user, by_address = (
        next(f for f in found if f.rule_id == rule_id(stem))
        for stem in ("books_walk_out", "books_walk_out_by_address")
    )
    assert (by_user.level, by_user.entity) == ("critical", "adm.kay")
    assert (by_address.entity_type, by_address.entity) == ("ip", "10.9.0.7")
