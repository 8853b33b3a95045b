"""Keep claims by rule and group between batches, as tables, bounded."""

import bisect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._correlation import bounds
from detectors._correlation.roll import COLUMNS, Roll
from detectors._correlation.rule import Correlation
from detectors._correlation.shelf import Shelf, is_among
from detectors._correlation.slots import slot_of
from detectors._correlation.window import Held
from storage.schema import State

LATE_US: Final = 32 * 86_400 * 1_000_000
"""How long after its timespan a claim is still held: files of a month may come one by one."""
LEAST_HELD: Final = 256
"""Claims held for one rule and group; twice the count that its condition asks for, if more."""

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
    "groups": COLUMNS,
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

`slot`: tenant and key as one number, see `slot_of`; `groups`: how many claims each holds, and the
times of the first and the last.
"""

Array = npt.NDArray[Any]
Place = tuple[str, str]
"""Tenant and key."""
_BY_PLACE: Final = attrgetter("place")
_TOLD: Final = ("tenant_id", "key", "time_us", "finding_id", "step", "value", "claim")
_EVER: Final = np.iinfo(np.int64).min // 4
_NEVER: Final = np.iinfo(np.int64).max // 4


def most_held(rule: Correlation) -> int:
    """Give how many claims are held for one group of the rule."""
    return max(LEAST_HELD, 2 * rule.reach)


def longest_held_us(rule: Correlation) -> int:
    """Give for how long before a group's last claim others are held."""
    return rule.timespan_us + LATE_US


@dataclass(slots=True)
class Group:
    """What is held for one rule and group: claims in order of time, and the matches' spans.

    `new`: what was added since it was read; `told`: the spans as they were read.
    """

    held: list[Held] = field(default_factory=list)
    fired: list[tuple[int, int]] = field(default_factory=list)
    new: list[Held] = field(default_factory=list)
    told: list[tuple[int, int]] = field(default_factory=list)

    def add(self, new: Held, most: int, longest_us: int) -> int | None:
        """Hold one more claim; give how many had to go for it, None if it was held before.

        `most`: how many are held, for at most `longest_us` before the last.
        """
        if not self.held or self.held[-1].time_us < new.time_us:
            self.held.append(new)
        else:
            at = bisect.bisect_left(self.held, new)
            if at < len(self.held) and self.held[at].place == new.place:
                return None
            self.held.insert(at, new)
        self.new.append(new)
        oldest = self.held[-1].time_us - longest_us
        if self.held[0].time_us < oldest:
            self.held = [h for h in self.held if h.time_us >= oldest]
            self.fired = [span for span in self.fired if span[1] >= oldest]
        if len(self.fired) > most:  # a group that fires all the time would be told for ever
            self.fired = sorted(self.fired)[-most:]
        gone = max(0, len(self.held) - most)
        del self.held[:gone]
        return gone


@dataclass(frozen=True, slots=True)
class Limits:
    """Say how much each of some groups (`slot`, rising) may hold: how many, and how old."""

    slot: Array
    names: pl.DataFrame
    most: Array
    longest_us: Array


