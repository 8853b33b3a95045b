"""Expect of an hour of the week what it showed before, where the hour explains anything."""

from dataclasses import dataclass
from typing import Final

HOUR_S: Final = 3_600
DAY_HOURS: Final = 24
WEEK_HOURS: Final = 168
LEARNED_PER_ROW: Final = 0.05
SLOW_ROWS: Final = 500
EXPLAINS: Final = 0.7
"""The hour counts while it is off by less than this share of what the plain mean is off."""
DAYS: Final = (
    "Mondays", "Tuesdays", "Wednesdays", "Thursdays", "Fridays", "Saturdays", "Sundays",
)  # fmt: skip


@dataclass(slots=True)
class _Slot:
    """Mean of an hour and of what its rows were off, and when it was first filled."""

    mean: float
    off: float
    since_hour: int


class Profile:
    """Hold 24 hours of the day and 168 of the week; the week counts once it was seen before."""

    def __init__(self) -> None:
        self._day: list[_Slot | None] = [None] * DAY_HOURS
        self._week: list[_Slot | None] = [None] * WEEK_HOURS
        self._rows = 0
        self._mean = 0.0
        self._plain_off = 0.0
        self._hour_off = 0.0
        self.expected: tuple[float, float] | None = None
        self.when = ""

    def measure(self, time_s: float, value: float) -> float:
        """Give how far the value is from what the hour showed before, learn it.

        0 where the hour was never seen, or explains too little to be called a season.
        """
        hour = int(time_s // HOUR_S)
        # 1970 began on a Thursday, three days after a Monday.
        weekly, daily = (hour + 3 * DAY_HOURS) % WEEK_HOURS, hour % DAY_HOURS
        slot, self.when = self._week[weekly], f"{DAYS[weekly // DAY_HOURS]} {daily:02}:00"
        if slot is None or hour - slot.since_hour < WEEK_HOURS:
            slot, self.when = self._day[daily], f"{daily:02}:00 of other days"
        off, self.expected = 0.0, None
        if slot is not None and hour > slot.since_hour:
            off = self._compare(slot, value)
        self._rows += 1
        self._mean += (value - self._mean) / min(self._rows, SLOW_ROWS)
        _learn(self._day, daily, hour, value)
        _learn(self._week, weekly, hour, value)
        return off

    def _compare(self, slot: _Slot, value: float) -> float:
        off = abs(value - slot.mean)
        self.expected = (slot.mean - 2 * slot.off, slot.mean + 2 * slot.off)
        explains = self._hour_off < EXPLAINS * self._plain_off
        self._hour_off += (off - self._hour_off) / SLOW_ROWS
        self._plain_off += (abs(value - self._mean) - self._plain_off) / SLOW_ROWS
        return off if explains else 0.0


def _learn(slots: list[_Slot | None], place: int, hour: int, value: float) -> None:
    slot = slots[place]
    if slot is None:
        slots[place] = _Slot(value, 0.0, hour)
        return
    slot.off += (abs(value - slot.mean) - slot.off) * LEARNED_PER_ROW
    slot.mean += (value - slot.mean) * LEARNED_PER_ROW
