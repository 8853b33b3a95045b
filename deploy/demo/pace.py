"""Say how fast the company's time runs: quick through the past, then as the clock on the wall."""

from dataclasses import dataclass
from typing import Final

from deploy.demo.calendar import Calendar
from deploy.demo.rows import DAY, HOUR, MINUTE, SECOND

WORKING_H: Final = (7.5, 17.0)
AT_NIGHT: Final = 4.0
"""How many times faster the hours pass in which hardly anybody works."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Run `speed` times as fast as the wall until the wall's own time is reached."""

    calendar: Calendar
    speed: float

    def rate(self, story_us: int) -> float:
        """Give how many seconds of the company pass in one of ours at that moment."""
        hour = (story_us - self.calendar.first_us) % DAY / HOUR
        return self.speed * (1 if WORKING_H[0] <= hour < WORKING_H[1] else AT_NIGHT)

    def after(self, story_us: int, passed_s: float, wall_us: int) -> int:
        """Give the company's time after so many seconds; never later than the wall's."""
        return min(story_us + int(self.rate(story_us) * passed_s * SECOND), wall_us)

    def wait_s(self, story_us: int, target_us: int) -> float:
        """Give how many of our seconds it takes from one moment of the company to another."""
        passed_s, at = 0.0, story_us
        while at < target_us:
            width = min(target_us - at, 10 * MINUTE)
            passed_s += width / SECOND / self.rate(at)
            at += width
        return passed_s
