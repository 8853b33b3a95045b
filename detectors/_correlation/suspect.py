"""Say, over whole columns, which new claims may complete a match.

Never misses one that the fold would find; may name one with which it finds none.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._correlation.measure import number
from detectors._correlation.rule import COUNTING, NUMERIC, TEMPORAL, Correlation

_SLACK: Final = 1e-6
"""Of the largest number: sums that roll on lose the last digits."""
_BITS: Final = 62
Array = npt.NDArray[Any]
Windows = tuple[Array, Array, Array]
"""Group, first and last moment of stretches in which a match may lie."""


@dataclass(frozen=True, slots=True)
class Seen:
    """Hold old and new claims, sorted by group, time and step.

    `rule`: each group's place among the rules; `told`: group and first time of each match that was
    told; `values`: gives the values of rows.
    """

    group: Array
    time_us: Array
    step: Array
    is_new: Array
    rule: Array
    told: tuple[Array, Array]
    values: Callable[[Array], pl.Series]


def suspects(owned: Sequence[Correlation], seen: Seen) -> Array:
    """Mark the new claims that the fold must look at."""
    marked = np.zeros(len(seen.group), dtype=np.bool_)
    if not len(marked):
        return marked
    line = _Line(seen)
    rules = {n: owned[n] for n in np.flatnonzero(np.bincount(seen.rule)).tolist()}
    rules = {n: rule for n, rule in rules.items() if not rule.is_waiting}
    if any(rule.type in COUNTING for rule in rules.values()):
        line.mark(marked, _crowded(owned, seen, line))
    steps = _steps(seen) if any(rule.type in TEMPORAL for rule in rules.values()) else seen.rule
    for n, rule in rules.items():
        if rule.type in TEMPORAL:
            own = (seen.rule == n) & _has_all(rule, steps)
        elif rule.type in NUMERIC:
            own = seen.rule == n
        else:
            continue
        rows = np.flatnonzero(own[seen.group]) if own.any() else np.empty(0, dtype=np.int64)
        if len(rows):
            group, time_us = seen.group[rows], seen.time_us[rows]
            ends = _ends(rule, group, time_us, seen, rows)
            since_us = time_us[ends] - rule.timespan_us
            line.mark(marked, (group[ends], since_us, time_us[ends]))
    found: Array = marked & seen.is_new
    return found


class _Line:
    """Put group and time on one line of numbers, if they fit, to look windows up."""

    def __init__(self, seen: Seen) -> None:
        times = np.append(seen.time_us, seen.told[1])
        self._low_us = int(times.min())
        self._range_us = int(times.max()) - self._low_us
        self._shift = self._range_us.bit_length()
        self.fits = self._shift + int(seen.group[-1]).bit_length() <= _BITS
        self._seen = seen
        self._keys = self.keys(seen.group, seen.time_us) if self.fits else seen.group

    def keys(self, group: Array, time_us: Array) -> Array:
        """Give the places on the line."""
        since_us = np.clip(time_us - self._low_us, 0, self._range_us)
        keys: Array = (group.astype(np.int64) << self._shift) + since_us
        return keys

    def mark(self, marked: Array, windows: Windows) -> None:
        """Mark the rows within the windows; all of their groups if the line is too short."""
        group, first_us, last_us = windows
        if not len(group):
            return
        if self.fits:
            lows, highs = self.keys(group, first_us), self.keys(group, last_us)
        else:
            lows, highs = group, group
        steps = np.zeros(len(marked) + 1, dtype=np.int64)
        np.add.at(steps, np.searchsorted(self._keys, lows, side="left"), 1)
        np.add.at(steps, np.searchsorted(self._keys, highs, side="right"), -1)
        marked |= np.cumsum(steps[:-1]) > 0

    def untold(self, rows: Array, spans_us: Array) -> Array:
        """Leave out rows near whose times a match of their group was told."""
        group, first_us = self._seen.told
        if not len(group) or not self.fits:
            return rows
        told = np.sort(self.keys(group, first_us))
        own, group = self._keys[rows], self._seen.group[rows]
        at = np.searchsorted(told, own)
        before, after = told[np.maximum(at - 1, 0)], told[np.minimum(at, len(told) - 1)]
        is_told = (before >> self._shift == group) & (np.abs(own - before) < spans_us)
        is_told |= (after >> self._shift == group) & (np.abs(after - own) < spans_us)
        untold: Array = rows[~is_told]
        return untold


def _crowded(owned: Sequence[Correlation], seen: Seen, line: _Line) -> Windows:
    """Find windows with as many claims as asked for.

    One that opens near a match that was told is the same story.
    """
    counts = [rule.type in COUNTING and not rule.is_waiting for rule in owned]
    is_counting = np.array(counts)[seen.rule]
    more = np.array([rule.least - 1 for rule in owned])[seen.rule]
    span_us = np.array([rule.timespan_us for rule in owned])[seen.rule]
    rows = np.flatnonzero(is_counting[seen.group])
    last = rows + more[seen.group[rows]]
    rows, last = rows[last < len(seen.group)], last[last < len(seen.group)]
    is_near = seen.group[last] == seen.group[rows]
    rows, last = rows[is_near], last[is_near]
    is_near = seen.time_us[last] - seen.time_us[rows] <= span_us[seen.group[rows]]
    rows = rows[is_near]
    rows = line.untold(rows, span_us[seen.group[rows]])
    is_valued = np.array([rule.type == "value_count" for rule in owned])[seen.rule]
    valued = np.flatnonzero(np.bincount(seen.group[rows[is_valued[seen.group[rows]]]]))
    if len(valued):
        # Different values of the whole group: a window has no more.
        own = np.flatnonzero(np.isin(seen.group, valued))
        told = pl.DataFrame({"group": seen.group[own]}).with_columns(value=seen.values(own))
        counted = told.group_by("group").agg(pl.col("value").n_unique())
        few = counted.get_column("value").to_numpy() <= more[counted.get_column("group").to_numpy()]
        out = counted.get_column("group").to_numpy()[few]
        rows = rows[~np.isin(seen.group[rows], out)]
    group, first_us = seen.group[rows], seen.time_us[rows]
    return group, first_us, first_us + span_us[group]


def _steps(seen: Seen) -> Array:
    """Give each group's steps as the bits of a number."""
    opens = np.flatnonzero(np.append(True, seen.group[1:] != seen.group[:-1]))
    found = np.zeros(len(seen.rule), dtype=np.int64)
    bits = np.left_shift(np.int64(1), seen.step.astype(np.int64))
    found[seen.group[opens]] = np.bitwise_or.reduceat(bits, opens)
    return found


