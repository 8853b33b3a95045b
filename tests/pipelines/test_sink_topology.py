"""See what real captures show of their networks, and that it stays with the tenant."""

import time
from collections.abc import Iterable

import pytest

from pipelines.parsing import parse_stream
from pipelines.sinks import topology
from storage.database import Database
from storage.database.queries import select
from storage.outcome import Outcome
from storage.schema import EventBatch
from storage.tenant import Role, Scope
from tests.api.conftest import Front, front
from tests.pipelines.network_frames import CLIENT, capture, tcp
from tests.shared import ROOT, shared_data

__all__ = ["front"]
Facts = set[tuple[str, str, str]]
SEEN: Facts = {
    ("serves", "203.0.113.80", "tls/443"),
    ("talks_to", "10.0.0.5", "internet"),
}
ZEEK: Facts = SEEN | {("serves", "198.51.100.80", "http/80"), ("role", "10.0.0.1", "dns server")}
EVE: Facts = SEEN | {("serves", "203.0.113.80", "http/80"), ("role", "203.0.113.80", "dns server")}


def batches(data: bytes, tenant: str = "acme", written_as: str = "pcap") -> tuple[EventBatch, ...]:
    now_us = time.time_ns() // 1000
    read = parse_stream(written_as, [data], tenant_id=tenant, source="s", ingested_at_us=now_us)
    return tuple(batch for batch, _ in read if len(batch))


def facts(found: Iterable[EventBatch]) -> Facts:
    frames = [topology.facts_of(batch) for batch in found]
    return {row for f in frames for row in f.select("kind", "one", "other").iter_rows()}


def seen_in(name: str) -> Facts:
    return facts(batches((shared_data("pcap") / name).read_bytes()))


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "dhcp__suri__dhcp-option-52-overload.pcap",
            {
                ("device", "10.100.0.50", "92:dd:a4:8d:5f:de"),
                ("role", "10.100.0.2", "dhcp server"),
                ("role", "10.100.0.1", "gateway"),
            },
        ),
        ("dhcp__suri__dhcp-eve-extended-option-60.pcap",
         {("name", "28:cf:da:dc:8d:76", "NicksMacBook")}),
        ("arp__zeek__snap-arp.pcapng", {("device", "10.0.0.1", "c2:3d:19:6c:00:01")}),
        (
            "dns__suri__cond-log-dns-dig.pcap",
            {("role", "10.16.1.1", "dns server"), ("talks_to", "10.16.1.11", "10.16.1.1")},
        ),
        ("modbus__zeek__modbus-eit.pcap", {("serves", "192.168.88.100", "modbus/502")}),
        (
            "ssh__suri__ssh-hassh-only.pcap",
            {("serves", "192.168.0.103", "ssh/22"), ("talks_to", "192.168.0.103", "internet")},
        ),
    ],
)  # fmt: skip
def test_a_real_capture_shows_devices_roles_and_who_talks_to_whom(name: str, wanted: Facts) -> None:
    assert wanted <= seen_in(name)


@pytest.mark.parametrize(
    ("written_as", "sample", "wanted"),
    [
        ("zeek_json", "sample.json", ZEEK),
        ("suricata_eve", "eve.json", EVE),
    ],
)
def test_what_other_sensors_say_counts_too(written_as: str, sample: str, wanted: Facts) -> None:
    data = (ROOT / "tests/samples" / written_as / sample).read_bytes()
    assert facts(batches(data, written_as=written_as)) == wanted


@pytest.mark.parametrize(
    "name",
    ["vlan__zeek__vntag_vlan_sandwich_clean.pcap", "dhcp__suri__dhcp-option-52-overload-both.pcap"],
)
def test_what_nobody_answered_is_no_fact(name: str) -> None:
    assert seen_in(name) == set()


def test_a_refused_scan_makes_no_pairs() -> None:
    frames = [f for port in range(1, 50) for f in (
        tcp(dport=port, flags=2), tcp(dport=port, flags=20, back=True),
    )]  # fmt: skip
    assert {f for f in facts(batches(capture(frames))) if CLIENT in f} == set()


def test_facts_are_known_to_their_tenant_by_any_side_and_seen_again_only_move_their_dates(
    front: Front,
) -> None:
    data = (shared_data("pcap") / "arp__suri__arp.pcap").read_bytes()
    for _ in range(2):
        with front.database.writer() as tx:
            topology.write(tx, Outcome("events", (), batches(data)))
    client = front.bearer(front.acme, Role.ANALYST)
    by_mac = client.get("/v1/topology?entity=00:1d:09:f0:92:ab").json()
    assert [(f["kind"], f["one"]) for f in by_mac] == [("device", "10.10.10.1")]
    assert len(client.get("/v1/topology").json()) == 3
    assert len(client.get("/v1/topology?kind=talks_to").json()) == 1
    assert front.bearer(front.bolt, Role.ANALYST).get("/v1/topology").json() == []


def test_made_up_facts_are_bounded(database: Database, two_tenants: tuple[Scope, Scope]) -> None:
    lines = b"".join(
        b'{"time":%d,"class_uid":0,"activity_id":0,"metadata.log_name":"arp",'
        b'"src_endpoint.ip":"10.0.%d.%d","unmapped.src_mac":"m"}\n'
        % (1_700_000_000_000 + n, *divmod(n, 250))
        for n in range(3 * topology.MOST)
    )
    read = parse_stream("ocsf_json", [lines], tenant_id="acme", source="s", ingested_at_us=10**15)
    with database.writer() as tx:
        topology.write(tx, Outcome("events", (), tuple(batch for batch, _ in read)))
    with database.app(two_tenants[0]) as tx:
        rows = select(tx, "topology_list", entity=None, kind=None, limit=10_000)
    assert len(rows) == topology.MOST


def test_facts_are_bounded_over_all_steps_and_the_oldest_go(
    database: Database, two_tenants: tuple[Scope, Scope], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topology, "MOST_HELD", 30)
    for step in range(3):
        lines = b"".join(
            b'{"time":%d,"class_uid":0,"activity_id":0,"metadata.log_name":"arp",'
            b'"src_endpoint.ip":"10.0.%d.%d","unmapped.src_mac":"m"}\n'
            % (1_795_000_000_000 + 1000 * step + n, step, n)
            for n in range(20)
        )
        read = parse_stream("ocsf_json", [lines], tenant_id="acme", source="s",
                            ingested_at_us=18 * 10**14)  # fmt: skip
        with database.writer() as tx:
            topology.write(tx, Outcome("events", (), tuple(batch for batch, _ in read)))
    with database.app(two_tenants[0]) as tx:
        rows = select(tx, "topology_list", entity=None, kind=None, limit=10_000)
    assert len(rows) == 30
    assert not any(str(row["one"]).startswith("10.0.0.") for row in rows)
