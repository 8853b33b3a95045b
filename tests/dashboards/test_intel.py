"""See the page of intelligence: how to begin, feeds, the search, and one's own alone."""

from storage.indicators import put_indicators
from storage.schema.indicator import Indicator
from storage.tenant import Actor, Role, Scope
from tests.dashboards.conftest import House

ANN = Scope("acme", Actor("user", "ann"), frozenset({Role.ANALYST}))


def test_it_tells_how_to_begin_then_feeds_and_indicators(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.VIEWER)
    assert "inopsio intel import FILE --tenant acme" in filled.open(person, "/intel")
    hostile = "<img src=x onerror=alert(1)>"
    found = [
        Indicator("domain", "bad.example", 1, None, 80, "list", (hostile,)),
        Indicator("ipv4", "203.0.113.7", 1, 2, 80, "list"),
    ]
    with filled.database.app(ANN) as tx:
        put_indicators(ANN, tx, "list", found)
    shown = filled.open(person, "/intel")
    assert "bad.example" in shown
    assert "ended 1970-01-01" in shown
    assert "203.0.113.7" not in filled.open(person, "/intel", "?q=BAD")
    assert "No indicator holds this text" in filled.open(person, "/intel", "?q=%25")
    other = filled.person(filled.bolt, "q", Role.VIEWER)
    assert "bad.example" not in filled.open(other, "/intel")
