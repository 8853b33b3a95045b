import json
from pathlib import Path

import pytest

from storage.restarts import MOST_DEATHS, STATE_FILE, STEADY_S, WINDOW_S, restarting

NOW = 1_790_000_000.0


def told(folder: Path, deaths: object) -> Path:
    (folder / STATE_FILE).write_text(json.dumps({"pid": 1, "deaths": deaths}))
    return folder


def test_a_process_that_died_too_often_lately_is_named_with_its_count(tmp_path: Path) -> None:
    often = [NOW - 10 * n for n in range(MOST_DEATHS + 1)]
    folder = told(tmp_path, {"pipelines": often, "business": often[1:]})
    assert restarting(folder, NOW) == {"pipelines": MOST_DEATHS + 1}


def test_one_that_lives_on_is_well_again(tmp_path: Path) -> None:
    folder = told(tmp_path, {"pipelines": [NOW] * (MOST_DEATHS + 1)})
    assert restarting(folder, NOW + STEADY_S - 1) != {}
    assert restarting(folder, NOW + STEADY_S) == {}


def test_deaths_are_forgotten_after_a_while(tmp_path: Path) -> None:
    often = [NOW - WINDOW_S + n for n in range(MOST_DEATHS)]
    folder = told(tmp_path, {"pipelines": [*often, NOW]})
    assert restarting(folder, NOW - 0.5) == {}
    assert restarting(folder, NOW) == {}
    assert restarting(told(tmp_path, {"pipelines": [*often[1:], NOW - 1, NOW]}), NOW) != {}


@pytest.mark.parametrize("deaths", [None, [], "x", {"api": None}, {"api": ["x"]}, {"api": 3}])
def test_a_broken_file_names_nobody(tmp_path: Path, deaths: object) -> None:
    assert restarting(told(tmp_path, deaths), NOW) == {}
    assert restarting(tmp_path / "gone", NOW) == {}
