"""`inopsio run`: one process of the house by itself."""

from dataclasses import replace
from pathlib import Path

import cyclopts

from deploy.output import DONE
from deploy.process import run as run_process
from deploy.running import settings_for
from deploy.supervise import end_with_supervisor


def run(
    name: str, *, data: Path | None = None, port: int | None = None, partitions: str | None = None
) -> int:
    """Run one process of the house by itself: pipelines, business or api.

    Parameters
    ----------
    name
        which one.
    data
        data folder (default INOPSIO_DATA_DIR).
    port
        port of the API and the console.
    partitions
        of pipelines: which to read, like 0-3,7, or `group` for a share of them among all processes
        (default INOPSIO_SHARE).
    """
    end_with_supervisor()
    settings = settings_for(data, port)
    if partitions is not None:
        settings = replace(settings, share=partitions)
    run_process(name, settings)
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `run`."""
    app.command(run)
