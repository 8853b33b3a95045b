"""Keep event time: how far each partition has come, and which rows came too late.

A partition's time is the greatest event time read from it, where an event counts with its arrival
at most: a clock that is fast cannot make others late. The flow's watermark is the smallest
of the partitions' times less the allowed lateness; it never goes back. A partition that has
nothing more to read (caught up) for `idle_s` stops holding it back. Idle time counts only while
caught up, so a stalled process that finds a backlog afterwards makes nothing late (measured:
clocks that add the time of day made 25 % of a perfectly ordered stream late). A partition that
gives nothing but what cannot be read, for `idle_s` of reading, does not hold it back either; time
in which nobody reads hardly counts there.

Whether a row is late follows from the rows before it in its own partition, not from how the stream
was cut into batches or how partitions were interleaved.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import polars as pl

NEVER: Final = 0
"""Watermark of a partition that has given no event yet."""

MOST_PAUSE_S: Final = 5.0
"""What the time between two looks counts at most as time of reading: more of it is a stall."""

_BEFORE_ALL: Final = -(2**62)


def mark_late(
    time_us: pl.Series,
    seen_us: int,
    floor_us: int,
    lateness_us: int,
    arrived_us: pl.Series | None = None,
) -> pl.Series:
    """Tell for each row whether it is older than what stood before it allows.

    `time_us`: Int64, UTC µs, in reading order; `seen_us`: greatest time read before these rows
    (`NEVER` if none); `floor_us`: watermark that the flow had already announced; `arrived_us`: how
    far a row's time can move the limit for those after it. Boolean.

    >>> mark_late(pl.Series([10, 50, 44, 45]), 0, 0, 5).to_list()
    [False, False, True, False]
    """
    before = _at_most(time_us, arrived_us).cum_max().shift(1, fill_value=_BEFORE_ALL)
    seen = seen_us if seen_us != NEVER else _BEFORE_ALL
    limit = before.clip(lower_bound=seen) - lateness_us
    if floor_us != NEVER:
        limit = limit.clip(lower_bound=floor_us)
    return (time_us < limit).rename("is_late")


def _at_most(time_us: pl.Series, arrived_us: pl.Series | None) -> pl.Series:
    return time_us if arrived_us is None else time_us.clip(upper_bound=arrived_us)


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Hold the time of every partition of one flow; each verb gives a new one.

    `seen_us`: partition -> greatest event time read; `quiet_since_s`: partition -> monotonic time
    since when it has been caught up without an event; `unread`: partitions that hold something not
    read yet; `flow_us`: watermark announced so far; `mute_s`: partition -> seconds of reading since
    its last event; `looked_s`: time of the last look, `pause_s` what passed before it.
    """

    lateness_us: int
    idle_s: float
    seen_us: Mapping[int, int] = field(default_factory=dict)
    quiet_since_s: Mapping[int, float] = field(default_factory=dict)
    unread: frozenset[int] = frozenset()
    flow_us: int = NEVER
    mute_s: Mapping[int, float] = field(default_factory=dict)
    looked_s: float | None = None
    pause_s: float = 0.0

    def read(
        self, partition: int, time_us: pl.Series, arrived_us: pl.Series | None = None
    ) -> tuple["Watermarks", pl.Series]:
        """Take rows just read from the partition; give the new times and which rows are late."""
        seen = self.seen_us.get(partition, NEVER)
        late = mark_late(time_us, seen, self.flow_us, self.lateness_us, arrived_us)
        newest = _at_most(time_us, arrived_us).max()
        if newest is None:
            return self, late
        times = {**self.seen_us, partition: max(seen, int(newest))}  # type: ignore[arg-type]  # Int64
        mute = {p: s for p, s in self.mute_s.items() if p != partition} if self.mute_s else {}
        return replace(self, seen_us=times, mute_s=mute), late

    def muted(self, partitions: Iterable[int]) -> "Watermarks":
        """Note which partitions gave, in the last look, only what cannot be read."""
        mute = {p: self.mute_s.get(p, 0.0) + self.pause_s for p in partitions}
        return replace(self, mute_s={**self.mute_s, **mute}) if mute else self

    def polled(self, caught_up: Mapping[int, bool], now_s: float) -> "Watermarks":
        """Note which partitions had nothing (more) to read at the monotonic time `now_s`."""
        quiet = {
            partition: self.quiet_since_s.get(partition, now_s)
            for partition, is_at_end in caught_up.items()
            if is_at_end
        }
        unread = frozenset(p for p, is_at_end in caught_up.items() if not is_at_end)
        before_s = now_s if self.looked_s is None else self.looked_s
        pause_s = min(now_s - before_s, MOST_PAUSE_S)
        return replace(self, quiet_since_s=quiet, unread=unread, looked_s=now_s, pause_s=pause_s)

    def advanced(self, now_s: float) -> "Watermarks":
        """Announce the watermark that the partitions' times allow at `now_s`."""
        times = {p: t for p, t in self.seen_us.items() if t != NEVER}
        # A partition of which nothing was read yet may hold older events than all the others.
        unknown = self.unread - times.keys()
        if not times or any(not self._is_idle(p, now_s) for p in unknown):
            return self
        busy = [t for p, t in times.items() if not self._is_idle(p, now_s)]
        reached = (min(busy) if busy else max(times.values())) - self.lateness_us
        return replace(self, flow_us=max(self.flow_us, reached))

    def stored(self, partition: int) -> int:
        """Give the partition's own watermark, as the ledger keeps it."""
        seen = self.seen_us.get(partition, NEVER)
        return NEVER if seen == NEVER else seen - self.lateness_us

    def _is_idle(self, partition: int, now_s: float) -> bool:
        if self.mute_s.get(partition, 0.0) >= self.idle_s:
            return True
        since = self.quiet_since_s.get(partition)
        return since is not None and now_s - since >= self.idle_s


def restored(
    stored_us: Mapping[int, int], flow_us: int, lateness_s: int, idle_s: float
) -> Watermarks:
    """Put the times together again from what the ledger keeps for each partition."""
    lateness_us = lateness_s * 1_000_000
    seen = {p: w + lateness_us for p, w in stored_us.items() if w != NEVER}
    return Watermarks(lateness_us, idle_s, seen, flow_us=flow_us)
