"""Keep claims by rule and group between batches, as tables, bounded."""

import bisect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import polars as pl

from detectors._correlation.claim import Claim, slim
from detectors._correlation.rule import Correlation
from detectors._correlation.window import Held
from storage.schema import State

LATE_US: Final = 32 * 86_400 * 1_000_000
"""How long after its timespan a claim is still held: files of a month may come one by one."""
LEAST_HELD: Final = 256
"""Claims held for one rule and group; twice the count that its condition asks for, if more."""
MOST_ROWS: Final = 200_000
"""Claims held for one tenant; the oldest go first."""

TABLES: Final = {
    "held": {
        "tenant_id": pl.String(),
        "key": pl.String(),
        "time_us": pl.Int64(),
        "finding_id": pl.String(),
        "step": pl.Int32(),
        "value": pl.String(),
        "claim": pl.String(),
    },
    "fired": {
        "tenant_id": pl.String(),
        "key": pl.String(),
        "first_us": pl.Int64(),
        "last_us": pl.Int64(),
    },
    "evicted": {"tenant_id": pl.String(), "key": pl.String(), "claims": pl.Int64()},
}
"""`key`: rule id and group; `evicted` has the rule id alone, and how many claims had to go."""

Place = tuple[str, str]
"""Tenant and key."""


@dataclass(slots=True)
class Group:
    """What is held for one rule and group: claims in order of time, and the matches' spans."""

    held: list[Held] = field(default_factory=list)
    fired: list[tuple[int, int]] = field(default_factory=list)

    def add(self, rule: Correlation, new: Held) -> int | None:
        """Hold one more claim; give how many had to go for it, None if it was held before."""
        at = bisect.bisect_left(self.held, new)
        if at < len(self.held) and self.held[at].place == new.place:
            return None
        self.held.insert(at, new)
        oldest = self.held[-1].time_us - rule.timespan_us - LATE_US
        if self.held[0].time_us < oldest:
            self.held = [h for h in self.held if h.time_us >= oldest]
            self.fired = [span for span in self.fired if span[1] >= oldest]
        most = max(LEAST_HELD, 2 * rule.least)
        if len(self.fired) > most:  # a group that fires all the time would be told for ever
            self.fired = sorted(self.fired)[-most:]
        gone = max(0, len(self.held) - most)
        del self.held[:gone]
        return gone


class Memory:
    """Give groups from the state's tables and put those that were touched back."""

    def __init__(self, state: State, places: Iterable[Place]) -> None:
        """Read the groups that will be touched, as far as they are known now."""
        self._state = state
        self._groups: dict[Place, Group] = {}
        self._evicted: dict[Place, int] = {}
        self._read(set(places))

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

    def _read(self, places: set[Place]) -> None:
        for place in places:
            self._groups[place] = Group()
        keys = sorted({key for _, key in places})
        for row in self._state["held"].filter(pl.col("key").is_in(keys)).rows():
            if (row[0], row[1]) in places:
                claim = msgspec.json.decode(row[6], type=Claim)
                held = Held(row[2], row[3], row[4], row[5], claim)
                self._groups[row[0], row[1]].held.append(held)
        told = self._state["fired"].filter(pl.col("key").is_in(keys))
        for tenant, key, first_us, last_us in told.rows():
            if (tenant, key) in places:
                self._groups[tenant, key].fired.append((first_us, last_us))
        for place in places:
            self._groups[place].held.sort()
            self._groups[place].fired.sort()

    def state(self, max_keys: int) -> State:
        """Give the tables with what changed; at most `max_keys` groups a tenant."""
        held = [
            (*place, h.time_us, h.finding_id, h.step, h.value, _text(h.claim))
            for place, group in self._groups.items()
            for h in group.held
        ]
        fired = [(*p, *span) for p, group in self._groups.items() for span in group.fired]
        touched = pl.DataFrame(list(self._groups), schema=["tenant_id", "key"], orient="row").cast(
            pl.String
        )
        tables = {
            "held": _put(self._state["held"], touched, held, "held"),
            "fired": _put(self._state["fired"], touched, fired, "fired"),
        }
        return self._bounded(tables, max_keys)

    def _bounded(self, tables: dict[str, pl.DataFrame], max_keys: int) -> State:
        """Let the groups longest without a claim go, then the oldest claims."""
        held = tables["held"]
        if held.height > min(max_keys, MOST_ROWS):
            newest = pl.col("time_us").max().over("tenant_id", "key")
            order = pl.struct(newest.alias("newest"), "key").rank("dense", descending=True)
            ranked = held.with_columns(order.over("tenant_id").alias("_rank"))
            by_age = pl.col("time_us").rank("ordinal", descending=True).over("tenant_id")
            keep = (pl.col("_rank") <= max_keys) & (by_age <= MOST_ROWS)
            for tenant, key in ranked.filter(~keep).select("tenant_id", "key").rows():
                self.evict(tenant, key.partition("\x1f")[0], 1)
            tables["held"] = ranked.filter(keep).drop("_rank")
        groups = tables["held"].select("tenant_id", "key").unique()
        tables["fired"] = tables["fired"].join(groups, on=["tenant_id", "key"], how="semi")
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


def _put(
    table: pl.DataFrame, touched: pl.DataFrame, rows: Sequence[tuple[object, ...]], name: str
) -> pl.DataFrame:
    rest = table.join(touched, on=["tenant_id", "key"], how="anti")
    fresh = pl.DataFrame(rows, schema=dict(TABLES[name]), orient="row")
    return pl.concat([rest, fresh])


def _text(claim: Claim) -> str:
    return msgspec.json.encode(slim(claim)).decode()
