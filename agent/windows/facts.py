"""Ask Windows what Linux says in files: which machine this is, which run of it, memory in use."""

import sys

if sys.platform != "win32":
    raise ImportError("for Windows only")

import ctypes
import uuid
import winreg
from ctypes import wintypes
from pathlib import Path
from typing import Final

_RSMB: Final = 0x52534D42
"""The firmware's tables of the SMBIOS."""
_SYSTEM_TABLE, _END_TABLE = 1, 127
_UUID_AT: Final = slice(8, 24)
_BOOTS: Final = (
    r"SYSTEM\CurrentControlSet\Control\Session Manager\Memory Management\PrefetchParameters"
)
_COMMON_DATA, _LONGEST = 0x23, 260
_kernel: Final = ctypes.WinDLL("kernel32", use_last_error=True)


class _Memory(ctypes.Structure):
    _fields_ = (
        ("size", wintypes.DWORD),
        ("page_faults", wintypes.DWORD),
        ("most_resident", ctypes.c_size_t),
        ("resident", ctypes.c_size_t),
        ("rest", ctypes.c_size_t * 6),
    )


def machine_id() -> bytes:
    """Give what Windows made up for this installation; '' if it cannot be read."""
    return _registry(r"SOFTWARE\Microsoft\Cryptography", "MachineGuid")


def boot_id() -> bytes:
    """Give the number of this start of the machine; '' where Windows does not count."""
    return _registry(_BOOTS, "BootId")


def hardware_id() -> bytes:
    """Give the UUID that the board has by its firmware; '' if it has none."""
    size = _kernel.GetSystemFirmwareTable(_RSMB, 0, None, 0)
    held = ctypes.create_string_buffer(max(size, 1))
    _kernel.GetSystemFirmwareTable(_RSMB, 0, held, size)
    return board_of(held.raw[8:size])


def board_of(tables: bytes) -> bytes:
    """Give the UUID in tables of the SMBIOS (7.2: a head, its length, then texts to two zeros)."""
    place = 0
    while place + 4 <= len(tables) and tables[place] != _END_TABLE:
        length = tables[place + 1]
        if tables[place] == _SYSTEM_TABLE and length >= _UUID_AT.stop:
            found = tables[place : place + length][_UUID_AT]
            return b"" if len(set(found)) == 1 else str(uuid.UUID(bytes_le=found)).encode()
        end = tables.find(b"\0\0", place + length)
        if length < 4 or end < 0:
            break
        place = end + 2
    return b""


def shared_folder() -> Path:
    """Give the folder for data of all accounts (`%ProgramData%`, whatever the variable says)."""
    told = ctypes.create_unicode_buffer(_LONGEST)
    if ctypes.WinDLL("shell32").SHGetFolderPathW(None, _COMMON_DATA, None, 0, told):
        return Path("C:/ProgramData")
    return Path(told.value)


def system_program(name: str) -> str | None:
    """Give where a program of Windows' own lies; never one of that name that lies elsewhere."""
    told = ctypes.create_unicode_buffer(_LONGEST)
    _kernel.GetSystemDirectoryW(told, _LONGEST)
    place = Path(told.value, f"{name}.exe")
    return str(place) if place.exists() else None


def resident_bytes() -> int:
    """Give the memory that this process holds."""
    told = _Memory(size=ctypes.sizeof(_Memory))
    _kernel.GetCurrentProcess.restype = wintypes.HANDLE
    mine = wintypes.HANDLE(_kernel.GetCurrentProcess())
    if not _kernel.K32GetProcessMemoryInfo(mine, ctypes.byref(told), told.size):
        return 0
    return int(told.resident)


def _registry(key: str, name: str) -> bytes:
    try:
        with winreg.OpenKey(
            winreg.HKEY_LOCAL_MACHINE, key, 0, winreg.KEY_READ | winreg.KEY_WOW64_64KEY
        ) as found:
            return str(winreg.QueryValueEx(found, name)[0]).strip().encode()
    except OSError:
        return b""
