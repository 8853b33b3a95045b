"""`inopsio up`: start everything on this machine."""

import subprocess
import sys
import time
from pathlib import Path

import cyclopts

from deploy.house import settings_for
from deploy.output import DONE, FAILED, say
from deploy.up import READY_WAIT_S, is_ready, up, url_of


def up_(*, data: Path | None = None, port: int | None = None, detach: bool = False) -> int:
    """Start everything on this machine: database, log, pipelines, business, API and console.

    Parameters
    ----------
    data: folder for all that is kept (default INOPSIO_DATA_DIR, else .inopsio).
    port: port of the API and the console (default 8600, on loopback).
    detach: go to the background once it serves.
    """
    settings = settings_for(data, port)
    if not detach:
        up(settings)
        return DONE
    words = [sys.executable, "-m", "deploy", "up", "--data", str(settings.data_dir)]
    settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o711)
    with (settings.data_dir / "up.log").open("ab") as out:
        child = subprocess.Popen(
            [*words, "--port", str(settings.http_port)],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    until = time.monotonic() + READY_WAIT_S
    while time.monotonic() < until:
        if child.poll() is not None:
            say(f"it did not start; see {settings.data_dir / 'up.log'}")
            return FAILED
        if is_ready(settings):
            log = settings.data_dir / "up.log"
            say(f"Inopsio is up: {url_of(settings)}; first sign-in: see {log}")
            return DONE
        time.sleep(0.2)
    say(f"not ready after {READY_WAIT_S:.0f} s; see {settings.data_dir / 'logs'}")
    return FAILED


def register(app: cyclopts.App) -> None:
    """Add `up`."""
    app.command(up_, name="up")
