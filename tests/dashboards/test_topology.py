"""See the network's page: what it shows of real captures, its filters, a thousand places drawn."""

import json
import time

import pytest
from playwright.sync_api import Browser, expect

from business import incidents
from business._event import Event
from dashboards.read import topology as read
from dashboards.read.topology import MOST_NODES, Asked, Place, Topology
from pipelines.sinks import topology as sink
from storage.database.queries import select
from storage.database.rows import insert_findings
from storage.outcome import Outcome, finding_message
from storage.schema import Finding
from storage.schema.finding import finding_id
from storage.tenant import Role, Scope
from tests.api.conftest import START_US
from tests.dashboards.conftest import House
from tests.dashboards.test_browser import (
    RULES,
    Watch,
    axe_script,
    browser,
    opened,
    settled,
    signed_in,
)
from tests.pipelines.test_sink_topology import batches
from tests.shared import shared_data

__all__ = ["browser"]
CAPTURES = (
    "dns__suri__cond-log-dns-dig.pcap",
    "modbus__zeek__modbus-eit.pcap",
    "dhcp__suri__dhcp-option-52-overload.pcap",
)


def captured(house: House, *names: str) -> None:
    """Put into acme what the sink makes of captures, at once: what is old goes with the next."""
    found = tuple(b for n in names for b in batches((shared_data("pcap") / n).read_bytes()))
    with house.database.writer() as tx:
        sink.write(tx, Outcome("events", (), found))


def told(house: House, rows: list[tuple[str, str, str]]) -> None:
    """Put facts into acme."""
    facts = [
        {"tenant_id": "acme", "kind": kind, "one": one, "other": other, "first_us": START_US,
         "last_us": START_US}
        for kind, one, other in rows
    ]  # fmt: skip
    with house.database.writer() as tx:
        words = {"facts": json.dumps(facts), "tenants": ["acme"], "before": house.console.now()}
        select(tx, "topology_tell", **words)


def claimed(house: House, kind: str, name: str) -> None:
    one = Finding(
        finding_id=finding_id("acme", "made", "1", "r", name),
        tenant_id="acme", detector="made", detector_version="1", rule_id="r", title="A claim",
        level="critical", time_us=START_US, entity_type=kind, entity=name, event_ids=(),
    )  # fmt: skip
    with house.database.writer() as tx:
        insert_findings(tx, [one])
    data = json.loads(finding_message(one))["data"]
    with house.database.app(house.acme) as tx:
        incidents.handle(house.acme, tx, Event(one.finding_id, "inopsio.finding", "findings", data))


def shown(house: House, search: str = "", scope: Scope | None = None) -> Topology:
    scope = scope or house.acme
    return read.topology(house.database, scope, Asked.read(search), house.console.now())


def test_captures_show_devices_roles_services_and_who_talks_to_whom(house: House) -> None:
    captured(house, *CAPTURES)
    places = shown(house).places
    assert places["10.16.1.1"].roles == ["dns server"]
    assert places["10.16.1.1"].near == {"10.16.1.11"}
    assert places["192.168.88.100"].services == ["modbus/502"]
    assert places["10.100.0.50"].device == "92:dd:a4:8d:5f:de"


def test_places_are_found_by_words_by_service_and_around_one(house: House) -> None:
    told(house, [
        ("talks_to", "10.0.0.1", "10.0.0.2"), ("talks_to", "10.0.0.2", "10.0.1.9"),
        ("talks_to", "10.0.1.9", "internet"), ("serves", "10.0.0.2", "tls/443"),
        ("device", "10.0.0.1", "02:00:00:00:00:01"), ("name", "02:00:00:00:00:01", "Till-7"),
    ])  # fmt: skip
    assert set(shown(house, "?q=till").places) == {"10.0.0.1"}
    assert set(shown(house, "?q=10.0.0.0/24%20443").places) == {"10.0.0.2"}
    assert set(shown(house, "?show=servers").places) == {"10.0.0.2"}
    around = shown(house, "?open=10.0.1.9")
    assert set(around.places) == {"10.0.1.9", "10.0.0.2", "internet"}
    assert (len(around.pairs), around.total, around.subnets) == (2, 4, 3)


