"""Column matching says what the per-event oracle says, and claims carry their reasons."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from sigma.rule import SigmaRule

from detectors._sigma import fields, values
from detectors._sigma import rules as rules_of
from detectors._sigma import texts as texts_of
from detectors._sigma.read import compile_text
from detectors._sigma.texts import FEW
from detectors.sigma import META, CompiledRule, RuleSet, compile_rules, detect, lint
from storage.schema import COLUMNS, ENVELOPE, Context, EventBatch, Reason
from storage.schema.columns import dtypes
from tests.detectors.oracle import matches
from tests.shared import ROOT

WORDS = [
    *("", "a", "A", "abc", "xabc", "ABCx", "a b", "-a", "/a", "*", "?", "\\", "1", "01", "1.0"),
    *("10.0.0.1", "10.0.1.1", "::1", "true", "True", "aa\nb", "ß", "É", "\x02a\x03", "YWJj"),
]
FIELDS = ["f", "g", "h.i"]
HOUSE = ROOT / "detectors" / "rules"
RULE = b"title: t\nlogsource: {product: x}\ndetection: %s"


def _batch(rows: list[dict[str, str | None]], **columns: object) -> EventBatch:
    """Make events whose own fields are the rows'; `columns` are the same for each."""
    size = len(rows)
    fixed: dict[str, object] = {c.name: "x" if c.dtype == pl.String() else 0 for c in ENVELOPE}
    fixed |= {"tenant_id": "t", "is_late": False, "is_time_clamped": False} | columns
    frame = pl.DataFrame(
        {name: [value] * size for name, value in fixed.items()}, schema_overrides=dtypes(*fixed)
    ).with_columns(pl.Series("event_id", [f"e{i}" for i in range(size)], dtype=pl.String))
    names = sorted({name for row in rows for name in row})
    own = [pl.Series(f"unmapped.{n}", [r.get(n) for r in rows], dtype=pl.String) for n in names]
    return EventBatch.of(frame.with_columns(own))


def _rules(*rules: dict[str, object]) -> RuleSet:
    compiled: list[CompiledRule] = []
    for rule in rules:
        text = yaml.safe_dump(rule).encode()
        found = compile_text(text, "rule.yml", {})[0]
        assert isinstance(found, CompiledRule), found
        compiled.append(found)
    return RuleSet(compiled)


def _rule(detection: object, **more: object) -> dict[str, object]:
    return {"title": "r", "logsource": {"product": "x"}, "detection": detection} | more


def _hits(
    rule: dict[str, object], rows: list[dict[str, str | None]], **columns: object
) -> list[int]:
    columns = {"metadata.product.name": "x"} | columns
    return _rules(rule).match(_batch(rows, **columns).frame).get_column("row").to_list()


texts = st.sampled_from(WORDS) | st.text(alphabet="aAbBcC1.-/*?\\ \n", max_size=6)
plain = texts | st.integers(-3, 12) | st.booleans() | st.none()
string_forms = st.sampled_from(
    ["", "|contains", "|startswith", "|endswith", "|contains|all", "|windash", "|contains|windash",
     "|cased", "|contains|cased", "|base64", "|base64offset|contains", "|wide|contains", "|neq"]
)  # fmt: skip


