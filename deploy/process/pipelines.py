"""Read the raw topic, detect, commit; and beside it the signals, for what they say together."""

import threading

from deploy.house import House, opened
from deploy.running import until_told_to_stop
from pipelines.flow import house_of, run_flow, signals_of
from pipelines.step import House as FlowHouse
from storage.settings import Settings


def run(settings: Settings) -> None:
    """Run both flows until told to stop; if one of them ends, the process does."""
    stop = until_told_to_stop()
    with opened(settings) as house:
        first = house_of(settings)
        # The second flow reads claims, which are few: a thread of this process, by the plain loop.
        second = threading.Thread(
            target=_correlate, args=(settings, house, first, stop), name="signals"
        )
        second.start()
        try:
            run_flow(settings, house.database, house.log, house.lake, stop=stop, house=first)
        finally:
            stop.set()
            second.join()


def _correlate(settings: Settings, house: House, first: FlowHouse, stop: threading.Event) -> None:
    try:
        run_flow(
            settings,
            house.database,
            house.log,
            house.lake,
            runner="loop",
            stop=stop,
            house=signals_of(first),
        )
    finally:
        stop.set()
