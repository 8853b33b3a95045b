"""Read a batch's claims as columns, and put each under the groups in which it counts.

Texts are looked at once each, however often they stand in the batch; after that all is numbers.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._correlation.claim import BETWEEN, MOST_GROUPS, Pair, named_by, short, told_by
from detectors._correlation.memory import part_of_slot, slots_of
from detectors._correlation.rule import Correlation
from storage.schema.entity import JOINING
from storage.schema.finding import ENDS_NAME, ENDS_PAIR

Owned = tuple[str, Correlation]
"""A correlation and whose it is: "" = the house's."""
Array = npt.NDArray[Any]
_LARGEST: Final = 2**62
_ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    "user": ("user", "mailbox", "person"),
    "ip": ("ip", "host"),
}
"""Kinds of entity whose canonical form may be of this kind."""


@dataclass(frozen=True, slots=True)
class Turns:
    """Say which claim stands where. `rows`: one a claim and place; `groups`: the places.

    `rows`: group, row, rule, step, time_us, finding_id, value, is_late; `groups`: group (counts
    up from 0, those of a rule next to each other), tenant_id, key, slot, rule.
    """

    rows: pl.DataFrame
    groups: pl.DataFrame


@dataclass(frozen=True, slots=True)
class _Values:
    """Hold the values of one name as codes: those of row r are codes[ends[r] : ends[r + 1]]."""

    ends: Array
    codes: Array


@dataclass(slots=True)
class _Batch:
    """Hold what the claims say, as far as it was asked for; `pairs`: "kind:value" by its code."""

    frame: pl.DataFrame
    pairs: dict[str, int] = field(default_factory=dict)
    said: dict[str, pl.DataFrame] = field(default_factory=dict)
    known: dict[str, _Values] = field(default_factory=dict)
    _spelled: tuple[pl.Series, Array] | None = None

    def spelled(self) -> tuple[pl.Series, Array]:
        """Give the pairs by their code, and their parts of a slot."""
        if self._spelled is None or len(self._spelled[0]) < len(self.pairs):
            self._spelled = pl.Series(list(self.pairs), dtype=pl.String), _numbers_of(self.pairs)
        return self._spelled

    def values(self, name: str) -> _Values:
        """Give the values of a kind of entity, or of a field."""
        if name not in self.known:
            if name in JOINING:
                heads, column, make = _ALSO.get(name, (name,)), "unmapped.entities", _named
            else:
                heads, column, make = (name,), "unmapped.fields", _told
            self.known[name] = self._coded(heads, column, make, name)
        return self.known[name]

    def _coded(
        self,
        heads: Sequence[str],
        column: str,
        make: Callable[[str, str], tuple[str, ...]],
        name: str,
    ) -> _Values:
        if column not in self.said:
            self.said[column] = _listed(self.frame, column)
        starts = [pl.col("said").str.starts_with(head + ENDS_NAME) for head in heads]
        said = self.said[column].filter(pl.any_horizontal(starts))
        rows = said.get_column("row").to_numpy()
        texts, places = _distinct(said.get_column("said"))
        made = [make(name, text) for text in texts]
        ends = np.fromiter(map(len, made), dtype=np.int64, count=len(made)).cumsum()
        pairs = self.pairs
        flat = [pairs.setdefault(pair, len(pairs)) for one in made for pair in one]
        whole = np.array(flat, dtype=np.int64)
        of, codes = _spread(np.append(0, ends), whole, places)
        return _once(rows[of], codes, self.frame.height)


