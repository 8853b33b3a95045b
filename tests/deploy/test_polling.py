"""Poll real feeds into a real house: whole, once, whatever is killed, and no secret is told."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
import structlog

from deploy import polling
from deploy.house import House, opened
from storage.indicators import find_indicators
from storage.sealing import Seal
from storage.settings import Secret, Settings
from storage.subscriptions import (
    NewSubscription,
    add_subscription,
    drop_subscription,
    list_subscriptions,
    poll_now,
)
from storage.tenant import Actor, Role, Scope
from tests.pipelines.feed_server import FeedServer, feed_server
from tests.pipelines.taxii_server import PASSWORD, START, USER, Taxii, days, taxii_server

ACME = Scope("acme", Actor("user", "ann"), frozenset({Role.ANALYST}))
CSV = "type,value,valid_from\n"
CANARY = "s3cr3t-canary"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    with opened(Settings(data_dir=folder, feed_addresses="127.0.0.1")) as made:
        yield made


@pytest.fixture
def house(home: House) -> Iterator[House]:
    home.database.create_tenant("acme", "acme")
    yield home
    with home.database.owner() as tx:
        tx.execute("RESET ROLE")
        for table in ("subscriptions", "indicators", "indicator_matches"):
            tx.execute(f"TRUNCATE {table}".encode())


@pytest.fixture
def server() -> Iterator[FeedServer]:
    with feed_server() as made:
        yield made


@pytest.fixture
def taxii() -> Iterator[Taxii]:
    with taxii_server(page=20) as made:
        yield made


def subscribe(house: House, kind: str, url: str, **told: Any) -> str:  # noqa: ANN401  its own fields
    new = NewSubscription("feed", kind, url, **told)
    with house.database.app(ACME) as tx:
        return add_subscription(ACME, tx, Seal.of(house.settings), new)


def shown(house: House) -> dict[str, Any]:
    with house.database.app(ACME) as tx:
        return list_subscriptions(ACME, tx)[0]


def values(house: House) -> list[str]:
    """Give what still holds."""
    with house.database.app(ACME) as tx:
        rows = find_indicators(ACME, tx, None, None, 10_000)
    return [str(row["value"]) for row in rows if row["valid_until"] is None]


def again(house: House, which: str) -> dict[str, Any]:
    with house.database.app(ACME) as tx:
        poll_now(ACME, tx, "feed")
    assert polling.run(house, "acme", which)
    return shown(house)


def test_a_list_that_changes_is_followed(house: House, server: FeedServer) -> None:
    server.put("/l", f"{CSV}domain,a.example,2026-01-01T00:00:00Z\nipv4,9.9,x\n".encode())
    which = subscribe(house, "csv", server.url("/l"))
    assert polling.run(house, "acme", which)
    told = shown(house)
    assert (told["last_error"], told["failures"]) == ("", 0)
    assert told["last_result"]["indicators"] == 1
    assert "1: '9.9' is no address" in told["last_result"]["reasons"][0]
    assert not polling.run(house, "acme", which)
    server.put("/l", f"{CSV}domain,b.example,2026-01-01T00:00:00Z\n".encode())
    again(house, which)
    assert values(house) == ["b.example"]


def test_a_taxii_collection_is_followed(house: House, taxii: Taxii) -> None:
    for n in range(50):
        taxii.add(f"d{n}.example", START + days(n))
    secret = {"auth": "basic", "secret": Secret(f"{USER}:{PASSWORD}")}
    which = subscribe(house, "taxii", taxii.url(), **secret)
    assert polling.run(house, "acme", which)
    assert len(values(house)) == 50
    assert shown(house)["last_result"]["pages"] == 3
    taxii.add("new.example", START + days(60))
    assert again(house, which)["last_result"]["pages"] == 1
    assert len(values(house)) == 51


@pytest.mark.parametrize(
    ("status", "why"),
    [(401, "refuses the secret"), (404, "nothing there"), (500, "busy or broken"), (302, "leads")],
)
def test_what_fails_says_why_and_what_to_do_and_no_secret(
    house: House, server: FeedServer, status: int, why: str
) -> None:
    to = f"http://{CANARY}.127.0.0.2.invalid/" if status != 302 else "http://127.0.0.2/"
    server.put("/l", CANARY.encode(), status, Location=to, X_Echo=CANARY)
    secret = {"auth": "basic", "secret": Secret(f"ann:{CANARY}")}
    with structlog.testing.capture_logs() as logs:
        polling.run(house, "acme", subscribe(house, "csv", server.url("/l"), **secret))
    assert why in shown(house)["last_error"]
    assert server.seen[0].headers["authorization"].startswith("Basic ")
    assert CANARY not in json.dumps([logs, shown(house)], default=str)


def test_a_feed_that_repeats_the_secret_does_not_get_it_shown(
    house: House, server: FeedServer
) -> None:
    server.put("/l", f"{CSV}domain,{CANARY} x,2026-01-01T00:00:00Z\n".encode())
    which = subscribe(house, "csv", server.url("/l"), auth="bearer", secret=Secret(CANARY))
    polling.run(house, "acme", which)
    assert "***" in shown(house)["last_result"]["reasons"][0]
    assert CANARY not in json.dumps(shown(house), default=str)


def test_a_server_that_names_things_like_the_secret_does_not_get_it_shown(
    house: House, taxii: Taxii
) -> None:
    for one in taxii.data["root"]["collections"]:
        one |= {"can_read": True, "title": f"Title {PASSWORD}", "alias": ""}
    secret = {"auth": "basic", "secret": Secret(f"{USER}:{PASSWORD}")}
    polling.run(house, "acme", subscribe(house, "taxii", taxii.url(), **secret))
    assert "(Title ***)" in shown(house)["last_error"]
    assert PASSWORD not in json.dumps(shown(house), default=str)


def test_loopback_is_polled_only_where_the_settings_name_it(
    server: FeedServer, house: House
) -> None:
    which = subscribe(house, "csv", server.url("/l"))
    closed = Settings(data_dir=house.settings.data_dir)
    polling.run(House(closed, house.database, house.log, house.lake), "acme", which)
    assert "leads to this machine itself" in shown(house)["last_error"]
    assert server.seen == []


def test_dropped_in_the_middle_it_keeps_nothing_more(house: House, server: FeedServer) -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        with house.database.app(ACME) as tx:
            drop_subscription(ACME, tx, "feed")
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n" + CSV.encode())
        handler.wfile.write(b"domain,a.example,2026-01-01T00:00:00Z\n")

    server.does("/l", slow)
    assert polling.run(house, "acme", subscribe(house, "csv", server.url("/l")))
    assert values(house) == []


def child(house: House, which: str) -> "subprocess.Popen[bytes]":
    place = {
        "INOPSIO_DATA_DIR": str(house.settings.data_dir),
        "INOPSIO_FEED_ADDRESSES": "127.0.0.1",
    }
    words = [sys.executable, "-m", "deploy.polling", "acme", which]
    return subprocess.Popen(words, env=os.environ | place)


def until(check: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("pages", [0, 1, 3])
def test_killed_after_any_page_it_loses_and_doubles_nothing(
    house: House, server: FeedServer, pages: int
) -> None:
    """The server stops before a page; the poll is killed there, and taken up anew."""
    gate, asked = threading.Event(), threading.Event()
    total, count = 5, 0

    def page(handler: BaseHTTPRequestHandler) -> None:
        nonlocal count
        number = int(handler.path.partition("next=")[2] or 0)
        if number == pages and not gate.is_set():
            asked.set()
            gate.wait(30)
        count += 1
        ones = [
            {"type": "indicator", "id": f"indicator--{number}-{n}", "pattern_type": "stix"}
            | {"pattern": f"[domain-name:value = 'd{number}-{n}.example']"}
            | {"valid_from": "2026-01-01T00:00:00Z"}
            for n in range(10)
        ]
        more = number < total - 1
        said = {"objects": ones, "more": more} | ({"next": str(number + 1)} if more else {})
        body = json.dumps(said).encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n"
        head += f"X-TAXII-Date-Added-Last: 2026-10-0{number + 1}T00:00:00Z\r\n\r\n"
        handler.wfile.write(head.encode() + body)

    root = {"title": "r", "versions": ["application/taxii+json;version=2.1"]}
    server.put("/r/", json.dumps(root).encode())
    one = {"collections": [{"id": "c", "title": "t", "can_read": True}]}
    server.put("/r/collections/", json.dumps(one).encode())
    server.does("/r/collections/c/objects/", page)
    which = subscribe(house, "taxii", server.url("/r/"))
    with child(house, which) as first:
        assert asked.wait(30)
        assert len(values(house)) == 10 * pages
        first.send_signal(signal.SIGKILL)
    gate.set()
    assert shown(house)["is_polling"] is True
    with house.database.app(ACME) as tx:  # a minute later nobody beats
        tx.execute("UPDATE subscriptions SET beat_at = now() - interval '61 s', due_at = now()")
    with child(house, which) as second:
        assert second.wait(60) == 0
    assert len(values(house)) == 10 * total
    told = shown(house)
    assert (told["last_error"], told["is_polling"], told["failures"]) == ("", False, 0)


def test_the_house_polls_what_is_due_and_tells_of_a_process_that_ends(
    house: House, server: FeedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INOPSIO_DATA_DIR", str(house.settings.data_dir))
    monkeypatch.setenv("INOPSIO_FEED_ADDRESSES", "127.0.0.1")
    here = threading.Event()

    def hangs(handler: BaseHTTPRequestHandler) -> None:
        here.set()
        time.sleep(30)

    server.does("/l", hangs)
    subscribe(house, "csv", server.url("/l"))
    stop = threading.Event()
    keeper = threading.Thread(target=polling.serve, args=(house, stop))
    keeper.start()
    try:
        assert here.wait(30)
        for process in children_of("deploy.polling"):
            os.kill(process, signal.SIGKILL)
        until(lambda: "ended before it was done" in shown(house)["last_error"])
        server.put("/l", f"{CSV}domain,a.example,2026-01-01T00:00:00Z\n".encode())
        with house.database.app(ACME) as tx:
            poll_now(ACME, tx, "feed")
        until(lambda: values(house) == ["a.example"])
    finally:
        stop.set()
        keeper.join()


def children_of(module: str) -> list[int]:
    """Give the processes of this one that run the module."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = (folder / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if module.encode() in words and int(parent) == os.getpid():
            found.append(int(folder.name))
    return found
