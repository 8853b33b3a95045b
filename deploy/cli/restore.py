"""`inopsio restore`: a backup becomes a house again."""

import time
from pathlib import Path

import cyclopts

from deploy.backup import restore
from deploy.output import DONE, emit, say
from deploy.running import settings_for


def restore_(of: Path, *, data: Path | None = None, json: bool = False) -> int:
    """Bring a backup back as a house in a folder that is not there yet.

    Every file is checked before, every table after; what is not the same is not kept.

    Parameters
    ----------
    of
        the backup's folder.
    data
        the data folder to make (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    began = time.monotonic()
    settings = settings_for(data)
    told = restore(of, settings, say)
    rows = sum(int(one[0]) for one in told["tables"].values())
    seconds = round(time.monotonic() - began, 1)
    if json:
        emit({"made_at": told["made_at"], "rows": rows, "seconds": seconds})
    else:
        say(f"{settings.data_dir} stands as of {told['made_at'][:19]}: {rows:,} rows, all equal")
        say("start it with: inopsio up --data " + str(settings.data_dir))
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `restore`."""
    app.command(restore_, name="restore")
