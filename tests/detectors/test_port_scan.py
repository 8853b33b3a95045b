"""See that failing connections over many ports and hosts are claimed, and busy clients are not."""

from typing import Any

import pytest

from detectors import port_scan
from storage.schema import Finding
from tests.detectors.streams import MINUTE_US, START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold

# The beginning of a day, so that windows of a day are whole.
DAY = START_US // 86_400_000_000 * 86_400_000_000


def flow(second: float, dst: str, port: int, state: str = "refused") -> dict[str, Any]:
    return {
        "tenant_id": "acme",
        "time_us": DAY + int(second * 1_000_000),
        "class_uid": 4001,
        "activity_id": 6,
        "src_endpoint.ip": "10.0.0.66",
        "dst_endpoint.ip": dst,
        "dst_endpoint.port": port,
        "connection_info.protocol_name": "tcp",
        "connection_info.state": state,
    }


def found(rows: list[dict[str, Any]]) -> list[Finding]:
    return fold(port_scan, batches(frame_of(rows), [len(rows) // 2]))[1]


@pytest.mark.parametrize("state", ["refused", "new", "S0", "REJ"])
def test_many_ports_of_one_host_are_a_vertical_scan(state: str) -> None:
    (claim,) = found([flow(n, "10.0.1.1", n + 1, state) for n in range(60)])
    assert claim.title == "10.0.0.66 tried 40 ports of 10.0.1.1"
    assert (claim.entity, claim.rule_id) == ("10.0.0.66", "port_scan.vertical")


def test_one_port_of_many_hosts_is_a_horizontal_scan() -> None:
    (claim,) = found([flow(n, f"10.0.1.{n}", 445) for n in range(40)])
    assert claim.title == "10.0.0.66 tried port 445 of 25 hosts"


def test_a_slow_scan_shows_in_a_day() -> None:
    rows = [flow(n * 600, f"10.0.1.{n % 9}", 1_000 + n) for n in range(100)]
    (claim,) = found(rows)
    assert claim.rule_id == "port_scan.slow"


def test_a_busy_client_whose_connections_succeed_is_none() -> None:
    assert found([flow(n, f"10.0.1.{n}", 443, "closed") for n in range(200)]) == []


def test_a_few_failures_and_one_failing_server_asked_again_and_again_are_none() -> None:
    assert found([flow(n, "10.0.1.1", n + 1) for n in range(39)]) == []
    assert found([flow(n, "10.0.1.1", 443) for n in range(500)]) == []


def test_ports_spread_over_windows_are_not_added_up() -> None:
    rows = [flow(n * 40, "10.0.1.1", n + 1) for n in range(60)]
    assert MINUTE_US * 10 == port_scan.FAST_US
    assert [c for c in found(rows) if "slow" not in c.rule_id] == []
