"""Run under Windows' service manager: it starts, is asked to stop, and starts again what crashed.

The service is one process of its own. What it says goes to `agent.log` in the data folder, a
megabyte of it and the one before; the event log would need a program of its own to read it.
"""

import sys

if sys.platform != "win32":
    raise ImportError("for Windows only")

import contextlib
import ctypes
import io
import os
import subprocess
import threading
import time
from collections.abc import Callable
from ctypes import wintypes
from pathlib import Path
from typing import Final

from agent.errors import AgentError
from agent.voice import tell
from agent.watchdog import BEGUN_ANEW
from agent.windows.rights import close_off

NAME: Final = "InopsioAgent"
LOG: Final = "agent.log"
ANEW: Final = "begun-anew"
"""File in the data folder: why the process before this one gave up its place."""
LOG_BYTES: Final = 1 << 20
STOP_S: Final = 30.0
ENROLLED_S: Final = 2.0
_OWN_PROCESS: Final = 0x10
_STOPPED, _STOPPING, _RUNNING = 1, 3, 4
_TAKES: Final = 0x1 | 0x4
"""Stop, and the end of the machine."""
_STOP, _ASK, _SHUTDOWN = 1, 4, 5
_OWN_CODE, _NOT_ASKED, _NO_MANAGER = 1066, 120, 1063
_security: Final = ctypes.WinDLL("advapi32", use_last_error=True)
_MAIN: Final = ctypes.WINFUNCTYPE(None, wintypes.DWORD, ctypes.c_void_p)
_HANDLER: Final = ctypes.WINFUNCTYPE(
    wintypes.DWORD, wintypes.DWORD, wintypes.DWORD, ctypes.c_void_p, ctypes.c_void_p
)
_security.RegisterServiceCtrlHandlerExW.restype = ctypes.c_void_p
_security.RegisterServiceCtrlHandlerExW.argtypes = [wintypes.LPCWSTR, _HANDLER, ctypes.c_void_p]
_security.SetServiceStatus.argtypes = [ctypes.c_void_p, ctypes.c_void_p]


class _Status(ctypes.Structure):
    _fields_ = tuple(
        (name, wintypes.DWORD)
        for name in ("kind", "state", "takes", "code", "own_code", "point", "wait_ms")
    )


class _Entry(ctypes.Structure):
    _fields_ = (("name", wintypes.LPWSTR), ("main", _MAIN))


class Log(io.TextIOBase):
    """A file that takes what is told, each line with its time; over its size it begins anew."""

    def __init__(self, path: Path, most: int = LOG_BYTES) -> None:
        """Go on behind what is there."""
        self._path, self._most, self._lock = path, most, threading.Lock()
        self._file = path.open("a", encoding="utf-8", errors="replace")
        self._is_new_line = True

    def write(self, text: str) -> int:
        """Keep it."""
        with self._lock:
            for line in text.splitlines(keepends=True):
                if self._is_new_line:
                    self._file.write(time.strftime("%Y-%m-%dT%H:%M:%SZ ", time.gmtime()))
                self._file.write(line)
                self._is_new_line = line.endswith("\n")
            self._file.flush()
            if self._file.tell() > self._most and self._is_new_line:
                self._turn()
        return len(text)

    def _turn(self) -> None:
        self._file.close()
        old = self._path.with_suffix(".old.log")
        with contextlib.suppress(OSError):  # somebody reads it: next time
            self._path.replace(old)
        self._file = self._path.open("a", encoding="utf-8", errors="replace")


class _Service:
    """The service, from the manager's call to its end."""

    def __init__(self, run: Callable[[threading.Event], int], is_known: Callable[[], bool]) -> None:
        self._run, self._is_known, self._stop = run, is_known, threading.Event()
        self._handle: int | None = None
        self._now = _Status(kind=_OWN_PROCESS)
        self.code = 0
        # Kept here: the manager calls them, and Python must not take them for garbage.
        self.main, self._heard = _MAIN(self._main), _HANDLER(self._hear)

    def _main(self, _count: int, _words: int | None) -> None:
        self._handle = _security.RegisterServiceCtrlHandlerExW(NAME, self._heard, None)
        self._say(_RUNNING)
        try:
            self.code = self._run(self._stop) if self._is_enrolled() else 0
        except AgentError as wrong:
            tell(f"inopsio-agent: {wrong}")
            self.code = 1
        except BaseException as wrong:  # noqa: BLE001  the service's last line: it is said, and it ends
            tell(f"inopsio-agent: unforeseen {type(wrong).__name__}: {wrong}")
            self.code = 1
        self._say(_STOPPED)

    def _is_enrolled(self) -> bool:
        """Wait until the host is enrolled; False if the service is to stop before that."""
        is_told = False
        while not self._is_known():
            if not is_told:
                tell("not enrolled yet: inopsio-agent enroll makes this host known to the house")
            is_told = True
            if self._stop.wait(ENROLLED_S):
                return False
        return True

    def _hear(self, asked: int, _kind: int, _data: int | None, _context: int | None) -> int:
        if asked in {_STOP, _SHUTDOWN}:
            self._say(_STOPPING)
            self._stop.set()
        elif asked != _ASK:
            return _NOT_ASKED
        return 0

    def _say(self, state: int) -> None:
        now = self._now
        now.state, now.takes = state, _TAKES if state == _RUNNING else 0
        now.wait_ms = int(STOP_S * 1000) if state == _STOPPING else 0
        if state == _STOPPED and self.code:
            now.code, now.own_code = _OWN_CODE, self.code
        _security.SetServiceStatus(self._handle, ctypes.byref(now))


_folder: Path | None = None
"""Where a service leaves why it begins anew; None in a process that is no service."""


def serve(run: Callable[[threading.Event], int], data: Path, is_known: Callable[[], bool]) -> int:
    """Be the service until it is told to stop; `run` works until the event it gets is set.

    `is_known`: the host is enrolled, or has a token; before that nothing runs, and it waits.
    """
    global _folder  # noqa: PLW0603  a process is a service or it is none
    _folder = data
    is_new = not data.exists()
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    close_off(data, is_new=is_new)
    os.environ[BEGUN_ANEW] = _begun_anew(data)
    sys.stdout = sys.stderr = Log(data / LOG)
    service = _Service(run, is_known)
    table = (_Entry * 2)(_Entry(NAME, service.main), _Entry(None, _MAIN()))
    if not _security.StartServiceCtrlDispatcherW(table):
        wrong = ctypes.get_last_error()
        more = "; the service manager starts this: sc start InopsioAgent"
        raise AgentError(ctypes.FormatError(wrong) + (more if wrong == _NO_MANAGER else ""))
    return service.code


def begin_anew(words: list[str], told: str) -> None:
    """End this process so that another one takes its place; what is on disk stays.

    A service ends without a word to the manager, which takes it for a crash and starts it again.
    """
    if _folder is None:
        subprocess.Popen(words, close_fds=True)
    else:
        (_folder / ANEW).write_text(told, encoding="utf-8")
    os._exit(1)


def _begun_anew(data: Path) -> str:
    """Give, once, what the service before this one said when it gave up its place."""
    place = data / ANEW
    try:
        told = place.read_text(encoding="utf-8")
        place.unlink()
    except OSError:
        return ""
    return told
