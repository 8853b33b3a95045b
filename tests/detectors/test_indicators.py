"""See what events meet, by kind, while it is valid, once a day and for the right tenant."""

from typing import Any

import polars as pl
import pytest

from detectors import indicators
from storage.indicators import FRAME
from storage.schema import Context, EventBatch, Finding
from storage.schema.indicator import Known
from tests.detectors.streams import MINUTE_US, START_US, frame_of

SHA = "a" * 64


def known(kind: str, value: str, **told: Any) -> dict[str, pl.DataFrame]:  # noqa: ANN401  a row's values
    row = {"type": kind, "value": value, "feed": "list", "valid_from_us": 0}
    row |= {"valid_until_us": None, "confidence": 80} | told
    return {"acme": pl.DataFrame([row], schema=FRAME)}


def event(minute: int = 0, tenant: str = "acme", **told: Any) -> dict[str, Any]:  # noqa: ANN401  a row's values
    row = {"tenant_id": tenant, "time_us": START_US + minute * MINUTE_US, "class_uid": 4001}
    return row | {name.replace("__", "."): value for name, value in told.items()}


def found(told: dict[str, pl.DataFrame], *rows: dict[str, Any]) -> list[Finding]:
    ready = {tenant: Known.of(frame) for tenant, frame in told.items()}
    context = Context(watermark_us=0, indicators=ready)
    state = indicators.META.empty_state()
    return indicators.detect(state, EventBatch(frame_of(rows)), context)[1]


@pytest.mark.parametrize(
    ("kind", "value", "told"),
    [
        ("ipv4", "203.0.113.7", {"dst_endpoint__ip": "203.0.113.7"}),
        ("ipv6", "2001:db8::7", {"src_endpoint__ip": "2001:DB8::7"}),
        ("cidr", "203.0.113.0/24", {"dst_endpoint__ip": "203.0.113.200"}),
        ("cidr", "203.0.0.0/12", {"dst_endpoint__ip": "203.13.1.2"}),
        ("ipv6", "2001:db8::7", {"dst_endpoint__ip": "2001:0db8:0:0:0:0:0:7"}),
        ("ipv6", "fe80::1", {"device__ip": "fe80::1%eth0"}),
        ("cidr", "2001:db8::/32", {"dst_endpoint__ip": "2001:DB8:ffff::1"}),
        ("cidr", "2001:db8:8000::/33", {"dst_endpoint__ip": "2001:db8:8000::1"}),
        ("cidr", "2001:db8::/127", {"dst_endpoint__ip": "[2001:db8::1]"}),
        ("ipv4", "203.0.113.7", {"src_endpoint__ip": "::ffff:203.0.113.7"}),
        ("cidr", "203.0.113.0/24", {"src_endpoint__ip": "::FFFF:203.0.113.9"}),
        ("domain", "bad.example", {"query__hostname": "bad.example."}),
        ("domain", "bad.example", {"query__hostname": "A.b.c.Bad.example"}),
        ("domain", "bad.example", {"tls__sni": "www.bad.example"}),
        ("domain", "mail.bad.example", {"email__from": "Ann <ann@mail.bad.example>"}),
        ("email", "eve@bad.example", {"email__from": '"Eve" <Eve@bad.example>'}),
        ("sha256", SHA, {"process__file__hashes": f"MD5=x,SHA256={SHA.upper()}"}),
        (
            "url",
            "https://bad.example/a?B=1",
            {"http_request__url__hostname": "Bad.example", "http_request__url__path": "/a?B=1"},
        ),
    ],
)
def test_it_is_met_in_every_form_in_which_events_write_it(
    kind: str, value: str, told: dict[str, Any]
) -> None:
    (claim,) = found(known(kind, value), event(device__hostname="pc1", **told))
    assert (claim.entity_type, claim.entity, claim.level) == ("host", "pc1", "high")
    assert claim.reasons[0].value == value
    assert "list" in claim.title


