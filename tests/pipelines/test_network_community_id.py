from ipaddress import ip_address

import pytest

from pipelines.network.community_id import community_id

BASELINE = [  # values of the specification's reference implementation (1.5.0, seed 0)
    ("128.232.110.120", "66.35.250.204", 6, 34_855, 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
    ("66.35.250.204", "128.232.110.120", 6, 80, 34_855, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="),
    ("192.168.1.52", "8.8.8.8", 17, 54_585, 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="),
    ("192.168.0.89", "192.168.0.1", 1, 8, 0, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
    ("192.168.0.1", "192.168.0.89", 1, 0, 8, "1:X0snYXpgwiv9TZtqg64sgzUn6Dk="),
    ("192.168.0.89", "192.168.0.1", 1, 20, 0, "1:3o2RFccXzUgjl7zDpqmY7yJi8rI="),
    ("fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 58, 135, 136,
     "1:dGHyGvjMfljg6Bppwm3bg0LO8TY="),
    ("3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:501:0:1001::2", 58, 3, 0,
     "1:tGcYbzNItUoGXIXF3vdd2TMdUKI="),
    ("192.168.170.8", "192.168.170.56", 132, 7, 80, "1:jQgCxbku+pNGw8WPbEc/TS/uTpQ="),
    ("10.1.24.4", "10.1.12.1", 46, 0, 0, "1:/nQI4Rh/TtY3mf0R2gJFBkVlgS4="),
]  # fmt: skip


@pytest.mark.parametrize(("src", "dst", "protocol", "src_port", "dst_port", "want"), BASELINE)
def test_reference_values(
    src: str, dst: str, protocol: int, src_port: int, dst_port: int, want: str
) -> None:
    ends = ip_address(src).packed, ip_address(dst).packed
    assert community_id(*ends, protocol, src_port, dst_port) == want