class Memory:
    """Give groups from the state's tables and put what changed back.

    Whatever is let go of a group is the first that it holds, in order of time.
    """

    def __init__(self, state: State) -> None:
        """Begin with the state's tables; groups are read when they are asked for."""
        self._state = state
        self._roll = Roll(state.get("groups", pl.DataFrame(schema=COLUMNS)), state["held"])
        self._shelf = Shelf(state["held"])
        self._groups: dict[Place, Group] = {}
        self._evicted: dict[Place, int] = {}

    def near(self, slot: Array, low_us: Array, high_us: Array) -> tuple[pl.DataFrame, Array]:
        """Give what was held for groups (slot rising) within their times; and whose each row is."""
        return self._shelf.near(slot, low_us, high_us)

    def sizes(self, slot: Array) -> tuple[Array, Array, Array]:
        """Give how many claims groups hold, and the times of the first and last, if any."""
        at, there = self._roll.places(slot)
        claims = np.zeros(len(slot), dtype=np.int64)
        first_us, last_us = np.full(len(slot), _NEVER), np.full(len(slot), _EVER)
        claims[there] = self._roll.claims[at[there]]
        first_us[there] = self._roll.first_us[at[there]]
        last_us[there] = self._roll.last_us[at[there]]
        return claims, first_us, last_us

    def told(self, slot: Array) -> tuple[Array, Array]:
        """Give place in `slot` (rising) and first time of every match that was told of these."""
        fired = self._state["fired"]
        own = fired.get_column("slot").to_numpy()
        kept = np.flatnonzero(is_among(own, slot))
        return np.searchsorted(slot, own[kept]), fired.get_column("first_us").to_numpy()[kept]

    def hold(self, rows: pl.DataFrame, group: Array, limits: Limits) -> None:
        """Hold rows of groups that are not read; let go what is too much then.

        `group`: each row's place in `limits`. Of groups with matches told nothing gets too old.
        """
        at = self._enter(rows, group, limits.slot, limits.names)
        floor_us = self._roll.last_us[at] - limits.longest_us
        over = (self._roll.claims[at] > limits.most) | (self._roll.first_us[at] < floor_us)
        if over.any():
            lost = self._shelf.cut(self._roll, at[over], limits.most[over], floor_us[over])
            self._lose(limits.names[np.flatnonzero(over)], lost)

    def _enter(self, rows: pl.DataFrame, group: Array, slot: Array, names: pl.DataFrame) -> Array:
        """Put rows on the shelf and on the roll; give where their groups stand there."""
        at = self._roll.enter(slot, names)
        time_us = rows.get_column("time_us").to_numpy()
        np.add.at(self._roll.claims, at, np.bincount(group, minlength=len(slot)))
        np.minimum.at(self._roll.first_us, at[group], time_us)
        np.maximum.at(self._roll.last_us, at[group], time_us)
        self._shelf.add(rows.select(list(TABLES["held"])))
        return at

    def _lose(self, names: pl.DataFrame, claims: Array) -> None:
        """Count claims of groups as such that had to go."""
        lost = names.select("tenant_id", bounds.RULE_ID, pl.Series("claims", claims))
        for place in lost.group_by("tenant_id", "rule_id").sum().rows():
            self.evict(*place)

    def read(self, places: Iterable[Place]) -> None:
        """Read the groups that will be touched, at once, as far as they are known now."""
        wanted = {slot_of(*place): place for place in places}
        for place in wanted.values():
            self._groups[place] = Group()
        slots = np.fromiter(wanted, dtype=np.uint64, count=len(wanted))
        slots.sort()
        _, there = self._roll.places(slots)
        slots = slots[there]
        if not len(slots):
            return
        for tenant, key, *rest in self._shelf.of(slots).select(_TOLD).rows():
            if (tenant, key) in self._groups:
                self._groups[tenant, key].held.append(Held(*rest))
        told = self._state["fired"]
        own = pl.Series(is_among(told.get_column("slot").to_numpy(), slots))
        for tenant, key, _, first_us, last_us in told.filter(own).rows():
            if (tenant, key) in self._groups:
                self._groups[tenant, key].told.append((first_us, last_us))
        for place in wanted.values():
            group = self._groups[place]
            group.held.sort(key=_BY_PLACE)
            group.told.sort()
            group.fired = list(group.told)

    def group(self, place: Place) -> Group:
        """Give a group; what is done to it is kept."""
        if place not in self._groups:
            self.read([place])
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
        is_over = self._roll.first_us < watermark_us - min(spans_us.values())
        old = self._roll.names.filter(pl.Series(is_over))
        found = old.select("tenant_id", "key", bounds.RULE_ID)
        places = {(t, k) for t, k, rule_id in found.rows() if rule_id in spans_us}
        return sorted(places | {p for p in self._groups if p[1].partition("\x1f")[0] in spans_us})

    def state(self, max_keys: int) -> State:
        """Give the tables with what changed; at most `max_keys` groups a tenant."""
        fired = self._settle()
        if self._shelf.is_unchanged and not self._evicted and fired is None:
            return self._state
        for names, lost in bounds.bound(self._roll, self._shelf, max_keys):
            self._lose(names, lost)
        self._roll.strike(self._roll.claims > 0)
        told = self._state["fired"] if fired is None else fired
        if told.height:
            _, there = self._roll.places(told.get_column("slot").to_numpy())
            told = told if there.all() else told.filter(pl.Series(there))
        return {
            "held": self._shelf.table(),
            "groups": self._roll.table(),
            "fired": told,
            "evicted": self._counted(max_keys),
        }

    def _settle(self) -> pl.DataFrame | None:
        """Put back the groups that were read; give the table of what was told, if it changed."""
        added = [(p, h) for p, group in self._groups.items() for h in group.new]
        if added:
            rows = pl.DataFrame(
                [
                    (*p, slot_of(*p), h.time_us, h.finding_id, h.step, h.value, h.text)
                    for p, h in added
                ],
                schema=dict(TABLES["held"]),
                orient="row",
            )
            slots = rows.get_column("slot").to_numpy()
            slot, first, group = np.unique(slots, return_index=True, return_inverse=True)
            self._enter(rows, group, slot, rows[first])
        left = sorted((slot_of(*place), len(group.held)) for place, group in self._groups.items())
        slot = np.array([one for one, _ in left], dtype=np.uint64)
        at, there = self._roll.places(slot)
        at, most = at[there], np.array([most for _, most in left], dtype=np.int64)[there]
        over = self._roll.claims[at] > most
        if over.any():
            self._shelf.cut(self._roll, at[over], most[over], np.full(int(over.sum()), _EVER))
        return self._fired()

    def _fired(self) -> pl.DataFrame | None:
        news = [(p, group.fired) for p, group in self._groups.items() if group.fired != group.told]
        if not news:
            return None
        rows = [(*place, slot_of(*place), *span) for place, fired in news for span in fired]
        fresh = pl.DataFrame(rows, schema=dict(TABLES["fired"]), orient="row")
        old = pl.Series([slot_of(*place) for place, _ in news], dtype=pl.UInt64)
        rest = self._state["fired"].filter(~pl.col("slot").is_in(old.implode()))
        return pl.concat([rest, fresh]).rechunk()

    def _counted(self, max_keys: int) -> pl.DataFrame:
        """Give the table of what had to go."""
        if not self._evicted:
            return self._state["evicted"]
        more = pl.DataFrame(
            [(t, k, n) for (t, k), n in self._evicted.items()],
            schema=dict(TABLES["evicted"]),
            orient="row",
        )
        both = pl.concat([self._state["evicted"], more])
        summed = both.group_by("tenant_id", "key").agg(pl.col("claims").sum())
        return (
            summed.sort("tenant_id", "claims", "key", descending=[False, True, False])
            .filter(pl.int_range(pl.len()).over("tenant_id") < max_keys)
            .sort("tenant_id", "key")
        )
