"""Keep claims by rule and group between batches, as tables, bounded."""

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._correlation.rule import Correlation
from detectors._correlation.window import Held
from storage.schema import State

LATE_US: Final = 32 * 86_400 * 1_000_000
"""How long after its timespan a claim is still held: files of a month may come one by one."""
LEAST_HELD: Final = 256
"""Claims held for one rule and group; twice the count that its condition asks for, if more."""
MOST_ROWS: Final = 200_000
"""Claims held for one tenant; the oldest go first."""
_MOST_ROWS: Final = MOST_ROWS + MOST_ROWS // 10
"""When some go: not with every batch, as each time costs."""

TABLES: Final = {
    "held": {
        "tenant_id": pl.String(),
        "key": pl.String(),
        "slot": pl.UInt64(),
        "time_us": pl.Int64(),
        "finding_id": pl.String(),
        "step": pl.Int32(),
        "value": pl.String(),
        "claim": pl.String(),
    },
    "fired": {
        "tenant_id": pl.String(),
        "key": pl.String(),
        "slot": pl.UInt64(),
        "first_us": pl.Int64(),
        "last_us": pl.Int64(),
    },
    "evicted": {"tenant_id": pl.String(), "key": pl.String(), "claims": pl.Int64()},
}
"""`key`: rule id and group; `evicted` has the rule id alone, and how many claims had to go.

`slot`: tenant and key as one number, see `slot_of`.
"""

KEY: Final = ("tenant_id", "key")
Place = tuple[str, str]
"""Tenant and key."""


Numbers = npt.NDArray[np.uint64]
_PRIME: Final = 0x9E3779B97F4A7C15
_MOST_CHUNKS: Final = 32
_BY_PLACE: Final = attrgetter("place")


@lru_cache(maxsize=65_536)
def part_of_slot(text: str) -> int:
    """Give the number of a tenant, a rule id or a "kind:value" in a slot."""
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def slot_of(tenant_id: str, key: str) -> int:
    """Give the number by which a group is looked up; the same in every process for ever."""
    slot = part_of_slot(tenant_id)
    for part in key.split("\x1f"):
        slot = (slot * _PRIME + part_of_slot(part)) % 2**64
        slot ^= slot >> 29
    return slot


def slots_of(tenant: Numbers, parts: Iterable[Numbers]) -> Numbers:
    """Give many groups' slots from the numbers of their tenants and of their keys' parts."""
    slot = tenant
    for part in parts:
        slot = slot * np.uint64(_PRIME) + part
        slot = slot ^ (slot >> np.uint64(29))
    return slot


def most_held(rule: Correlation) -> int:
    """Give how many claims are held for one group of the rule."""
    return max(LEAST_HELD, 2 * rule.reach)


_RULE_ID: Final = pl.col("key").str.split_exact("\x1f", 1).struct.field("field_0").alias("rule_id")


@dataclass(slots=True)
class Group:
    """What is held for one rule and group: claims in order of time, and the matches' spans."""

    held: list[Held] = field(default_factory=list)
    fired: list[tuple[int, int]] = field(default_factory=list)

    def add(self, rule: Correlation, new: Held) -> int | None:
        """Hold one more claim; give how many had to go for it, None if it was held before."""
        if not self.held or self.held[-1].time_us < new.time_us:
            self.held.append(new)
        else:
            at = bisect.bisect_left(self.held, new)
            if at < len(self.held) and self.held[at].place == new.place:
                return None
            self.held.insert(at, new)
        oldest = self.held[-1].time_us - rule.timespan_us - LATE_US
        if self.held[0].time_us < oldest:
            self.held = [h for h in self.held if h.time_us >= oldest]
            self.fired = [span for span in self.fired if span[1] >= oldest]
        most = most_held(rule)
        if len(self.fired) > most:  # a group that fires all the time would be told for ever
            self.fired = sorted(self.fired)[-most:]
        gone = max(0, len(self.held) - most)
        del self.held[:gone]
        return gone


