"""Notice that the spool was set back: its numbers would come twice, its new rows count as repeats.

Beside the spool, best in memory (`/run`), lies how far its rows were asked for, and in which run of
the machine. A spool that knows less than that, a mark that is gone, or another run of the machine
(a disk that was set back comes with one) gets new numbers. What is not noticed: a machine whose
memory was set back with its disk.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Final

from agent.deliver import Sends
from agent.spool import Batch, Spool
from agent.system import put_in_place, told_by

BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
BOOT_TOLD: Final = "INOPSIO_AGENT_BOOT"
NAME: Final = "asked.json"


def place_of(data: Path) -> Path:
    """Give where the mark lies: in the unit's runtime folder, else beside the spool."""
    return Path(os.environ.get("RUNTIME_DIRECTORY") or data) / NAME


def boot_of(path: Path = BOOT_ID) -> str:
    """Give a name of this run of the machine, '' if there is none.

    systemd tells it to the units: some of them see nothing of /proc but processes.
    """
    found = os.environ.get(BOOT_TOLD) or told_by(path).decode("ascii", "replace")
    return found.replace("-", "")


def settle(spool: Spool, mark: Path, boot_id: Path = BOOT_ID) -> bool:
    """Give the rows to come numbers of their own if the spool may be set back; answer whether.

    A spool that has never had a row asked for has nothing to repeat.
    """
    asked = spool.asked()
    try:
        told = json.loads(mark.read_text(encoding="utf-8"))
        is_same = str(told["boot"]).replace("-", "") == boot_of(boot_id)
        is_set_back = any(asked.get(lane, 0) < number for lane, number in told["asked"].items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        is_same, is_set_back = not any(asked.values()), False
    if is_same and not is_set_back:
        return False
    spool.renumber(secrets.token_hex(3))
    remember(spool, mark, boot_id)
    return True


def remember(spool: Spool, mark: Path, boot_id: Path = BOOT_ID) -> None:
    """Keep how far rows were asked for; call it before they are sent. Not forced to the disk:

    what a crash of the machine takes with it is another run of the machine anyway.
    """
    draft = mark.with_name(f".{mark.name}")
    text = json.dumps({"boot": boot_of(boot_id), "asked": spool.asked()})
    draft.write_text(text, encoding="utf-8")
    put_in_place(draft, mark)


class Marking:
    """A sender that leaves the mark before each batch."""

    def __init__(self, sender: Sends, spool: Spool, data: Path) -> None:
        """Stand before the sender."""
        self._sender, self._spool, self._mark = sender, spool, place_of(data)

    @property
    def skew_s(self) -> float | None:
        """Give what the sender has measured."""
        return self._sender.skew_s

    def send(self, batch: Batch) -> None:
        """Leave the mark, then send."""
        remember(self._spool, self._mark)
        self._sender.send(batch)
