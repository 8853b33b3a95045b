"""Search the past for indicators that are new, each search in a process of its own, one at a time.

`python -m deploy.matching TENANT ID` runs one. It goes back day by day; what a batch claims and how
far the search is are kept together, and a killed one is taken up on the day where it was.
"""

import os
import resource
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import Final

from deploy import waiting
from deploy.house import House, opened
from pipelines.past_match import past_match
from storage.database.rows import insert_findings
from storage.errors import InopsioError, Unavailable
from storage.indicator_matches import (
    SETTLE_S,
    end_match,
    get_match,
    match_beats,
    match_indicators,
    match_reached,
    take_match,
    waiting_matches,
)
from storage.indicators import FRAME
from storage.schema.indicator import Known
from storage.settings import Settings
from storage.tenant import Actor, Role, Scope

DAY_US: Final = 86_400_000_000
CPU_S: Final = 3600
"""Seconds of CPU after which the kernel ends a search; it goes on where it was."""
NICE: Final = 10
BEAT_S: Final = 2.0


def serve(house: House, stop: threading.Event, settle_s: float = SETTLE_S) -> None:
    """Run the searches that wait until told to stop."""
    waiting.serve(house, stop, partial(waiting_matches, settle_s=settle_s), "deploy.matching")


def run(house: House, tenant: str, match_id: str) -> bool:
    """Run one and write what came of it; False if somebody else has it."""
    scope = Scope(tenant, Actor("system", "matches"), frozenset({Role.ANALYST}))
    with house.database.app(scope) as tx:
        if not take_match(tx, match_id):
            return False
    # Later than the one that took it: what was put while it waited is there by now.
    with house.database.app(scope) as tx:
        known = Known.of(match_indicators(tx, match_id, FRAME))
        asked = get_match(scope, tx, match_id)
    until_us, reached = _us(asked["until"]), asked["reached"]
    since_us = until_us - int(asked["days"]) * DAY_US
    try:
        for begin_us, end_us in days_back(since_us, _us(reached) if reached else until_us):
            if known.frame.height:
                _day(house, scope, match_id, known, begin_us, end_us)
    except Unavailable:
        raise  # the row stops beating: it is taken again, a while later
    except InopsioError as wrong:
        with house.database.app(scope) as tx:
            end_match(tx, match_id, f"{wrong}: run: inopsio intel match")
        return True
    with house.database.app(scope) as tx:
        end_match(tx, match_id)
    return True


def days_back(since_us: int, until_us: int) -> Iterator[tuple[int, int]]:
    """Give the UTC days of a span, the latest first, each as begin and end.

    >>> list(days_back(DAY_US - 5, 2 * DAY_US + 5))[0] == (2 * DAY_US, 2 * DAY_US + 5)
    True
    """
    while until_us > since_us:
        begin_us = max(since_us, (until_us - 1) // DAY_US * DAY_US)
        yield begin_us, until_us
        until_us = begin_us


def _day(
    house: House, scope: Scope, match_id: str, known: Known, begin_us: int, end_us: int
) -> None:
    told, read = monotonic(), 0
    for events, claims in past_match(house.database, house.lake, scope, known, begin_us, end_us):
        read += events
        if claims:
            with house.database.writer() as tx:
                new = len(insert_findings(tx, claims))
                match_reached(tx, scope.tenant_id, match_id, _at(end_us), 0, new)
        elif monotonic() - told > BEAT_S:
            told = monotonic()
            with house.database.app(scope) as tx:
                match_beats(tx, match_id, known.frame.height)
    with house.database.writer() as tx:
        match_reached(tx, scope.tenant_id, match_id, _at(begin_us), read, 0)


def _us(at: datetime) -> int:
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _at(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).replace(
        microsecond=time_us % 1_000_000
    )


def main() -> None:
    """Run the one that the command line names."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 10))
    tenant, match_id = sys.argv[1:]
    with opened(Settings.read()) as house:
        run(house, tenant, match_id)


if __name__ == "__main__":
    main()