class Memory:
    """Give groups from the state's tables and put those that were touched back."""

    def __init__(self, state: State) -> None:
        """Begin with the state's tables; groups are read when they are asked for."""
        self._state = state
        self._groups: dict[Place, Group] = {}
        self._evicted: dict[Place, int] = {}
        self._more: list[pl.DataFrame] = []
        self._replaced = pl.Series(dtype=pl.UInt64)

    def read(self, places: Iterable[Place]) -> None:
        """Read the groups that will be touched, at once, as far as they are known now."""
        self._read(set(places))

    def near(self, groups: pl.DataFrame) -> pl.DataFrame:
        """Give what was held for groups within their times: the groups' columns, and the claims'.

        `groups`: slot, low_us, high_us and others.
        """
        low_us, high_us = groups.select(pl.col("low_us").min(), pl.col("high_us").max()).row(0)
        held = self._state["held"].lazy().select("slot", "time_us", "finding_id", "step", "value")
        around = held.filter(pl.col("time_us").is_between(low_us, high_us))
        own = around.join(groups.lazy(), on="slot")
        return own.filter(pl.col("time_us").is_between("low_us", "high_us")).collect()

    def sizes(self, groups: pl.DataFrame) -> pl.DataFrame:
        """Give slot, claims, first_us and last_us of what was held for groups (slot)."""
        held = self._state["held"].lazy().select("slot", "time_us")
        own = held.filter(pl.col("slot").is_in(groups.get_column("slot").implode()))
        first_us, last_us = pl.col("time_us").min(), pl.col("time_us").max()
        return (
            own.group_by("slot")
            .agg(pl.len().alias("claims"), first_us.alias("first_us"), last_us.alias("last_us"))
            .collect()
        )

    def told(self, groups: pl.DataFrame) -> pl.DataFrame:
        """Give the groups (slot and others) of which something was told, with first_us of each."""
        return groups.join(self._state["fired"].select("slot", "first_us"), on="slot")

    def append(self, rows: pl.DataFrame) -> None:
        """Hold rows of groups that are not read, as they are."""
        if rows.height:
            self._more.append(rows.select(list(TABLES["held"])))

    def trim(self, fresh: pl.DataFrame, groups: pl.DataFrame) -> None:
        """Hold rows of groups that are full or have too old ones, and let go what is too much.

        `groups`: slot, most, longest_us; of none of them anything was told yet.
        """
        slots = groups.get_column("slot")
        both = pl.concat([self._rows(slots), fresh.select(list(TABLES["held"]))])
        ordered = both.join(groups, on="slot").sort(
            "slot", "time_us", "finding_id", "step", "value"
        )
        is_young = pl.col("time_us") >= pl.col("time_us").max() - pl.col("longest_us")
        young = ordered.filter(is_young.over("slot"))
        is_kept = (pl.int_range(pl.len()) >= pl.len() - pl.col("most")).over("slot")
        is_out = young.select(~is_kept).to_series()
        if is_out.any():
            self._lose(young.filter(is_out))
            young = young.filter(~is_out)
        self._replaced = self._replaced.append(slots)
        self.append(young)

    def _rows(self, slots: pl.Series) -> pl.DataFrame:
        """Give what is held for slots that are not read."""
        is_own = pl.col("slot").is_in(slots.implode())
        whole = self._state["held"].filter(is_own)
        if len(self._replaced):
            whole = whole.filter(~pl.col("slot").is_in(self._replaced.implode()))
        return pl.concat([whole, *(one.filter(is_own) for one in self._more)])

    def _lose(self, rows: pl.DataFrame) -> None:
        """Count the rows as claims that had to go."""
        lost = rows.group_by("tenant_id", _RULE_ID).len()
        for tenant, rule_id, count in lost.rows():
            self.evict(tenant, rule_id, count)

    def group(self, place: Place) -> Group:
        """Give a group; what is done to it is kept."""
        if place not in self._groups:
            self._read({place})
        return self._groups[place]

    def evict(self, tenant_id: str, rule_id: str, claims: int) -> None:
        """Count claims that had to go although they were not too old."""
        if claims:
            place = (tenant_id, rule_id)
            self._evicted[place] = self._evicted.get(place, 0) + claims

    def opened(self, spans_us: Mapping[str, int], watermark_us: int) -> list[Place]:
        """Give the groups of rules that have a claim so old that its window has ended.

        `spans_us`: rule id -> timespan.
        """
        if not spans_us:
            return []
        rule_id = pl.col("key").str.split_exact("\x1f", 1).struct.field("field_0")
        span_us = rule_id.replace_strict(spans_us, default=None, return_dtype=pl.Int64)
        is_over = pl.col("time_us") + span_us < watermark_us
        kept = self._state["held"].filter(is_over).select("tenant_id", "key")
        now = [place for place in self._groups if place[1].partition("\x1f")[0] in spans_us]
        return sorted({*kept.rows(), *now})

    def _read(self, places: set[Place]) -> None:
        for place in places:
            self._groups[place] = Group()
        slots = _slots(places)
        for row in self._rows(slots).drop("slot").rows():
            if (row[0], row[1]) in places:
                self._groups[row[0], row[1]].held.append(Held(*row[2:]))
        is_own = pl.col("slot").is_in(slots.implode())
        told = self._state["fired"].filter(is_own).drop("slot")
        for tenant, key, first_us, last_us in told.rows():
            if (tenant, key) in places:
                self._groups[tenant, key].fired.append((first_us, last_us))
        for place in places:
            self._groups[place].held.sort(key=_BY_PLACE)
            self._groups[place].fired.sort()

    def state(self, max_keys: int) -> State:
        """Give the tables with what changed; at most `max_keys` groups a tenant."""
        if not (self._groups or self._evicted or self._more):
            return self._state
        held = [
            (*place, slot_of(*place), h.time_us, h.finding_id, h.step, h.value, h.text)
            for place, group in self._groups.items()
            for h in group.held
        ]
        fired = [
            (*place, slot_of(*place), *span)
            for place, group in self._groups.items()
            if group.held
            for span in group.fired
        ]
        touched = _slots(self._groups)
        untouched = [one.filter(~pl.col("slot").is_in(touched.implode())) for one in self._more]
        tables = {
            "held": _put(
                self._state["held"], self._replaced.append(touched), held, "held", untouched
            ),
            "fired": _put(self._state["fired"], touched, fired, "fired"),
        }
        return self._bounded(tables, max_keys)

    def _bounded(self, tables: dict[str, pl.DataFrame], max_keys: int) -> State:
        """Let the groups longest without a claim go, then the oldest claims."""
        held = tables["held"]
        gone = _too_much(held, max_keys) if held.height > min(max_keys, MOST_ROWS) else None
        if gone is not None:
            self._lose(held.filter(gone).select("tenant_id", "key"))
            kept = held.filter(~gone)
            slots = kept.get_column("slot").implode()
            tables["fired"] = tables["fired"].filter(pl.col("slot").is_in(slots))
            tables["held"] = kept
        tables["evicted"] = self._state["evicted"]
        if self._evicted:
            more = pl.DataFrame(
                [(t, k, n) for (t, k), n in self._evicted.items()],
                schema=dict(TABLES["evicted"]),
                orient="row",
            )
            both = pl.concat([self._state["evicted"], more])
            summed = both.group_by("tenant_id", "key").agg(pl.col("claims").sum())
            tables["evicted"] = (
                summed.sort("tenant_id", "claims", "key", descending=[False, True, False])
                .filter(pl.int_range(pl.len()).over("tenant_id") < max_keys)
                .sort("tenant_id", "key")
            )
        return tables


