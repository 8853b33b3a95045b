"""Find the rows that make a step raise, so that they alone go to the dead letter."""

from collections.abc import Callable

import polars as pl

from storage.errors import PluginError, Unavailable

Probe = Callable[[pl.DataFrame], object]
"""Does the step's work on some rows without leaving anything behind; raises on a bad row."""


def isolate(frame: pl.DataFrame, probe: Probe) -> list[tuple[int, str]]:
    """Halve the frame until every raising row stands alone; give (row number, reason), in order.

    Costs about 2 * k * log2(rows) probes for k bad rows. Empty if no single row raises, though all
    together do: then the caller must take smaller steps. Unavailable and PluginError are nobody's
    row and pass through.
    """
    return _isolate(frame, 0, probe)


def _isolate(frame: pl.DataFrame, first: int, probe: Probe) -> list[tuple[int, str]]:
    try:
        probe(frame)
    except (Unavailable, PluginError):
        raise
    except Exception as error:  # noqa: BLE001  consume loop: whatever a step raises names a row
        if frame.height <= 1:
            return [(first, reason_of(error))] if frame.height else []
        half = frame.height // 2
        left = _isolate(frame.head(half), first, probe)
        return left + _isolate(frame.slice(half), first + half, probe)
    return []


def reason_of(error: Exception) -> str:
    """Say in one line what was raised, short enough for a dead letter.

    >>> reason_of(ValueError("no such thing"))
    'ValueError: no such thing'
    """
    text = " ".join(str(error).replace("\\0", "?").split())
    return f"{type(error).__name__}: {text}"[:500]