def read_turns(rules: Mapping[str, Sequence[Correlation]], frame: pl.DataFrame) -> Turns:
    """Give where the claims count; `rule` counts through the rules of all owners, in order.

    `frame`: rows of class 2004 as `pipelines.signals` makes them.
    """
    batch = _Batch(frame)
    bases = _rows_by_base(frame)
    tenants, tenant_of = _distinct(frame.get_column("tenant_id"))
    wanted = list[tuple[int, Correlation, list[tuple[int, Array]]]]()
    every = [(owner, rule) for owner, own in rules.items() for rule in own]
    for number, (owner, rule) in enumerate(every):
        mine = tenants.index(owner) if owner in tenants else -1
        steps = list[tuple[int, Array]]()
        for step, base in enumerate(rule.rules):
            rows = bases.get(base, _NONE)
            rows = rows[tenant_of[rows] == mine] if owner else rows
            if len(rows):
                steps.append((step, rows))
                for name in rule.fields(base):
                    batch.values(name)
        if steps:
            wanted.append((number, rule, steps))
    found, groups, height = list[pl.DataFrame](), list[pl.DataFrame](), 0
    for number, rule, steps in wanted:
        placed = _placed(batch, rule, steps, tenant_of, tenants)
        if placed is not None:
            turns, places = placed
            mark = pl.lit(number, pl.UInt32).alias("rule")
            found.append(turns.with_columns(pl.col("group") + height, mark))
            groups.append(places.with_columns(pl.col("group") + height, mark))
            height += places.height
    if not found:
        return Turns(pl.DataFrame(schema=_ROWS), pl.DataFrame(schema=_GROUPS))
    turns = pl.concat(found)
    more = frame.select(
        pl.col("time").to_physical().alias("time_us"),
        pl.col("event_id").alias("finding_id"),
        "is_late",
    )[turns.get_column("row")]
    return Turns(pl.concat([turns, more], how="horizontal"), pl.concat(groups))


_NONE: Final = np.empty(0, dtype=np.int64)
_GROUPS: Final = pl.Schema(
    {
        "group": pl.UInt32(),
        "tenant_id": pl.String(),
        "key": pl.String(),
        "slot": pl.UInt64(),
        "rule": pl.UInt32(),
    }
)
_ROWS: Final = pl.Schema(
    {
        "group": pl.UInt32(),
        "row": pl.UInt32(),
        "step": pl.Int32(),
        "value": pl.String(),
        "rule": pl.UInt32(),
        "time_us": pl.Int64(),
        "finding_id": pl.String(),
        "is_late": pl.Boolean(),
    }
)


def _placed(
    batch: _Batch,
    rule: Correlation,
    steps: Sequence[tuple[int, Array]],
    tenant_of: Array,
    tenants: Sequence[str],
) -> tuple[pl.DataFrame, pl.DataFrame] | None:
    """Give the rule's turns and its groups, from 0; None if no claim has the values asked for."""
    parts = list[tuple[Array, list[Array], list[Array], Array]]()
    for step, claims in steps:
        base = rule.rules[step]
        at, by = _combined(batch, claims, [rule.field(name, base) for name in rule.group_by])
        again, of = _combined(batch, claims[at], [rule.field(name, base) for name in rule.value])
        if len(again):
            mine = claims[at[again]]
            parts.append((mine, [one[again] for one in by], of, np.full(len(mine), step)))
    if not parts:
        return None
    rows = np.concatenate([p[0] for p in parts])
    by = [np.concatenate([p[1][n] for p in parts]) for n in range(len(rule.group_by))]
    of = [np.concatenate([p[2][n] for p in parts]) for n in range(len(rule.value))]
    pairs, numbers = batch.spelled()
    _, first, group = np.unique(
        _folded([tenant_of[rows], *by], len(batch.pairs) + len(tenants)),
        return_index=True,
        return_inverse=True,
    )
    values = [pairs.gather(codes).alias(str(n)) for n, codes in enumerate(of)]
    turns = pl.DataFrame(
        {
            "group": pl.Series(group, dtype=pl.UInt32),
            "row": pl.Series(rows, dtype=pl.UInt32),
            "step": pl.Series(np.concatenate([p[3] for p in parts]), dtype=pl.Int32),
        }
    ).with_columns(value=pl.concat_str(values, separator=BETWEEN) if values else pl.lit(""))
    tenant, chosen = tenant_of[rows[first]], [codes[first] for codes in by]
    whose = _numbers_of(tenants)[tenant]
    rule_number = np.full(len(first), part_of_slot(rule.rule_id), dtype=np.uint64)
    slots = slots_of(whose, [rule_number, *(numbers[codes] for codes in chosen)])
    named = [pairs.gather(codes).alias(str(n)) for n, codes in enumerate(chosen)]
    groups = pl.DataFrame(
        {
            "group": pl.int_range(len(first), dtype=pl.UInt32, eager=True),
            "tenant_id": pl.Series(tenants, dtype=pl.String).gather(tenant),
            "slot": pl.Series(slots),
        }
    ).with_columns(key=pl.concat_str(pl.lit(rule.rule_id), *named, separator="\x1f"))
    return turns, groups.select("group", "tenant_id", "key", "slot")


