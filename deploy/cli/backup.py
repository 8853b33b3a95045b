"""`inopsio backup`: the whole house to a folder, while it runs."""

import time
from pathlib import Path

import cyclopts

from deploy.backup import back_up, check
from deploy.output import DONE, emit, say
from deploy.running import settings_for
from storage.errors import InvalidInput


def backup_(
    to: Path | None = None,
    *,
    check_only: Path | None = None,
    data: Path | None = None,
    json: bool = False,
) -> int:
    """Write the house to a new folder, while it runs: database, lake, log and keys of one moment.

    The keys are in it: keep it as you keep them.

    Parameters
    ----------
    to
        the folder to make; it gets its name when it is whole.
    check_only
        instead, read a backup and say whether every file is as it was written.
    data
        data folder (default INOPSIO_DATA_DIR).
    json
        print one JSON object.
    """
    began = time.monotonic()
    if check_only is not None:
        told = check(check_only)
        what = f"{check_only} is whole"
    elif to is None:
        raise InvalidInput("name the folder to make: inopsio backup FOLDER")
    else:
        told = back_up(settings_for(data), to, say)
        what = f"{to} was made"
    rows = sum(int(one[0]) for one in told["tables"].values())
    shown = {
        "tables": len(told["tables"]),
        "rows": rows,
        "files": len(told["files"]),
        "seconds": round(time.monotonic() - began, 1),
    }
    if json:
        emit({"made_at": told["made_at"], **shown})
    else:
        say(f"{what}: {rows:,} rows in {shown['tables']} tables, {shown['files']:,} files")
    return DONE


def register(app: cyclopts.App) -> None:
    """Add `backup`."""
    app.command(backup_, name="backup")
