"""Give every event its common part: OCSF envelope, host, product."""

import functools
import os
import platform
import socket
import time
from typing import Any


@functools.cache
def _host() -> dict[str, Any]:
    return {"hostname": socket.gethostname(), "os": {"name": platform.system()}}


def event(class_uid: int, activity_id: int, time_us: int, more: dict[str, Any]) -> dict[str, Any]:
    """Give an OCSF event of this host; `time` in ms since 1970 as OCSF says."""
    return {
        "time": time_us // 1000,
        "class_uid": class_uid,
        "activity_id": activity_id,
        "severity_id": 1,
        "metadata": {"product": {"name": platform.system().lower()}, "log_name": "agent"},
        "device": _host(),
        **more,
    }


def agent_event(code: str, now_us: int, message: str, **more: object) -> dict[str, Any]:
    """Give an event that the agent tells of itself; `more` comes as the source's own fields."""
    seen = event(0, 0, now_us, {"message": message, **more})
    seen["metadata"] = {**seen["metadata"], "event_code": code, "log_provider": "inopsio-agent"}
    return seen


def shown(path: str) -> str:
    r"""Give a path for an event: bytes of its name that are no UTF-8 become `\xNN`.

    >>> shown("/tmp/caf\udce9")
    '/tmp/caf\\xe9'
    """
    if path.isascii():
        return path
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def now_us() -> int:
    """Give the time, us since 1970."""
    return time.time_ns() // 1000
