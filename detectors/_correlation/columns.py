"""Put a batch's claims under their groups as columns, and say which of them may match now.

What it leaves to the fold, claim by claim, are the groups that may match or await claims of other
correlations. All others are only held; the findings are those of the fold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._correlation.memory import Limits, Memory, longest_held_us, most_held
from detectors._correlation.rule import Correlation
from detectors._correlation.shelf import ordered
from detectors._correlation.suspect import Seen, suspects
from detectors._correlation.turns import Turns, read_turns

FROM_ROWS: Final = 256
"""Smaller batches are folded claim by claim: columns have a price per batch."""
Array = npt.NDArray[Any]


class Left(NamedTuple):
    """A turn that is left to the fold; `may_match`: with it a match may be complete."""

    row: int
    rule: int
    step: int
    value: str
    tenant_id: str
    key: str
    may_match: bool


@dataclass(frozen=True, slots=True)
class _Batch:
    """Hold the turns, and what the claims say of themselves by row."""

    turns: Turns
    time_us: Array
    finding_id: pl.Series
    claim: pl.Series

    @property
    def times(self) -> Array:
        return self.time_us[self.turns.row]


def apart(
    rules: Mapping[str, Sequence[Correlation]],
    chained: frozenset[str],
    frame: pl.DataFrame,
    memory: Memory,
) -> list[Left]:
    """Put what cannot match into the memory; give the turns left to the fold, in their order.

    `frame`: claims as `pipelines.signals` shows them; `rules`: correlations by owner, of which
    `rule` counts through all; `chained`: ids of rules that await other correlations' claims.
    """
    owned = [rule for own in rules.values() for rule in own]
    turns = read_turns(rules, frame)
    if turns is not None:
        turns = _in_time(turns, owned, frame.get_column("is_late"), memory)
    if turns is None or not len(turns.row):
        return []
    time_us = frame.get_column("time").to_physical().to_numpy()
    batch = _Batch(turns, time_us, frame.get_column("event_id"), frame.get_column("raw_data"))
    limits = Limits(
        turns.slot,
        turns.names,
        np.array([most_held(rule) for rule in owned])[turns.rule],
        np.array([longest_held_us(rule) for rule in owned])[turns.rule],
    )
    is_fresh, may_match = _looked_through(batch, owned, memory)
    is_loud = _loud(batch, limits, is_fresh, memory)
    is_loud |= np.array([rule.rule_id in chained for rule in owned])[turns.rule]
    may_match |= is_loud[turns.group]
    is_loud |= np.bincount(turns.group[may_match], minlength=len(is_loud)) > 0
    left = is_loud[turns.group]
    _hold(batch, limits, np.flatnonzero(is_fresh & ~left), memory)
    return _left(turns, np.flatnonzero(left), may_match)


def _in_time(
    turns: Turns, owned: Sequence[Correlation], is_late: pl.Series, memory: Memory
) -> Turns:
    """Leave out what came too late for rules that wait for the end of their window."""
    is_waiting = np.array([rule.is_waiting for rule in owned])[turns.rule]
    if not is_waiting.any() or not is_late.any():
        return turns
    gone = is_late.to_numpy()[turns.row] & is_waiting[turns.group]
    counts = np.bincount(turns.group[gone], minlength=len(turns.slot))
    for group in np.flatnonzero(counts).tolist():
        rule_id = owned[turns.rule[group]].rule_id
        memory.evict(turns.names["tenant_id"][group], rule_id, int(counts[group]))
    return turns.only(np.flatnonzero(~gone))


def _looked_through(
    batch: _Batch, owned: Sequence[Correlation], memory: Memory
) -> tuple[Array, Array]:
    """Say which turns are not held yet, and which may complete a match."""
    turns, times = batch.turns, batch.times
    span_us = np.array([rule.timespan_us for rule in owned])[turns.rule]
    first_us, last_us = _first_and_last(turns, times)
    near, near_group = memory.near(turns.slot, first_us - span_us, last_us + span_us)
    group = np.append(near_group, turns.group)
    time_us = np.append(near.get_column("time_us").to_numpy(), times)
    step = np.append(near.get_column("step").to_numpy(), turns.step)
    order = ordered(group, time_us, step)
    group, time_us, step = group[order], time_us[order], step[order]

    def values(rows: Array) -> pl.Series:
        return _values(near, turns, order[rows])

    twice = _twice(group, time_us, step)
    if (order[twice] >= near.height).any():
        gone = _known(batch, near, order[twice], group[twice], values(twice))
        kept = ~np.isin(order, gone)
        order, group, time_us, step = order[kept], group[kept], time_us[kept], step[kept]
    is_new = order >= near.height
    seen = Seen(group, time_us, step, is_new, turns.rule, memory.told(turns.slot), values)
    is_fresh, may_match = np.zeros((2, len(turns.row)), dtype=np.bool_)
    is_fresh[order[is_new] - near.height] = True
    may_match[order[suspects(owned, seen)] - near.height] = True
    return is_fresh, may_match


def _first_and_last(turns: Turns, times: Array) -> tuple[Array, Array]:
    first_us = np.full(len(turns.slot), np.iinfo(np.int64).max)
    last_us = np.full(len(turns.slot), np.iinfo(np.int64).min)
    np.minimum.at(first_us, turns.group, times)
    np.maximum.at(last_us, turns.group, times)
    return first_us, last_us


def _values(near: pl.DataFrame, turns: Turns, at: Array) -> pl.Series:
    """Give values of rows: those of `near`, and after them the turns."""
    is_old = at < near.height
    old = near.get_column("value")[np.where(is_old, at, 0)] if near.height else None
    new = turns.texts[turns.value[np.where(is_old, 0, at - near.height)]]
    return new if old is None else new.zip_with(pl.Series(~is_old), old)


def _twice(group: Array, time_us: Array, step: Array) -> Array:
    """Give the rows beside which another one of the same group, time and step stands."""
    same = (group[1:] == group[:-1]) & (time_us[1:] == time_us[:-1]) & (step[1:] == step[:-1])
    return np.flatnonzero(np.append(same, False) | np.append(False, same))


def _known(batch: _Batch, near: pl.DataFrame, at: Array, group: Array, values: pl.Series) -> Array:
    """Give those rows that are held already, or came before."""
    is_old = at < near.height
    new = batch.finding_id.gather(batch.turns.row[np.where(is_old, 0, at - near.height)])
    if near.height:
        old = near.get_column("finding_id").gather(np.where(is_old, at, 0))
        new = new.zip_with(pl.Series(~is_old), old)
    times = np.append(near.get_column("time_us").to_numpy(), batch.times)[at]
    steps = np.append(near.get_column("step").to_numpy(), batch.turns.step)[at]
    told = {"at": at, "group": group, "time_us": times, "step": steps}
    rows = pl.DataFrame(told).with_columns(new.alias("finding_id"), values.alias("value"))
    place = ("group", "time_us", "step", "finding_id", "value")
    first = rows.sort("at").unique(place, keep="first").get_column("at").to_numpy()
    return np.setdiff1d(at, first)


def _loud(batch: _Batch, limits: Limits, is_fresh: Array, memory: Memory) -> Array:
    """Mark the groups from which claims go in a way that depends on the order of arrival."""
    turns = batch.turns
    first_us, last_us = _first_and_last(turns, batch.times)
    held, from_us, to_us = memory.sizes(turns.slot)
    claims = held + np.bincount(turns.group[is_fresh], minlength=len(turns.slot))
    is_old = np.maximum(last_us, to_us) - np.minimum(first_us, from_us) > limits.longest_us
    told, _ = memory.told(turns.slot)
    matches = np.bincount(told, minlength=len(turns.slot))
    loud: Array = is_old & ((matches > 0) | (claims > limits.most))
    return loud | ((matches > 0) & (matches + claims > limits.most + held))


def _hold(batch: _Batch, limits: Limits, quiet: Array, memory: Memory) -> None:
    """Hold turns of groups in which nothing can match now."""
    if not len(quiet):
        return
    turns = batch.turns
    there = np.bincount(turns.group[quiet], minlength=len(turns.slot)) > 0
    group = (np.cumsum(there) - 1)[turns.group[quiet]]
    row = turns.row[quiet]
    names = turns.names[np.flatnonzero(there)]
    limits = Limits(limits.slot[there], names, limits.most[there], limits.longest_us[there])
    told = [
        pl.Series("slot", limits.slot[group]),
        pl.Series("time_us", batch.time_us[row]),
        batch.finding_id[row].alias("finding_id"),
        pl.Series("step", turns.step[quiet], dtype=pl.Int32),
        turns.texts[turns.value[quiet]].alias("value"),
        batch.claim[row].alias("claim"),
    ]
    memory.hold(pl.DataFrame([*names[group].get_columns(), *told]), group, limits)


def _left(turns: Turns, left: Array, may_match: Array) -> list[Left]:
    left = left[np.argsort(turns.row[left], kind="stable")]
    group = turns.group[left]
    names = turns.names[group]
    columns = (
        turns.row[left].tolist(),
        turns.rule[group].tolist(),
        turns.step[left].tolist(),
        turns.texts[turns.value[left]].to_list(),
        names.get_column("tenant_id").to_list(),
        names.get_column("key").to_list(),
        may_match[left].tolist(),
    )
    return [Left(*one) for one in zip(*columns, strict=True)]
