"""See that the online model claims the burst, explains it, and cannot be dragged along at once."""

from dataclasses import replace

import polars as pl
import pytest

from detectors import activity
from tests.detectors.streams import batches, company, frame_of
from tests.detectors.test_detector_conformance import fold


def test_the_burst_is_claimed_with_its_feature_first() -> None:
    _, found = fold(activity, batches(frame_of(company("acme")), []))
    assert {f.entity for f in found} == {"pc7"}
    assert found[0].reasons[0].name in {"processes started", "events of any kind"}
    assert int(found[0].reasons[0].value) > 3000


def test_weights_are_shares_of_one_score() -> None:
    _, found = fold(activity, batches(frame_of(company("acme")), []))
    shares = [r.weight or 0.0 for r in found[0].reasons]
    assert shares == sorted(shares, reverse=True)
    assert 0.99 <= sum(shares) <= 1.0001


def test_a_quiet_company_is_left_in_peace() -> None:
    rows = [r for r in company("acme") if r.get("device.hostname") != "pc7"]
    assert fold(activity, batches(frame_of(rows), []))[1] == []


def test_a_strange_window_hardly_moves_what_is_usual() -> None:
    state, _ = fold(activity, batches(frame_of(company("acme")), []))
    usual = {row["key"]: row["events_mean"] for row in state["usual"].iter_rows(named=True)}
    assert usual["pc7"] < usual["pc8"] + 0.5


def test_names_without_end_keep_the_newest_windows_under_short_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(activity, "META", replace(activity.META, max_keys=20))
    rows = [r for r in company("acme", hours=1) if "device.hostname" in r]
    for n, row in enumerate(rows):
        row["device.hostname"] = f"{n:06}" + "x" * 100_000 * (n % 1000 == 0)
    state, _ = fold(activity, batches(frame_of(rows), [len(rows) // 2]))
    open_ = state["open"]
    assert open_.height <= 20
    assert open_["key"].str.len_chars().max() in range(6, activity.LONGEST_KEY + 1)
    newest = max(int(r["time_us"]) for r in rows)
    assert open_.select(pl.col("window_us").max()).item() >= newest - activity.WINDOW_US


def test_where_no_host_is_named_the_address_stands_for_it() -> None:
    rows = [
        {k: v for k, v in row.items() if k != "device.hostname"} | {"src_endpoint.ip": "10.0.0.7"}
        for row in company("acme")
        if row.get("device.hostname") == "pc7"
    ]
    _, found = fold(activity, batches(frame_of(rows), []))
    assert {(f.entity_type, f.entity) for f in found} == {("ip", "10.0.0.7")}
