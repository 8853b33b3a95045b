import json
from pathlib import Path
from typing import Any

import pytest

from deploy.cli import run
from deploy.demo.month import TRUTH
from deploy.demo.plan import STORIES
from deploy.ingest import read_only


def _simulated(out: Path, seed: int = 1) -> dict[str, bytes]:
    words = ["simulate", "--seed", str(seed), "--days", "3", "--people", "40", "--out", str(out)]
    assert run(words) == 0
    return {p.name: p.read_bytes() for p in sorted(out.iterdir())}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("month")
    _simulated(out)
    return out


def _truth(folder: Path) -> list[dict[str, Any]]:
    found = json.loads((folder / TRUTH).read_bytes())
    assert isinstance(found, list)
    return found


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    first = {p.name: p.read_bytes() for p in sorted(folder.iterdir())}
    assert _simulated(tmp_path / "again") == first
    assert _simulated(tmp_path / "other", seed=2) != first


def test_every_story_and_its_near_miss_is_told_with_all_its_steps(folder: Path) -> None:
    told = {(t["story"], t["kind"]): t for t in _truth(folder)}
    assert set(told) == {(s.NAME, k) for s in STORIES for k in ("planted", "near_miss")}
    for story in told.values():
        assert story["steps"], story["story"]
        assert story["start_us"] < story["end_us"]
        for step in story["steps"]:
            assert step.get("positions") or step["document_uid"]


def test_a_position_of_the_truth_is_the_line_of_its_source(folder: Path) -> None:
    phishing = next(t for t in _truth(folder) if (t["story"], t["kind"]) == ("phishing", "planted"))
    step = next(s for s in phishing["steps"] if s["name"] == "office starts a shell")
    lines = b"".join(p.read_bytes() for p in sorted(folder.glob("wec.*"))).splitlines()
    record = json.loads(lines[step["positions"][0]])
    assert record["EventID"] == 1
    assert "OUTLOOK" not in record["ParentImage"]
    assert "powershell" in record["CommandLine"].lower()


def test_the_house_reads_every_line_of_every_source(folder: Path) -> None:
    logs = [
        p for p in sorted(folder.iterdir()) if p.name.partition(".")[0] not in ("commands", "truth")
    ]
    results = list(read_only(logs, "main", None))
    assert [(r.file, r.reason) for r in results if not r.is_whole()] == []
    assert sum(r.events for r in results) == sum(p.read_bytes().count(b"\n") for p in logs)


def test_nothing_that_is_read_tells_what_was_planted(folder: Path) -> None:
    for place in folder.iterdir():
        if place.name != TRUTH:
            text = place.read_bytes().lower()
            assert not [w for w in (b"planted", b"near_miss", b"ransomware", b"phish") if w in text]
