"""Do what every how-to page says, in a temporary copy: one file and its test each."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shared import ROOT, shared_root

PAGES = sorted((ROOT / "docs" / "howto").glob("add-*.md"))
_BLOCK = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_RUN = re.compile(r"^```sh run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_COPIED = shutil.ignore_patterns(
    *(".git", ".venv", ".services", "__pycache__", ".*_cache", "*.egg-info"),
    *(".hypothesis", "docs", ".inopsio"),
)


def _copy(tmp_path: Path) -> Path:
    tree = tmp_path / "copy"
    shutil.copytree(ROOT, tree, ignore=NOT_COPIED)
    return tree


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_example_works_as_written(page: Path, tmp_path: Path) -> None:
    text = page.read_text(encoding="utf-8")
    tree = _copy(tmp_path)
    files = _BLOCK.findall(text)
    commands = [line for block in _RUN.findall(text) for line in block.strip().splitlines()]
    assert files
    assert commands
    for name, body in files:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        assert not (tree / name).exists(), f"{name} is there already"
        (tree / name).write_text(body, encoding="utf-8")
    surroundings = {**os.environ, "PYTHONPATH": str(tree), "INOPSIO_SHARED": str(shared_root())}
    for command in commands:
        words = shlex.split(command)
        assert words[0] == "python"
        done = subprocess.run(
            [sys.executable, *words[1:]],
            cwd=tree,
            env=surroundings,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_every_extension_point_has_a_page() -> None:
    index = (ROOT / "docs" / "howto" / "README.md").read_text(encoding="utf-8")
    assert {p.name for p in PAGES} == set(re.findall(r"\((add-[a-z-]+\.md)\)", index))
