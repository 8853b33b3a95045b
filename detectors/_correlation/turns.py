"""Put a batch's claims under the groups in which they count, as columns of numbers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._correlation.claim import MOST_GROUPS
from detectors._correlation.rule import Correlation
from detectors._correlation.said import Said, distinct_of, nth, numbers_of, spread
from detectors._correlation.slots import part_of_slot, slots_of

Array = npt.NDArray[Any]
_NONE: Final = np.empty(0, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Turns:
    """Say which claim stands where; by rule, step and row.

    One a claim and place: `row` of the batch, `step`, `value` (place in `texts`), `group`.
    One a group, by slot rising: `slot`, `rule` (counts through the rules of all owners, in order),
    `names` (tenant_id, key).
    """

    row: Array
    step: Array
    value: Array
    group: Array
    slot: Array
    rule: Array
    names: pl.DataFrame
    texts: pl.Series

    def only(self, kept: Array) -> "Turns":
        """Leave turns out, and the groups that have none then."""
        there = np.bincount(self.group[kept], minlength=len(self.slot)) > 0
        renumbered = np.cumsum(there) - 1
        return Turns(
            self.row[kept],
            self.step[kept],
            self.value[kept],
            renumbered[self.group[kept]],
            self.slot[there],
            self.rule[there],
            self.names[np.flatnonzero(there)],
            self.texts,
        )


@dataclass(frozen=True, slots=True)
class _Placed:
    """Hold one rule's turns of one step. `by`: codes by which they are grouped."""

    rule: int
    step: int
    rows: Array
    by: list[Array]
    value: Array
    slot: Array


def read_turns(rules: Mapping[str, Sequence[Correlation]], frame: pl.DataFrame) -> Turns | None:
    """Give where the claims count; None if they count nowhere.

    `frame`: rows of class 2004 as `pipelines.signals` makes them.
    """
    said = Said(frame)
    bases = _rows_by_base(frame)
    tenants, tenant_of = distinct_of(frame.get_column("tenant_id"))
    wanted = list[tuple[int, Correlation, int, Array]]()
    every = [(owner, rule) for owner, own in rules.items() for rule in own]
    for number, (owner, rule) in enumerate(every):
        mine = tenants.index(owner) if owner in tenants else -1
        for step, base in enumerate(rule.rules):
            rows = bases.get(base, _NONE)
            rows = rows[tenant_of[rows] == mine] if owner else rows
            if len(rows):
                wanted.append((number, rule, step, rows))
                for name in (*rule.group_by, *rule.value):
                    said.values(rule.field(name, base))
    tenant_numbers, numbers = numbers_of(tenants)[tenant_of], said.numbers()
    placed = [_placed(said, tenant_numbers, numbers, *one) for one in wanted]
    placed = [one for one in placed if len(one.rows)]
    if not placed:
        return None
    return _grouped(placed, [rule for _, rule in every], tenants, tenant_of, said)


def _placed(
    said: Said,
    tenant_numbers: Array,
    numbers: Array,
    number: int,
    rule: Correlation,
    step: int,
    rows: Array,
) -> _Placed:
    base = rule.rules[step]
    at, by = _combined(said, rows, [rule.field(name, base) for name in rule.group_by])
    value = np.zeros(len(at), dtype=np.int64)
    if rule.value:
        again, of = _combined(said, rows[at], [rule.field(name, base) for name in rule.value])
        at, by, value = at[again], [one[again] for one in by], said.combined(of)
    mine = rows[at]
    rule_number = np.full(len(mine), part_of_slot(rule.rule_id), dtype=np.uint64)
    slot = slots_of(tenant_numbers[mine], [rule_number, *(numbers[codes] for codes in by)])
    return _Placed(number, step, mine, by, value, slot)


def _grouped(
    placed: Sequence[_Placed],
    owned: Sequence[Correlation],
    tenants: Sequence[str],
    tenant_of: Array,
    said: Said,
) -> Turns:
    """Put all rules' turns together, and number the groups."""
    texts = said.texts()
    sizes = [len(one.rows) for one in placed]
    row = np.concatenate([one.rows for one in placed])
    slots = np.concatenate([one.slot for one in placed])
    order = np.argsort(slots)
    ordered = slots[order]
    opens = np.append(True, ordered[1:] != ordered[:-1])
    group = np.empty(len(row), dtype=np.int64)
    group[order] = np.cumsum(opens) - 1
    first = order[opens]
    rule = np.repeat([one.rule for one in placed], sizes)[first]
    ids = pl.Series("key", [one.rule_id for one in owned], dtype=pl.String)
    names = pl.DataFrame(
        [
            pl.Series("tenant_id", tenants, dtype=pl.String)[tenant_of[row[first]]],
            ids[rule],
            *(_part(placed, n, first, texts) for n in range(max(len(p.by) for p in placed))),
        ]
    )
    key = pl.concat_str(pl.all().exclude("tenant_id"), separator="\x1f", ignore_nulls=True)
    return Turns(
        row,
        np.repeat([one.step for one in placed], sizes),
        said.places(np.concatenate([one.value for one in placed]), texts),
        group,
        ordered[opens],
        rule,
        names.select("tenant_id", key.alias("key")),
        texts,
    )


def _part(placed: Sequence[_Placed], number: int, first: Array, texts: pl.Series) -> pl.Series:
    """Give the groups' n-th "kind:value"; null where the rule has none."""
    codes = [one.by[number] if number < len(one.by) else -np.ones_like(one.rows) for one in placed]
    own = np.concatenate(codes)[first]
    is_there = own >= 0
    if is_there.all():
        return texts[own].alias(str(number))
    some = pl.Series(own).set(pl.Series(~is_there), None)
    return texts.gather(some).alias(str(number))


def _combined(said: Said, rows: Array, names: Sequence[str]) -> tuple[Array, list[Array]]:
    """Give places in `rows`, each once for every combination of its values, and those values.

    Of one place's combinations the first 16.
    """
    place, found = np.arange(len(rows)), list[Array]()
    for name in names:
        told = said.values(name)
        again, codes = spread(told.ends, told.codes, rows[place])
        place, found = place[again], [*(one[again] for one in found), codes]
    if len(names) > 1 and len(place) > len(rows):
        kept = nth(place) < MOST_GROUPS
        place, found = place[kept], [one[kept] for one in found]
    return place, found


def _rows_by_base(frame: pl.DataFrame) -> dict[str, Array]:
    """Give the rows of each rule id and of each detector, rising."""
    found: dict[str, Array] = {}
    for column in ("finding_info.uid", "unmapped.detector"):
        texts, places = distinct_of(frame.get_column(column).fill_null(""))
        order = np.argsort(places.astype(np.uint16), kind="stable")
        ends = np.searchsorted(places[order], np.arange(len(texts) + 1))
        for number, text in enumerate(texts):
            rows = order[ends[number] : ends[number + 1]]
            found[text] = np.union1d(found[text], rows) if text in found else rows
    return found
