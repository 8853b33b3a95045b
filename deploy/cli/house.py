"""`inopsio up`, `down`, `status`, `run`: the house on one machine."""

import subprocess
import sys
import time
from pathlib import Path

import cyclopts

from deploy.house import settings_for
from deploy.output import DONE, FAILED, emit, say, show
from deploy.serve import run as run_process
from deploy.up import READY_WAIT_S, down, is_ready, running, up, url_of


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


def down_(*, data: Path | None = None) -> int:
    """Stop the running house of this data folder; nothing that was accepted is lost."""
    settings = settings_for(data)
    say("stopped" if down(settings) else f"nothing is up in {settings.data_dir}")
    return DONE


def status(*, data: Path | None = None, json: bool = False) -> int:
    """Say whether the house is up, since when, where, and which processes live."""
    settings = settings_for(data)
    house = running(settings)
    row: dict[str, object] = {"up": house is not None, "data": str(settings.data_dir)}
    if house is not None:
        row |= {
            "url": house.url,
            "pid": house.pid,
            "up_s": round(time.time() - house.started_at),
            "ready": is_ready(settings),
            "processes": house.children,
        }
    if json:
        emit(row)
    else:
        for name, value in row.items():
            show(f"{name:10} {value}")
    return DONE if house is not None else FAILED


def run(name: str, *, data: Path | None = None, port: int | None = None) -> int:
    """Run one process of the house by itself: pipelines, business, outbox or api."""
    run_process(name, settings_for(data, port))
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `up`, `down`, `status` and `run`."""
    app.command(up_, name="up")
    app.command(down_, name="down")
    app.command(status)
    app.command(run)
