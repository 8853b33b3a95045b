"""Plant every kind of forbidden import and see it caught."""

import shutil
import subprocess
import sys
from pathlib import Path

from tests.house.report import FLOORS, ROOT

PLANTED = {
    "storage/_planted.py": "import detectors",
    "storage/schema/_planted.py": "import pipelines",
    "detectors/_planted.py": "import storage.database",
    "detectors/_planted_socket.py": "def f():\n    import socket",
    "detectors/_planted_engine.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import bytewax"
    ),
    "pipelines/_planted.py": "import business",
    "pipelines/parsers/_planted.py": "import bytewax",
    "business/_planted.py": "import pipelines",
    "business/_planted_detector.py": "import detectors",
    "api/_planted.py": "import dashboards",
    "api/resources/_planted.py": "import pipelines",
    "dashboards/_planted.py": "import pipelines",
    "dashboards/_planted_log.py": "import storage.log",
    "agent/_planted.py": "import storage",
    "deploy/_planted.py": "import agent",
}


def _lint(tree: Path) -> subprocess.CompletedProcess[str]:
    tool = Path(sys.executable).with_name("lint-imports")
    command = [str(tool), "--config", str(tree / ".importlinter"), "--no-cache"]
    return subprocess.run(
        command,
        cwd=tree,
        env={"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=False,
    )


def _copy(tmp_path: Path) -> Path:
    for floor in FLOORS:
        shutil.copytree(
            ROOT / floor, tmp_path / floor, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(ROOT / ".importlinter", tmp_path)
    return tmp_path


def test_every_planted_violation_is_caught(tmp_path: Path) -> None:
    tree = _copy(tmp_path)
    for place, text in PLANTED.items():
        (tree / place).write_text(text + "\n")
    seen = _lint(tree).stdout
    missed = [
        place
        for place in PLANTED
        if f"{place.removesuffix('.py').replace('/', '.')} -> " not in seen
    ]
    assert missed == []


def test_the_house_itself_is_clean(tmp_path: Path) -> None:
    done = _lint(_copy(tmp_path))
    assert done.returncode == 0, done.stdout
