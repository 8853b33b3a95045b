"""Say whether an auth.log is still written: one that is left over must not switch others off."""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

SLACK_S: Final = 60.0
"""What is told twice stands in both places within so long."""


def written_s(logs: Iterable[Path]) -> float:
    """Give when one of them was last written, 0.0 if there is none."""
    return max(map(_changed_s, logs), default=0.0)


def is_left_over(logs: Iterable[Path], other_s: float) -> bool:
    """Answer whether there is none, or what was written elsewhere (`other_s`) is not in them."""
    last_s = written_s(logs)
    return last_s == 0.0 or other_s > last_s + SLACK_S


def _changed_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
