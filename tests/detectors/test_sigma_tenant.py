"""A tenant's filters and values change what rules of the house say of its events, of no other's."""

import polars as pl
import pytest
import yaml
from hypothesis import given, settings
from sigma.collection import SigmaCollection
from sigma.filters import SigmaFilter
from sigma.rule import SigmaRule

from detectors.sigma import RuleSet, compile_texts, detect
from storage.schema import Context, EventBatch
from tests.detectors.oracle import matches
from tests.detectors.test_sigma import RULE, _batch, _rule, conditions, maps, rows

HOUSE_ID = "11111111-1111-4111-8111-111111111111"
PRODUCT = {"metadata.product.name": "x"}


def _texts(*documents: dict[str, object], beside: RuleSet | None = None) -> RuleSet:
    texts = {f"d{i}": yaml.safe_dump(d).encode() for i, d in enumerate(documents)}
    return compile_texts(texts, beside=beside)


def _filter(rules: object, selection: object, **logsource: str) -> dict[str, object]:
    return {
        "title": "not ours",
        "id": "22222222-2222-4222-8222-222222222222",
        "logsource": {"product": "x"} | logsource,
        "filter": {"rules": rules, "known": selection, "condition": "not known"},
    }


def _house(needle: str = "a", **more: object) -> RuleSet:
    return _texts(_rule({"s": {"f|contains": needle}, "condition": "s"}, id=HOUSE_ID, **more))


def _claimed(house: RuleSet, **tenants: RuleSet) -> list[tuple[str, str]]:
    frames = [
        _batch([{"f": "a1", "g": "known"}, {"f": "a2", "g": None}], tenant_id=t, **PRODUCT).frame
        for t in ("t", "u")
    ]
    context = Context(0, rules={"": house, **tenants})
    found = detect({}, EventBatch.of(pl.concat(frames)), context)[1]
    return [(f.tenant_id, f.reasons[0].value) for f in found]


def test_a_filter_counts_for_its_own_tenant_only() -> None:
    house = _house()
    own = _texts(_filter([HOUSE_ID], {"g": "known"}), beside=house)
    assert own.reports[0].executable
    assert _claimed(house, t=own) == [("t", "a2"), ("u", "a1"), ("u", "a2")]


def test_a_filter_outlives_an_update_of_its_rule() -> None:
    own = _texts(_filter([HOUSE_ID], {"g": "known"}), beside=_house())
    assert _claimed(_house("2", level="high"), t=own) == [("t", "a2"), ("u", "a2")]


@pytest.mark.parametrize(
    ("filtered", "kept"),
    [
        (_filter("any", {"g": "known"}), ["a2"]),
        (_filter(["by_name"], {"g": "known"}), ["a2"]),
        (_filter("any", {"g": "known"}, product="y"), ["a1", "a2"]),
        (_filter("any", {"g": "known"}, category="dns"), ["a1", "a2"]),
    ],
)
def test_a_filter_concerns_rules_it_names_of_its_log_source(
    filtered: dict[str, object], kept: list[str]
) -> None:
    house = _house(name="by_name")
    found = _claimed(house, t=_texts(filtered, beside=house))
    assert [value for tenant, value in found if tenant == "t"] == kept


def test_a_filter_for_no_rule_is_told() -> None:
    (report,) = _texts(_filter(["gone"], {"g": "x"}), beside=_house()).reports
    assert (report.executable, report.reason) == (
        False,
        "the filter names no rule that is here: gone",
    )


@settings(max_examples=60, deadline=None)
@given(selection=maps, sieve=maps, condition=conditions, events=rows)
def test_a_filtered_rule_says_what_pysigma_makes_of_both(
    selection: dict[str, object],
    sieve: dict[str, object],
    condition: str,
    events: list[dict[str, str | None]],
) -> None:
    rule = _rule({"s1": selection, "s2": sieve, "condition": condition}, id=HOUSE_ID)
    one = _filter([HOUSE_ID], sieve)
    compiled = _texts(rule, one)
    if not all(r.executable for r in compiled.reports):
        return  # pySigma refuses some combinations; lint names them
    both = SigmaCollection(
        [SigmaRule.from_yaml(yaml.safe_dump(rule)), SigmaFilter.from_yaml(yaml.safe_dump(one))]
    )
    both.apply_filters(list(both.filters))
    (whole,) = (r for r in both.rules if isinstance(r, SigmaRule))
    hit = set(compiled.match(_batch(events, **PRODUCT).frame).get_column("row").to_list())
    assert hit == {i for i, event in enumerate(events) if matches(whole, event)}


VALUES: dict[str, object] = {
    "title": "Our people",
    "id": "33333333-3333-4333-8333-333333333333",
    "values": {"x": ["ann", "bob"]},
}
EXPANDING = (RULE % b"{s: {'f|expand': '%x%'}, condition: s}") + f"\nid: {HOUSE_ID}".encode()


def test_a_rule_of_the_house_runs_for_the_tenant_that_has_its_values() -> None:
    house = compile_texts({"house": EXPANDING})
    assert not house.reports[0].executable
    own = _texts(VALUES, beside=house)
    assert [r.rule_id for r in own.rules] == [HOUSE_ID]
    frame = _batch([{"f": "ANN"}, {"f": "eve"}, {"f": "bob"}], **PRODUCT).frame
    assert own.match(frame).get_column("row").to_list() == [0, 2]


def test_a_rule_takes_the_values_beside_it_as_they_are() -> None:
    own = compile_texts({"v": yaml.safe_dump(VALUES | {"values": {"x": ["a*"]}}).encode(),
                         "r": EXPANDING})  # fmt: skip
    frame = _batch([{"f": "a*"}, {"f": "ab"}], **PRODUCT).frame
    assert own.match(frame).get_column("row").to_list() == [0]


@pytest.mark.parametrize("values", [["x"], {"x": {"y": 1}}, {"x": [None]}])
def test_values_that_are_no_lists_are_told(values: object) -> None:
    (report,) = _texts(VALUES | {"values": values}).reports
    assert not report.executable
    assert "value" in report.reason
