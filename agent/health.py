"""Say how the agent is."""

from typing import Final

from agent.deliver import SKEW
from agent.spool import Spool
from agent.system import resident_bytes

HEALTH: Final = "health"
"""Note of the spool: what the agent last said of itself."""


def health(spool: Spool, share: float) -> dict[str, object]:
    """Give what waits, went and was dropped, and what this process uses."""
    queue = spool.queue()
    return {
        "waiting": sum(int(str(row["waiting"])) for row in queue),
        "sent": sum(int(str(row["sent"])) for row in queue),
        "dropped": sum(int(str(row["dropped"])) for row in queue),
        "spool_bytes": spool.held_bytes(),
        "clock_skew_s": spool.note(SKEW, 0.0),
        "memory_bytes": resident_bytes(),
        "cpu_share": round(share, 4),
    }