def _listed(values: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return values | st.lists(values, min_size=1, max_size=3)


safe_patterns = st.sampled_from(
    [
        "a",
        "^a",
        "b$",
        "^$",
        "a.*b",
        "[aA]b+",
        r"\d",
        "a|1",
        "(ab)?c",
        r"a{2}",
        "x{",
        r"\\",
        "(?i)AB",
    ]
)
items = st.one_of(
    st.tuples(st.sampled_from(FIELDS), _listed(plain)),
    st.tuples(
        st.builds(str.__add__, st.sampled_from(FIELDS), string_forms),
        _listed(texts.filter(lambda t: not set(t) & set("*?\\") and t.isascii())),
    ),
    st.tuples(
        st.builds(
            str.__add__, st.sampled_from(FIELDS), st.sampled_from(["|re", "|re|i", "|re|m|s"])
        ),
        _listed(safe_patterns),
    ),
    st.tuples(
        st.builds(
            str.__add__, st.sampled_from(FIELDS), st.sampled_from(["|lt", "|lte", "|gt", "|gte"])
        ),
        st.integers(-2, 11),
    ),
    st.tuples(st.just("f|cidr"), st.sampled_from(["10.0.0.0/24", "10.0.0.0/8", "::/64"])),
    st.tuples(st.sampled_from(["f|exists", "g|exists"]), st.booleans()),
    st.tuples(
        st.sampled_from(["f|fieldref", "f|fieldref|startswith", "f|fieldref|endswith",
                         "f|fieldref|contains"]),
        st.sampled_from(FIELDS),
    ),
)  # fmt: skip
maps = st.lists(items, min_size=1, max_size=3).map(dict)
keywords = st.lists(texts.filter(bool) | st.integers(0, 12), min_size=1, max_size=3)
selections = maps | st.lists(maps, min_size=1, max_size=2) | keywords
conditions = st.sampled_from(
    ["s1", "not s1", "s1 and s2", "s1 or s2", "s1 and not s2", "not (s1 or s2)", "1 of s*",
     "all of them", "1 of them", "not 1 of s*", "(s1 or not s2) and s2"]
)  # fmt: skip
rows = st.lists(
    st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, texts | st.none())),
    min_size=1,
    max_size=6,
)


