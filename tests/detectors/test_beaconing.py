"""See that a clock is told from people, and a rare address from a popular one."""

import random
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors import beaconing
from pipelines.parsing import parse_stream
from storage.errors import InvalidBatch
from storage.schema import Finding
from tests.detectors.streams import START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold
from tests.shared import shared_data

IMPLANT = "203.0.113.7"


def _flow(
    second: float, src: str = "10.0.0.9", dst: str = IMPLANT, **more: object
) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "time_us": START_US + int(second * 1_000_000),
        "class_uid": 4001,
        "activity_id": 6,
        "src_endpoint.ip": src,
        "dst_endpoint.ip": dst,
        "dst_endpoint.port": 443,
        "connection_info.protocol_name": "tcp",
        "traffic.bytes_out": 400,
        **more,
    }


def _others(machines: int = 30) -> list[dict[str, Any]]:
    return [_flow(n, f"10.0.1.{n}", f"198.51.100.{n}") for n in range(machines)]


def _found(rows: list[dict[str, Any]]) -> list[Finding]:
    return fold(beaconing, batches(frame_of(rows), []))[1]


def _calls(gaps: list[float], **more: Any) -> list[dict[str, Any]]:  # noqa: ANN401  any column
    at, rows = 100.0, _others()
    for gap in gaps:
        at += gap
        rows.append(_flow(at, **more))
    return rows


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(10, 800))
def test_a_clock_with_five_percent_of_jitter_is_always_told(seed: int, period: int) -> None:
    dice = random.Random(seed)
    (claim,) = _found(_calls([period * dice.uniform(0.95, 1.05) for _ in range(60)]))
    assert (claim.level, claim.entity, claim.event_count) == ("high", "10.0.0.9", 60)
    assert ("ip", IMPLANT) in claim.links


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(10, 800))
def test_calls_by_chance_are_never_told(seed: int, mean: int) -> None:
    dice = random.Random(seed)
    assert _found(_calls([dice.expovariate(1 / mean) for _ in range(600)])) == []


def test_what_more_than_three_machines_call_is_no_beacon() -> None:
    rows = _calls([60.0] * 60)
    friends = [_flow(50 + n, f"10.0.1.{n}") for n in range(3)]
    assert len(_found(rows + friends[:2])) == 1
    assert _found(sorted(rows + friends, key=lambda r: r["time_us"])) == []


def test_a_popular_name_behind_a_rare_address_is_no_beacon() -> None:
    asked = [
        _flow(40 + n, f"10.0.1.{n}")
        | {"class_uid": 4003, "query.hostname": "update.example", "answers": answers}
        for n, answers in enumerate(["198.51.100.1"] * 5 + [IMPLANT])
    ]
    assert _found(asked + _calls([60.0] * 60)) == []


def test_few_machines_cannot_make_anything_rare() -> None:
    assert _found([_flow(60.0 * n) for n in range(90)]) == []


def test_transfers_pages_and_clocks_are_no_beacons() -> None:
    assert _found(_calls([60.0] * 60, **{"traffic.bytes_out": 900_000})) == []
    assert _found(_calls([1.0] * 60)) == []
    ntp = {"dst_endpoint.port": 123, "connection_info.protocol_name": "udp"}
    assert _found(_calls([64.0] * 60, **ntp)) == []


def test_two_logs_of_one_connection_do_not_disturb_each_other() -> None:
    rows = _calls([60.0] * 60)
    doubled = [
        r | {"metadata.product.name": product} for r in rows for product in ("zeek", "windows")
    ]
    assert len({f.finding_id for f in _found(doubled)}) == 1


def test_timetables_of_servers_are_signals() -> None:
    (claim,) = _found(_calls([3600.0] * 60))
    assert (claim.level, claim.kind) == ("low", "signal")


@pytest.mark.slow
def test_public_captures_hold_no_clock_that_would_be_told() -> None:
    flows = 0
    for path in sorted(shared_data("pcap").glob("*.pcap*")):
        read = parse_stream(
            "pcap",
            [path.read_bytes()],
            tenant_id="acme",
            source=path.name,
            ingested_at_us=2 * 10**15,
        )
        with suppress(InvalidBatch):  # some are broken on purpose; what was good came before
            for batch, _ in read:
                flows += int((batch.frame["class_uid"] == 4001).sum())
                assert fold(beaconing, [batch])[1] == [], path.name
    assert flows > 2_500
