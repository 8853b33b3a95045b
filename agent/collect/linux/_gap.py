"""Tell the time in which a watcher heard nothing, because the agent or it was not there."""

from typing import Final

from agent.collect import Event, Notes
from agent.collect._shape import agent_event
from agent.collect.linux._proc import boot_mark

UNTIL: Final = "until_us"
_BOOT: Final = "boot"


def heard(at_us: int) -> Notes:
    """Give what a watcher adds to its notes: until when it heard, in which boot."""
    return {UNTIL: at_us, _BOOT: boot_mark()}


def gap(notes: Notes, collector: str, at_us: int) -> list[Event]:
    """Give the interval since the notes; none at the first start, and none over a boot.

    After a kill it begins up to a minute early: with the notes of that time.
    """
    if notes.get(_BOOT) != boot_mark() or not 0 < notes.get(UNTIL, 0) < at_us:
        return []
    text = f"nobody listened for {collector}; what was short is missing, the rest was compared"
    more = {"start_time_us": notes[UNTIL], "end_time_us": at_us, "collector": collector}
    return [agent_event("kernel_overrun", at_us, text, **more)]
