"""See that the size, cycle and repetition report refuses what it should."""

from pathlib import Path

from tests.house import report


def _plant(tmp_path: Path, name: str, text: str) -> Path:
    place = tmp_path / "storage" / name
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)
    return tmp_path


def test_a_long_function_is_refused(tmp_path: Path) -> None:
    body = "\n".join(f"    x{i} = {i}" for i in range(70))
    root = _plant(tmp_path, "long.py", f"def f():\n{body}\n")
    assert report.large(root) == ["storage/long.py:1 f: 71 lines; the limit is 60"]


def test_a_suppression_without_a_reason_is_refused(tmp_path: Path) -> None:
    root = _plant(tmp_path, "quiet.py", "x = 1  # no" + "qa: E501\n")
    assert report.unexplained(root) == ["storage/quiet.py:1 suppression without a reason"]


def test_a_run_of_lines_that_stands_twice_is_named(tmp_path: Path) -> None:
    lines = "\n".join(f"value_{i} = {i}" for i in range(8))
    _plant(tmp_path, "one.py", lines)
    rows, share = report.repeated(_plant(tmp_path, "two.py", lines))
    assert rows == ["storage/one.py:1 ~ storage/two.py:1"]
    assert share > 0


def test_the_house_has_no_import_cycle() -> None:
    assert report.cycles() == []
