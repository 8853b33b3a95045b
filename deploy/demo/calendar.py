"""Know the company's days: when they begin, which are worked."""

from dataclasses import dataclass

from deploy.demo.rows import DAY


@dataclass(frozen=True, slots=True)
class Calendar:
    """Days of the company. `first_us`: local midnight of day 0 as UTC µs; `works_always`: the
    plant that the living demo shows has no weekends, so that whoever starts it sees a day.
    """

    first_us: int
    works_always: bool = False

    def begins(self, day: int) -> int:
        """Give local midnight of a day, UTC µs."""
        return self.first_us + day * DAY

    def is_worked(self, day: int) -> bool:
        """Answer whether the day is none of a weekend (1970-01-01 was a Thursday)."""
        if self.works_always:
            return True
        # Local midnight lies within half a day of a UTC midnight: round to it.
        weekday = ((self.begins(day) + DAY // 2) // DAY + 3) % 7
        return weekday < 5

    def worked(self, first: int, last: int) -> list[int]:
        """Give the worked days from `first` up to, not including, `last`."""
        return [d for d in range(first, last) if self.is_worked(d)]
