"""Run the back-tests that people asked for, each in a process of its own, one after the other.

`python -m deploy.backtesting TENANT ID` runs one. A process that is killed leaves its row without a
beat; it is taken again, three times at most.
"""

import os
import resource
import sys
import threading
from typing import Final

from deploy import waiting
from deploy.backtest import DAY_US, backtest
from deploy.house import House, opened
from storage.backtests import (
    beat,
    end_backtest,
    get_backtest,
    take_backtest,
    waiting_backtests,
)
from storage.errors import InopsioError
from storage.settings import Settings
from storage.tenant import Actor, Role, Scope

CPU_S: Final = 900
"""Seconds of CPU after which the kernel ends a back-test."""
NICE: Final = 10


def serve(house: House, stop: threading.Event) -> None:
    """Run what waits until told to stop; one that cannot be run does not stop the others."""
    waiting.serve(house, stop, waiting_backtests, "deploy.backtesting")


def run(house: House, tenant: str, backtest_id: str) -> bool:
    """Run one and write what came of it; False if somebody else has it."""
    scope = Scope(tenant, Actor("system", "backtests"), frozenset({Role.ANALYST}))
    with house.database.app(scope) as tx:
        if not take_backtest(tx, backtest_id):
            return False
        asked = get_backtest(scope, tx, backtest_id)
    read = 0

    def tell(events: int) -> None:
        nonlocal read
        read = events
        with house.database.app(scope) as tx:
            beat(tx, backtest_id, events)

    until_us = int(asked["until"].timestamp() * 1_000_000)
    since_us = until_us - int(asked["days"]) * DAY_US
    try:
        result = backtest(house, scope, str(asked["text"]), since_us, until_us, tell)
    except InopsioError as wrong:
        with house.database.app(scope) as tx:
            end_backtest(tx, backtest_id, read, None, str(wrong))
        return True
    with house.database.app(scope) as tx:
        end_backtest(tx, backtest_id, int(result["events"]), result)
    return True


def main() -> None:
    """Run the one that the command line names."""
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_S, CPU_S + 10))
    tenant, backtest_id = sys.argv[1:]
    with opened(Settings.read()) as house:
        run(house, tenant, backtest_id)


if __name__ == "__main__":
    main()
