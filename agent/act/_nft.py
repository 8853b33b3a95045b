"""Put rules into tables of our own with nft: whole tables at once, and the kernel ends them.

Whether rules count hangs on an element that the kernel takes out of its set after so many seconds:
they end in time although the agent is stopped, killed or shut out.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Final

from agent.act import Refuses
from agent.errors import AgentError

TIMEOUT_S: Final = 20
_PLACES: Final = ("/usr/sbin/nft", "/sbin/nft", "/usr/bin/nft")


def program() -> str:
    """Give nft's path; Refuses where the host has none."""
    found = shutil.which("nft") or next((p for p in _PLACES if Path(p).exists()), None)
    if found is None:
        raise Refuses("nft is not there: install the package nftables")
    return found


def run(rules: str) -> None:
    """Have the kernel take these rules, all or none; AgentError says why not."""
    _call(("-f", "-"), rules)


def exists(table: str) -> bool:
    """Answer whether our table is there."""
    words = (program(), "list", "table", "inet", table)
    done = subprocess.run(words, check=False, capture_output=True, timeout=TIMEOUT_S)
    return done.returncode == 0


def drop_table(table: str) -> None:
    """Take our table away; nothing if it is not there."""
    # `add` first: `delete` alone is an error where there is none.
    run(f"add table inet {table}\ndelete table inet {table}\n")


def _call(words: tuple[str, ...], given: str) -> None:
    try:
        done = subprocess.run(
            (program(), *words),
            input=given.encode(),
            check=False,
            capture_output=True,
            timeout=TIMEOUT_S,
        )
    except (OSError, subprocess.TimeoutExpired) as wrong:
        raise AgentError(f"nft could not be run: {wrong}") from None
    if done.returncode:
        raise AgentError(f"nft: {done.stderr.decode('utf-8', 'replace').strip()[:300]}")
