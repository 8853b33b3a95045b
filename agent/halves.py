"""Say what halves note for each other in the spool: who they are, where the house is."""

import sys
from pathlib import Path
from typing import Final

from agent.spool import Spool

IS_LINUX: Final = sys.platform == "linux"
POLICY: Final = "policy"
"""Note of the spool: which version runs, which was refused and why, what the host lets through."""
HOUSE: Final = "house"
"""Note of the spool: addresses of the house, each with port; that of the last time is first."""


def houses(spool: Spool) -> list[tuple[str, int]]:
    """Give where the house was reached before."""
    noted = spool.note(HOUSE, None) or []
    if noted and isinstance(noted[0], str):  # as versions before noted it: one
        noted = [noted]
    return [(str(address), int(port)) for address, port in noted]


def own_pids(spool: Spool) -> frozenset[int]:
    """Give the processes of the agent's halves, as they noted themselves, with those above them."""
    found = set()
    for half in ("look", "ship", "respond"):
        noted = spool.note(f"half.{half}", None)
        if isinstance(noted, list) and len(noted) == 2 and _start_ticks(int(noted[0])) == noted[1]:
            found |= _with_those_above(int(noted[0]))
    return frozenset(found)


def _start_ticks(pid: int) -> int:
    stat = _stat(pid)
    return int(stat[19]) if stat else 0


def _with_those_above(pid: int) -> set[int]:
    found: set[int] = set()
    while pid > 1 and pid not in found:
        found.add(pid)
        stat = _stat(pid)
        pid = int(stat[1]) if stat else 0
    return found


def _stat(pid: int) -> list[bytes]:
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return []
    return text[text.rindex(b")") + 2 :].split()


def note_half(spool: Spool, half: str, pid: int) -> None:
    """Note which process a half of the agent is, so that no action ends it."""
    spool.set_note(f"half.{half}", [pid, _start_ticks(pid)])


def is_alive(spool: Spool, half: str) -> bool | None:
    """Answer whether the process that a half noted lives; None where the system does not say."""
    if not IS_LINUX:
        return None
    noted = spool.note(f"half.{half}", None)
    return (
        isinstance(noted, list)
        and len(noted) == 2
        and noted[1] > 0
        and _start_ticks(int(noted[0])) == noted[1]
    )
