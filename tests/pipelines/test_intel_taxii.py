"""Ask a real TAXII 2.1 server, and one that lies."""

import json
from collections.abc import Iterator
from datetime import timedelta

import pytest

from pipelines.intel import Page, taxii
from pipelines.intel.fetch import Auth, Fetcher
from pipelines.intel.reach import networks
from storage.errors import InvalidInput
from storage.settings import Secret
from tests.pipelines.feed_server import feed_server
from tests.pipelines.taxii_server import (
    COLLECTION,
    PASSWORD,
    START,
    USER,
    Taxii,
    days,
    taxii_server,
)

HERE = networks("127.0.0.1")


@pytest.fixture
def server() -> Iterator[Taxii]:
    with taxii_server(page=10) as made:
        yield made


def pages(
    server: Taxii, collection: str = "", path: str = "/taxii2/", **cursor: object
) -> list[Page]:
    auth = Auth("basic", Secret(f"{USER}:{PASSWORD}"))
    fetcher = Fetcher(home=server.url(), auth=auth, named=HERE)
    return list(taxii.poll(fetcher, server.url(path), collection, "feed", cursor))


def values(found: list[Page]) -> list[str]:
    return [i.value for page in found for i in page.feed.indicators]


@pytest.mark.parametrize("collection", ["", COLLECTION, "best", "Indicators"])
@pytest.mark.parametrize("path", ["/taxii2/", "/root/"])
def test_a_collection_is_found_by_any_of_its_names(
    server: Taxii, collection: str, path: str
) -> None:
    server.add("bad.example", START)
    (page,) = pages(server, collection, path)
    assert values([page]) == ["bad.example"]
    assert page.cursor["objects"] == server.url(f"/root/collections/{COLLECTION}/objects/")


def test_a_collection_that_is_not_there_or_sealed_is_said_with_those_that_are(
    server: Taxii,
) -> None:
    for name in ("none", "Sealed"):
        with pytest.raises(InvalidInput, match=f"name one of {COLLECTION}"):
            pages(server, name)
    server.data["root"]["collections"].append(
        {"id": "b", "title": "Two", "can_read": True, "can_write": True, "objects": []}
    )
    with pytest.raises(InvalidInput, match="no collection: name one of"):
        pages(server)


def test_every_page_is_read_once_and_then_only_what_is_new(server: Taxii) -> None:
    for n in range(35):
        server.add(f"d{n}.example", START + days(n))
    found = pages(server)
    assert len(found) == 4
    assert sorted(values(found)) == sorted(f"d{n}.example" for n in range(35))
    cursor = found[-1].cursor
    assert cursor["after"] == "2026-11-03T23:59:00.000000Z"
    assert values(pages(server, **cursor)) == ["d34.example"]  # of the last minute
    server.add("new.example", START + days(40))
    assert values(pages(server, **cursor)) == ["d34.example", "new.example"]


def test_what_is_added_at_one_moment_is_read_whole_though_a_page_ends_in_it(
    server: Taxii,
) -> None:
    names = {f"d{n}.example" for n in range(25)}
    for name in names:
        server.add(name, START)
    found = pages(server)
    assert set(values(found)) == names
    # Ended after the first page, a poll begins before that moment again.
    assert set(values(pages(server, **found[0].cursor))) == names


def test_what_is_added_late_with_an_earlier_time_is_not_lost(server: Taxii) -> None:
    server.add("one.example", START)
    cursor = pages(server)[-1].cursor
    server.add("late.example", START - timedelta(seconds=30))
    assert "late.example" in values(pages(server, **cursor))


def test_a_revoked_indicator_is_told_as_gone(server: Taxii) -> None:
    name = server.add("bad.example", START)
    cursor = pages(server)[-1].cursor
    server.add("bad.example", START + days(1), name, revoked=True)
    (page,) = pages(server, **cursor)
    assert page.feed.indicators == ()
    assert page.feed.told == (name,)


def test_an_empty_collection_and_a_wrong_secret(server: Taxii) -> None:
    assert values(pages(server)) == []
    fetcher = Fetcher(home=server.url(), auth=Auth("bearer", Secret("w")), named=HERE)
    with pytest.raises(InvalidInput, match="refuses the secret"):
        list(taxii.poll(fetcher, server.url(), "", "feed", {}))
    with pytest.raises(InvalidInput, match="nothing there"):
        pages(server, path="/other/")


ROOT = {"title": "r", "versions": ["application/taxii+json;version=2.1"]}
ONE = {"collections": [{"id": "a/../b", "title": "t", "can_read": True}]}


@pytest.mark.parametrize(
    ("envelope", "why"),
    [
        (b"[]", "no TAXII envelope"),
        (b"\xff", "no TAXII envelope"),
        (b"[" * 200_000, "no TAXII envelope"),
        (b'{"objects": 7}', "objects"),
        (b'{"more": true}', "no way to it"),
        (b'{"more": true, "next": ""}', "no way to it"),
        (b'{"more": true, "next": "same"}', "no way to it"),
    ],
)
def test_a_server_that_lies_is_left(envelope: bytes, why: str) -> None:
    with feed_server() as server:
        fetcher = Fetcher(named=HERE)
        server.put("/r/", json.dumps(ROOT).encode())
        server.put("/r/collections/", json.dumps(ONE).encode())
        server.put("/r/collections/a%2F..%2Fb/objects/", envelope)
        with pytest.raises(InvalidInput, match=why):
            list(taxii.poll(fetcher, server.url("/r/"), "", "feed", {}))
        assert len(server.seen) <= 4


@pytest.mark.parametrize(
    "told",
    [
        b"{}",
        b'{"api_roots": []}',
        b'{"api_roots": [7]}',
        b'{"api_roots": ["http://169.254.169.254/"]}',
        b'{"api_roots": ["file:///etc/passwd"]}',
        b'{"api_roots": ["http://["]}',
    ],
)
def test_a_discovery_that_leads_nowhere_or_inside_is_refused(told: bytes) -> None:
    with feed_server() as server:
        server.put("/", told)
        with pytest.raises(InvalidInput):
            list(taxii.poll(Fetcher(named=HERE), server.url(), "", "feed", {}))


def test_a_time_that_is_none_is_said() -> None:
    with feed_server() as server:
        server.put("/o", b"{}", X_TAXII_Date_Added_Last="yesterday")
        cursor = {"objects": server.url("/o")}
        with pytest.raises(InvalidInput, match="no time that is one"):
            list(taxii.poll(Fetcher(named=HERE), server.url(), "", "feed", cursor))
