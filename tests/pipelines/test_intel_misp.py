"""Read MISP feeds over HTTP: every event once, again when it changed, and garbage in words."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from pipelines.intel import Page, misp
from pipelines.intel.fetch import Fetcher
from pipelines.intel.reach import networks
from storage.errors import InvalidInput
from tests.pipelines.feed_server import FeedServer, feed_server

HERE = networks("127.0.0.1")
SHA = "a" * 64
DAY_US = 1_790_380_800_000_000
"""2026-09-26."""


def attribute(kind: str, value: object, **more: object) -> dict[str, object]:
    return {
        "uuid": str(uuid.uuid4()),
        "type": kind,
        "category": "Network activity",
        "value": value,
        "to_ids": True,
        "timestamp": "1790000000",
    } | more


class MispFeed:
    """Write a feed as MISP's own generator lays it out, and serve it."""

    def __init__(self, server: FeedServer) -> None:
        self.server = server
        self.manifest: dict[str, Any] = {}
        self.publish()

    def publish(self) -> None:
        self.server.put("/feed/manifest.json", json.dumps(self.manifest).encode())

    def event(self, *attributes: object, name: str = "", at: int = 1, **more: object) -> str:
        name = name or str(uuid.uuid4())
        meta = {"info": "Campaign", "date": "2026-09-26", "threat_level_id": "1"}
        self.manifest[name] = meta | {"timestamp": str(1_790_000_000 + at)}
        event = meta | {"uuid": name, "Attribute": list(attributes), "Object": []} | more
        self.server.put(f"/feed/{name}.json", json.dumps({"Event": event}).encode())
        self.publish()
        return name

    def poll(self, **cursor: object) -> list[Page]:
        url = self.server.url("/feed/")
        return list(misp.poll(Fetcher(named=HERE), url, "feed", cursor))

    def asked(self) -> list[str]:
        """Give what was fetched since it was last asked."""
        paths = [one.path.removeprefix("/feed/") for one in self.server.seen]
        self.server.seen.clear()
        return paths


@pytest.fixture
def feed() -> Iterator[MispFeed]:
    with feed_server() as server:
        yield MispFeed(server)


def values(pages: list[Page]) -> list[tuple[str, str]]:
    return [(i.type, i.value) for page in pages for i in page.feed.indicators]


@pytest.mark.parametrize(
    ("kind", "value", "given"),
    [
        ("ip-dst", "203.0.113.7", [("ipv4", "203.0.113.7")]),
        ("ip-src", "2001:db8:0::7", [("ipv6", "2001:db8::7")]),
        ("ip-dst", "203.0.113.0/24", [("cidr", "203.0.113.0/24")]),
        ("ip-dst|port", "203.0.113.7|443", [("ipv4", "203.0.113.7")]),
        ("domain", "Bad[.]example", [("domain", "bad.example")]),
        ("hostname", "c2.bad.example", [("domain", "c2.bad.example")]),
        ("domain|ip", "a.example|203.0.113.8", [("domain", "a.example"), ("ipv4", "203.0.113.8")]),
        ("url", "http://bad.example/x", [("url", "http://bad.example/x")]),
        ("email-src", "Eve@bad.example", [("email", "eve@bad.example")]),
        ("sha256", SHA.upper(), [("sha256", SHA)]),
        ("filename|sha256", f"a|b.exe|{SHA}", [("sha256", SHA)]),
    ],
)
def test_an_attribute_for_detection_becomes_an_indicator(
    feed: MispFeed, kind: str, value: str, given: list[tuple[str, str]]
) -> None:
    feed.event(attribute(kind, value))
    assert values(feed.poll()) == given


def test_an_indicator_says_since_when_how_sure_and_under_what_marking(feed: MispFeed) -> None:
    seen = attribute("domain", "a.example", first_seen="2026-09-27T12:00:00+00:00")
    tags = [{"name": "tlp:amber"}, {"name": "type:OSINT"}]
    name = feed.event(attribute("domain", "b.example"), seen, Tag=tags)
    day, exact = feed.poll()[0].feed.indicators
    assert (day.valid_from_us, day.confidence, day.tlp) == (DAY_US, 80, "amber")
    assert exact.valid_from_us == DAY_US + 36 * 3_600_000_000
    assert (day.labels, day.pattern_id) == (("tlp:amber", "type:OSINT"), name)


