"""Fetch announced versions from a real server, and let the updater take what was fetched."""

import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from agent.errors import Away
from agent.fetch import Fetcher, Shelf
from agent.place import ANNOUNCED
from agent.release import BadRelease
from tests.agent.publisher import SYSTEM, Site, package

TOLD: list[dict[str, Any]] = []


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_POST(self) -> None:
        TOLD.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    (tmp_path / "shelf").mkdir()
    return Site(tmp_path)


@pytest.fixture
def fetcher(site: Site) -> Iterator[Fetcher]:
    TOLD.clear()
    make = partial(_Quiet, directory=str(site.folder / "shelf"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), make) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        shelf = Shelf(url, ssl.create_default_context, report=True)
        yield Fetcher(
            shelf, site.folder / "data", "all", "agent-1", site.place, site.folder / "kept",
            SYSTEM, "0.1.0", lambda: site.now_s,
        )  # fmt: skip
        server.shutdown()
        serving.join()


def _publish(site: Site, version: str, **more: object) -> None:
    content = package(version)
    shelf = site.folder / "shelf"
    (shelf / f"inopsio-agent_{version}.tar.xz").write_bytes(content)
    (shelf / ANNOUNCED).write_bytes(site.publisher.announce(version, content, **more))


def test_what_is_announced_is_fetched_and_put_in_place(site: Site, fetcher: Fetcher) -> None:
    _publish(site, "0.2.0")
    found = fetcher.look()
    assert found is not None
    assert (site.update(), site.runs) == ("updated", "0.2.0")
    assert replace(fetcher, version="0.2.0").look() is None


def test_what_failed_here_is_not_fetched_again(site: Site, fetcher: Fetcher) -> None:
    site.ill.add("0.2.0")
    _publish(site, "0.2.0")
    fetcher.look()
    assert site.update() == "rolled_back"
    assert fetcher.look() is None
    _publish(site, "0.2.0", serial=2)
    assert fetcher.look() is not None


@pytest.mark.parametrize(
    "more", [{"ring": "canary"}, {"percentage": 0}], ids=["ring", "percentage"]
)
def test_what_is_for_others_is_left_on_the_shelf(
    site: Site, fetcher: Fetcher, more: dict[str, object]
) -> None:
    _publish(site, "0.2.0", **more)
    assert fetcher.look() is None
    assert list(site.update_folder.iterdir()) == []


def test_an_old_version_is_left_on_the_shelf(site: Site, fetcher: Fetcher) -> None:
    _publish(site, "0.1.0")
    assert fetcher.look() is None


def test_a_package_that_is_another_is_not_kept(site: Site, fetcher: Fetcher) -> None:
    _publish(site, "0.2.0")
    place = site.folder / "shelf" / "inopsio-agent_0.2.0.tar.xz"
    content = place.read_bytes()
    for wrong, why in (
        (content[:-1] + b"x", "not what was announced"),
        (content[:-9], "not what was announced"),
        (content + b"x" * 100, "larger than announced"),
    ):
        place.write_bytes(wrong)
        with pytest.raises(BadRelease, match=why):
            fetcher.look()
    assert not {"package", "ready"} & {p.name for p in site.update_folder.iterdir()}


def test_how_it_ended_is_told_once(site: Site, fetcher: Fetcher) -> None:
    _publish(site, "0.2.0", serial=7)
    fetcher.look()
    site.update()
    for _ in range(2):
        replace(fetcher, version="0.2.0").look()
    (told,) = TOLD
    assert (told["outcome"], told["version"], told["serial"]) == ("updated", "0.2.0", 7)


def test_a_shelf_that_is_away_says_so(site: Site, fetcher: Fetcher) -> None:
    nobody = replace(fetcher, shelf=replace(fetcher.shelf, url="http://127.0.0.1:9"))
    with pytest.raises(Away):
        nobody.look()
    with pytest.raises(Away, match="404"):
        fetcher.look()
