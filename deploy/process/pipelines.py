"""Read the raw topic, detect, commit; and beside it the signals, for what they say together."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from deploy.house import opened
from deploy.running import until_told_to_stop
from pipelines.flow import house_of, run_flow, signals_of, with_tenant_rules
from pipelines.tenant_indicators import TenantIndicators
from storage.settings import Settings

SIGNALS_LINGER_MS: Final = 400
"""Between two looks for claims, which are few: each look at Kafka asks for the ends of topics."""


def run(settings: Settings) -> None:
    """Run both flows until told to stop; if one of them ends, the process does."""
    stop = until_told_to_stop()
    with opened(settings) as house:
        first, rules = with_tenant_rules(house_of(settings), house.database)
        intel = TenantIndicators(house.database)
        intel.look()
        first = replace(first, indicators=lambda: intel.frames)

        def correlate() -> None:
            run_flow(
                replace(settings, linger_ms=max(settings.linger_ms, SIGNALS_LINGER_MS)),
                house.database,
                house.log,
                house.lake,
                runner="loop",
                stop=stop,
                house=signals_of(first),
            )

        # The second flow reads claims, which are few: a thread of this process, by the plain loop.
        beside = [
            threading.Thread(target=_or_end, args=(stop, correlate), name="signals"),
            threading.Thread(target=_or_end, args=(stop, rules.keep_on, stop), name="rules"),
            threading.Thread(target=_or_end, args=(stop, intel.keep_on, stop), name="intel"),
        ]
        for thread in beside:
            thread.start()
        try:
            run_flow(settings, house.database, house.log, house.lake, stop=stop, house=first)
        finally:
            stop.set()
            for thread in beside:
                thread.join()


def _or_end(stop: threading.Event, work: Callable[..., None], *given: object) -> None:
    """Do the work; when it ends, end the process: without it, it would only seem to live."""
    try:
        work(*given)
    finally:
        stop.set()