@pytest.mark.parametrize(
    "told",
    [
        {"dst_endpoint__ip": "203.0.113.70"},
        {"query__hostname": "notbad.example"},
        {"query__hostname": "bad.example.org"},
        {"process__file__hashes": f"SHA256={'a' * 63}b"},
        {"device__hostname": "203.0.113.7"},
    ],
)
def test_what_only_looks_like_it_is_not_met(told: dict[str, Any]) -> None:
    for kind, value in (("ipv4", "203.0.113.7"), ("domain", "bad.example"), ("sha256", SHA)):
        assert found(known(kind, value), event(**told)) == []


@pytest.mark.parametrize(
    ("network", "address"),
    [
        ("2001:db8::/32", "2001:db9::1"),
        ("2001:db8:8000::/33", "2001:db8:7fff::1"),
        ("2001:db8::/127", "2001:db8::2"),
        ("2001:db8::/32", "2001:db8"),
        ("2001:db8::/32", "2001:db8::zz"),
        ("203.0.113.0/24", "::ffff:203.0.114.9"),
        ("203.0.113.0/24", "2001:db8::cb00:7107"),
    ],
)
def test_an_address_outside_of_the_network_is_not_met(network: str, address: str) -> None:
    assert found(known("cidr", network), event(dst_endpoint__ip=address)) == []


def test_networks_of_two_tenants_do_not_mix() -> None:
    told = known("cidr", "2001:db8::/32")
    told |= {"bolt": known("cidr", "2001:db9::/32")["acme"]}
    rows = [event(0, t, dst_endpoint__ip="2001:db8::1") for t in ("acme", "bolt")]
    assert [claim.tenant_id for claim in found(told, *rows)] == ["acme"]


def test_it_counts_only_while_it_is_valid_by_the_events_time() -> None:
    hour = 60 * MINUTE_US
    told = known("ipv4", "203.0.113.7", valid_from_us=START_US, valid_until_us=START_US + hour)
    at: dict[str, Any] = {"dst_endpoint__ip": "203.0.113.7"}
    assert found(told, event(-1, **at)) == []
    assert found(told, event(60, **at)) == []
    assert len(found(told, event(59, **at))) == 1


def test_it_is_told_once_a_day_for_each_entity_by_the_surest_feed() -> None:
    rows = [
        ("ipv4", "203.0.113.7", feed, 0, None, sure)
        for feed, sure in (("weak", 20), ("sure", 90), ("mid", 60))
    ]
    told = {"acme": pl.DataFrame(rows, schema=FRAME, orient="row")}
    at: dict[str, Any] = {"dst_endpoint__ip": "203.0.113.7"}
    hosts = [event(n, device__hostname=f"pc{n % 2}", **at) for n in range(6)]
    claims = found(told, *hosts, event(24 * 60, device__hostname="pc0", **at))
    assert len(claims) == 3
    assert {claim.reasons[1].value for claim in claims} == {"sure"}


def test_what_is_little_sure_is_a_signal_and_of_another_tenant_nothing() -> None:
    at: dict[str, Any] = {"dst_endpoint__ip": "203.0.113.7"}
    (weak,) = found(known("ipv4", "203.0.113.7", confidence=30), event(**at))
    assert (weak.kind, weak.level, weak.entity) == ("signal", "medium", "203.0.113.7")
    assert found(known("ipv4", "203.0.113.7"), event(tenant="bolt", **at)) == []


def test_a_hundred_thousand_indicators_are_joined_and_not_walked() -> None:
    rows = [
        ("ipv4", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", "list", 0, None, 80)
        for n in range(100_000)
    ]
    told = {"acme": pl.DataFrame(rows, schema=FRAME, orient="row")}
    events = [event(0, dst_endpoint__ip=f"10.0.{n % 200}.9") for n in range(400)]
    assert len(found(told, *events)) == 200
