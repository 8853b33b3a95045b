"""See that names that carry data and made-up domains are claimed, and a busy resolver is not."""

import hashlib
from typing import Any

from detectors import dns_tunnel
from storage.schema import Finding
from tests.detectors.streams import START_US, batches, frame_of
from tests.detectors.test_detector_conformance import fold

WINDOW = START_US // dns_tunnel.WINDOW_US * dns_tunnel.WINDOW_US


def made_up(number: int, size: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()[:size]


def asked(second: int, name: str, rcode: str | None = None) -> dict[str, Any]:
    row = {
        "tenant_id": "acme",
        "time_us": WINDOW + second * 1_000_000,
        "class_uid": 4003,
        "query.hostname": name,
    }
    if rcode is None:
        return row | {"activity_id": 1, "src_endpoint.ip": "10.0.0.66", "dst_endpoint.port": 53}
    # An answer comes from the name server.
    ends = {"src_endpoint.ip": "10.0.0.1", "src_endpoint.port": 53, "dst_endpoint.ip": "10.0.0.66"}
    return row | ends | {"activity_id": 2, "rcode": rcode}


def found(rows: list[dict[str, Any]]) -> list[Finding]:
    return fold(dns_tunnel, batches(frame_of(rows), [len(rows) // 2]))[1]


def test_long_new_names_under_one_domain_are_a_tunnel() -> None:
    (claim,) = found([asked(n, f"{made_up(n, 40)}.t.evil.example") for n in range(80)])
    assert claim.title == "10.0.0.66 asked for 60 long names under evil.example within ten minutes"
    assert (claim.entity, claim.level) == ("10.0.0.66", "high")


def test_many_domains_that_do_not_exist_are_a_search_and_the_client_is_told() -> None:
    rows = [asked(n, f"{made_up(n, 14)}.com", "NXDOMAIN") for n in range(30)]
    (claim,) = found(rows)
    assert (claim.entity, claim.rule_id) == ("10.0.0.66", "dns_tunnel.dga")


def test_short_names_and_the_same_long_name_are_no_tunnel() -> None:
    assert found([asked(n, f"host{n}.cdn.example") for n in range(300)]) == []
    assert found([asked(n, f"{made_up(1, 40)}.cdn.example") for n in range(300)]) == []


def test_reverse_names_and_missing_hosts_of_one_domain_are_no_search() -> None:
    reverse = [asked(n, f"{n}.1.0.10.in-addr.arpa", "NXDOMAIN") for n in range(100)]
    hosts = [asked(n, f"{made_up(n, 12)}.corp.example", "NXDOMAIN") for n in range(100)]
    assert found(reverse + hosts) == []


def test_twenty_four_made_up_domains_are_not_enough() -> None:
    assert found([asked(n, f"{made_up(n, 14)}.com", "NXDOMAIN") for n in range(24)]) == []
