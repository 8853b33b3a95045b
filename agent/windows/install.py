"""Make the agent a service of Windows, restarted when it fails, with few rights; or take it away.

The MSI makes and removes the service itself and calls this for what its tables cannot say. Who has
no MSI unpacks the folder and calls `install` alone.
"""

import sys

if sys.platform != "win32":
    raise ImportError("for Windows only")

import argparse
import ctypes
import os
import shutil
import subprocess
import time
from ctypes import wintypes
from pathlib import Path
from typing import Any, Final, Self

from agent.errors import AgentError
from agent.voice import tell
from agent.windows.facts import system_program
from agent.windows.rights import close_off, home
from agent.windows.served import NAME, STOP_S

SHOWN: Final = "Inopsio Agent"
ABOUT: Final = "Watches this host and ships what happens to an Inopsio server."
PRIVILEGES: Final = ("SeChangeNotifyPrivilege", "SeDebugPrivilege", "SeSecurityPrivilege")
"""Of all that the system's account has: look at others' processes, read the security log."""
_OWN_PROCESS, _AUTO, _NORMAL, _SAME = 0x10, 2, 1, 0xFFFFFFFF
_MANAGE, _ALL = 0x0003, 0xF01FF
_DESCRIPTION, _FAILURE, _DELAYED, _ON_FAILURE, _SID, _RIGHTS = 1, 2, 3, 4, 5, 6
_UNRESTRICTED: Final = 1
_RESTART: Final = 1
_RESTARTS_MS: Final = (1000, 5000, 60_000)
_FORGET_S: Final = 3600
_ABSENT, _MARKED = 1060, 1072
_TRIES, _PAUSE_S = 100, 0.1
_security: Final = ctypes.WinDLL("advapi32", use_last_error=True)
_kernel: Final = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel.OpenProcess.restype = ctypes.c_void_p
_SYNCHRONIZE: Final = 0x100000
_Handle = ctypes.c_void_p
for _call in ("OpenSCManagerW", "OpenServiceW", "CreateServiceW"):
    getattr(_security, _call).restype = _Handle


class _Told(ctypes.Structure):
    _fields_ = (("status", wintypes.DWORD * 7), ("pid", wintypes.DWORD), ("flags", wintypes.DWORD))


class _Action(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int), ("delay_ms", wintypes.DWORD))


class _Failure(ctypes.Structure):
    _fields_ = (
        ("forget_s", wintypes.DWORD),
        ("message", wintypes.LPWSTR),
        ("command", wintypes.LPWSTR),
        ("count", wintypes.DWORD),
        ("actions", ctypes.POINTER(_Action)),
    )


def install(given: argparse.Namespace) -> int:
    """Close the data folder off, make and start the service, or change the one that is there."""
    if given.url or given.release_key or given.ca:
        raise AgentError("on Windows: enroll first, and no releases; install takes no such words")
    data = _home()
    if given.no_response:
        tell("no actions are taken on Windows yet: --no-response changes nothing")
    with _Manager() as manager:
        service, is_made = manager.open_or_make(_words(data))
        settle(service, _words(data))
        _security.CloseServiceHandle(_Handle(service))
    if is_made:  # the MSI starts its own
        _net("start")
    tell(f"installed: the service {NAME}; see `inopsio-agent doctor`")
    return 0


def uninstall(given: argparse.Namespace) -> int:
    """Stop the service and remove it; take its data away unless they are to be kept."""
    with _Manager() as manager:
        if given.only_stop:
            manager.stop()
            return 0
        manager.remove()
    if not given.keep_data:
        _remove(home())
    tell("the agent is gone" + ("; its spool stays" if given.keep_data else ""))
    return 0


