"""Hear of starts that no mark tells of: in memory, and in namespaces with mounts of their own.

Any user may make a namespace, mount a file system in memory there and run a program from it. The
proc connector tells of every start; only programs on mounts that are not marked are looked at.
"""

import contextlib
import os
import threading
import time
import traceback
from collections.abc import Callable
from typing import Final

from agent.act._programs import opened
from agent.collect.linux._kernel import Exec, Missed
from agent.collect.linux._procconn import ProcConnector
from agent.voice import tell

_WAIT_S: Final = 0.5
_MEMORY: Final = "/memfd:"


class Starts:
    """The thread. `hear` is given an open program and its process, and closes it."""

    def __init__(self, hear: Callable[[int, int], None], missed: Callable[[], None]) -> None:
        """Begin; OSError where the kernel tells nothing (CAP_NET_ADMIN).

        `missed`: called when the kernel had no room for some.
        """
        self._hear, self._missed = hear, missed
        self._own = {_namespace("self")}
        with contextlib.suppress(OSError):  # some first processes show nobody theirs
            self._own.add(_namespace("1"))
        self._source = ProcConnector()
        self._is_over = False
        self.at_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="starts", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._is_over:
            self.at_s = time.monotonic()
            try:
                for one in self._source.read(_WAIT_S):
                    if isinstance(one, Exec):
                        with contextlib.suppress(OSError):  # gone meanwhile, or afar
                            self._one(one.pid)
                    elif isinstance(one, Missed):
                        self._missed()
            except Exception:  # noqa: BLE001  the agent's loop: no start may end it
                tell(f"starts could not be heard of: {traceback.format_exc(limit=3)}")
                time.sleep(_WAIT_S)

    def _one(self, pid: int) -> None:
        if _namespace(str(pid)) in self._own:
            path = os.readlink(f"/proc/{pid}/exe")  # noqa: PTH115  a text
            if not path.startswith(_MEMORY):
                return
        self._hear(opened(pid), pid)

    def close(self) -> None:
        """End it."""
        self._is_over = True
        self._thread.join(5)
        self._source.close()


def _namespace(pid: str) -> str:
    """Give the namespace of mounts of a process."""
    return os.readlink(f"/proc/{pid}/ns/mnt")  # noqa: PTH115  a text