def test_risk_is_that_of_the_address_or_of_the_host_that_has_it(house: House) -> None:
    told(house, [
        ("talks_to", "10.0.0.1", "10.0.0.2"), ("talks_to", "10.0.0.3", "10.0.0.2"),
        ("device", "10.0.0.1", "02:00:00:00:00:01"), ("name", "02:00:00:00:00:01", "till-7"),
    ])  # fmt: skip
    claimed(house, "host", "till-7")
    claimed(house, "ip", "10.0.0.3")
    risky = shown(house, "?show=risk").places
    assert set(risky) == {"10.0.0.1", "10.0.0.3"}
    assert all(one.level and one.score > 0 for one in risky.values())


def test_another_tenant_sees_nothing_of_it(house: House) -> None:
    told(house, [("talks_to", "10.0.0.1", "10.0.0.2")])
    assert shown(house, scope=house.bolt).total == 0


def test_no_two_places_lie_behind_each_other_and_they_stay_where_they_are(house: House) -> None:
    rows = [("talks_to", f"10.0.{n % 7}.{n // 7}", "10.9.9.9") for n in range(600)]
    told(house, rows)
    first, second = shown(house), shown(house)
    spots = [(p.x, p.y) for p in first.places.values()]
    near = min(
        (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2 for i, a in enumerate(spots) for b in spots[i + 1 :]
    )
    assert near > 40**2
    assert [(p.x, p.y) for p in second.places.values()] == spots


def test_of_too_many_places_the_best_connected_are_shown(house: House) -> None:
    told(house, [("talks_to", f"10.{n // 200}.0.{n % 200}", "10.99.0.1") for n in range(1_200)])
    found = shown(house)
    assert (len(found.places), found.total) == (MOST_NODES, 1_201)
    assert "10.99.0.1" in found.places


def test_a_place_without_an_address_is_a_network_of_its_own() -> None:
    assert (Place("internet").subnet, Place("internet").key) == ("internet", None)
    assert Place("2001:db8::1").subnet == "2001:db8::/64"


def test_the_page_says_how_to_begin_where_no_network_was_seen(house: House) -> None:
    person = house.person(house.acme, "vera", Role.VIEWER)
    assert "No network seen yet" in house.open(person, "/topology")


@pytest.mark.browser
def test_a_thousand_places_are_drawn_chosen_found_and_said(
    house: House, served: str, browser: Browser
) -> None:
    told(house, [("talks_to", f"10.{n // 200}.0.{n % 200}", "10.99.0.1") for n in range(990)])
    told(house, [("serves", "192.168.88.100", "modbus/502")])
    claimed(house, "ip", "10.1.0.7")
    page = signed_in(browser, house, served, "dark")
    watch = Watch(page, served)
    began_s = time.monotonic()
    opened(page, "/topology")
    page.wait_for_selector("#graph-canvas canvas")
    assert time.monotonic() - began_s < 30  # 4 s where nothing else runs
    expect(page.locator("#topology-said")).to_contain_text("992 places in 7 networks")
    page.focus("#graph-canvas")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector("#topology-side code")
    page.keyboard.press("ArrowRight")
    page.fill("#topology-find", "modbus")
    expect(page.locator("#topology-said")).to_contain_text("1 of")
    settled(page)
    assert page.inner_text("#topology-grid .ag-center-cols-container").startswith("192.168.88.100")
    page.fill("#topology-find", "")
    expect(page.locator("#topology-said")).to_contain_text("992 places in 7 networks")
    page.click("text=With risk")
    expect(page.locator("#topology-said")).to_contain_text("1 of 992")
    expect(page.locator("#graph-canvas")).to_have_attribute("data-nodes", "1")
    page.focus("#graph-canvas")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("text=Around 10.1.0.7")
    settled(page)
    page.evaluate(axe_script())
    answer = page.evaluate("rules => axe.run(document, {runOnly: rules})", RULES)
    assert [v["id"] for v in answer["violations"]] == []
    assert watch.heard == []