def settle(service: int, words: str) -> None:
    """Say of a service what no MSI table says: few rights, late start, what follows a failure.

    `words`: its command, in quotes: a path with a space and none of them runs what it begins with.
    """
    same = (_SAME, _SAME, _SAME, words, None, None, None, None, None, None)
    if not _security.ChangeServiceConfigW(_Handle(service), *same):
        raise AgentError(f"{NAME}: {ctypes.FormatError(ctypes.get_last_error())}")
    actions = (_Action * len(_RESTARTS_MS))(*(_Action(_RESTART, ms) for ms in _RESTARTS_MS))
    failure = _Failure(_FORGET_S, None, None, len(actions), actions)
    rights = ctypes.create_unicode_buffer("\0".join(PRIVILEGES) + "\0")
    about = ctypes.create_unicode_buffer(ABOUT)
    said: tuple[tuple[str, int, Any], ...] = (
        ("description", _DESCRIPTION, ctypes.c_wchar_p(ctypes.addressof(about))),
        ("restart", _FAILURE, failure),
        ("late start", _DELAYED, wintypes.DWORD(1)),
        ("restart on failure", _ON_FAILURE, wintypes.DWORD(1)),
        ("account of its own", _SID, wintypes.DWORD(_UNRESTRICTED)),
        ("few rights", _RIGHTS, ctypes.c_wchar_p(ctypes.addressof(rights))),
    )
    for name, level, value in said:
        if not _security.ChangeServiceConfig2W(_Handle(service), level, ctypes.byref(value)):
            tell(f"{NAME}: {name} was not set: {ctypes.FormatError(ctypes.get_last_error())}")


class _Manager:
    """The service manager, open as long as it is used."""

    def __enter__(self) -> Self:
        self._link = _Handle(_must(_security.OpenSCManagerW(None, None, _MANAGE)))
        return self

    def __exit__(self, *_: object) -> None:
        _security.CloseServiceHandle(self._link)

    def open_or_make(self, words: str) -> tuple[int, bool]:
        """Give the service, and whether it was made now."""
        found = _security.OpenServiceW(self._link, NAME, _ALL)
        if found or ctypes.get_last_error() != _ABSENT:
            return _must(found), False
        how = (_ALL, _OWN_PROCESS, _AUTO, _NORMAL, words, None, None, None, None, None)
        return _must(_security.CreateServiceW(self._link, NAME, SHOWN, *how)), True

    def stop(self) -> int:
        """Stop the service and wait for its process's end; give the service, 0 if there is none.

        That it has stopped is said before its files are free.
        """
        found = _security.OpenServiceW(self._link, NAME, _ALL)
        if not found:
            if ctypes.get_last_error() != _ABSENT:
                _must(found)
            return 0
        told, size = _Told(), wintypes.DWORD()
        asked = (0, ctypes.byref(told), ctypes.sizeof(told), ctypes.byref(size))
        _must(_security.QueryServiceStatusEx(_Handle(found), *asked))
        process = _Handle(_kernel.OpenProcess(_SYNCHRONIZE, False, told.pid) if told.pid else None)
        _net("stop")
        if process:
            _kernel.WaitForSingleObject(process, int(STOP_S * 1000))
            _kernel.CloseHandle(process)
        return int(found)

    def remove(self) -> None:
        """Stop and remove the service; one that is not there is removed already."""
        found = self.stop()
        if not found:
            return
        is_gone = _security.DeleteService(_Handle(found))
        if not is_gone and ctypes.get_last_error() != _MARKED:
            _must(is_gone)
        _security.CloseServiceHandle(_Handle(found))


def _home() -> Path:
    data = home()
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    close_off(data, is_new=False)
    return data


def _net(verb: str) -> None:
    program = system_program("net") or "net"
    subprocess.run([program, verb, NAME], check=False, capture_output=True)


def _words(data: Path) -> str:
    more = subprocess.list2cmdline(["-m", "agent", "--data", str(data), "service"])
    return f'"{sys.executable}" {more}'


def _remove(data: Path) -> None:
    """Remove the folder; what the service has open still is tried for ten seconds."""
    for _ in range(_TRIES):
        shutil.rmtree(data, ignore_errors=True)
        if not os.path.lexists(data):
            return
        time.sleep(_PAUSE_S)
    raise AgentError(f"{data} could not be removed: something has it open")


def _must(made: int | None) -> int:
    if not made:
        raise AgentError(f"services: {ctypes.FormatError(ctypes.get_last_error())}")
    return made
