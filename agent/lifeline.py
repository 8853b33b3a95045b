"""Tell whether the agent was told to stop, or was killed: at its end, or at its next start."""

from pathlib import Path
from typing import Final

from agent.collect import Event
from agent.collect._shape import agent_event, now_us
from agent.incarnation import BOOT_ID
from agent.spool import Spool
from agent.system import told_by

_NOTE: Final = "life:"


def _boot(path: Path) -> str:
    return told_by(path).decode("ascii", "replace")


def begin(spool: Spool, half: str, is_planned: bool, boot_id: Path = BOOT_ID) -> list[Event]:
    """Note that this half lives; give what is to be told of the one before.

    `is_planned`: it replaced itself, and has said so. One that the machine took with it is no news.
    """
    before, boot = spool.note(_NOTE + half, {}), _boot(boot_id)
    spool.set_note(_NOTE + half, {"boot": boot, "since_us": now_us()})
    if is_planned or not before or before.get("boot") != boot:
        return []
    text = f"the agent ({half}) was killed: it ended without a word, its host did not"
    return [agent_event("agent_killed", now_us(), text, half=half, since_us=before["since_us"])]


def end(spool: Spool, half: str) -> list[Event]:
    """Note that this half ends as it was told to; give what is to be told of that."""
    spool.set_note(_NOTE + half, {})
    text = f"the agent ({half}) was told to stop"
    return [agent_event("agent_stopped", now_us(), text, half=half)]
