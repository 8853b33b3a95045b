"""What few published rules use, each with a table of what it says; hostile patterns end in time."""

import time
from base64 import b64encode
from datetime import UTC, datetime

import pytest
import yaml

from detectors._sigma.read import compile_text
from detectors.sigma import CompiledRule, RuleReport, RuleSet
from tests.detectors.test_sigma import _batch, _hits, _rule

MOMENT = "2026-11-27 23:59:58.123"


def _coded(text: str, codec: str = "utf-8") -> list[str | None]:
    """Give base64 with the text at each of its three places, other bytes around it."""
    return [b64encode(b"x" * n + text.encode(codec) + b"yz").decode() for n in range(3)]


@pytest.mark.parametrize(
    ("item", "value", "hit", "miss"),
    [
        ("f|cased", "Ab", ["Ab"], ["ab", "AB", "xAb", None]),
        ("f|contains|cased", "Ab", ["xAbx"], ["xabx", None]),
        ("f|startswith|cased", "Ab", ["Abx"], ["abx", "xAb"]),
        ("f|neq", "ab", ["a", None], ["ab", "AB"]),
        ("f|contains|neq", "ab", ["a", None], ["xABx"]),
        ("f|neq", 3, ["4", None], ["3", "3.0"]),
        ("f", 12345678901234567890, ["12345678901234567890"], ["12345678901234567891", None]),
        ("f|neq", 12345678901234567890, ["12345678901234567891"], ["12345678901234567890"]),
        ("f|exists", True, ["", "x"], [None]),
        ("f|exists", False, [None], ["", "x"]),
        ("f|lt", 3, ["2", "-4", "2.5"], ["3", "x", None]),
        ("f|gte", 3, ["3", "3.0", "10"], ["2.9", "03x", None]),
        ("f|windash|contains", " -x", ["a -x", "a /x", "a –x"], ["a x", None]),
        ("f|base64offset|contains", "secret!", ["c2VjcmV0I", "xzZWNyZXQhx"], ["secret!", None]),
        ("f|wide|base64offset|contains", "ab", ["YQBiA"], ["YWI", None]),
        ("f|utf16be|base64", "ab", ["AGEAYg=="], ["YQBiAA==", None]),
        ("f|utf16le|base64", "ab", ["YQBiAA=="], ["AGEAYg==", None]),
        ("f|utf16|base64", "ab", ["//5hAGIA"], ["YQBiAA==", "77u/YQBiAA==", None]),
        ("f|wide|base64", "aé", ["YQDpAA=="], ["YcOp"]),
        ("f|base64offset|contains", "grüße", _coded("grüße"), ["grüße", "Z3I"]),
        ("f|utf16be|base64offset|contains", "ü", _coded("ü", "utf-16-be"), ["ü"]),
        ("f|base64offset|contains", "a", ["YQ"], ["", "xx"]),
        ("f|base64", r"C:\\a\*", ["QzpcYSo="], ["QzpcYVwq"]),
        ("f|cased|windash|contains", " -X", ["a -X", "a /X"], ["a -x", "a /x"]),
        ("f|windash|cased|contains", " -X", ["a -X", "a /X"], ["a -x", "a /x"]),
        ("f|re|i", "^a.c$", ["ABC"], ["abcd", None]),
        ("f|re|m", "^b$", ["a\nb"], ["ab"]),
        ("f|re|s", "a.b", ["a\nb"], ["ab"]),
        ("f|cidr", "fe80::/10", ["fe80::1"], ["10.0.0.1", "x", None]),
        ("f|minute", 59, [MOMENT, "2026-11-27T23:59:58Z"], ["2026-11-27 23:58:58", "59", None]),
        ("f|hour", 23, [MOMENT], ["2026-11-27T22:59:58Z", None]),
        ("f|hour", 22, ["2026-11-27T23:59:58+01:00"], [MOMENT]),
        ("f|hour|gte", 22, [MOMENT, "2026-11-27T22:00:00Z"], ["2026-11-27 21:59:59", "23", None]),
        ("f|hour|gt", 22, [MOMENT], ["2026-11-27T22:59:58Z", None]),
        ("f|hour|lt", 6, ["2026-11-27 05:59:59"], ["2026-11-27 06:00:00", "5", None]),
        ("f|hour|lte", 6, ["2026-11-27 06:59:59"], ["2026-11-27 07:00:00", None]),
        ("f|hour|neq", 23, ["2026-11-27T22:59:58Z", None], [MOMENT]),
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
        ("a++ab", "possessive"),
        ("a{2}+ab", "possessive"),
    ],
)
def test_what_a_linear_engine_cannot_do_is_refused_by_name(pattern: str, reason: str) -> None:
    report = _compiled(pattern)
    assert isinstance(report, RuleReport)
    assert reason in report.reason


