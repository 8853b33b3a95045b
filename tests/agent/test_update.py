"""Update by signed packages: forwards only, whole or not at all, back again when it goes wrong."""

import json
import lzma
import os
import tarfile
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import unpack
from agent.place import READY
from agent.release import MOST_ANNOUNCED, BadRelease, is_for, parts, read
from agent.update import update
from tests.agent.publisher import (
    NOW_S,
    SYSTEM,
    Member,
    Publisher,
    Site,
    envelope,
    member,
    package,
    packed,
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_new_version_runs_and_the_old_one_stays_beside_it(site: Site) -> None:
    assert site.offer("0.2.0") == "updated"
    assert (site.runs, (site.place / "good").readlink().name) == ("0.2.0", "0.2.0")
    assert sorted(p.name for p in (site.place / "versions").iterdir()) == ["0.1.0", "0.2.0"]
    assert site.result()["outcome"] == "updated"
    assert not (site.update_folder / READY).exists()


def test_the_version_before_the_last_is_taken_away(site: Site) -> None:
    assert [site.offer("0.2.0"), site.offer("0.3.0", serial=2)] == ["updated", "updated"]
    assert sorted(p.name for p in (site.place / "versions").iterdir()) == ["0.2.0", "0.3.0"]


def test_a_version_that_does_not_do_well_is_rolled_back_by_itself(site: Site) -> None:
    site.ill.add("0.2.0")
    assert site.offer("0.2.0") == "rolled_back"
    assert (site.runs, site.restarts) == ("0.1.0", ["0.2.0", "0.1.0"])
    said = site.result()
    assert (said["outcome"], said["version"]) == ("rolled_back", "0.2.0")
    assert "did not look at this host within 180 s; 0.1.0 runs again" in said["reason"]


def test_what_failed_here_is_not_tried_again_before_it_is_announced_anew(site: Site) -> None:
    site.ill.add("0.2.0")
    assert [site.offer("0.2.0"), site.offer("0.2.0")] == ["rolled_back", "refused"]
    site.ill.clear()
    assert site.offer("0.2.0", serial=2) == "updated"


def test_a_machine_that_stopped_in_the_midst_is_judged_when_it_is_back(site: Site) -> None:
    content = package("0.2.0")
    site.fetched(site.publisher.announce("0.2.0", content), content)

    def dies() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        update(replace(site.host(), restart=dies))
    assert site.runs == "0.2.0"
    site.ill.add("0.2.0")
    assert site.update() == "rolled_back"
    assert site.runs == "0.1.0"


def test_what_waited_and_is_older_than_what_runs_by_now_is_dropped(site: Site) -> None:
    state = site.folder / "kept" / "state.json"
    state.write_text(json.dumps({"pending": {"version": "0.0.9", "serial": 1, "before": "0.0.8"}}))
    (site.update_folder / READY).touch()
    assert site.update() == "none"
    assert (site.runs, site.restarts) == ("0.1.0", [])
    assert "pending" not in json.loads(state.read_text())


def test_a_folder_that_starts_the_updater_is_put_aside(site: Site) -> None:
    (site.update_folder / READY / "deep").mkdir(parents=True)
    assert site.update() == "none"
    assert not (site.update_folder / READY).exists()


@pytest.mark.parametrize("version", ["0.1.0", "0.0.9", "0.1"])
def test_an_older_version_is_refused_however_well_it_is_signed(site: Site, version: str) -> None:
    assert site.offer(version, serial=9) == "refused"
    assert "not newer" in site.result()["reason"]


def test_after_a_reinstall_of_an_old_version_only_the_highest_comes_back(site: Site) -> None:
    assert site.offer("0.3.0") == "updated"
    (site.place / "current").unlink()
    (site.place / "current").symlink_to("versions/0.1.0")
    assert site.offer("0.2.0", serial=2) == "refused"
    assert site.offer("0.3.0", serial=3) == "updated"


def test_a_server_that_is_away_for_a_while_is_no_fault_of_the_version(site: Site) -> None:
    site.silent_s = 400
    assert site.offer("0.2.0") == "updated"
    site.silent_s = 2000
    assert site.offer("0.3.0", serial=2) == "rolled_back"
    assert "the server took no batch of it within 720 s" in site.result()["reason"]


def test_an_announcement_from_before_is_refused(site: Site) -> None:
    assert site.offer("0.2.0", serial=5) == "updated"
    assert site.offer("0.3.0", serial=4) == "refused"
    assert "older than one that was seen" in site.result()["reason"]


CONTENT = package("0.2.0")
OTHERS = Publisher()


@pytest.mark.parametrize(
    ("announced", "content", "why"),
    [
        (lambda p: OTHERS.announce("0.2.0", CONTENT), CONTENT, "signature is wrong"),
        (lambda p: _bent(p.announce("0.2.0", CONTENT)), CONTENT, "signature is wrong"),
        (lambda p: p.announce("0.2.0", CONTENT), CONTENT[:-9], "not the one"),
        (lambda p: p.announce("0.2.0", CONTENT), CONTENT[:-1] + b"x", "not the one"),
        (lambda p: p.announce("0.2.0", CONTENT), CONTENT + b"x", "larger than announced"),
        (lambda p: p.announce("0.2.0", CONTENT, size=1 << 40), CONTENT, "not understood"),
        (lambda p: p.announce("0.2.0/../../x", CONTENT), CONTENT, "not understood"),
        (lambda p: p.announce("0.2.0", CONTENT, name="../x.tar.xz"), CONTENT, "not understood"),
        (lambda p: p.announce("0.2.0", CONTENT, percentage=-1), CONTENT, "not understood"),
        (lambda p: p.announce("0.2.0", CONTENT, serial=True), CONTENT, "not understood"),
        (lambda p: p.announce("0.2.0", CONTENT, not_before_s=NOW_S + 9), CONTENT, "this time"),
        (lambda p: p.announce("0.2.0", CONTENT, not_after_s=NOW_S - 9), CONTENT, "this time"),
        (lambda p: p.announce("0.2.0", CONTENT, ring="canary"), CONTENT, "not for this host"),
        (lambda p: p.announce("0.2.0", CONTENT, percentage=0), CONTENT, "not for this host"),
        (lambda p: b"x" * (MOST_ANNOUNCED + 1), CONTENT, "larger than announced"),
        (lambda p: b'{"signed": 1, "signature": ""}', CONTENT, "no announcement"),
    ],
)
def test_what_is_not_as_it_was_signed_is_refused_and_changes_nothing(
    site: Site, announced: Callable[[Publisher], bytes], content: bytes, why: str
) -> None:
    site.fetched(announced(site.publisher), content)
    assert site.update() == "refused"
    assert why in site.result()["reason"]
    assert (site.runs, site.restarts) == ("0.1.0", [])
    assert [p.name for p in (site.place / "versions").iterdir()] == ["0.1.0"]
    assert not (site.update_folder / READY).exists()


def _bent(announced: bytes) -> bytes:
    said = json.loads(announced)
    return json.dumps({**said, "signed": said["signed"].replace('"all"', '"canary"')}).encode()


def test_a_signature_of_something_else_is_no_announcement() -> None:
    text = json.dumps({"serial": 1})
    with pytest.raises(BadRelease, match="signature is wrong"):
        read(envelope(text, OTHERS.key.sign(text.encode())), OTHERS.public, SYSTEM, NOW_S)


@pytest.mark.parametrize(
    "wrong",
    [
        member("../out", b"x"),
        member("/out", b"x"),
        member("a/../../out", b"x"),
        member("link", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member("hard", type=tarfile.LNKTYPE, linkname="inopsio-agent"),
        member("pipe", type=tarfile.FIFOTYPE),
        member("device", type=tarfile.CHRTYPE),
        member("./inopsio-agent", b"twice", 0o755),
    ],
    ids=lambda m: m[0].name,
)
def test_a_package_that_reaches_outside_is_refused_whole(site: Site, wrong: Member) -> None:
    content = packed([member("./inopsio-agent", b"#!/bin/sh\n", 0o755), wrong])
    site.fetched(site.publisher.announce("0.2.0", content), content)
    assert site.update() == "failed"
    assert not any(p.name == "out" for p in site.folder.rglob("*"))
    assert [p.name for p in (site.place / "versions").iterdir()] == ["0.1.0"]


def test_a_package_that_does_not_run_has_failed_and_is_not_tried_again(site: Site) -> None:
    content = package("0.2.0")
    for outcome in ("failed", "refused"):
        site.fetched(site.publisher.announce("0.9.0", content, serial=4), content)
        assert site.update() == outcome
        assert site.runs == "0.1.0"
    site.fetched(site.publisher.announce("0.9.0", content, serial=5), content)
    assert site.update() == "failed"
    said = site.result()
    assert (said["version"], said["serial"]) == ("0.9.0", 5)
    assert "does not run as 0.9.0" in said["reason"]


def test_rights_in_a_package_give_no_rights(site: Site) -> None:
    program = b"#!/bin/sh\necho inopsio-agent 0.2.0\n"
    content = packed([member("./inopsio-agent", program, 0o6777, uid=1000, gid=1000)])
    site.fetched(site.publisher.announce("0.2.0", content), content)
    assert site.update() == "updated"
    told = (site.place / "current" / "inopsio-agent").stat()
    assert (told.st_mode & 0o7777, told.st_uid) == (0o755, os.geteuid())


def test_a_package_that_never_ends_is_refused_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpack, "MOST_UNPACKED", 1 << 20)
    (tmp_path / "p").write_bytes(packed([member("zeros", b"\0" * (64 << 20))]))
    assert (tmp_path / "p").stat().st_size < 1 << 16
    with pytest.raises(BadRelease, match="over 1 MB when unpacked"):
        unpack.unpack(tmp_path / "p", tmp_path / "out")


def test_links_in_the_fetched_folder_are_not_followed(site: Site) -> None:
    content = package("0.2.0")
    site.fetched(site.publisher.announce("0.2.0", content), content)
    (site.update_folder / "package").rename(site.folder / "elsewhere")
    (site.update_folder / "package").symlink_to(site.folder / "elsewhere")
    assert site.update() == "refused"
    (site.folder / "data" / "update").rename(site.folder / "other")
    (site.folder / "data" / "update").symlink_to(site.folder / "other")
    assert site.update() == "none"


def test_without_a_key_of_releases_nothing_is_installed(site: Site) -> None:
    (site.place / "release.pub").unlink()
    assert site.offer("0.2.0") == "refused"


@given(st.binary(max_size=200))
def test_garbage_is_refused_and_nothing_else_happens(garbage: bytes) -> None:
    with pytest.raises(BadRelease):
        read(garbage, OTHERS.public, SYSTEM, NOW_S)


@given(st.binary(max_size=300))
def test_garbage_is_no_package(garbage: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for n, content in enumerate((garbage, lzma.compress(b"x" * 100 + garbage))):
            (Path(folder) / f"p{n}").write_bytes(content)
            with pytest.raises(BadRelease):
                unpack.unpack(Path(folder) / f"p{n}", Path(folder) / f"out{n}")


def test_rings_open_one_after_the_other() -> None:
    publisher = Publisher()

    def takes(ring: str, ours: str, percentage: int = 100) -> bool:
        said = publisher.announce("0.2.0", b"x", ring=ring, percentage=percentage)
        return is_for(read(said, publisher.public, SYSTEM, NOW_S), ours, "a")

    assert [takes("canary", r) for r in ("canary", "early", "all")] == [True, False, False]
    assert [takes("early", r) for r in ("canary", "early", "all")] == [True, True, False]
    assert [takes("all", r) for r in ("canary", "early", "all")] == [True, True, True]
    assert takes("early", "canary", percentage=0)


def test_a_percentage_takes_about_that_share_and_grows_by_adding() -> None:
    publisher = Publisher()
    found = {}
    for percentage in (10, 50):
        said = publisher.announce("0.2.0", b"x", percentage=percentage)
        release = read(said, publisher.public, SYSTEM, NOW_S)
        found[percentage] = {n for n in range(1000) if is_for(release, "all", f"agent-{n}")}
    assert 60 < len(found[10]) < 140
    assert 430 < len(found[50]) < 570
    assert found[10] < found[50]


def test_versions_compare_by_number() -> None:
    assert sorted(["0.10.0", "0.9", "0.9.1"], key=parts) == ["0.9", "0.9.1", "0.10.0"]
