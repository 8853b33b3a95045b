"""Know of a thing who in the tenant has used it: nobody else yet, or only others.

A table of 16,384 cells for each tenant and kind of thing (programs, addresses, names, customers);
a cell holds a bit for each of eight groups of entities. Things that share a cell look used by more
than use them, so a full table grows silent, never loud. Of two halves one is emptied every 30 days.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

Ints = npt.NDArray[np.int64]
Cells = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
CELLS: Final = 16_384
MONTH_US: Final = 30 * 86_400_000_000
_GROUPS: Final = 8
_SEED: Final = 20_260_103
LONE: Final = ("programs", "peers", "names")
FOREIGN: Final = ("customers",)
SELDOM: Final = {
    "tenant_id": pl.String(),
    "key": pl.String(),
    "month": pl.Int64(),
    "older": pl.Binary(),
    "newer": pl.Binary(),
}
"""Columns of the state table; `key` = the kind of thing."""


def marked(table: pl.DataFrame, rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Give the table with the rows of `windows.named` in it, and the rows with what was seldom.

    `lone_x`: no other group of entities had used this x; `foreign_x`: others had, and this one had
    not. Each row is told by the rows before it, whatever the batch.
    """
    flags = {f"lone_{n}": np.zeros(rows.height, bool) for n in LONE}
    flags |= {f"foreign_{n}": np.zeros(rows.height, bool) for n in FOREIGN}
    fresh: list[tuple[str, str, int, bytes, bytes]] = []
    known = {(str(tenant), str(key)): kept for tenant, key, *kept in table.iter_rows()}
    numbers = rows.select(
        *(_number(pl.col(name), CELLS).alias(name) for name in (*LONE, *FOREIGN)),
        anybody=_number(pl.coalesce("host", "person"), _GROUPS),
        person=_number(pl.col("person"), _GROUPS),
        month=pl.col("time").cast(pl.Int64).floordiv(MONTH_US),
    )
    month = numbers["month"].to_numpy()
    tenants = rows["tenant_id"]
    for tenant in tenants.unique(maintain_order=True):
        is_own = (tenants == tenant).to_numpy()
        for name in (*LONE, *FOREIGN):
            group = numbers["anybody" if name in LONE else "person"].to_numpy()
            cell = numbers[name].to_numpy()
            place = np.flatnonzero(is_own & (cell >= 0) & (group >= 0))
            if not len(place):
                continue
            seen = _Seen.read(known.get((tenant, name)))
            bit = np.left_shift(1, group[place]).astype(np.uint8)
            lone, foreign = seen.take(cell[place], bit, month[place])
            flag = f"lone_{name}" if name in LONE else f"foreign_{name}"
            flags[flag][place] = lone if name in LONE else foreign
            fresh.append(seen.row(tenant, name))
    new = pl.DataFrame(fresh, schema=table.schema, orient="row")
    rest = table.join(new.select("tenant_id", "key"), on=["tenant_id", "key"], how="anti")
    return (
        pl.concat([rest, new]).sort("tenant_id", "key"),
        rows.with_columns(pl.Series(name, flag) for name, flag in flags.items()),
    )


def _number(what: pl.Expr, count: int) -> pl.Expr:
    """Give each text a number below `count`, the same for ever; -1 where there is none."""
    number = (what.hash(_SEED) % count).cast(pl.Int64)
    return pl.when(what.is_not_null()).then(number).otherwise(-1)


class _Seen:
    """The cells of one kind of thing: those of the month before and of this one."""

    def __init__(self, month: int, older: Cells, newer: Cells) -> None:
        self.month, self.older, self.newer = month, older, newer

    @classmethod
    def read(cls, kept: Sequence[Any] | None) -> "_Seen":
        """Give what a row of the table holds behind its key, or nothing yet."""
        if kept is None:
            return cls(0, np.zeros(CELLS, np.uint8), np.zeros(CELLS, np.uint8))
        month, older, newer = kept
        return cls(int(month), *(np.frombuffer(raw, np.uint8).copy() for raw in (older, newer)))

    def row(self, tenant: str, key: str) -> tuple[str, str, int, bytes, bytes]:
        """Give the row of the table."""
        return tenant, key, self.month, self.older.tobytes(), self.newer.tobytes()

    def take(self, cell: Ints, bit: Cells, month: Ints) -> tuple[Bools, Bools]:
        """Say of each use in turn whether it is lone, and whether foreign; then know it."""
        # A month does not end twice: what comes a little late belongs to the one that runs.
        month = np.maximum.accumulate(np.maximum(month, self.month))
        lone, foreign = np.zeros(len(cell), bool), np.zeros(len(cell), bool)
        bounds = np.flatnonzero(np.diff(month)) + 1
        for part in np.split(np.arange(len(cell)), bounds):
            self._turn(int(month[part[0]]))
            lone[part], foreign[part] = self._told(cell[part], bit[part])
            np.bitwise_or.at(self.newer, cell[part], bit[part])
        return lone, foreign

    def _turn(self, month: int) -> None:
        if month > self.month:
            empty = np.zeros(CELLS, np.uint8)
            self.older = self.newer if month == self.month + 1 else empty
            self.newer, self.month = empty.copy(), month

    def _told(self, cell: Ints, bit: Cells) -> tuple[Bools, Bools]:
        known = self.older[cell] | self.newer[cell]
        rows = np.arange(len(cell))
        first = _first(cell, rows, CELLS)
        is_other = bit != bit[first[cell]]
        # The first row of the same cell by a second group.
        second = _first(cell[is_other], rows[is_other], CELLS)
        others = ((known & ~bit) != 0) | is_other | (second[cell] < rows)
        use = cell * _GROUPS + np.bitwise_count(bit - np.uint8(1))
        before = ((known & bit) != 0) | (_first(use, rows, CELLS * _GROUPS)[use] < rows)
        return ~others, others & ~before


def _first(what: Ints, rows: Ints, count: int) -> Ints:
    """Give for each of `count` numbers the first row that has it; a row beyond all if none has."""
    first = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(first, what, rows)
    return first
