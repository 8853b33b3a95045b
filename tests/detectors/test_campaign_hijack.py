"""See that a template, its link and its flood are told, and a launch or a usual mailing is not."""

import pytest

from storage.schema import Finding
from tests.detectors.recorded import Scenario, scenario
from tests.walks.months import DAY, Record, ocsf, told
from tests.walks.path import rule_id

STORY = scenario("07-campaign-hijack.positive")
KEY, TEMPLATE, FLOOD = STORY.steps


def _claims(given: Scenario, part: str = "") -> list[Finding]:
    return [f for f in told(given.records()) if f.rule_id.startswith(f"campaign_hijack{part}")]


def _stories(given: Scenario) -> int:
    return sum(f.rule_id == rule_id("campaign_hijack") for f in told(given.records()))


def _mailing(day: int, mails: int, url: str = "https://www.meridian.example/x") -> Record:
    more = {"email__from": "news@meridian.example", "actor__user__name": "svc.mail"}
    sent = {"template_uid": f"tpl-d{day}", "record_count": mails, "urls": [url]}
    return ocsf(day * DAY + 200, "esp", 4009, 1, **more, **sent)


def test_the_flood_names_template_first_mail_and_the_one_that_passed() -> None:
    (flood,) = _claims(STORY, ".flood")
    assert (flood.kind, flood.entity_type, flood.entity) == (
        "signal",
        "domain",
        "meridian-account.example",
    )
    assert len(flood.event_ids) == 3
    assert ("credential", "key-91") in flood.fields


def test_a_small_mailing_is_no_flood() -> None:
    assert _claims(STORY.changed(FLOOD, record_count=50), ".flood") == []


def test_a_house_that_sends_as_much_on_other_days_is_used_to_it() -> None:
    used = [_mailing(day, 3_000) for day in range(3, 9)]
    assert _claims(STORY.plus(*used), ".flood") == []


def test_one_large_day_does_not_hide_the_next() -> None:
    assert len(_claims(STORY.plus(_mailing(3, 90_000)), ".flood")) == 1


def test_a_link_of_a_week_ago_is_not_new() -> None:
    known = _mailing(0, 10, "https://meridian-account.example/help")
    assert _claims(STORY.plus(known)) == []


@pytest.mark.parametrize("urls", [[], ["javascript:alert(1)"], ["https://"], ["\x00"]])
def test_a_template_without_a_domain_says_nothing(urls: list[str]) -> None:
    assert _claims(STORY.changed(TEMPLATE, urls=urls)) == []


def test_the_story_needs_one_key_from_end_to_end() -> None:
    assert _stories(STORY) == 1
    assert _stories(STORY.changed(KEY, entity__uid="key-90")) == 0
    assert _stories(STORY.changed(FLOOD, actor__session__credential_uid="key-1")) == 0


def test_a_launch_that_its_sender_announced_alone_is_told() -> None:
    plan = {"document__type": "campaign", "document__uid": "PLAN-1", "subject": "launch-9"}
    own, other = (
        ocsf(6 * DAY, "plans", 999022, 1, actor__user__name=who, **plan)
        for who in ("mia.stone", "head.marketing")
    )
    assert _stories(STORY.plus(own)) == 1
    assert _claims(STORY.plus(other), ".flood") == []
