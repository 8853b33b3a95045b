"""Live the company's life in a running house: days of history at once, then ever on.

The company's clock begins two days back, at eight in its own morning, and runs `speed` times as
fast as the wall until it has caught up; no event is told before it happened. What was sent is kept
in `demo.json` of the data folder; the same rows can be sent again without any harm.
"""

import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from deploy.demo.calendar import Calendar
from deploy.demo.company import Company, found
from deploy.demo.feeding import Feeder, steps
from deploy.demo.guide import Herald, ends_at, look_at, preview
from deploy.demo.month import stream
from deploy.demo.pace import Pace
from deploy.demo.playlist import LIVE_FROM_D, playlist
from deploy.demo.rows import HOUR, MINUTE, SECOND, Row
from deploy.demo.staff import let_in
from deploy.house import database_of
from deploy.output import note, say
from deploy.running import private, url_of
from deploy.up import up
from storage.errors import InopsioError, InvalidInput, Unavailable
from storage.settings import Settings

HISTORY_D: Final = 3
BOOKS_A_DAY: Final = 15
"""Days of the books for each day of the logs: what vendors usually ask for shows in weeks."""
LIVE_H: Final = 48
MORNING_H: Final = 8
HISTORY_STEP: Final = 15 * MINUTE
TICK_S: Final = 1.0
MOST_BEHIND: Final = 400
_FOREVER: Final = 100_000
_STATE: Final = "demo.json"
SURROUNDINGS: Final = {"INOPSIO_LATENESS_S": "900", "INOPSIO_PAYMENT_WAIT_S": "20"}
"""The company's time runs fast: more disorder is allowed for, and a payment waits less."""


@dataclass(slots=True)
class State:
    """What a second start needs: which company, when its day 0 began, what was sent already."""

    seed: int
    people: int
    first_us: int
    sent_us: int
    history_d: int = HISTORY_D
    positions: dict[str, int] = field(default_factory=dict)


def _state(
    settings: Settings, seed: int, people: int, now_us: int, history_d: int = HISTORY_D
) -> State:
    """Read the state of the data folder, or begin a new one."""
    place = settings.data_dir / _STATE
    if place.exists():
        try:
            return State(**json.loads(place.read_text("utf-8")))
        except (ValueError, TypeError) as wrong:
            raise InvalidInput(f"{place} cannot be read ({wrong}); start with --fresh") from wrong
    first_us = now_us - (LIVE_H + MORNING_H) * HOUR
    return State(seed, people, first_us - first_us % MINUTE, 0, history_d)


def _keep(settings: Settings, state: State) -> None:
    place = settings.data_dir / _STATE
    draft = place.with_suffix(".tmp")
    private(draft).write_text(json.dumps(asdict(state)), "utf-8")
    draft.replace(place)


def is_demo(folder: Path) -> bool:
    """Answer whether the folder holds the data of a demo."""
    return (folder / _STATE).exists()


