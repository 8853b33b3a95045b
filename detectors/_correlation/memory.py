"""Keep claims by rule and group between batches, as tables, bounded."""

import bisect
from collections.abc import Iterable, Mapping, Sequence
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

KEY: Final = ("tenant_id", "key")
Place = tuple[str, str]
"""Tenant and key."""


_MOST_CHUNKS: Final = 32


def most_held(rule: Correlation) -> int:
    """Give how many claims are held for one group of the rule."""
    return max(LEAST_HELD, 2 * rule.reach)


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
        self._is_changed = False

    def read(self, places: Iterable[Place]) -> None:
        """Read the groups that will be touched, at once, as far as they are known now."""
        self._read(set(places))

    def held(self, groups: pl.DataFrame) -> pl.DataFrame:
        """Give what is held for groups (KEY columns and others), with those other columns."""
        return self._state["held"].drop("claim").join(groups, on=KEY)

    def trim(self, fresh: pl.DataFrame, groups: pl.DataFrame) -> None:
        """Hold rows of groups that are full or have too old ones, and let go what is too much.

        `groups`: KEY columns, group, most, longest_us; of none of them anything was told yet.
        """
        old = self._state["held"].join(groups.select(KEY), on=KEY, how="semi")
        both = pl.concat([old, fresh.select(old.columns)]).join(groups, on=KEY)
        ordered = both.sort(*KEY, "time_us", "finding_id", "step", "value")
        is_young = pl.col("time_us") >= pl.col("time_us").max() - pl.col("longest_us")
        young = ordered.filter(is_young.over(KEY))
        is_kept = pl.int_range(pl.len()) >= pl.len() - pl.col("most")
        kept = young.filter(is_kept.over(KEY))
        lost = young.join(kept.group_by(KEY).len("kept"), on=KEY).group_by(KEY)
        for tenant, key, count in lost.agg(pl.len() - pl.col("kept").first()).rows():
            self.evict(tenant, key.partition("\x1f")[0], count)
        rest = self._state["held"].join(groups.select(KEY), on=KEY, how="anti")
        self._state = {**self._state, "held": rest}
        self.append(kept)

    def told(self, groups: pl.DataFrame) -> pl.DataFrame:
        """Give those of the groups of which something was told."""
        return groups.join(self._state["fired"].select(KEY), on=KEY, how="semi")

    def append(self, rows: pl.DataFrame) -> None:
        """Hold rows of groups that are not read, as they are."""
        if rows.is_empty():
            return
        held = pl.concat([self._state["held"], rows.select(list(TABLES["held"]))])
        if held.n_chunks() > _MOST_CHUNKS:
            held = held.rechunk()
        self._state = {**self._state, "held": held}
        self._is_changed = True

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
        keys = sorted({key for _, key in places})
        for row in self._state["held"].filter(pl.col("key").is_in(keys)).rows():
            if (row[0], row[1]) in places:
                claim = slim(msgspec.json.decode(row[6], type=Claim))
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
        if not (self._groups or self._evicted or self._is_changed):
            return self._state
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
            tables["held"] = self._kept(held, max_keys)
        if tables["fired"].height:
            tables["fired"] = tables["fired"].join(tables["held"], on=KEY, how="semi")
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

    def _kept(self, held: pl.DataFrame, max_keys: int) -> pl.DataFrame:
        groups = held.group_by(KEY).agg(pl.col("time_us").max().alias("newest"), pl.len())
        counts = groups.group_by("tenant_id").agg(pl.len().alias("keys"), pl.col("len").sum())
        many = counts.filter(pl.col("keys") > max_keys)
        if many.height:
            kept = groups.sort("newest", "key", descending=True).filter(
                pl.int_range(pl.len()).over("tenant_id") < max_keys
            )
            gone = groups.join(kept, on=KEY, how="anti")
            for tenant, key, claims in gone.select(*KEY, "len").rows():
                self.evict(tenant, key.partition("\x1f")[0], claims)
            held = held.join(gone, on=KEY, how="anti")
        if counts.filter(pl.col("len") > MOST_ROWS).height:
            by_age = pl.col("time_us").rank("ordinal", descending=True).over("tenant_id")
            is_kept = held.select(by_age <= MOST_ROWS).to_series()
            for tenant, key in held.filter(~is_kept).select(KEY).rows():
                self.evict(tenant, key.partition("\x1f")[0], 1)
            held = held.filter(is_kept)
        return held


def _put(
    table: pl.DataFrame, touched: pl.DataFrame, rows: Sequence[tuple[object, ...]], name: str
) -> pl.DataFrame:
    if touched.is_empty():
        return table
    rest = table.join(touched, on=KEY, how="anti")
    fresh = pl.DataFrame(rows, schema=dict(TABLES[name]), orient="row")
    return pl.concat([rest, fresh])


def _text(claim: Claim) -> str:
    return msgspec.json.encode(slim(claim)).decode()
