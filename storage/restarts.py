"""Say which processes of a house die again and again, from what its supervisor writes down.

The supervisor (`inopsio up`) starts anew what dies, and tells in `up.json` of the data folder when
that was. Under another supervisor the file is not there: it does its own counting.
"""

import json
from pathlib import Path
from typing import Final

STATE_FILE: Final = "up.json"
WINDOW_S: Final = 300.0
MOST_DEATHS: Final = 3
"""A process that dies more often within WINDOW_S does no work that one could rely on."""
STEADY_S: Final = 60.0
"""One that has lived so long since is well again; longer than the supervisor's longest pause."""


def recent(deaths_at: list[float], now_s: float) -> list[float]:
    """Keep what is within WINDOW_S before now.

    >>> recent([100.0, 500.0], 600.0)
    [500.0]
    """
    return [at for at in deaths_at if now_s - WINDOW_S < at <= now_s]


def restarting(data_dir: Path, now_s: float) -> dict[str, int]:
    """Give name -> deaths within WINDOW_S of the processes that died more than MOST_DEATHS times.

    Those that have lived for STEADY_S since are left out. `now_s`: UTC seconds since 1970. Nothing
    where no supervisor tells, or what it told is broken.
    """
    try:
        told = json.loads((data_dir / STATE_FILE).read_text(encoding="utf-8"))["deaths"]
        lately = {str(name): recent(times, now_s) for name, times in told.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}
    return {
        name: len(times)
        for name, times in sorted(lately.items())
        if len(times) > MOST_DEATHS and now_s - max(times) < STEADY_S
    }


def in_words(restarts: dict[str, int]) -> str:
    """Say it for people.

    >>> in_words({"pipelines": 5})
    'pipelines died 5 times in 5 minutes'
    """
    told = (f"{name} died {count} times" for name, count in restarts.items())
    return f"{', '.join(told)} in {WINDOW_S / 60:.0f} minutes"
