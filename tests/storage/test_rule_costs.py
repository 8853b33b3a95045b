from pathlib import Path

import pytest

from storage.rule_costs import FILE, RuleCosts, keep, kept


def test_what_a_run_does_not_measure_stays_as_it_was(tmp_path: Path) -> None:
    keep(tmp_path, "2026-11-29", 100, {"A": 1.0, "b": 2.0})
    keep(tmp_path, "2026-11-30", 200, {"B": 3.5})
    assert kept(tmp_path) == RuleCosts("2026-11-30", 200, {"a": 1.0, "b": 3.5})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"cpu_us": []}', '{"cpu_us": {"a": "x"}}'])
def test_a_broken_file_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    assert kept(tmp_path) == RuleCosts()
    assert "not measured yet" in kept(tmp_path / "gone").said()
