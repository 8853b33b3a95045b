"""`inopsio doctor`: what would stop the house here, and how to mend it."""

from pathlib import Path

import cyclopts

from deploy.doctor import examine
from deploy.output import DONE, FAILED, emit, show
from deploy.running import settings_for


def doctor(*, data: Path | None = None, port: int | None = None, json: bool = False) -> int:
    """Look at Python, folders, disk, port, plug-ins and database; exit 1 if something is wrong."""
    whole = True
    for check in examine(settings_for(data, port)):
        whole = whole and check.well
        if json:
            emit({"what": check.what, "well": check.well, "seen": check.seen, "mend": check.mend})
        else:
            mend = "" if check.well else f"\n      {check.mend}"
            show(f"{'ok  ' if check.well else 'BAD '} {check.what}: {check.seen}{mend}")
    return DONE if whole else FAILED


def register(app: cyclopts.App) -> None:
    """Add `doctor`."""
    app.command(doctor)
