"""Say, over whole columns, which groups may have a match with a new claim in it.

Never misses one that the fold would find; may name one in which it finds none.
"""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._correlation.measure import number
from detectors._correlation.rule import COUNTING, Correlation

_SLACK: Final = 1e-6
"""Of the largest number: sums that roll on lose the last digits."""
Array = npt.NDArray[Any]


def suspects(rule: Correlation, claims: pl.DataFrame, told: pl.DataFrame) -> pl.Series:
    """Give the groups (`group`, each perhaps often) that the fold must look at.

    `claims`: group, time_us, step, value, is_new; old and new ones, sorted by group, time and step;
    `told`: group, first_us of the matches that were told.
    """
    group = claims.get_column("group")
    if rule.is_waiting or claims.is_empty():
        return group.clear()
    if rule.type in COUNTING:
        return _crowded(rule, claims, told)
    times = (group.to_numpy(), claims.get_column("time_us").to_numpy())
    new_us = _last_new(*times, claims.get_column("is_new").to_numpy())
    if rule.type == "temporal_ordered":
        found = _chained(rule, *times, claims.get_column("step").to_numpy(), new_us)
    elif rule.type == "temporal":
        found = _complete(rule, *times, claims.get_column("step").to_numpy(), new_us)
    else:
        found = _extreme(rule, claims) & (new_us >= times[1] - rule.timespan_us)
    return group.filter(pl.Series(found))


def _crowded(rule: Correlation, claims: pl.DataFrame, told: pl.DataFrame) -> pl.Series:
    """Find `least` claims not further apart than allowed, a new one in the window they open.

    A window that opens near one that was told is the same story.
    """
    more = rule.least - 1
    group = claims.get_column("group").to_numpy()
    if more >= len(group):
        return claims.get_column("group").clear()
    time_us = claims.get_column("time_us").to_numpy()
    last = len(group) - more
    near = (group[more:] == group[:last]) & (time_us[more:] - time_us[:last] <= rule.timespan_us)
    new = np.flatnonzero(claims.get_column("is_new").to_numpy())
    after = np.searchsorted(new, np.arange(last))
    following = np.append(new, len(group) - 1)[after]
    near &= (group[following] == group[:last]) & (after < len(new))
    near &= time_us[following] - time_us[:last] <= rule.timespan_us
    found = _untold(rule, group[:last][near], time_us[:last][near], told)
    if rule.type == "event_count" or found.is_empty():
        return found
    own = claims.filter(pl.col("group").is_in(found.unique().implode()))
    counts = own.group_by("group").agg(pl.col("value").n_unique())
    return counts.filter(pl.col("value") >= rule.least).get_column("group")


def _untold(rule: Correlation, group: Array, time_us: Array, told: pl.DataFrame) -> pl.Series:
    opens = pl.DataFrame({"group": group, "time_us": time_us}).with_row_index("n")
    both = opens.join(told.select("group", "first_us"), on="group")
    is_near = (pl.col("time_us") - pl.col("first_us")).abs() < rule.timespan_us
    return opens.join(both.filter(is_near), on="n", how="anti").get_column("group")


def _last(group: Array, is_one: Array) -> tuple[Array, Array]:
    """Give for each row the last row of its group, up to it, that is one; and whether there is."""
    places = np.maximum.accumulate(np.where(is_one, np.arange(len(group)), -1))
    return places, (places >= 0) & (group[places] == group)


def _last_new(group: Array, time_us: Array, is_new: Array) -> Array:
    places, there = _last(group, is_new)
    return np.where(there, time_us[places], np.iinfo(np.int64).min // 2)


def _complete(rule: Correlation, group: Array, time_us: Array, step: Array, new_us: Array) -> Array:
    """Find rows up to which, within the timespan, enough steps were seen."""
    since_us = time_us - rule.timespan_us
    seen = []
    for number_ in range(len(rule.rules)):
        places, there = _last(group, step == number_)
        seen.append(there & (time_us[places] >= since_us))
    if rule.clauses:
        whole = np.any(
            [np.all([seen[s] for s in clause], axis=0) for clause in rule.clauses], axis=0
        )
    else:
        whole = np.sum(seen, axis=0) >= rule.least
    found: Array = whole & (new_us >= since_us)
    return found


def _chained(rule: Correlation, group: Array, time_us: Array, step: Array, new_us: Array) -> Array:
    """Find the rows that end a chain of steps, a new claim within its timespan.

    The latest start is carried along; where that chain fits, one with a new claim in it may.
    """
    found: Array = np.zeros(len(group), dtype=np.bool_)
    for clause in rule.clauses or (tuple(range(len(rule.rules))),):
        is_end = step == clause[0]
        start_us = time_us
        for following in clause[1:]:
            places, there = _last(group, is_end)
            start_us = start_us[places]
            is_end = there & (step == following)
        fits = is_end & (time_us - start_us <= rule.timespan_us)
        found |= fits & (new_us >= time_us - rule.timespan_us)
    return found


def _extreme(rule: Correlation, claims: pl.DataFrame) -> Array:
    """Find rows up to which, within the timespan, numbers are large or small enough."""
    if any(op == "neq" for op, _ in rule.bounds):
        return np.ones(claims.height, dtype=np.bool_)
    once = claims.get_column("value").unique()
    told = [number(value.partition(":")[2]) for value in once.to_list()]
    numbers = claims.get_column("value").replace_strict(once, told, return_dtype=pl.Float64)
    largest = numbers.abs().max()
    slack = (float(largest) if isinstance(largest, float) else 0.0) * _SLACK
    rolled = claims.select("group", "time_us").with_columns(numbers.alias("n"))
    size = f"{rule.timespan_us}i"
    if rule.type == "value_sum":
        high = pl.col("n").clip(0).fill_null(0).rolling_sum_by("time_us", size, closed="both")
        slack *= claims.height
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