def _has_all(rule: Correlation, steps: Array) -> Array:
    """Mark the groups that have enough of the rule's steps, whenever they came."""
    if rule.type == "temporal" and not rule.clauses:
        count = np.zeros(len(steps), dtype=np.int64)
        for step in range(len(rule.rules)):
            count += (steps >> step) & 1
        return count >= rule.least
    found = np.zeros(len(steps), dtype=np.bool_)
    for clause in _clauses(rule):
        bits = sum(1 << step for step in set(clause))
        found |= (steps & bits) == bits
    return found


def _clauses(rule: Correlation) -> Sequence[Sequence[int]]:
    return rule.clauses or (tuple(range(len(rule.rules))),)


def _ends(rule: Correlation, group: Array, time_us: Array, seen: Seen, rows: Array) -> Array:
    """Find the rows with which, within the timespan up to them, all that is asked for is there."""
    if rule.type == "temporal_ordered":
        return np.flatnonzero(_chained(rule, group, time_us, seen.step[rows]))
    if rule.type == "temporal":
        return np.flatnonzero(_complete(rule, group, time_us, seen.step[rows]))
    return np.flatnonzero(_extreme(rule, group, time_us, seen.values(rows)))


def _last(group: Array, is_one: Array) -> tuple[Array, Array]:
    """Give for each row the last row of its group, up to it, that is one; and whether there is."""
    places = np.maximum.accumulate(np.where(is_one, np.arange(len(group)), -1))
    return places, (places >= 0) & (group[places] == group)


def _complete(rule: Correlation, group: Array, time_us: Array, step: Array) -> Array:
    """Find rows up to which, within the timespan, enough steps were seen."""
    since_us = time_us - rule.timespan_us
    seen = []
    for number_ in range(len(rule.rules)):
        places, there = _last(group, step == number_)
        seen.append(there & (time_us[places] >= since_us))
    whole: Array
    if rule.clauses:
        whole = np.any(
            [np.all([seen[s] for s in clause], axis=0) for clause in rule.clauses], axis=0
        )
    else:
        whole = np.sum(seen, axis=0) >= rule.least
    return whole


def _chained(rule: Correlation, group: Array, time_us: Array, step: Array) -> Array:
    """Find the rows that end a chain of steps; the latest start is carried along."""
    found: Array = np.zeros(len(group), dtype=np.bool_)
    for clause in _clauses(rule):
        is_end = step == clause[0]
        start_us = time_us
        for following in clause[1:]:
            places, there = _last(group, is_end)
            start_us = start_us[places]
            is_end = there & (step == following)
        found |= is_end & (time_us - start_us <= rule.timespan_us)
    return found


def _extreme(rule: Correlation, group: Array, time_us: Array, values: pl.Series) -> Array:
    """Find rows up to which, within the timespan, numbers are large or small enough."""
    if any(op == "neq" for op, _ in rule.bounds):
        return np.ones(len(group), dtype=np.bool_)
    once = values.unique()
    told = [number(value.partition(":")[2]) for value in once.to_list()]
    numbers = values.replace_strict(once, told, return_dtype=pl.Float64)
    largest = numbers.abs().max()
    slack = (float(largest) if isinstance(largest, float) else 0.0) * _SLACK
    rolled = pl.DataFrame({"group": group, "time_us": time_us}).with_columns(numbers.alias("n"))
    size = f"{rule.timespan_us}i"
    if rule.type == "value_sum":
        high = pl.col("n").clip(0).fill_null(0).rolling_sum_by("time_us", size, closed="both")
        slack *= len(group)
    else:
        high = pl.col("n").rolling_max_by("time_us", size, closed="both")
    low = pl.col("n").rolling_min_by("time_us", size, closed="both")
    tests = [
        high.over("group") >= limit - slack
        for op, limit in rule.bounds
        if op in {"gt", "gte", "eq"}
    ]
    tests += [
        low.over("group") <= limit + slack for op, limit in rule.bounds if op in {"lt", "lte", "eq"}
    ]
    return rolled.select(pl.all_horizontal(tests).fill_null(value=False)).to_series().to_numpy()
