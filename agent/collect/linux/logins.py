"""See who signs in where, and boots, in wtmp; failed tries in btmp where no log tells them.

An auth.log that is a minute older than btmp tells no failures any more.
"""

import os
import socket
import struct
from pathlib import Path
from typing import Any, Final

from agent.collect import Event, Look, Notes
from agent.collect._shape import event
from agent.collect.linux._authlog import is_left_over, written_s
from agent.settings import AUTH_LOGS

NAME: Final = "logins"
EVERY_S: Final = 5.0
WTMP: Final = Path("/var/log/wtmp")
BTMP: Final = Path("/var/log/btmp")
_RECORD: Final = struct.Struct("=hxxi32s4s32s256shhiii16s20x")
"""utmp(5) as glibc writes it on every 64-bit Linux: 384 bytes."""
_BOOT, _USER, _DEAD = 2, 7, 8
_MOST: Final = 2000
_LOGON, _LOGOFF = 1, 2
_INTERACTIVE, _REMOTE = 2, 10


def collect(notes: Notes, now_us: int) -> Look:  # noqa: ARG001  the contract's
    """Give a Logon, Logoff or boot for each record that is new since the last look."""
    wtmp, places = _new(WTMP, notes.get("wtmp"))
    sessions: dict[str, str] = dict(notes.get("sessions", {}))
    events = [e for r in wtmp if (e := _session(r, sessions)) is not None]
    told = {"wtmp": places, "sessions": dict(list(sessions.items())[-1000:])}
    btmp, told["btmp"] = _new(BTMP, notes.get("btmp"))
    if is_left_over(AUTH_LOGS, written_s([BTMP])):
        events += [_failure(r) for r in btmp]
    return Look(events, told)


def _new(path: Path, place: list[int] | None) -> tuple[list[dict[str, Any]], list[int] | None]:
    """Give the records after the place [inode, offset]; the first look only notes the end."""
    try:
        with path.open("rb") as file:
            told = os.fstat(file.fileno())
            whole = told.st_size - told.st_size % _RECORD.size
            if place is None:
                return [], [told.st_ino, whole]
            is_same = place[0] == told.st_ino and place[1] <= told.st_size
            start = place[1] if is_same else 0
            file.seek(start)
            data = file.read(min(whole - start, _MOST * _RECORD.size))
    except OSError:
        return [], place
    count = len(data) // _RECORD.size
    found = [_read(data, n * _RECORD.size) for n in range(count)]
    return found, [told.st_ino, start + count * _RECORD.size]


def _read(data: bytes, at: int) -> dict[str, Any]:
    kind, pid, line, _, user, host, _, _, _, seconds, micros, address = _RECORD.unpack_from(
        data, at
    )
    return {
        "kind": kind,
        "pid": pid,
        "line": _text(line),
        "user": _text(user),
        "host": _text(host),
        "time_us": seconds * 1_000_000 + micros,
        "ip": _address(address),
    }


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("utf-8", "backslashreplace")


def _address(raw: bytes) -> str | None:
    if not any(raw):
        return None
    if any(raw[4:]):
        return socket.inet_ntop(socket.AF_INET6, raw)
    return socket.inet_ntop(socket.AF_INET, raw[:4])


def _session(record: dict[str, Any], sessions: dict[str, str]) -> Event | None:
    if record["kind"] == _BOOT:
        return event(6002, 3, record["time_us"], {"message": "the host was booted"})
    if record["kind"] == _USER:
        sessions[record["line"]] = record["user"]
        return _event(_LOGON, record, record["user"], status_id=1)
    if record["kind"] == _DEAD and record["line"] in sessions:
        return _event(_LOGOFF, record, sessions.pop(record["line"]), status_id=1)
    return None


def _failure(record: dict[str, Any]) -> Event:
    return _event(_LOGON, record, record["user"], status_id=2)


def _event(activity: int, record: dict[str, Any], user: str, status_id: int) -> Event:
    more: Event = {
        "user": {"name": user},
        "actor": {"process": {"pid": record["pid"]}, "session": {"uid": record["line"]}},
        "status_id": status_id,
        "logon_type_id": _REMOTE if record["host"] or record["ip"] else _INTERACTIVE,
    }
    if record["ip"] or record["host"]:
        more["src_endpoint"] = {"ip": record["ip"], "hostname": record["host"] or None}
    seen = event(3002, activity, record["time_us"], more)
    seen["metadata"] |= {"log_provider": "wtmp"}
    return seen
