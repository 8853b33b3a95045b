"""`inopsio run`: one process of the house by itself."""

from pathlib import Path

import cyclopts

from deploy.house import settings_for
from deploy.output import DONE
from deploy.process import run as run_process


def run(name: str, *, data: Path | None = None, port: int | None = None) -> int:
    """Run one process of the house by itself: pipelines, business or api."""
    run_process(name, settings_for(data, port))
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `run`."""
    app.command(run)
