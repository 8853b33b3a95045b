"""Paste the tutorial about a rule across two worlds, and see that it says what it promises."""

import os
import re
import subprocess
from pathlib import Path

from tests.shared import ROOT

_RUN = re.compile(r"^```sh run\n(.*?)^```$", re.MULTILINE | re.DOTALL)
CRITICAL = "Word ran a script, then its reader changed a vendor's bank"


def test_the_rule_tutorial_works_when_pasted(tmp_path: Path) -> None:
    blocks = _RUN.findall((ROOT / "docs" / "tutorial-rule.md").read_text(encoding="utf-8"))
    for name in (".venv", "detectors"):
        (tmp_path / name).symlink_to(ROOT / name)
    done = subprocess.run(
        ["bash", "-c", "set -eu\n" + "\necho =====\n".join(blocks)],
        cwd=tmp_path,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    _, house, _, hits, later = done.stdout.split("=====\n")
    assert "Bank account of a vendor changed without confirmation" in house
    assert "Word started a script" in later
    assert [CRITICAL in said for said in (house, hits, later)] == [False, True, False]