class Life:
    """One life of the company: its rows still to come, its clock, the door it sends to."""

    def __init__(
        self, settings: Settings, state: State, feeder: Feeder, stop: threading.Event, speed: float
    ) -> None:
        """Make the company; skip what was sent before."""
        self._settings, self._state, self._feeder, self._stop = settings, state, feeder, stop
        company: Company = found(state.seed, state.people)
        self._calendar = Calendar(state.first_us, works_always=True)
        self.pace = Pace(self._calendar, speed)
        self._tales_of = playlist(state.seed, company, self._calendar)
        self._herald = Herald()
        days = range(-state.history_d, _FOREVER)
        books_d = state.history_d * BOOKS_A_DAY
        self._rows = stream(company, self._calendar, state.seed, days, self._tales_of, books_d)
        self._ahead = self._first_unsent()
        self._announced = LIVE_FROM_D - 1

    def _first_unsent(self) -> Row | None:
        return next((r for r in self._rows if r.time_us >= self._state.sent_us), None)

    def _before(self, until_us: int) -> Iterator[Row]:
        """Take the rows before a moment off those still to come."""
        while self._ahead is not None and self._ahead.time_us < until_us:
            row, self._ahead = self._ahead, next(self._rows, None)
            yield row

    def opening(self) -> int:
        """Give the moment at which history ends and the visitor may watch, UTC µs."""
        return self._calendar.begins(0) + MORNING_H * HOUR

    def history(self, until_us: int) -> None:
        """Send everything before `until_us` as fast as the house takes it."""
        logs_us = self._calendar.begins(-self._state.history_d)
        for end_us, rows in steps(self._before(until_us), HISTORY_STEP, logs_us):
            if self._stop.is_set():
                return
            self._send(rows, min(end_us, until_us))
            fed = self._feeder.fed
            note(f"history: {fed.lines:,} lines, {fed.commands:,} commands")
            self._feeder.keep_close(MOST_BEHIND)
        note("")

    def live(self) -> None:
        """Go on until told to stop, quicker than the wall until caught up with it."""
        clock, before_s = max(self._state.sent_us, self.opening()), time.monotonic()
        self._expect(clock)
        while not self._stop.wait(TICK_S):
            now_s = time.monotonic()
            passed_s, before_s = min(now_s - before_s, 10 * TICK_S), now_s
            clock = self.pace.after(clock, passed_s, time.time_ns() // 1000)
            due = list(self._before(clock))
            self._send(due, clock)
            self._expect(clock)
            for told in self._herald.told(due):
                say(f"  [{time.strftime('%H:%M:%S')}] {look_at(told)}")

    def previewed(self) -> Iterator[str]:
        """Say what is to come in the first two days."""
        told = [t for day in range(LIVE_FROM_D) for t in self._tales_of(day)]
        yield from preview(told, self.pace, max(self._state.sent_us, self.opening()))

    def first_story_us(self) -> int:
        """Give the moment at which the first story of the visitor has been told."""
        return ends_at(self._tales_of(0)[0]) + SECOND

    def _expect(self, clock_us: int) -> None:
        """Know the stories of the days up to the clock's own."""
        today = (clock_us - self._calendar.first_us) // (24 * HOUR)
        if self._announced == LIVE_FROM_D - 1:
            for day in range(LIVE_FROM_D):
                self._herald.expect(self._tales_of(day), clock_us)
        while self._announced < today:
            self._announced += 1
            self._herald.expect(self._tales_of(self._announced), clock_us)

    def _send(self, rows: list[Row], until_us: int) -> None:
        self._feeder.send(rows)
        if self._stop.is_set():
            return  # perhaps not all of it: it is sent again, and known again, at the next start
        self._state.sent_us, self._state.positions = until_us, dict(self._feeder.positions)
        _keep(self._settings, self._state)


def demo(
    settings: Settings,
    *,
    stay: bool = True,
    speed: float = 60.0,
    seed: int = 7,
    people: int = 60,
    history_d: int = HISTORY_D,
) -> bool:
    """Bring a house up and the company to life in it; True unless something was refused.

    `stay` False: end once history and the first story were sent and read.
    """
    for name, value in SURROUNDINGS.items():
        os.environ.setdefault(name, value)
    whole: list[bool] = []

    def tell(stop: threading.Event) -> None:
        try:
            state = _state(settings, seed, people, time.time_ns() // 1000, history_d)
            whole.append(_lived(settings, state, stop, stay=stay, speed=speed))
        except InopsioError as failed:
            if not stop.is_set():
                say(f"the company's life ended: {failed}")
        finally:
            if not stay or not whole:
                stop.set()

    up(settings, tell)
    return whole == [True]


def _lived(
    settings: Settings, state: State, stop: threading.Event, *, stay: bool, speed: float
) -> bool:
    _keep(settings, state)
    with database_of(settings) as database:
        token = let_in(database, found(state.seed, state.people))
    feeder = Feeder(url_of(settings), token, stop, state.positions)
    try:
        life = Life(settings, state, feeder, stop, speed)
        say(f"Meridian Instruments: {state.people} people; sign in now, history comes in.")
        long_ago = time.time_ns() // 1000 - LIVE_H * HOUR
        life.history(max(life.opening(), long_ago) if stay else life.first_story_us())
        fed = feeder.fed
        if fed.lines:
            say(f"{fed.lines:,} log lines and {fed.commands:,} commands of the books were sent.")
        if stay:
            say("What to look at:")
            for line in life.previewed():
                say(line)
            say("Then the company goes on, with a new story now and then. Stop: Ctrl-C")
            life.live()
        else:
            feeder.settle()
            feeder.drain()
        for reason, count in fed.refused.most_common(5):
            say(f"  {count} refused: {reason}")
        return not fed.refused
    except Unavailable:
        if stop.is_set():
            return True
        raise
    finally:
        feeder.close()
