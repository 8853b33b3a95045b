"""Give every event its common part: OCSF envelope, host, product."""

import functools
import platform
import socket
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
