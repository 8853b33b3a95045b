"""Close a folder off: the system and the administrators may all in it, others nothing.

Whoever may sign in may make folders in `%ProgramData%`. So one that is there already counts only if
it belongs to the system, to the administrators, or to whom this runs as.
"""

import sys

if sys.platform != "win32":
    raise ImportError("for Windows only")

import ctypes
import os
import stat
from ctypes import wintypes
from pathlib import Path
from typing import Final

from agent.errors import AgentError
from agent.windows.facts import shared_folder

SYSTEM, ADMINISTRATORS = "S-1-5-18", "S-1-5-32-544"
_OWNER, _ACCESS, _SEALED = 0x1, 0x4, 0x80000000
_OF_FILE: Final = 1
_SDDL: Final = 1
_QUERY: Final = 0x8
_USER: Final = 1
_security: Final = ctypes.WinDLL("advapi32", use_last_error=True)
_kernel: Final = ctypes.WinDLL("kernel32", use_last_error=True)
_kernel.GetCurrentProcess.restype = wintypes.HANDLE
_kernel.LocalFree.argtypes = [ctypes.c_void_p]
_kernel.CloseHandle.argtypes = [wintypes.HANDLE]
_shell: Final = ctypes.WinDLL("shell32", use_last_error=True)


class _Sid(ctypes.Structure):
    _fields_ = (("sid", ctypes.c_void_p), ("attributes", wintypes.DWORD))


def close_off(folder: Path, *, is_new: bool) -> None:
    """Give the folder to the system and the administrators alone; AgentError if it is a trap.

    One who runs the agent without an administrator's rights, to try it, keeps rights too. A folder
    that was there, and is not the agent's own, keeps its rights: it may be a whole disk.
    """
    mine = own_sid()
    is_ours_alone = mine == SYSTEM or bool(_shell.IsUserAnAdmin())
    if folder.lstat().st_file_attributes & stat.FILE_ATTRIBUTE_REPARSE_POINT:
        raise AgentError(f"{folder} leads elsewhere: remove it")
    if owner_of(folder) not in {SYSTEM, ADMINISTRATORS, mine}:
        raise AgentError(f"{folder} belongs to somebody else: remove it, or take another --data")
    if not is_new and home() not in {folder, *folder.parents}:
        return
    also = "" if is_ours_alone else f"(A;OICI;FA;;;{mine})"
    owner = f"O:{ADMINISTRATORS}" if is_ours_alone else ""
    _say(folder, f"{owner}D:P(A;OICI;FA;;;SY)(A;OICI;FA;;;BA){also}")


def home() -> Path:
    """Give the folder that the agent has on every Windows host, for settings and data."""
    return shared_folder() / "Inopsio Agent"


def owner_of(place: Path) -> str:
    """Give the owner's SID as text."""
    owner, held = ctypes.c_void_p(), ctypes.c_void_p()
    asked = (ctypes.byref(owner), None, None, None, ctypes.byref(held))
    wrong = _security.GetNamedSecurityInfoW(str(place), _OF_FILE, _OWNER, *asked)
    if wrong:
        raise AgentError(f"{place}: whose it is cannot be read: {ctypes.FormatError(wrong)}")
    try:
        return _text_of(owner)
    finally:
        _kernel.LocalFree(held)


def own_sid() -> str:
    """Give the SID of the account that this runs as."""
    token = wintypes.HANDLE()
    mine = wintypes.HANDLE(_kernel.GetCurrentProcess())
    _must(_security.OpenProcessToken(mine, _QUERY, ctypes.byref(token)))
    try:
        size = wintypes.DWORD()
        _security.GetTokenInformation(token, _USER, None, 0, ctypes.byref(size))
        held = ctypes.create_string_buffer(size.value)
        _must(_security.GetTokenInformation(token, _USER, held, size, ctypes.byref(size)))
        return _text_of(ctypes.c_void_p(_Sid.from_buffer(held).sid))
    finally:
        _kernel.CloseHandle(token)


def _text_of(sid: ctypes.c_void_p) -> str:
    text = ctypes.c_wchar_p()
    _must(_security.ConvertSidToStringSidW(sid, ctypes.byref(text)))
    try:
        return str(text.value)
    finally:
        _kernel.LocalFree(text)


def _say(folder: Path, sddl: str) -> None:
    held = ctypes.c_void_p()
    make = _security.ConvertStringSecurityDescriptorToSecurityDescriptorW
    _must(make(sddl, _SDDL, ctypes.byref(held), None))
    what = _ACCESS | _SEALED | (_OWNER if sddl.startswith("O:") else 0)
    try:
        _must(_security.SetFileSecurityW(os.fspath(folder), what, held))
    finally:
        _kernel.LocalFree(held)


def _must(is_done: int) -> None:
    if not is_done:
        raise AgentError(f"rights: {ctypes.FormatError(ctypes.get_last_error())}")
