"""Hunt by words: what is read, what SQL it becomes, what the page does with a link."""

from datetime import UTC, datetime

import httpx
import pytest

from dashboards.read import hunts, rules
from dashboards.read.hunt_ask import HuntAsk
from dashboards.read.hunt_words import Word, condition, read_words, say_words, sigma_of
from dashboards.read.rules import read_rules
from storage.errors import InvalidInput
from storage.tenant import Role
from tests.dashboards.conftest import CANARY, House

HOSTILE = (
    "x' OR 1=1 --",
    'x" = 1; DROP TABLE events; --',
    "\\' UNION SELECT * FROM read_text('/etc/passwd')",
    "100%_\\",
    "$$evil$$",
    "\u202e'\n\r\t",
)


def look(house: House, q: str) -> hunts.Look:
    span = hunts.span_of(house.database, house.acme, "all", None, None)
    assert span is not None
    return hunts.look(house.database, house.console.lake, house.acme, read_words(q), span)


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize("sign", ["=", "!=", "~", "!~", ">", "<"])
def test_words_come_back_the_same(value: str, sign: str) -> None:
    word = Word("process.cmd_line", sign, value)
    assert read_words(say_words([word])) == [word]


@pytest.mark.parametrize("value", HOSTILE)
def test_a_hostile_value_is_only_a_value(filled: House, value: str) -> None:
    for sign in ("=", "~", ">"):
        word = Word("process.cmd_line", sign, value)
        assert look(filled, word.said()).total == 0
    assert look(filled, Word("", "", value).said()).total == 0


def test_a_field_name_cannot_carry_sql() -> None:
    told = condition([Word('unmapped.a" OR true --', "=", "1")])
    assert told == '"unmapped.a"" OR true --" = \'1\''


def test_fields_values_and_parts_find_the_event(filled: House) -> None:
    assert look(filled, 'device.hostname="host alpha"').total == 1
    assert look(filled, 'device.hostname!="host alpha"').total == 2
    assert look(filled, "process.cmd_line~BETA").total == 1
    assert look(filled, "class_uid=1007 beta").total == 1
    assert look(filled, 'device.hostname="host *"').total == 3
    assert look(filled, "class_uid>1006 class_uid<1008").total == 3


def test_the_answer_has_values_bars_and_rows(filled: House) -> None:
    found = look(filled, "")
    assert sum(count for _, count in found.bars) == found.total == 3
    assert found.tops["class_uid"] == [("1007", 3)]
    assert found.rows[0]["device.hostname"] == "host gamma"


def test_an_unknown_field_is_refused_in_words(filled: House) -> None:
    with pytest.raises(InvalidInput, match="No event has a field 'nope'"):
        look(filled, "nope=1")


def test_a_link_with_sql_is_shown_and_not_run(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    shown = filled.open(person, "/hunt", "?sql=SELECT 4711 AS a")
    assert "has not run" in shown
    assert "SELECT 4711" in shown
    with filled.database.app(filled.acme) as tx:
        told = tx.execute("SELECT detail::text FROM audit_entries WHERE action = 'hunt.run'")
        assert not any("4711" in str(row[0]) for row in told)


def test_a_simple_link_runs_and_stays_within_its_tenant(filled: House) -> None:
    person: httpx.Client = filled.person(filled.acme, "p", Role.ANALYST)
    listed = filled.named("hunt-look.children")
    told = {"url.search": "?q=host&span=all"}
    shown = filled.call(person, listed, **told).text
    assert "3 events" in shown
    assert CANARY not in shown


def test_run_gives_the_answer_and_an_address_to_share(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    listed = filled.named("hunt-answer.children")
    told = {"hunt-run.n_clicks": 1, "hunt-sql.value": "SELECT 4711 AS a"}
    shown = filled.call(person, listed, **told).text
    assert "4711" in shown
    assert "?sql=SELECT+4711" in shown


def test_filters_become_a_rule_that_reads() -> None:
    words = read_words('class_uid=1007 process.cmd_line~"-enc" user.name!=ann')
    text = sigma_of(words, "T", "medium", "ann", datetime(2026, 1, 1, tzinfo=UTC))
    (rule,) = read_rules(text)
    assert "condition: part_1 and not part_2" in rule.text
    assert "category: process_activity" in rule.text


@pytest.mark.parametrize("search", ["?", "?q=%00&span=x", "?since=x&until=9999-99-99", "?&&=="])
def test_any_url_of_a_hunt_comes_back_the_same(search: str) -> None:
    read = HuntAsk.read(search)
    assert HuntAsk.read(read.search()) == read


def test_a_hunt_becomes_a_rule_that_runs(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    words = read_words('class_uid=1007 process.cmd_line~"-enc"')
    text = sigma_of(words, "Encoded commands", "medium", "p", datetime(2026, 1, 1, tzinfo=UTC))
    listed = filled.named("hunt-rule-said.children@")
    told = {"hunt-rule-save.n_clicks": 1, "hunt-rule-text.value": text}
    assert "The rule is saved and runs" in filled.call(person, listed, **told).text
    assert "Encoded commands" in filled.open(person, "/rules")
    odd = {**told, "hunt-rule-text.value": "title: x"}
    assert "That did not work" in filled.call(person, listed, **odd).text


def test_ones_own_rule_rests_and_runs_again(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    text = sigma_of(
        read_words("user.name=eve"), "Eve", "low", "p", datetime(2026, 1, 1, tzinfo=UTC)
    )
    rule_id = rules.save(filled.database, filled.settings, filled.acme, text)
    listed = filled.named("rule-text-panel.children")
    told = {"rule-run.n_clicks": 1, "rule-reference.data": {"id": rule_id, "on": True}}
    assert "It rests" in filled.call(person, listed, **told).text
    assert '"words": "Rests"' in filled.open(person, "/rules")


def test_one_pass_over_few_events_tells_the_same(
    filled: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = look(filled, "process.cmd_line~a")
    monkeypatch.setattr(hunts, "TOP_OF", 1)  # too many at once: the query for many answers
    many = look(filled, "process.cmd_line~a")
    assert few.total == many.total > 1
    assert (few.bars, few.rows, few.columns) == (many.bars, many.rows, many.columns)
