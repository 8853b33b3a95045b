"""Paste the page that lets a host in: a house, a token, an agent, its events."""

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
def test_the_page_works_when_pasted() -> None:
    text = (ROOT / "docs" / "howto" / "enrol-an-agent.md").read_text(encoding="utf-8")
    script = "set -eu\n" + "\n".join(_RUN.findall(text))
    folder = Path(tempfile.mkdtemp(prefix="inopsio-enrol-"))
    (folder / ".venv").symlink_to(ROOT / ".venv")
    ports = {name: str(_free_port()) for name in ("INOPSIO_HTTP_PORT", "INOPSIO_AGENTS_PORT")}
    surroundings = {**os.environ, **ports}
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
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
        assert re.search(r"\d+ events kept, [1-9]\d* sent", done.stderr)
        assert re.search(r"^[0-9a-f-]{36}  .+  seen 20", done.stdout, re.MULTILINE)
    finally:
        subprocess.run(
            [".venv/bin/inopsio", "down"], cwd=folder, env=surroundings, check=False, timeout=60
        )
        shutil.rmtree(folder, ignore_errors=True)
