"""Take something away from a fed house for a while, give it back, and say what that did."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Final

from tests.faults.house import House, until
from tests.faults.proxy import FAIR, Weather
from tests.faults.servers import Service

_LOOK_S: Final = 0.5
_FEW: Final = 20
LAG_S: Final = 120.0
"""So long after the end of an outage the lag is to be gone."""
MORE_MEMORY: Final = 1.2


@dataclass(slots=True)
class _Watch:
    """Memory by process and lag, as seen while it ran."""

    peak: dict[str, int] = field(default_factory=dict)
    lag: int = 0
    statuses: Counter[int] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Outage:
    """What an outage did."""

    name: str
    away_s: float
    before: dict[str, int]
    """Resident bytes of each process before it; `peak` the most during it and until it was over."""
    peak: dict[str, int]
    most_lag: int
    statuses: Counter[int]
    """Answers of the door from the beginning of the outage until the lag was gone."""
    lag_gone_s: float
    """Seconds from its end until requests were kept again and as few messages unread as before."""
    sent_s: float
    """Seconds from its end until the sender had sent all that was due: as fast as the door is."""
    deaths: dict[str, int]
    """Processes that ended in it."""

    def growth(self) -> float:
        """Give the largest factor by which a process grew."""
        return max(
            (self.peak[n] / self.before[n] for n in self.before if n in self.peak), default=1
        )

    def row(self) -> str:
        """Show it as a row of a table under `HEAD`."""
        grown = ", ".join(
            f"{n} {self.before[n] >> 20} -> {self.peak.get(n, 0) >> 20}" for n in self.before
        )
        return (
            f"| {self.name} | {self.away_s:.0f} | {self.lag_gone_s:.0f} | {self.sent_s:.0f} | "
            f"{self.most_lag} | "
            f"{grown} | {dict(sorted(self.statuses.items()))} | {sum(self.deaths.values())} |"
        )


HEAD: Final = (
    "| what | for s | lag gone after s | sender up to date after s | most lag, messages | "
    "memory before -> peak, MiB | answers | processes that ended |\n"
    "|---|---|---|---|---|---|---|---|"
)


def begin(house: House, seed: int, per_s: float, requests: int = 8) -> None:
    """Feed, and wait until it flows."""
    house.feed(seed, per_s)
    until(lambda: house.answers().kept > requests, 120, "nothing is fed")


def suffer(
    house: House, name: str, away: Callable[[], object], back: Callable[[], object], for_s: float
) -> Outage:
    """Take away from a house that is fed, give back, wait until the lag is gone."""
    started, seen_before = house.restarts(), house.answers().statuses
    before, usual = house.memory(), _lag(house) or 0
    with watched(house) as seen:
        away()
        began_s = time.monotonic()
        time.sleep(for_s)
        back()
        away_s = time.monotonic() - began_s
        kept = house.answers().kept
        gone_s = until(
            lambda: house.answers().kept > kept + 1 and _is_gone(house, usual),
            LAG_S * 3,
            f"{name}: the lag stays",
        )
        sent_s = gone_s + until(
            lambda: not house.is_feeder_behind(), LAG_S * 5, f"{name}: the sender stays behind"
        )
    deaths = {n: k - started.get(n, 0) for n, k in house.restarts().items()}
    statuses = house.answers().statuses - seen_before
    return Outage(name, away_s, before, seen.peak, seen.lag, statuses, gone_s, sent_s, deaths)


def cut(house: House, which: str, weather: Weather, for_s: float) -> Outage:
    """Spoil the line to the `broker` or the `database`."""
    server = house.broker if which == "broker" else house.database
    assert isinstance(server, Service)
    proxy = server.proxy
    name = f"{which} {_word(weather)}"

    def spoil(new: Weather) -> None:
        proxy.weather = new

    return suffer(house, name, lambda: spoil(weather), lambda: spoil(FAIR), for_s)


def pause(house: House, name: str, for_s: float) -> Outage:
    """Stop a process or server by SIGSTOP and let it go on."""
    return suffer(
        house, f"{name} paused", lambda: house.pause(name), lambda: house.resume(name), for_s
    )


def _word(weather: Weather) -> str:
    told = {k: v for k, v in asdict(weather).items() if v}
    return " ".join(k if v is True else f"{k}={v:g}" for k, v in told.items())


def _lag(house: House) -> int | None:
    lag = house.status().get("lag_messages")
    return None if lag is None else int(lag)


def _is_gone(house: House, usual: int) -> bool:
    lag = _lag(house)
    return lag is not None and lag <= usual + _FEW


@contextmanager
def watched(house: House) -> Iterator[_Watch]:
    """Look at memory and lag twice a second while the body runs."""
    seen, end = _Watch(), threading.Event()

    def look() -> None:
        while not end.wait(_LOOK_S):
            for name, size in house.memory().items():
                seen.peak[name] = max(seen.peak.get(name, 0), size)

    def ask() -> None:
        while not end.wait(_LOOK_S):
            seen.lag = max(seen.lag, _lag(house) or 0)

    threads = [threading.Thread(target=work, daemon=True) for work in (look, ask)]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        end.set()
        for thread in threads:
            thread.join(60)
