"""Poll a bundle or a CSV by its url: whole, when it changed, and never to nothing."""

import json
from collections.abc import Iterator

import pytest

from pipelines.intel import Page, documents
from pipelines.intel.fetch import Fetcher
from pipelines.intel.reach import networks
from storage.errors import InvalidInput
from tests.pipelines.feed_server import FeedServer, feed_server

CSV = b"type,value,valid_from\ndomain,bad.example,2026-01-01T00:00:00Z\nipv4,999.1.1.1,x\n"


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with feed_server() as made:
        yield made


def poll(server: FeedServer, kind: str = "csv", **cursor: object) -> list[Page]:
    fetcher = Fetcher(named=networks("127.0.0.1"))
    return list(documents.poll(fetcher, kind, server.url("/list"), "feed", cursor))


def test_a_csv_is_read_whole_and_asked_for_by_what_it_was(server: FeedServer) -> None:
    server.put("/list", CSV, ETag='"7"', Last_Modified="Mon, 01 Jan 2026 00:00:00 GMT")
    (page,) = poll(server)
    assert page.is_whole
    assert [i.value for i in page.feed.indicators] == ["bad.example"]
    assert [r.record for r in page.feed.refused] == ["1"]
    server.put("/list", b"", 304)
    assert poll(server, **page.cursor) == []
    heads = server.seen[-1].headers
    assert heads["if-none-match"] == '"7"'
    assert heads["if-modified-since"].startswith("Mon, 01 Jan")


def test_a_bundle_is_read_by_the_same_way(server: FeedServer) -> None:
    one = {
        "type": "indicator",
        "id": "indicator--1",
        "pattern": "[domain-name:value = 'a.example']",
    }
    one |= {"pattern_type": "stix", "valid_from": "2026-01-01T00:00:00Z"}
    server.put("/list", json.dumps({"type": "bundle", "objects": [one]}).encode())
    (page,) = poll(server, "stix")
    assert [i.value for i in page.feed.indicators] == ["a.example"]


def test_a_list_that_lost_everything_changes_nothing(server: FeedServer) -> None:
    server.put("/list", CSV)
    (page,) = poll(server)
    server.put("/list", b"type,value,valid_from\n")
    with pytest.raises(InvalidInput, match="nothing was changed"):
        poll(server, **page.cursor)
    assert poll(server)[0].feed.indicators == ()


@pytest.mark.parametrize("kind", ["csv", "stix"])
def test_a_page_of_html_is_said_to_be_none(server: FeedServer, kind: str) -> None:
    server.put("/list", b"<html>\xff")
    with pytest.raises(InvalidInput):
        poll(server, kind)


def test_a_server_cannot_put_lines_into_the_next_request(server: FeedServer) -> None:
    server.put("/list", CSV, ETag="a\r\n X-Other: 1")
    (page,) = poll(server)
    assert page.cursor["etag"] == "a X-Other: 1"
    poll(server, **page.cursor)
    assert server.seen[-1].headers["if-none-match"] == "a X-Other: 1"
