"""Publish releases of the agent, let agents fetch them over TLS, and stop the ones that do harm."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.errors import Away
from agent.fetch import Fetcher, Shelf
from agent.identity import Identity
from agent.updating import SHELF
from api.agent_updates import FOLDER, LEAST_FAILED
from api.enrolment import revoke_agent
from deploy.releases import Wave, publish, standing, stop
from storage.database import Database
from storage.errors import InvalidInput
from storage.settings import Settings
from storage.tenant import Scope, system_scope
from tests.agent.publisher import SYSTEM, Publisher, Site, package
from tests.api.agents_house import House, listening, say


@pytest.fixture
def house(
    settings: Settings, database: Database, two_tenants: tuple[Scope, Scope], tmp_path: Path
) -> Iterator[House]:
    own = replace(settings, data_dir=tmp_path / "house")
    with listening(own, database, two_tenants, tmp_path) as made:
        yield made


PUBLISHER = Publisher()


def announce(
    house: House, version: str = "0.2.0", ring: str = "all", percentage: int = 100
) -> None:
    """Publish a package as the command does."""
    made = house.folder / f"inopsio-agent_{version}_{SYSTEM}.tar.xz"
    made.write_bytes(package(version))
    key = house.folder / "release.key"
    pem = PUBLISHER.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    key.write_bytes(pem)
    now_s = int(time.time())
    wave = Wave("all", 100, now_s - 1, now_s + 3600)
    assert publish(house.folder / "house" / FOLDER, [made], key, wave, now_s) == version


def fetcher(house: House, identity: Identity, site: Site) -> Fetcher:
    shelf = Shelf(house.url + SHELF, identity.context, identity.headers(), report=True)
    return Fetcher(
        shelf, site.folder / "data", "all", identity.agent_id, site.place, site.folder / "kept",
        SYSTEM, "0.1.0",
    )  # fmt: skip


def site_of(house: House, name: str) -> Site:
    folder = house.folder / f"site-{name}"
    folder.mkdir()
    return Site(folder, PUBLISHER, now_s=time.time())


def tell(identity: Identity, outcome: str, serial: int) -> int:
    row = {"outcome": outcome, "version": "0.2.0", "serial": serial, "reason": "because"}
    return say(identity, SHELF, json.dumps(row).encode())[0]


def serial_of(house: House) -> int:
    scope = system_scope("acme", "test")
    said = standing(house.database, scope, house.folder / "house")["announced"]
    return int(said["serial"])


def test_an_agent_fetches_installs_and_tells(house: House) -> None:
    announce(house)
    identity, site = house.enroll("ws-1"), site_of(house, "1")
    looks = fetcher(house, identity, site)
    assert looks.look() is not None
    assert site.update() == "updated"
    replace(looks, version="0.2.0").look()
    (agent,) = house.agents()
    assert agent["version"] == "0.2.0"
    found = standing(house.database, system_scope("acme", "test"), house.folder / "house")
    assert [(r["outcome"], r["agents"]) for r in found["outcomes"]] == [("updated", 1)]
    assert "agent.update" in {action for action, *_ in house.trail()}


def test_a_release_that_fails_is_stopped_for_the_tenant_by_itself(house: House) -> None:
    announce(house)
    hosts = [house.enroll(f"ws-{n}") for n in range(LEAST_FAILED)]
    other = house.enroll("bolt-1", token=house.token(house.bolt))
    sites = [site_of(house, str(n)) for n in range(LEAST_FAILED)]
    for host, site in zip(hosts, sites, strict=True):
        site.ill.add("0.2.0")
        fetcher(house, host, site).look()
        assert site.update() == "rolled_back"
        fetcher(house, host, site).look()
    late, last = house.enroll("ws-late"), site_of(house, "late")
    assert fetcher(house, late, last).look() is None
    assert fetcher(house, other, site_of(house, "bolt")).look() is not None
    assert "agent.release-stop" in {action for action, *_ in house.trail()}
    announce(house, "0.3.0")
    assert fetcher(house, late, last).look() is not None


def test_few_failures_among_many_stop_nothing(house: House) -> None:
    announce(house)
    serial = serial_of(house)
    hosts = [house.enroll(f"ws-{n}") for n in range(21)]
    assert {tell(host, "updated", serial) for host in hosts[2:]} == {204}
    assert {tell(host, "rolled_back", serial) for host in hosts[:2]} == {204}
    assert fetcher(house, hosts[0], site_of(house, "x")).look() is not None


def test_two_tenants_in_need_stop_it_for_all(house: House) -> None:
    announce(house)
    serial = serial_of(house)
    for scope in (house.acme, house.bolt):
        for n in range(LEAST_FAILED):
            host = house.enroll(f"{scope.tenant_id}-{n}", token=house.token(scope))
            assert tell(host, "failed", serial) == 204
    scope = system_scope("acme", "test")
    stops = standing(house.database, scope, house.folder / "house")["stops"]
    assert len(stops) == 2
    assert not any("acme" in str(row) or "bolt" in str(row) for row in stops)


def test_stopped_by_hand_is_stopped_for_every_tenant(house: House) -> None:
    announce(house)
    stop(house.database, house.folder / "house", "no")
    for scope in (house.acme, house.bolt):
        host = house.enroll(f"{scope.tenant_id}-1", token=house.token(scope))
        assert fetcher(house, host, site_of(house, scope.tenant_id)).look() is None


def test_a_revoked_agent_gets_nothing(house: House) -> None:
    announce(house)
    host = house.enroll("ws-1")
    admin = system_scope("acme", "test")
    revoke_agent(house.database, admin, host.agent_id, house.desk.now())
    with pytest.raises(Away, match="403"):
        fetcher(house, host, site_of(house, "1")).look()


@pytest.mark.parametrize("name", ["..%2frelease.key", "%2e%2e", ".release.json", "x" * 200])
def test_no_other_file_is_given(house: House, name: str) -> None:
    announce(house)
    host = house.enroll("ws-1")
    with pytest.raises(Away, match=r"4[02][24]"):
        list(Shelf(house.url + SHELF, host.context).get(name, 1 << 20))


def rows(house: House) -> int:
    return [action for action, *_ in house.trail()].count("agent.update")


def test_only_known_releases_count_and_each_once(house: House) -> None:
    announce(house)
    serial, host = serial_of(house), house.enroll("ws-1")
    for foreign in (serial + 1, serial - 1, 0, 2**61):
        assert tell(host, "failed", foreign) == 204
    assert rows(house) == 0
    for outcome in ("failed", "updated", "refused", "refused", "failed"):
        assert tell(host, outcome, serial) == 204
    assert (rows(house), house.agents()[0]["version"]) == (2, "0.1.0")
    assert tell(host, "refused", 7) == 204
    assert rows(house) == 2


def test_one_that_was_given_before_another_was_announced_counts(house: House) -> None:
    announce(house)
    early, host, late = serial_of(house), house.enroll("ws-1"), house.enroll("ws-2")
    assert fetcher(house, host, site_of(house, "1")).look() is not None
    announce(house, "0.3.0")
    assert [tell(one, "updated", early) for one in (host, late)] == [204, 204]
    assert rows(house) == 1


def test_a_reason_shows_as_what_it_is(house: House) -> None:
    announce(house)
    row = {"outcome": "failed", "version": "0.2.0", "serial": serial_of(house)}
    host = house.enroll("ws-1")
    said = json.dumps({**row, "reason": "a\n\u202eb\udcff" + "x" * 3000}).encode()
    assert say(host, SHELF, said)[0] == 204
    with house.database.app(house.acme) as tx:
        (kept,) = tx.execute("SELECT update_reason FROM agents").fetchall()
    assert kept[0].startswith("a\\n\\u202eb\\udcffxxx")
    assert len(kept[0]) == 500


def test_a_row_that_is_none_is_refused(house: House) -> None:
    host = house.enroll("ws-1")
    assert say(host, SHELF, b'{"outcome": "fine"}')[0] == 422
    assert tell(host, "updated", -1) == 422


@pytest.mark.parametrize(
    ("wave", "why"),
    [
        (Wave("some", 100, 0, 1), "the ring is one of"),
        (Wave("all", 101, 0, 1), "percentage"),
        (Wave("all", 100, 5, 5), "days at most"),
    ],
)
def test_a_wave_that_agents_would_refuse_is_not_announced(
    tmp_path: Path, wave: Wave, why: str
) -> None:
    with pytest.raises(InvalidInput, match=why):
        publish(tmp_path / "f", [], tmp_path / "key", wave, 0)
    assert not (tmp_path / "f").exists()