def test_what_is_not_for_detection_is_left_and_what_cannot_be_matched_is_told(
    feed: MispFeed,
) -> None:
    feed.event(
        attribute("domain", "a.example", to_ids=False),
        attribute("domain", "b.example", deleted=True),
        attribute("domain", "c.example", to_ids="1"),
        attribute("mutex", "Global\\x"),
        attribute("ip-dst", "999.1.1.1"),
        Object=[{"name": "file", "Attribute": [attribute("md5", "b" * 32)]}, 7],
    )
    (page,) = feed.poll()
    assert values([page]) == [("domain", "c.example"), ("md5", "b" * 32)]
    assert ["'mutex'" in r.reason or "999" in r.reason for r in page.feed.refused] == [True, True]


def test_only_events_that_are_new_or_changed_are_read_again(feed: MispFeed) -> None:
    first = feed.event(attribute("domain", "a.example"), at=1)
    second = feed.event(attribute("domain", "b.example"), at=2)
    cursor = feed.poll()[-1].cursor
    assert feed.asked() == ["manifest.json", f"{first}.json", f"{second}.json"]
    assert feed.poll(**cursor) == []
    assert feed.asked() == ["manifest.json"]
    feed.event(attribute("domain", "c.example"), name=first, at=3)
    late = feed.event(attribute("domain", "d.example"), at=0)  # published late, dated early
    (page,) = feed.poll(**cursor)
    assert sorted(feed.asked()) == sorted(["manifest.json", f"{first}.json", f"{late}.json"])
    assert sorted(page.feed.told) == sorted([first, late])
    assert ("domain", "a.example") not in values([page])


def test_an_event_that_was_taken_back_is_told_as_gone(feed: MispFeed) -> None:
    gone = feed.event(attribute("domain", "a.example"))
    feed.event(attribute("domain", "b.example"))
    cursor = feed.poll()[-1].cursor
    del feed.manifest[gone]
    feed.publish()
    (page,) = feed.poll(**cursor)
    assert (page.feed.told, page.feed.indicators) == ((gone,), ())
    assert feed.poll(**page.cursor) == []


def test_many_events_come_in_pages_that_stand_alone(feed: MispFeed) -> None:
    for n in range(120):
        feed.event(attribute("domain", f"d{n}.example"), at=n)
    pages = feed.poll()
    assert [len(page.feed.told) for page in pages] == [50, 50, 20]
    rest = feed.poll(**pages[0].cursor)
    assert values(rest) == values(pages[1:])
    assert not any(page.has_more for page in pages)


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (b"[]", "no MISP manifest"),
        (b"\x00", "no MISP manifest"),
        (b'{"a":' * 50_000, "no MISP manifest"),
        (b'{"../../etc/passwd": {}}', "names no event"),
        (b"{" + b",".join(b'"%d":1' % n for n in range(20_001)) + b"}", "over 20,000"),
    ],
)
def test_a_manifest_that_is_none_is_said(feed: MispFeed, manifest: bytes, why: str) -> None:
    feed.server.put("/feed/manifest.json", manifest)
    with pytest.raises(InvalidInput, match=why):
        feed.poll()
    assert feed.asked() == ["manifest.json"]


def test_an_emptied_manifest_does_not_take_everything_back(feed: MispFeed) -> None:
    feed.event(attribute("domain", "a.example"))
    cursor = feed.poll()[-1].cursor
    feed.manifest.clear()
    feed.publish()
    with pytest.raises(InvalidInput, match="nothing was changed"):
        feed.poll(**cursor)


@pytest.mark.parametrize(
    "event",
    [
        {"Attribute": 7, "Object": {"Attribute": [1]}, "Tag": "x"},
        {"Attribute": [7, None, [], {"type": [], "value": {}, "to_ids": [1]}]},
        {"Attribute": [{"type": "domain", "value": "a.example", "to_ids": 1, "first_seen": [1]}]},
        {"Attribute": [{"type": "url", "value": "http://\ud800.example/", "to_ids": True}]},
        {"Attribute": [], "Tag": [1, {"name": None}], "date": [], "threat_level_id": {}},
        {},
    ],
)
def test_garbage_in_an_event_is_told_or_left(event: dict[str, Any]) -> None:
    found = misp.event_of({"Event": event}, "e", "feed")
    assert found.indicators == ()
    assert found.told == ("e",)


def test_an_event_that_is_none_stops_the_poll(feed: MispFeed) -> None:
    name = feed.event()
    for body, why in ((b"{}", "holds no event"), (b"[]", "no MISP event")):
        feed.server.put(f"/feed/{name}.json", body)
        with pytest.raises(InvalidInput, match=why):
            feed.poll()
