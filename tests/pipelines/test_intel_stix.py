"""See that a pattern gives the indicators it means, or a reason, and that no bytes break it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.intel import stix
from storage.errors import InvalidBatch, InvalidInput
from storage.schema.indicator import normal

_SHA1 = "da39a3ee5e6b4b0d3255bfef95601890afd80709"
_MD5 = "d41d8cd98f00b204e9800998ecf8427e"


def _one(**more: object) -> dict[str, Any]:
    return {
        "type": "indicator",
        "id": "indicator--1",
        "pattern_type": "stix",
        "pattern": "[domain-name:value = 'evil.example']",
        "valid_from": "2026-01-01T00:00:00Z",
        **more,
    }


def _bundle(*objects: object) -> bytes:
    return json.dumps({"type": "bundle", "objects": objects}).encode()


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("[ipv4-addr:value = '203.0.113.0/24']", [("cidr", "203.0.113.0/24")]),
        (
            "([url:value='http://e.example/it\\'s'] OR [email-addr:value = 'A@e.example'])",
            [("url", "http://e.example/it's"), ("email", "a@e.example")],
        ),
        (
            f"[file:hashes.'SHA-1' = '{_SHA1}' AND file:hashes.MD5 = '{_MD5}']",
            [("sha1", _SHA1), ("md5", _MD5)],
        ),
    ],
)
def test_a_pattern_gives_what_it_means(pattern: str, expected: list[tuple[str, str]]) -> None:
    assert stix.reduced(pattern) == expected


@pytest.mark.parametrize(
    "pattern",
    [
        "[domain-name:value = 'e.example' AND ipv4-addr:value = '203.0.113.9']",
        "[domain-name:value LIKE '%.example']",
        "[domain-name:value != 'e.example']",
        "[domain-name:value = 'e.example'] FOLLOWEDBY [domain-name:value = 'f.example']",
        "[process:name = 'evil']",
        "[domain-name:value = 'e.example'",
        "(" * 2000 + "[domain-name:value = 'e.example']" + ")" * 2000,
        "",
    ],
)
def test_a_pattern_that_says_more_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidInput):
        stix.reduced(pattern)


def test_the_bad_are_told_and_the_good_go_on() -> None:
    got = stix.read(
        _bundle(
            _one(id="a", revoked=True),
            _one(id="b", valid_from=None),
            _one(id="c", valid_until="2025-01-01T00:00:00Z"),
            7,
            _one(id="d", confidence=90, valid_until="2026-01-02T00:00:00Z", labels=["c2"]),
        ),
        "f",
    )
    assert [r.record for r in got.refused] == ["a", "b", "c", "3"]
    (good,) = got.indicators
    assert (good.value, good.confidence, good.labels) == ("evil.example", 90, ("c2",))
    assert good.valid_until_us == good.valid_from_us + 86_400_000_000


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)
_KEYS = st.sampled_from(
    ["id", "pattern", "valid_from", "valid_until", "confidence", "labels", "object_marking_refs"]
)


@given(st.lists(st.dictionaries(_KEYS, _JSON, max_size=3), max_size=3))
def test_every_indicator_is_read_or_told(changes: list[dict[str, Any]]) -> None:
    got = stix.read(_bundle(*(_one(**c) for c in changes)), "f")
    assert len(got.indicators) + len(got.refused) == len(changes)
    assert all(normal(i.type, i.value) == (i.type, i.value) for i in got.indicators)


@given(st.binary(max_size=60) | st.just(b"[" * 200_000))
def test_no_bytes_break_it(data: bytes) -> None:
    with pytest.raises(InvalidBatch):
        stix.read(data, "f")
