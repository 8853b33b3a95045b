"""Keep claims by rule and group between batches, as tables, bounded."""

import bisect
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    "judged": {
        "tenant_id": pl.String(),
        "key": pl.String(),
        "slot": pl.UInt64(),
        "until_us": pl.Int64(),
    },
    "evicted": {"tenant_id": pl.String(), "key": pl.String(), "claims": pl.Int64()},
}
"""`key`: rule id and group; `evicted` has the rule id alone, and how many claims had to go.

`slot`: tenant and key as one number, see `slot_of`; `groups`: how many claims each holds, and the
times of the first and the last; `judged`: before when all that could begin a match was judged, of
groups of which some claims must be absent.
"""

Array = npt.NDArray[Any]
Place = tuple[str, str]
"""Tenant and key."""
Said = Sequence[tuple[int, ...]]
_BY_PLACE: Final = attrgetter("place")
_TOLD: Final = ("tenant_id", "key", "time_us", "finding_id", "step", "value", "claim")
_EVER: Final = int(np.iinfo(np.int64).min // 4)
_NEVER: Final = int(np.iinfo(np.int64).max // 4)


def most_held(rule: Correlation) -> int:
    """Give how many claims are held for one group of the rule."""
    return max(LEAST_HELD, 2 * rule.reach)


def longest_held_us(rule: Correlation) -> int:
    """Give for how long before a group's last claim others are held."""
    return rule.timespan_us * (2 if rule.absent else 1) + LATE_US


@dataclass(slots=True)
class Group:
    """What is held for one rule and group: claims in order of time, and the matches' spans.

    `new`: what was added since it was read; `told`: the spans as they were read; `until_us`: see
    `judged` in TABLES, and `read_us` as it was read.
    """

    held: list[Held] = field(default_factory=list)
    fired: list[tuple[int, int]] = field(default_factory=list)
    new: list[Held] = field(default_factory=list)
    told: list[tuple[int, int]] = field(default_factory=list)
    until_us: int = _EVER
    read_us: int = _EVER

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
        self._judged = state.get("judged", pl.DataFrame(schema=TABLES["judged"]))
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
        judged = self._judged.filter(pl.Series(is_among(self._judged["slot"].to_numpy(), slots)))
        for tenant, key, _, until_us in judged.rows():
            if (tenant, key) in self._groups:
                group = self._groups[tenant, key]
                group.until_us = group.read_us = until_us
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

    def opened(self, rules: Mapping[Place, Correlation], watermark_us: int) -> list[Place]:
        """Give the groups in which a window may have ended, and read them.

        `rules`: those that wait, by owner and rule id.
        """
        if not rules:
            return []
        told = [(rule_id, rule.wait_us, rule.timespan_us) for (_, rule_id), rule in rules.items()]
        waits = pl.DataFrame(told, schema=["rule_id", "wait_us", "span_us"], orient="row")
        waits = waits.group_by("rule_id").min()
        own = set(waits.get_column("rule_id"))
        until_us = np.full(len(self._roll.slot), _EVER)
        at, there = self._roll.places(self._judged.get_column("slot").to_numpy())
        until_us[at[there]] = self._judged.get_column("until_us").to_numpy()[there]
        numbers = {"first_us": self._roll.first_us, "last_us": self._roll.last_us}
        groups = self._roll.names.with_columns(
            *(pl.Series(name, n) for name, n in (numbers | {"until_us": until_us}).items())
        )
        least_us = waits.get_column("wait_us").min()
        is_over = groups.filter(pl.col("first_us") < watermark_us - pl.lit(least_us))
        found = (
            is_over.with_columns(bounds.RULE_ID)
            .join(waits, on="rule_id")
            .filter(_is_due(watermark_us))
        )
        places = {(t, k) for t, k in found.select("tenant_id", "key").rows()}
        self.read(places - self._groups.keys())
        return sorted(places | {p for p in self._groups if p[1].partition("\x1f")[0] in own})

    def state(self, max_keys: int) -> State:
        """Give the tables with what changed; at most `max_keys` groups a tenant."""
        self._settle()
        fired = self._changed("fired", lambda g: g.fired, lambda g: g.told)
        judged = self._changed("judged", lambda g: [(g.until_us,)], lambda g: [(g.read_us,)])
        is_same = fired is None and judged is None
        if self._shelf.is_unchanged and not self._evicted and is_same:
            return self._state
        for names, lost in bounds.bound(self._roll, self._shelf, max_keys):
            self._lose(names, lost)
        self._roll.strike(self._roll.claims > 0)
        return {
            "held": self._shelf.table(),
            "groups": self._roll.table(),
            "fired": self._on_roll(self._state["fired"] if fired is None else fired),
            "judged": self._on_roll(self._judged if judged is None else judged),
            "evicted": self._counted(max_keys),
        }

    def _on_roll(self, table: pl.DataFrame) -> pl.DataFrame:
        """Leave out what is said of groups that hold nothing any more."""
        _, there = self._roll.places(table.get_column("slot").to_numpy())
        return table if there.all() else table.filter(pl.Series(there))

    def _settle(self) -> None:
        """Put back the claims of the groups that were read."""
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

    def _changed(
        self, table: str, now: Callable[[Group], Said], before: Callable[[Group], Said]
    ) -> pl.DataFrame | None:
        """Give a table of what is said of groups with what changed; None if nothing did."""
        news = [(p, now(group)) for p, group in self._groups.items() if now(group) != before(group)]
        if not news:
            return None
        rows = [(*place, slot_of(*place), *one) for place, said in news for one in said]
        fresh = pl.DataFrame(rows, schema=dict(TABLES[table]), orient="row")
        old = pl.Series([slot_of(*place) for place, _ in news], dtype=pl.UInt64)
        whole = self._judged if table == "judged" else self._state[table]
        return pl.concat([whole.filter(~pl.col("slot").is_in(old.implode())), fresh]).rechunk()

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


def _is_due(watermark_us: int) -> pl.Expr:
    """Answer of groups whether something in them can be judged, or let go, by now."""
    is_known = pl.col("until_us") > _EVER
    has_more = pl.col("last_us") >= pl.col("until_us")
    return (
        pl.when(~is_known)
        .then(pl.col("first_us") < watermark_us - pl.col("wait_us"))
        .when(has_more)
        .then(pl.col("until_us") < watermark_us - pl.col("wait_us"))
        .otherwise(pl.col("last_us") < watermark_us - pl.col("span_us"))
    )