@pytest.mark.parametrize(
    ("item", "value"),
    [("f|expand|base64", "%a%"), ("f|base64offset", "a*"), ("f|wide|contains", "é")],
)
def test_what_cannot_be_encoded_is_refused(item: str, value: str) -> None:
    text = yaml.safe_dump(_rule({"s": {item: value}, "condition": "s"})).encode()
    report = compile_text(text, "r.yml", {"a": ("x",)})[0]
    assert isinstance(report, RuleReport)
    assert "encoded" in report.reason or "base64" in report.reason


@pytest.mark.parametrize(
    ("item", "value", "reason"),
    [
        ("f|windash|contains", " -a" * 8, "windash"),
        ("f|windash|contains", [f" -a -b -c -d{n}" for n in range(40)], "windash"),
        ("f|" + "|".join(["wide"] * 28) + "|base64", "abcdefgh", "twice"),
        ("f|" + "|".join(["base64offset"] * 14), "abcdefgh", "twice"),
        ("f|expand", "%a%" * 20, "placeholders"),
        ("f|re|expand", "%a%" * 20, "placeholders"),
    ],
)
def test_a_short_text_that_would_unfold_without_end_is_refused_at_once(
    item: str, value: object, reason: str
) -> None:
    text = yaml.safe_dump(_rule({"s": {item: value}, "condition": "s"})).encode()
    began = time.process_time()
    report = compile_text(text, "r.yml", {"a": ("x", "y")})[0]
    assert time.process_time() - began < 2
    assert isinstance(report, RuleReport)
    assert reason in report.reason


@pytest.mark.parametrize(
    "condition",
    [" or ".join(["s"] * 500), ["s"] * 5000, " or ".join(["1 of s*"] * 300), "1 of them"],
)
def test_many_values_named_again_and_again_are_refused_at_once(condition: object) -> None:
    detection = {"s": {"f": [f"x{n}" for n in range(9000)]}, "condition": condition}
    detection |= {f"s{n}": {"f": "y"} for n in range(9)}
    text = yaml.dump(_rule(detection), Dumper=yaml.CSafeDumper).encode()
    began = time.process_time()
    found = compile_text(text, "r.yml", {})[0]
    assert time.process_time() - began < 6
    assert isinstance(found, CompiledRule if condition == "1 of them" else RuleReport)
    assert isinstance(found, CompiledRule) or "names more than" in found.reason


def test_many_dear_patterns_are_refused_before_they_are_built() -> None:
    patterns = [rf"^\w{{1,90}}{n}\w{{1,90}}$" for n in range(1500)]
    text = yaml.safe_dump(_rule({"s": {"f|re": patterns}, "condition": "s"})).encode()
    began = time.process_time()
    report = compile_text(text, "r.yml", {})[0]
    assert time.process_time() - began < 4
    assert isinstance(report, RuleReport)
    assert "too large together" in report.reason
    assert isinstance(_compiled(patterns[0]), CompiledRule)


def test_an_empty_pattern_holds_for_any_text() -> None:
    rule = _rule({"s": {"f|re": ""}, "condition": "s"})
    assert _hits(rule, [{"f": "a"}, {"f": ""}, {"f": None}]) == [0, 1]


def test_the_moment_of_the_event_itself_has_parts() -> None:
    rule = _rule({"s": {"time|hour|gte": 22}, "condition": "s"})
    times = [datetime(2026, 11, 27, hour, 30, tzinfo=UTC) for hour in (21, 22, 23)]
    assert [_hits(rule, [{"f": "x"}], time=at) for at in times] == [[], [0], [0]]


def _compiled(pattern: str) -> object:
    rule = _rule({"s": {"f|re": pattern}, "condition": "s"})
    return compile_text(yaml.safe_dump(rule).encode(), "r.yml", {})[0]
