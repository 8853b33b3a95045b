"""`inopsio run`: one process of the house by itself."""

from pathlib import Path

import cyclopts

from deploy.output import DONE
from deploy.process import run as run_process
from deploy.running import settings_for
from deploy.supervise import end_with_supervisor


def run(name: str, *, data: Path | None = None, port: int | None = None) -> int:
    """Run one process of the house by itself: pipelines, business or api.

    Parameters
    ----------
    name
        which one.
    data
        data folder (default INOPSIO_DATA_DIR).
    port
        port of the API and the console.
    """
    end_with_supervisor()
    run_process(name, settings_for(data, port))
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `run`."""
    app.command(run)
