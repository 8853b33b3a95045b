import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import PluginError
from storage.plugins import discover


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Give an empty package `house.rooms` that can be imported."""
    rooms = tmp_path / "house_of_test" / "rooms"
    rooms.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield rooms
    for name in [n for n in sys.modules if n.startswith("house_of_test")]:
        del sys.modules[name]


def found(*contract: str) -> list[str]:
    return list(discover("house_of_test.rooms", contract))


def test_modules_are_found_by_folder_and_sorted(folder: Path) -> None:
    for name in ("b", "a", "_hidden"):
        (folder / f"{name}.py").write_text(f"NAME = '{name}'\n")
    modules = discover("house_of_test.rooms", ["NAME"])
    assert {name: m.NAME for name, m in modules.items()} == {"a": "a", "b": "b"}
    assert list(modules) == ["a", "b"]


def test_a_plug_in_that_lacks_a_name_stops_the_start(folder: Path) -> None:
    (folder / "good.py").write_text("NAME = OPEN = 1\n")
    (folder / "planted.py").write_text("NAME = 1\n")
    with pytest.raises(PluginError) as caught:
        found("NAME", "OPEN")
    assert str(caught.value) == (
        "house_of_test/rooms/planted.py lacks 'OPEN'; a plug-in of this folder has: NAME, OPEN"
    )


@pytest.mark.parametrize("body", ["import no_such_module", "def broken(:"])
def test_a_plug_in_that_cannot_be_imported_stops_the_start_and_is_named(
    folder: Path, body: str
) -> None:
    (folder / "planted.py").write_text(body)
    with pytest.raises(PluginError, match=r"house_of_test/rooms/planted\.py cannot be imported"):
        found("NAME")


def test_a_hidden_file_is_never_imported(folder: Path) -> None:
    (folder / "_broken.py").write_text("1 / 0")
    assert found("NAME") == []