def _numbers_of(texts: Collection[str]) -> Array:
    return np.fromiter(map(part_of_slot, texts), dtype=np.uint64, count=len(texts))


def _combined(batch: _Batch, rows: Array, names: Sequence[str]) -> tuple[Array, list[Array]]:
    """Give places in `rows`, each once for every combination of its values, and those values.

    Of one place's combinations the first 16.
    """
    place, found = np.arange(len(rows)), list[Array]()
    for name in names:
        told = batch.values(name)
        again, codes = _spread(told.ends, told.codes, rows[place])
        place, found = place[again], [*(one[again] for one in found), codes]
    if len(names) > 1 and len(place) > len(rows):
        kept = _nth(place) < MOST_GROUPS
        place, found = place[kept], [one[kept] for one in found]
    return place, found


def _spread(ends: Array, flat: Array, places: Array) -> tuple[Array, Array]:
    """Give flat[ends[p] : ends[p + 1]] of all places one after the other, and whose each is."""
    counts = ends[places + 1] - ends[places]
    of = np.repeat(np.arange(len(places)), counts)
    within = np.arange(len(of)) - np.repeat(counts.cumsum() - counts, counts)
    return of, flat[ends[places[of]] + within]


def _nth(of: Array) -> Array:
    """Give how many equal ones stand before each of a rising array."""
    return np.arange(len(of)) - np.searchsorted(of, of)


def _once(rows: Array, codes: Array, height: int) -> _Values:
    """Keep each row's values once, the first 16 of them."""
    most = int(codes.max()) + 1 if len(codes) else 1
    _, first = np.unique(rows.astype(np.int64) * most + codes, return_index=True)
    first.sort()
    rows, codes = rows[first], codes[first]
    kept = _nth(rows) < MOST_GROUPS
    rows, codes = rows[kept], codes[kept]
    return _Values(np.searchsorted(rows, np.arange(height + 1)), codes)


def _folded(columns: Sequence[Array], most: int) -> Array:
    """Give one number for each combination of the columns' codes, all below `most`."""
    whole, bound = columns[0].astype(np.int64), most
    for column in columns[1:]:
        if bound * most > _LARGEST:
            distinct, whole = np.unique(whole, return_inverse=True)
            bound = len(distinct)
        whole, bound = whole * most + column, bound * most
    return whole


def _distinct(texts: pl.Series) -> tuple[list[str], Array]:
    """Give the distinct texts, in order of first appearance, and each row's place among them."""
    coded = texts.to_arrow(compat_level=pl.CompatLevel.oldest()).dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy(zero_copy_only=False)


def _listed(frame: pl.DataFrame, column: str) -> pl.DataFrame:
    """Give one row for each pair that the claims name: row, said."""
    lists = pl.col(column).str.split(ENDS_PAIR).alias("said")
    whole = frame.select(lists, pl.int_range(pl.len(), dtype=pl.Int64).alias("row"))
    return whole.explode("said")


def _rows_by_base(frame: pl.DataFrame) -> dict[str, Array]:
    """Give the rows of each rule id and of each detector, rising."""
    found: dict[str, Array] = {}
    for column in ("finding_info.uid", "unmapped.detector"):
        texts, places = _distinct(frame.get_column(column))
        order = np.argsort(places, kind="stable")
        ends = np.searchsorted(places[order], np.arange(len(texts) + 1))
        for number, text in enumerate(texts):
            rows = order[ends[number] : ends[number + 1]]
            found[text] = np.union1d(found[text], rows) if text in found else rows
    return found


@lru_cache(maxsize=65_536)
def _named(name: str, said: str) -> tuple[str, ...]:
    kind, _, text = said.partition(ENDS_NAME)
    return _shown(named_by(name, kind, text))


@lru_cache(maxsize=65_536)
def _told(name: str, said: str) -> tuple[str, ...]:
    return _shown(told_by(name, said.partition(ENDS_NAME)[2]))


def _shown(pairs: Sequence[Pair]) -> tuple[str, ...]:
    return tuple(f"{kind}:{short(value)}" for kind, value in pairs if value)
