"""See the page of intelligence: how to begin, feeds, the search, and one's own alone."""

from storage.indicators import put_indicators
from storage.schema.indicator import Indicator
from storage.sealing import Seal
from storage.subscriptions import NewSubscription, add_subscription, fail_poll, take_poll
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


def test_a_feed_is_added_and_its_secret_is_shown_nowhere(house: House) -> None:
    person = house.person(house.acme, "p", Role.ANALYST)
    assert "Nothing is polled yet" in house.open(person, "/intel")
    add = house.named("feed-secret.value")
    told = {
        "feed-name.value": "northfeed",
        "feed-kind.value": "taxii",
        "feed-url.value": "https://taxii.example/taxii2/",
        "feed-auth.value": "bearer",
        "feed-secret.value": "s3cr3t-canary",
        "feed-every.value": 60,
    }
    wrong = house.call(person, add, **told | {"feed-add.n_clicks": 1, "feed-url.value": "x"})
    assert "the url is not of the web" in wrong.text
    right = house.call(person, add, **told | {"feed-add.n_clicks": 1})
    assert "is polled within seconds" in right.text
    shown = house.open(person, "/intel")
    for words in ("northfeed", "TAXII 2.1 collection", "https://taxii.example/taxii2/", "Poll now"):
        assert words in shown
    assert "canary" not in shown + right.text + wrong.text
    viewer = house.person(house.acme, "v", Role.VIEWER)
    seen = house.open(viewer, "/intel")
    assert "northfeed" in seen
    assert "Poll now" not in seen
    assert "Add a feed" not in seen.replace("Add a feed that is polled", "")
    refused = house.call(viewer, add, **told | {"feed-add.n_clicks": 1, "feed-name.value": "b"})
    assert "may not" in refused.text
    other = house.person(house.bolt, "q", Role.ANALYST)
    assert "northfeed" not in house.open(other, "/intel")


def test_an_error_and_a_search_say_what_to_do_and_how_far(filled: House) -> None:
    person = filled.person(filled.acme, "p", Role.ANALYST)
    hostile = "<img src=x onerror=alert(1)>"
    with filled.database.app(ANN) as tx:
        new = NewSubscription("list", "csv", "https://feeds.example/l.csv")
        which = add_subscription(ANN, tx, Seal.of(filled.settings), new)
        poll_id = take_poll(tx, which)
        fail_poll(tx, which, poll_id, f"feeds.example is busy or broken (503) {hostile}")
        put_indicators(ANN, tx, "list", [Indicator("domain", "bad.example", 1, None, 80, "list")])
    shown = filled.open(person, "/intel")
    assert "is busy or broken (503)" in shown
    assert "Tried again " in shown
    assert "begins when no more have come for 20 seconds" in shown
    look = filled.named("match-list.children")
    with filled.database.app(ANN) as tx:
        tx.execute(
            "UPDATE indicator_matches SET status = 'running', indicators = 1, events = 1200,"
            " findings = 2, reached = until - interval '31 days'"
        )
    told = filled.call(person, look, **{"feed-tick.n_intervals": 1, "feed-seen.data": ""})
    assert "2 new findings of 1 indicator in 1,200 events; 31 of 90 days" in told.text
    seen = told.json()["response"]["feed-seen"]["data"]
    same = filled.call(person, look, **{"feed-tick.n_intervals": 2, "feed-seen.data": seen})
    assert "1,200" not in same.text
