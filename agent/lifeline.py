"""Tell whether the agent was told to stop, or was killed: at its end, or at its next start."""

from pathlib import Path
from typing import Final

from agent.collect import Event
from agent.collect._shape import agent_event, now_us
from agent.incarnation import BOOT_ID, boot_of
from agent.spool import Spool

_NOTE: Final = "life:"


def begin(spool: Spool, half: str, is_planned: bool, boot_id: Path = BOOT_ID) -> list[Event]:
    """Note that this half lives; give what is to be told of the one before.

    `is_planned`: it replaced itself, and has said so. One that the machine took with it is no news.
    """
    before, boot = spool.note(_NOTE + half, {}), boot_of(boot_id)
    spool.set_note(_NOTE + half, {"boot": boot, "since_us": now_us()})
    if is_planned or not before or before.get("boot", "").replace("-", "") != boot:
        return []
    text = f"the agent ({half}) was killed: it ended without a word, its host did not"
    return [agent_event("agent_killed", now_us(), text, half=half, since_us=before["since_us"])]


def end(spool: Spool, half: str, *, is_idle: bool = False) -> list[Event]:
    """Note that this half ends as it was told to; give what is to be told of that.

    `is_idle`: it ends itself until there is something to do, which is no news.
    """
    spool.set_note(_NOTE + half, {})
    if is_idle:
        return []
    text = f"the agent ({half}) was told to stop"
    return [agent_event("agent_stopped", now_us(), text, half=half)]
