"""Paste the tutorial into a shell and see that it ends well and says what it promises."""

import os
import re
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.shared import ROOT

_RUN = re.compile(r"^```sh run\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_the_tutorial_works_when_pasted() -> None:
    text = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    script = "set -eu\n" + "\n".join(_RUN.findall(text))
    folder = Path(tempfile.mkdtemp(prefix="inopsio-tutorial-"))
    (folder / ".venv").symlink_to(ROOT / ".venv")
    surroundings = {**os.environ, "INOPSIO_HTTP_PORT": str(_free_port())}
    try:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env=surroundings,
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        for promise in (
            "Office program starts a script host or shell",
            "Memory of LSASS dumped by a known method",
            "DNS name of a tunnel service",
            "times its usual amount",
            "48,000.00 EUR",
            "Script host runs a file from a temporary folder",
            "ended with 3",
        ):
            assert promise in said, f"{promise!r} is not in:\n{said}"
    finally:
        subprocess.run(
            [str(ROOT / ".venv/bin/inopsio"), "down", "--data", str(folder / "lab/data")],
            check=False,
            capture_output=True,
        )
        shutil.rmtree(folder, ignore_errors=True)
