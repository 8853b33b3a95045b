"""`inopsio up`: start everything on this machine."""

import importlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import cyclopts

from deploy.output import DONE, FAILED, say
from deploy.running import (
    READY_WAIT_S,
    check_port,
    check_rules,
    make_private,
    private,
    running,
    settings_for,
)
from deploy.supervise import bound
from storage.errors import Unavailable
from storage.settings import Settings

_LAST_LINE: Final = "Stop: Ctrl-C, or inopsio down\n"


def up_(*, data: Path | None = None, port: int | None = None, detach: bool = False) -> int:
    """Start everything on this machine: database, log, pipelines, business, API and console.

    Parameters
    ----------
    data
        folder for all that is kept (default INOPSIO_DATA_DIR, else .inopsio).
    port
        port of the API and the console (default 8600, on loopback).
    detach
        go to the background once it serves.
    """
    settings = settings_for(data, port)
    if not detach:
        # By name: going to the background needs neither the database nor the api in this process.
        importlib.import_module("deploy.up").up(settings)
        return DONE
    return _detached(settings)


def _detached(settings: Settings) -> int:
    if running(settings) is not None:
        raise Unavailable(f"a house is up already in {settings.data_dir}; see: inopsio status")
    check_port(settings)
    check_rules(settings)
    make_private(settings.data_dir)
    words = [sys.executable, "-m", "deploy", "up", "--data", str(settings.data_dir)]
    log = private(settings.data_dir / "up.log")  # the first sign-in is in it
    bound(log)
    with log.open("ab") as out:
        start = out.tell()
        child = subprocess.Popen(
            [*words, "--port", str(settings.http_port)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    until = time.monotonic() + READY_WAIT_S
    while child.poll() is None and time.monotonic() < until:
        said = log.read_bytes()[start:].decode(errors="replace")
        if _LAST_LINE in said:
            say(said.rstrip())
            return DONE
        time.sleep(0.1)
    say(log.read_bytes()[start:].decode(errors="replace").rstrip())
    say(f"it did not start; see {log}")
    return FAILED


def register(app: cyclopts.App) -> None:
    """Add `up`."""
    app.command(up_, name="up")
