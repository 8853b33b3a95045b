"""Put a batch's claims under their groups as columns, and say which groups may now match.

What it leaves to the fold, claim by claim, are the groups that may match, hold too much or await
claims of other correlations. All others are only appended; the findings are those of the fold.
"""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl

from detectors._correlation.memory import KEY, LATE_US, Memory, most_held
from detectors._correlation.rule import Correlation
from detectors._correlation.suspect import suspects
from detectors._correlation.turns import read_turns

FROM_ROWS: Final = 256
"""Smaller batches are folded claim by claim: columns have a price per batch."""


def apart(
    rules: Mapping[str, Sequence[Correlation]],
    chained: frozenset[str],
    frame: pl.DataFrame,
    memory: Memory,
) -> pl.DataFrame:
    """Append what cannot match to the memory; give the turns that are left to the fold.

    `frame`: claims as `pipelines.signals` shows them; `rules`: correlations by owner;
    `chained`: ids of rules that await other correlations' claims. Given are row, rule (counts
    through the rules of all owners), step, value, tenant_id and key, in order of rows and rules.
    """
    owned = [rule for own in rules.values() for rule in own]
    told = read_turns(rules, frame)
    turns, groups = told.rows, told.groups
    waiting = [n for n, rule in enumerate(owned) if rule.is_waiting]
    if waiting:
        is_late = pl.col("is_late") & pl.col("rule").is_in(waiting)
        gone = turns.filter(is_late).group_by("group").len().join(groups, on="group")
        for tenant, number, count in gone.select("tenant_id", "rule", "len").rows():
            memory.evict(tenant, owned[number].rule_id, count)
        turns = turns.filter(~is_late)
        groups = groups.filter(pl.col("group").is_in(turns.get_column("group").implode()))
    if turns.is_empty():
        return _left(turns, groups)
    groups = groups.join(_table(owned, chained), on="rule", maintain_order="left")
    times = turns.group_by("group").agg(
        pl.len().alias("claims"),
        pl.col("time_us").min().alias("first_us"),
        pl.col("time_us").max().alias("last_us"),
    )
    groups = groups.join(times, on="group", maintain_order="left")
    near = memory.near(
        groups.select(
            *("group", "slot"),
            (pl.col("first_us") - pl.col("timespan_us")).alias("low_us"),
            (pl.col("last_us") + pl.col("timespan_us")).alias("high_us"),
        )
    )
    fresh = _fresh(turns, near, is_once=not frame.get_column("event_id").is_duplicated().any())
    loud, trimmed = _loud(_seen(near, fresh), groups, owned, memory)
    is_loud = pl.col("group").is_in(loud.implode())
    rows = _rows(fresh.filter(~is_loud), groups, frame)
    is_trimmed = pl.col("slot").is_in(trimmed.get_column("slot").implode())
    memory.append(rows.filter(~is_trimmed))
    if trimmed.height:
        memory.trim(rows.filter(is_trimmed), trimmed)
    return _left(turns.filter(is_loud), groups)


def _left(turns: pl.DataFrame, groups: pl.DataFrame) -> pl.DataFrame:
    named = turns.join(groups.select("group", *KEY), on="group", maintain_order="left")
    return named.sort("row", "rule", "step", maintain_order=True)


_PLACE: Final = ("group", "time_us", "finding_id", "step", "value")


def _table(owned: Sequence[Correlation], chained: frozenset[str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "rule": pl.Series(range(len(owned)), dtype=pl.UInt32),
            "timespan_us": pl.Series([rule.timespan_us for rule in owned], dtype=pl.Int64),
            "most": [most_held(rule) for rule in owned],
            "longest_us": [rule.timespan_us + LATE_US for rule in owned],
            "is_chained": [rule.rule_id in chained for rule in owned],
        }
    )


def _fresh(turns: pl.DataFrame, near: pl.DataFrame, *, is_once: bool) -> pl.DataFrame:
    """Give the turns that are not held yet, each once. `is_once`: no claim stands there twice."""
    fresh = turns if is_once else turns.unique(_PLACE, keep="first", maintain_order=True)
    if near.is_empty():
        return fresh
    ids = turns.get_column("finding_id").unique()
    known = near.filter(pl.col("finding_id").is_in(ids.implode()))
    return fresh.join(known, on=_PLACE, how="anti") if known.height else fresh


def _seen(near: pl.DataFrame, fresh: pl.DataFrame) -> pl.DataFrame:
    """Give old and new claims by group, time and step."""
    columns = ("group", "time_us", "step", "value")
    old = near.select(*columns, is_new=pl.lit(value=False))
    new = fresh.select(*columns, is_new=pl.lit(value=True))
    return pl.concat([old, new]).sort("group", "time_us", "step")


def _rows(turns: pl.DataFrame, groups: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
    """Give turns as the memory's table has them."""
    named = turns.join(groups.select("group", *KEY, "slot"), on="group", maintain_order="left")
    claim = frame.get_column("raw_data")[turns.get_column("row")]
    return named.with_columns(claim.alias("claim"))


def _loud(
    seen: pl.DataFrame, groups: pl.DataFrame, owned: Sequence[Correlation], memory: Memory
) -> tuple[pl.Series, pl.DataFrame]:
    """Give the groups that the fold must see, and those that are only to be trimmed."""
    before = memory.sizes(groups).rename({"claims": "n", "first_us": "from", "last_us": "to"})
    both = groups.join(before, on="slot", how="left", maintain_order="left")
    first_us, last_us = pl.min_horizontal("first_us", "from"), pl.max_horizontal("last_us", "to")
    is_full = pl.col("claims") + pl.col("n").fill_null(0) > pl.col("most")
    is_old = last_us - first_us > pl.col("longest_us")
    over = both.filter(is_full | is_old)
    told = memory.told(groups.select("slot", "group"))
    # What goes first, by number or by age, depends on the order in which they came.
    found = [
        groups.filter("is_chained").get_column("group"),
        over.filter(is_full & is_old).get_column("group"),
        told.filter(pl.col("group").is_in(over.get_column("group").implode())).get_column("group"),
    ]
    number = groups.get_column("rule").to_numpy()
    opens = np.flatnonzero(np.append(True, number[1:] != number[:-1]))
    ids = groups.get_column("group").to_numpy()
    ends = np.searchsorted(seen.get_column("group").to_numpy(), np.append(ids[opens], ids[-1] + 1))
    for n, rule in enumerate(number[opens].tolist()):
        found.append(suspects(owned[rule], seen[ends[n] : ends[n + 1]], told))
    loud = pl.concat(found).unique()
    trimmed = over.filter(~pl.col("group").is_in(loud.implode()))
    return loud, trimmed.select("slot", "most", "longest_us")