@contextmanager
def row_path(few: int) -> Iterator[None]:
    """Let batches and columns of up to `few` rows or values go by the row path; 0 = none does."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (fields, rules_of, texts_of, values):
            patch.setattr(module, "FEW", few)
        yield


@settings(max_examples=600, deadline=None)
@given(first=selections, second=selections, condition=conditions, events=rows)
def test_columns_say_what_the_oracle_says_of_any_rule(
    first: object, second: object, condition: str, events: list[dict[str, str | None]]
) -> None:
    rule = _rule({"s1": first, "s2": second, "condition": condition})
    text = yaml.safe_dump(rule).encode()
    found = compile_text(text, "rule.yml", {})[0]
    if not isinstance(found, CompiledRule):
        return  # pySigma refuses some combinations; lint names them
    parsed = SigmaRule.from_yaml(text.decode())
    batch = _batch(events, **{"metadata.product.name": "x"})
    expected = {i for i, event in enumerate(events) if matches(parsed, event)}
    for few in (0, FEW):
        with row_path(few):
            hit = set(RuleSet([found]).match(batch.frame).get_column("row").to_list())
        assert hit == expected, few


def test_absent_is_null_and_empty_is_not() -> None:
    rule = _rule({"s": {"f": None}, "condition": "s"})
    assert _hits(rule, [{"f": ""}, {"f": None}, {"g": "x"}]) == [1, 2]
    rule = _rule({"s": {"f": ""}, "condition": "s"})
    assert _hits(rule, [{"f": ""}, {"f": None}, {"f": "x"}]) == [0]


def test_sentinels_inside_a_value_cannot_fake_its_start() -> None:
    rule = _rule({"s": {"f|startswith": "evil"}, "condition": "s"})
    assert _hits(rule, [{"f": "x\x03\x02evil"}, {"f": "evil"}]) == [1]


def test_a_needle_is_found_across_the_search_window() -> None:
    rule = _rule({"s": {"f|contains": "needle"}, "condition": "s"})
    padded: list[dict[str, str | None]] = [
        {"f": "x" * n + "needle"} for n in range((1 << 18) - 8, (1 << 18) + 2)
    ]
    assert _hits(rule, padded) == list(range(10))


def test_a_finding_says_which_field_matched_what() -> None:
    rule = _rule(
        {"s": {"Image|endswith": "\\x.exe"}, "n": {"f": "no"}, "condition": "s and not n"},
        level="high",
        id="11111111-1111-4111-8111-111111111111",
        tags=["attack.execution", "attack.t1059.001"],
    )
    batch = _batch([{"Image": "C:\\X.exe"}], **{"metadata.product.name": "x"})
    found = detect({}, batch, Context(0, rules={"": _rules(rule)}))[1][0]
    assert found.reasons == (Reason("Image", "C:\\X.exe", "endswith \\x.exe"),)
    assert (found.rule_id, found.level) == ("11111111-1111-4111-8111-111111111111", "high")
    assert found.attack == ("T1059.001",)
    assert found.event_ids == ("e0",)


def test_a_keyword_reason_shows_the_value_it_stood_in() -> None:
    rule = _rule({"k": ["secret"], "condition": "k"})
    batch = _batch([{"f": "no", "g": "a SECRET b"}], **{"metadata.product.name": "x"})
    found = detect({}, batch, Context(0, rules={"": _rules(rule)}))[1][0]
    assert found.reasons == (Reason("any field", "a SECRET b", "contains secret"),)


def test_a_tenants_rule_sees_only_its_own_events() -> None:
    rule = _rules(_rule({"s": {"f": "x"}, "condition": "s"}))
    both = pl.concat(
        _batch([{"f": "x"}], tenant_id=t, **{"metadata.product.name": "x"}).frame for t in "ab"
    )
    found = detect({}, EventBatch.of(both), Context(0, rules={"a": rule}))[1]
    assert [f.tenant_id for f in found] == ["a"]


def test_the_ocsf_map_serves_sources_without_windows_words() -> None:
    rule = _rule(
        {"s": {"Image|endswith": "/nc", "CommandLine|contains": "-e"}, "condition": "s"},
        logsource={"product": "linux", "category": "process_creation"},
    )
    columns = {
        "metadata.product.name": "linux",
        "class_uid": 1007,
        "activity_id": 1,
        "process.file.path": "/bin/nc",
        "process.cmd_line": "nc -e sh",
    }
    assert _hits(rule, [{}], **columns) == [0]
    assert _hits(rule, [{}], **columns | {"activity_id": 2}) == []


def test_windows_own_words_are_not_blurred_by_the_ocsf_map() -> None:
    rule = _rule({"s": {"Image": None}, "condition": "s"}, logsource={"product": "windows"})
    columns = {"metadata.product.name": "windows", "process.file.path": "C:\\a.exe"}
    assert _hits(rule, [{"f": "x"}], **columns, **{"metadata.log_format": "evtx"}) == [0]
    assert _hits(rule, [{"f": "x"}], **columns, **{"metadata.log_format": "ecs"}) == []


def test_business_rules_run_on_business_events() -> None:
    rule = _rule(
        {"s": {"amount_cents|gt": 1000, "currency": "EUR"}, "condition": "s"},
        logsource={"product": "inopsio", "category": "invoice"},
    )
    columns = {"class_uid": 999001, "amount_cents": 1001, "currency": "EUR", "vendor.uid": "V1"}
    batch = _batch([{}], **columns)
    found = detect({}, batch, Context(0, rules={"": _rules(rule)}))[1][0]
    assert (found.entity_type, found.entity) == ("vendor", "V1")
    assert _hits(rule, [{}], **columns | {"class_uid": 999002}) == []


def test_cutting_the_batch_changes_no_finding() -> None:
    rules = _rules(_rule({"s": {"f|contains": "a"}, "n": {"g": None}, "condition": "s and n"}))
    batch = _batch([{"f": w, "g": v} for w in WORDS for v in (None, "y")],
                   **{"metadata.product.name": "x"})  # fmt: skip
    whole = detect({}, batch, Context(0, rules={"": rules}))[1]
    cut = [
        finding
        for at in range(0, len(batch), 7)
        for finding in detect(
            {}, EventBatch(batch.frame.slice(at, 7)), Context(0, rules={"": rules})
        )[1]
    ]
    assert {f.finding_id for f in whole} == {f.finding_id for f in cut}
    assert len(whole) == len(cut) > 0


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"title: [", "broken YAML"),
        (b"- just\n- a list\n", "not a rule: the document is no map"),
        (b"", "not a rule: the file is empty"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"title: x\nlogsource: {product: x}\n", "it has no detection"),
        (b"a: &a [x]\nb: [" + b"*a, " * 50 + b"]", "aliases"),
        (b"x: " + b"[" * 900, "nested deeper"),
        (b"title: t\ndetection: {s: {f: a}, condition: s}", "must have a log source"),
        (RULE % b"{s: {'f|re': '(?=a)b'}, condition: s}", "look-around"),
        (RULE % b"{s: {'f|re': '(a)\\1'}, condition: s}", "backreference"),
        (RULE % b"{s: {'f|odd': a}, condition: s}", "odd"),
        (RULE % b"{s: {f: a}, condition: t}", "'t' not defined"),
        (RULE % b"{s: {'f|expand': '%x%'}, condition: s}", "placeholder without values here: %x%"),
        (RULE % b"{s: {f: a}, condition: 1 of a*a*a*a*a*a}", "more than three '*'"),
        (RULE % (b"{s: {f: a}, condition: " + b"(" * 99 + b"s}"), "nested too deep"),
        (b"correlation: {type: event_count}", "correlation"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_named_with_its_reason(tmp_path: Path, text: bytes, reason: str) -> None:
    (tmp_path / "bad.yml").write_bytes(text)
    (report,) = lint([tmp_path])
    assert not report.executable
    assert reason in report.reason


def test_the_second_rule_of_one_id_does_not_run(tmp_path: Path) -> None:
    rule = _rule({"s": {"f": "x"}, "condition": "s"}, id="11111111-1111-4111-8111-111111111111")
    for name in ("a.yml", "b.yml"):
        (tmp_path / name).write_text(yaml.safe_dump(rule))
    reports = list(lint([tmp_path]))
    assert [r.executable for r in reports] == [True, False]
    assert "already taken by" in reports[1].reason


def test_a_file_over_one_mebibyte_is_refused(tmp_path: Path) -> None:
    (tmp_path / "big.yml").write_bytes(b"#" * ((1 << 20) + 1))
    (report,) = lint([tmp_path])
    assert report.reason == "larger than 1 MiB"


def test_kept_rules_match_as_fresh_ones_do(tmp_path: Path) -> None:
    home = tmp_path / "rules"
    home.mkdir()
    rule = _rule({"s": {"f|re": "a.b"}, "n": {"g": None}, "condition": "s and not n"})
    (home / "a.yml").write_text(yaml.safe_dump(rule))
    cache = tmp_path / "cache" / "rules.json"
    fresh = compile_rules([home], cache=cache)
    assert cache.is_file()
    kept = compile_rules([home], cache=cache)
    assert kept.rules == fresh.rules
    assert kept.reports == fresh.reports


def test_a_cache_of_another_shape_is_only_slower(tmp_path: Path) -> None:
    cache = tmp_path / "rules.json"
    fresh = compile_rules([HOUSE], cache=cache)
    kept = json.loads(cache.read_text("utf-8"))
    for entry in (e for entries in kept.values() for e in entries if len(e) > 10 and e[10]):
        entry[10]["value"] = "text where a list is now"
    cache.write_text(json.dumps(kept), "utf-8")
    assert compile_rules([HOUSE], cache=cache).correlations == fresh.correlations != ()


def test_a_broken_cache_is_only_slower(tmp_path: Path) -> None:
    (tmp_path / "a.yml").write_text(yaml.safe_dump(_rule({"s": {"f": "x"}, "condition": "s"})))
    (tmp_path / "rules.json").write_text('{"x": [[1')
    assert len(compile_rules([tmp_path], cache=tmp_path / "rules.json")) == 1


def test_the_detector_keeps_no_state() -> None:
    assert META.empty_state() == {}
    assert {c.name for c in COLUMNS} >= {"device.hostname", "vendor.uid"}
