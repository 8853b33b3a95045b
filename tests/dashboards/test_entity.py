import pytest

from dashboards.read import entity as read
from dashboards.read.names import Key, parse_key, read_key
from storage.errors import NotFound
from storage.tenant import Role
from tests.dashboards.conftest import CANARY, House


@pytest.mark.parametrize(
    "key",
    [
        Key("user", "ann.lee"),
        Key("process", "c:\\a b\\100% sure?.exe"),
        Key("file", "/etc/passwd#x&y"),
        Key("vendor", "V/9 ünï"),
    ],
)
def test_any_name_survives_its_own_address(key: Key) -> None:
    assert "/" not in key.path.removeprefix("/entity/")
    assert read_key(key.path.removeprefix("/entity/")) == key


@pytest.mark.parametrize("text", ["", "user", "user:", ":x", "a b:c", "host:" + "x" * 600])
def test_what_is_no_entity_is_not_found(text: str) -> None:
    with pytest.raises(NotFound):
        parse_key(text)


def test_risk_is_the_sum_of_what_its_claims_weigh(filled: House) -> None:
    now = filled.console.now()
    found = read.entity(filled.database, filled.acme, Key("user", "user alpha"), now, 600)
    assert [(s.title, s.weight) for s in found.shares] == [("Title alpha", 100)]
    assert found.risk == sum(s.weight for s in found.shares) == 100
    assert sum(found.by_day["critical"]) == 1
    assert [(n.key, n.claims) for n in found.linked] == [(Key("host", "host alpha"), 1)]


def test_the_page_shows_an_entity_to_its_tenant_alone(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    shown = filled.open(person, Key("host", "host alpha").path)
    assert "Title alpha" in shown
    assert "Risk history" in shown
    theirs = filled.open(person, Key("host", f"host {CANARY.lower()}").path)
    assert "Nothing is known of it" in theirs
    assert "Title " + CANARY not in theirs


def test_the_timeline_widens_by_the_url(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    sent = {"url.search": "?span=7d", "entity-id.data": "host:host alpha"}
    shown = filled.call(person, filled.named("entity-timeline.children"), **sent).text
    assert "Last 7 days" in shown
    assert "Title alpha" in shown
