"""Hold what every request needs; made once by `create_app`, never a global."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from fastapi import Request

from api.room import Room
from api.throttle import Throttle
from storage.database import Database
from storage.lake import Lake
from storage.log import EventLog
from storage.quotas import Quotas, rate_of
from storage.settings import Settings
from storage.tenant import system_scope

MOST_RUNS: Final = 12
"""Processes of one agent that may begin within ten minutes."""


def wall_clock_us() -> int:
    """Give UTC µs since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True, slots=True)
class Desk:
    """The front door's means: settings, ledger, record, lake, clock, counters of failed tries."""

    settings: Settings
    database: Database
    log: EventLog
    lake: Lake | None = None
    now_us: Callable[[], int] = wall_clock_us
    room: Room = field(default_factory=Room)
    pair_tries: Throttle = field(default_factory=lambda: Throttle(8, 300))
    account_tries: Throttle = field(default_factory=lambda: Throttle(40, 300))
    address_tries: Throttle = field(default_factory=lambda: Throttle(40, 300))
    enrol_tries: Throttle = field(default_factory=lambda: Throttle(20, 300))
    told: Throttle = field(default_factory=lambda: Throttle(1, 600))
    runs: Throttle = field(default_factory=lambda: Throttle(MOST_RUNS, 600))
    quotas: Quotas = field(init=False)

    def __post_init__(self) -> None:
        """Let the quotas read each tenant's own rate from the ledger."""
        quotas = Quotas(self._own_rate, self.settings.tenant_bytes_s)
        object.__setattr__(self, "quotas", quotas)

    def _own_rate(self, tenant_id: str) -> int | None:
        return rate_of(self.database, system_scope(tenant_id, "quota"))

    def now(self) -> datetime:
        """Give this moment as an aware datetime."""
        return datetime.fromtimestamp(self.now_us() / 1_000_000, UTC)


def desk_of(request: Request) -> Desk:
    """Give the desk of the application that answers this request."""
    desk = request.app.state.desk
    assert isinstance(desk, Desk)  # noqa: S101  app.state is untyped; create_app puts it there
    return desk