def _too_much(held: pl.DataFrame, max_keys: int) -> pl.Series | None:
    """Mark the rows of tenants that hold more than they may; None if nobody does."""
    whose = held.get_column("tenant_id")
    is_alone = bool((whose == whose[0]).all())
    tenant_of = pl.lit(whose[0]) if is_alone else pl.col("tenant_id").first()
    groups = held.group_by("slot").agg(
        pl.len().alias("rows"), pl.col("time_us").max(), tenant_of.alias("tenant_id")
    )
    sizes = groups.group_by("tenant_id").agg(pl.len(), pl.col("rows").sum())
    many = sizes.filter((pl.col("rows") > _MOST_ROWS) | (pl.col("len") > max_keys))
    gone = np.zeros(held.height, dtype=np.bool_)
    for tenant in many.get_column("tenant_id"):
        is_own = pl.col("tenant_id") == tenant
        lost = _longest_unseen(held, groups.filter(is_own), max_keys)
        gone |= held.get_column("slot").is_in(lost.implode()).to_numpy()
        kept = np.flatnonzero(held.select(is_own).to_series().to_numpy() & ~gone)
        if len(kept) > _MOST_ROWS:
            age = held.get_column("time_us").to_numpy()[kept].argsort(kind="stable")
            gone[kept[age[: len(kept) - MOST_ROWS]]] = True
    return pl.Series(gone) if gone.any() else None


def _longest_unseen(held: pl.DataFrame, groups: pl.DataFrame, max_keys: int) -> pl.Series:
    """Give the slots beyond `max_keys`; of those seen at one moment the first by name go."""
    over = groups.height - max_keys
    slots, newest = groups.get_column("slot"), groups.get_column("time_us").to_numpy()
    if over <= 0:
        return slots.clear()
    cut = np.partition(newest, over)[over]
    lost, ties = slots.filter(newest < cut), slots.filter(newest == cut)
    more = over - len(lost)
    if not more:
        return lost
    named = held.filter(pl.col("slot").is_in(ties.implode())).unique("slot").sort("key")
    return lost.append(named.get_column("slot")[:more])


def _slots(places: Iterable[Place]) -> pl.Series:
    return pl.Series([slot_of(*place) for place in places], dtype=pl.UInt64)


def _put(
    table: pl.DataFrame,
    gone: pl.Series,
    rows: Sequence[tuple[object, ...]],
    name: str,
    more: Sequence[pl.DataFrame] = (),
) -> pl.DataFrame:
    rest = table.filter(~pl.col("slot").is_in(gone.implode())) if len(gone) else table
    fresh = [pl.DataFrame(rows, schema=dict(TABLES[name]), orient="row")] if rows else []
    whole = pl.concat([rest, *more, *fresh])
    return whole.rechunk() if whole.n_chunks() > _MOST_CHUNKS else whole
