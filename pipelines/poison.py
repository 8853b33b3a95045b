"""Find the rows that make a step raise, so that they alone go to the dead letter."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from storage.errors import PluginError, Unavailable

Probe = Callable[[pl.DataFrame], object]
"""Does the step's work on some rows without leaving anything behind; raises on a bad row."""


@dataclass(frozen=True, slots=True)
class Isolated:
    """What was found: `bad` (row number, reason), in order; all rows before `checked` were tried
    in `probes` probes.
    """

    bad: tuple[tuple[int, str], ...]
    checked: int
    probes: int


def isolate(
    frame: pl.DataFrame, probe: Probe, most: int | None = None, most_probes: int | None = None
) -> Isolated:
    """Halve the frame until every raising row stands alone, or `most` do, or probes run out.

    Costs about 2 * k * log2(rows) probes for k bad rows. Empty if no single row raises, though all
    together do: then the caller must take smaller steps. Unavailable and PluginError are nobody's
    row and pass through.
    """
    bad: list[tuple[int, str]] = []
    probes = 0
    waiting = [(0, frame.height)]
    while waiting and len(bad) != most and probes != most_probes:
        first, rows = waiting.pop()
        probes += 1
        try:
            probe(frame.slice(first, rows))
        except (Unavailable, PluginError):
            raise
        except Exception as error:  # noqa: BLE001  consume loop: whatever a step raises names a row
            if rows == 1:
                bad.append((first, reason_of(error)))
            elif rows:
                half = rows // 2
                waiting += [(first + half, rows - half), (first, half)]
    return Isolated(tuple(bad), waiting[-1][0] if waiting else frame.height, probes)


def reason_of(error: Exception) -> str:
    """Say in one line what was raised, short enough for a dead letter.

    >>> reason_of(ValueError("no such thing"))
    'ValueError: no such thing'
    """
    text = " ".join(str(error).replace("\\0", "?").split())
    return f"{type(error).__name__}: {text}"[:500]
