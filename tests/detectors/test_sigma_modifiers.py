"""What few published rules use, each with a table of what it says; hostile patterns end in time."""

import time

import pytest
import yaml

from detectors._sigma.read import compile_text
from detectors.sigma import CompiledRule, RuleReport, RuleSet
from tests.detectors.test_sigma import _batch, _hits, _rule

MOMENT = "2026-11-27 23:59:58.123"


@pytest.mark.parametrize(
    ("item", "value", "hit", "miss"),
    [
        ("f|cased", "Ab", ["Ab"], ["ab", "AB", "xAb", None]),
        ("f|contains|cased", "Ab", ["xAbx"], ["xabx", None]),
        ("f|startswith|cased", "Ab", ["Abx"], ["abx", "xAb"]),
        ("f|neq", "ab", ["a", None], ["ab", "AB"]),
        ("f|contains|neq", "ab", ["a", None], ["xABx"]),
        ("f|neq", 3, ["4", None], ["3", "3.0"]),
        ("f|exists", True, ["", "x"], [None]),
        ("f|exists", False, [None], ["", "x"]),
        ("f|lt", 3, ["2", "-4", "2.5"], ["3", "x", None]),
        ("f|gte", 3, ["3", "3.0", "10"], ["2.9", "03x", None]),
        ("f|windash|contains", " -x", ["a -x", "a /x", "a –x"], ["a x", None]),
        ("f|base64offset|contains", "secret!", ["c2VjcmV0I", "xzZWNyZXQhx"], ["secret!", None]),
        ("f|wide|base64offset|contains", "ab", ["YQBiA"], ["YWI", None]),
        ("f|utf16be|base64", "ab", ["AGEAYg=="], ["YQBiAA==", None]),
        ("f|re|i", "^a.c$", ["ABC"], ["abcd", None]),
        ("f|re|m", "^b$", ["a\nb"], ["ab"]),
        ("f|re|s", "a.b", ["a\nb"], ["ab"]),
        ("f|cidr", "fe80::/10", ["fe80::1"], ["10.0.0.1", "x", None]),
        ("f|minute", 59, [MOMENT, "2026-11-27T23:59:58Z"], ["2026-11-27 23:58:58", "59", None]),
        ("f|hour", 23, [MOMENT], ["2026-11-27T22:59:58Z", None]),
        ("f|hour", 22, ["2026-11-27T23:59:58+01:00"], [MOMENT]),
        ("f|day", 27, [MOMENT], ["2026-11-28 00:00:00", None]),
        ("f|week", 48, [MOMENT], ["2026-11-20 00:00:00", None]),
        ("f|month", 11, [MOMENT], ["2026-12-27 00:00:00", None]),
        ("f|year", 2026, [MOMENT], ["2025-12-31 23:59:59", None]),
    ],
)
def test_a_modifier_says_what_its_table_says(
    item: str, value: object, hit: list[str | None], miss: list[str | None]
) -> None:
    rule = _rule({"s": {item: value}, "condition": "s"})
    assert _hits(rule, [{"f": v} for v in [*hit, *miss]]) == list(range(len(hit)))


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(a*)*b", "^(([a-z])+.)+[A-Z]([a-z])+$"])
def test_a_catastrophic_pattern_costs_no_more_than_its_input_is_long(pattern: str) -> None:
    rule = _compiled(pattern)
    assert isinstance(rule, CompiledRule)
    frame = _batch([{"f": "a" * 100_000 + "!"}], **{"metadata.product.name": "x"}).frame
    began = time.process_time()
    assert RuleSet([rule]).match(frame).height == 0
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(?=a)b", "look-around"),
        ("(?<!a)b", "look-around"),
        (r"(a)\1", "backreference"),
        ("((a{1,1000}){1,1000}){1,1000}", "too large"),
    ],
)
def test_what_a_linear_engine_cannot_do_is_refused_by_name(pattern: str, reason: str) -> None:
    report = _compiled(pattern)
    assert isinstance(report, RuleReport)
    assert reason in report.reason


def _compiled(pattern: str) -> object:
    rule = _rule({"s": {"f|re": pattern}, "condition": "s"})
    return compile_text(yaml.safe_dump(rule).encode(), "r.yml", {})[0]
