"""Remember the last programs started, for watchers that hear of a process when it has ended."""

import threading
from collections import OrderedDict
from typing import Final

from agent.collect.linux._proc import Process

_MOST: Final = 2048


class Recent:
    """The last 2,048 programs by pid; the newest of a pid counts."""

    def __init__(self) -> None:
        """Know none."""
        self._lock = threading.Lock()
        self._known: OrderedDict[int, Process] = OrderedDict()

    def remember(self, process: Process) -> None:
        """Keep it."""
        with self._lock:
            self._known[process.pid] = process
            self._known.move_to_end(process.pid)
            if len(self._known) > _MOST:
                self._known.popitem(last=False)

    def get(self, pid: int) -> Process | None:
        """Give the last program of the pid, if it is remembered."""
        with self._lock:
            return self._known.get(pid)


RECENT: Final = Recent()
"""One for the agent: the watchers are threads of one process."""
