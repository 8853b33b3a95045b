"""`inopsio services`: only what the house stands on, for development."""

from pathlib import Path

import cyclopts

from deploy.house import database_of
from deploy.output import DONE, say, show
from deploy.running import make_private, settings_for, until_told_to_stop
from storage.database import embedded


def services(*, data: Path | None = None, no_wait: bool = False) -> int:
    """Start the data folder's PostgreSQL, print its address (owner login), stay until Ctrl-C.

    Parameters
    ----------
    data
        data folder (default INOPSIO_DATA_DIR, else .inopsio).
    no_wait
        do not stay until Ctrl-C: start, name and stop it.
    """
    settings = settings_for(data)
    make_private(settings.data_dir)
    stop = until_told_to_stop()
    with database_of(settings):
        if settings.database_url:
            say("INOPSIO_DATABASE_URL names a server already; nothing to start")
            return DONE
        show(embedded.start(settings.data_dir))
        say("PostgreSQL is up; the line above is its owner's login. Stop: Ctrl-C")
        if not no_wait:
            stop.wait()
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `services`."""
    app.command(services)
