import json
from pathlib import Path

import pytest

from deploy.cli import run
from deploy.output import DONE, PARTLY

GOOD = """
title: t
id: 11111111-2222-4333-8444-555555555555
logsource: {product: x}
detection: {s: {f: a}, condition: s}
"""


def test_every_rule_is_a_line_and_all_good_is_done(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "good.yml").write_text(GOOD)
    assert run(["rule", "lint", str(tmp_path), "--json"]) == DONE
    assert json.loads(capfd.readouterr().out) == {
        "rule_id": "11111111-2222-4333-8444-555555555555",
        "file": f"{tmp_path}/good.yml",
        "executable": True,
        "reason": "",
    }


def test_a_broken_file_is_a_line_and_the_exit_says_so(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.yml").write_text("title: [")
    (tmp_path / "good.yml").write_text(GOOD)
    assert run(["rule", "lint", str(tmp_path), "--json"]) == PARTLY
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [(r["executable"], r["rule_id"] is None) for r in rows] == [(False, True), (True, False)]
    assert rows[0]["reason"].startswith("broken YAML")


def test_people_see_only_what_cannot_run(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.yml").write_text("a: 1")
    (tmp_path / "good.yml").write_text(GOOD)
    assert run(["rule", "lint", str(tmp_path)]) == PARTLY
    said = capfd.readouterr()
    assert "bad.yml" in said.out
    assert "good.yml" not in said.out
    assert "1 of 2 rules and files can run" in said.err


def test_a_correlation_is_a_line_that_says_which_base_rule_is_missing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    story = "---\ntitle: c\nid: 22222222-2222-4333-8444-555555555555\ncorrelation:\n"
    story += "  {{type: event_count, rules: {}, timespan: 1h, condition: {{gte: 2}}}}\n"
    known = "11111111-2222-4333-8444-555555555555"
    (tmp_path / "good.yml").write_text(GOOD + story.format(known))
    assert run(["rule", "lint", str(tmp_path), "--json"]) == DONE
    capfd.readouterr()
    (tmp_path / "good.yml").write_text(GOOD + story.format("nobody"))
    assert run(["rule", "lint", str(tmp_path), "--json"]) == PARTLY
    rows = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert [r["executable"] for r in rows] == [True, False]
    assert rows[1]["reason"].startswith("base rule 'nobody' is not there")
