"""Set a damaged spool aside, begin a new one, and tell it as an event.

Notes that can still be read go on (where logs were read to, where the house is); rows that waited
stay in the file that was set aside. One such file is kept, the newest.
"""

import contextlib
import json
import os
import sqlite3
import time
from pathlib import Path
from typing import Final

from agent.collect._shape import agent_event, now_us
from agent.errors import AgentError
from agent.identity import alone
from agent.keep import keep
from agent.spool import INCARNATION, Spool
from agent.spool_file import Damaged, inode_of, put_aside
from agent.voice import tell
from agent.watchdog import begin_anew

_OWN: Final = frozenset({"agent_id", "machine", INCARNATION})
"""Notes that number rows: a new file counts from 0, so it needs a name of its own."""
_MOST_NOTES: Final = 100_000
_PAUSE_S: Final = 5.0
_TRIES: Final = 50


def mend(wrong: Damaged) -> bool:
    """Put a new spool in the damaged one's place; False if another half has done so already."""
    held = _alone(wrong.path.parent / "mend")
    try:
        if inode_of(wrong.path) != wrong.inode:
            return False
        notes = _notes(wrong.path)
        aside = put_aside(wrong.path)
        spool = Spool(wrong.path)
        spool.append("events", "ocsf_json", [], notes)
        text = f"the spool was damaged ({wrong.why}) and is in {aside}; a new one is begun"
        told = agent_event("spool_damaged", now_us(), text, why=wrong.why, path=str(aside))
        keep(spool, [told])
        spool.close()
        tell(text)
        return True
    finally:
        os.close(held)


def begin_anew_without(wrong: Damaged) -> None:
    """Mend it, and replace this process by one that opens the new file.

    Where a file that is open cannot be renamed (Windows), the next process does so.
    """
    with contextlib.suppress(OSError):
        mend(wrong)
    time.sleep(_PAUSE_S)  # should the disk break each new one too
    begin_anew(f"the spool: {wrong.why}")


def _alone(folder: Path) -> int:
    for _ in range(_TRIES):
        with contextlib.suppress(AgentError):
            return alone(folder)
        time.sleep(0.1)
    return alone(folder)


def _notes(path: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(path, timeout=10)) as db,
    ):
        rows = db.execute("SELECT name, value FROM notes LIMIT ?", (_MOST_NOTES,))
        for name, value in rows:
            with contextlib.suppress(ValueError, TypeError):
                found[str(name)] = json.loads(value)
    return {name: value for name, value in found.items() if name not in _OWN}
