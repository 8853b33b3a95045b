"""See which minutes are bursts: a flood and a sweep, not what is always busy."""

from typing import Any

from detectors import edge_burst
from storage.schema import Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold


def flow(minute: int, src: str, dst: str, second: int = 0) -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "time_us": START_US + minute * MINUTE_US + second * 1000,
        "class_uid": 4001,
        "activity_id": 6,
        "src_endpoint.ip": src,
        "dst_endpoint.ip": dst,
    }


def everyday(minutes: int, busy: int = 0) -> list[dict[str, Any]]:
    """Give three flows a minute, and `busy` more to one server."""
    return [
        flow(minute, f"10.0.0.{n % 9}", "10.0.1.1" if n >= 3 else f"10.0.2.{minute % 7}", n)
        for minute in range(minutes)
        for n in range(3 + busy)
    ]


def found(rows: list[dict[str, Any]]) -> list[Finding]:
    ordered = sorted(rows, key=lambda row: int(row["time_us"]))
    return fold(edge_burst, batches(frame_of(ordered), [len(rows) // 3]))[1]


def test_a_flood_from_many_addresses_is_told_of_the_one_it_hits() -> None:
    flood = [flow(100, f"198.51.{n // 250}.{n % 250}", "10.0.1.9", n) for n in range(500)]
    (claim,) = found([*everyday(120), *flood])
    assert (claim.entity, claim.kind, claim.event_count) == ("10.0.1.9", "signal", 500)
    assert claim.title == "10.0.1.9 took 500 connections in a minute"
    assert claim.attack == ("T1498",)


def test_a_sweep_is_told_of_who_sweeps() -> None:
    sweep = [flow(100, "10.0.0.66", f"10.0.{n // 250}.{n % 250}", n) for n in range(500)]
    (claim,) = found([*everyday(120), *sweep])
    assert (claim.entity, claim.attack) == ("10.0.0.66", ("T1046",))


def test_what_is_always_busy_is_no_burst_and_neither_are_small_numbers() -> None:
    assert found(everyday(120, busy=400)) == []
    few = [flow(100, "10.0.0.66", f"10.0.9.{n}", n) for n in range(200)]
    assert found([*everyday(120), *few]) == []


def test_nothing_is_told_in_the_first_hour_and_the_same_once_a_day() -> None:
    early = [flow(30, f"198.51.100.{n % 250}", "10.0.1.9", n) for n in range(500)]
    assert found([*everyday(50), *early]) == []
    later = [
        flow(minute, f"198.51.100.{n % 250}", "10.0.1.9", n)
        for minute in (100, 105, 110)
        for n in range(500)
    ]
    assert len(found([*everyday(120), *later])) == 1
