"""See who is signed in, by comparison of two looks: what came and went between them is missed.

Failed tries are in no list of sessions: on Windows `event_log` has them, on macOS nothing has.
"""

from typing import Any, Final

import psutil

from agent.collect import Event, Look, Notes
from agent.collect._shape import event

NAME: Final = "sign_ins"
EVERY_S: Final = 5.0
_LOGON, _LOGOFF = 1, 2
_INTERACTIVE, _REMOTE = 2, 10


def collect(notes: Notes, now_us: int) -> Look:
    """Give a Logon for each session that is new, a Logoff for each gone; the first look learns."""
    known: dict[str, dict[str, Any]] = notes.get("known", {})
    alive: dict[str, dict[str, Any]] = {}
    for user in psutil.users():
        line = user.terminal or ""
        alive[f"{user.name}|{line}|{user.started:.0f}"] = {
            "user": user.name,
            "line": line,
            "host": user.host or "",
            "started_us": int(user.started * 1e6),
        }
    if "known" not in notes:
        return Look([], {"known": alive})
    events = [
        _event(_LOGON, seen, int(seen["started_us"]))
        for key, seen in alive.items()
        if key not in known
    ]
    events += [_event(_LOGOFF, seen, now_us) for key, seen in known.items() if key not in alive]
    return Look(events, {"known": alive})


def _event(activity: int, seen: dict[str, Any], at_us: int) -> Event:
    more: Event = {
        "user": {"name": seen["user"]},
        "actor": {"session": {"uid": seen["line"]}},
        "status_id": 1,
        "logon_type_id": _REMOTE if seen["host"] else _INTERACTIVE,
    }
    if seen["host"]:
        more["src_endpoint"] = {"hostname": seen["host"]}
    told = event(3002, activity, at_us, more)
    told["metadata"] |= {"log_provider": "sessions"}
    return told
