"""`inopsio status`: whether the house is up, and how it is."""

import time
from pathlib import Path

import cyclopts

from deploy.output import DONE, FAILED, emit, show
from deploy.running import is_ready, running, settings_for
from storage.restarts import restarting


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
            "restarting": restarting(settings.data_dir, time.time()),
        }
    if json:
        emit(row)
    else:
        for name, value in row.items():
            show(f"{name:10} {value}")
    return DONE if house is not None else FAILED


def register(app: cyclopts.App) -> None:
    """Add `status`."""
    app.command(status)
