"""Keep the roll of a state's groups: how much each holds, since when and until when."""

from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

Array = npt.NDArray[Any]
NAMES: Final = ("tenant_id", "key")
COLUMNS: Final = {
    "tenant_id": pl.String(),
    "key": pl.String(),
    "slot": pl.UInt64(),
    "claims": pl.Int64(),
    "first_us": pl.Int64(),
    "last_us": pl.Int64(),
}


class Roll:
    """Look groups up by slot, enter them and strike them off; `slot` rises."""

    def __init__(self, groups: pl.DataFrame, held: pl.DataFrame) -> None:
        """Begin with the table `groups`; with none, as older states have it, count the claims."""
        if groups.is_empty() and not held.is_empty():
            times = (pl.col("time_us").min().alias("first_us"), pl.col("time_us").max())
            counted = held.group_by("slot").agg(
                *(pl.col(name).first() for name in NAMES), pl.len().alias("claims"), *times
            )
            groups = counted.rename({"time_us": "last_us"})
        slot = groups.get_column("slot").to_numpy()
        if not (slot[1:] > slot[:-1]).all():
            groups = groups.sort("slot")
            slot = groups.get_column("slot").to_numpy()
        self.slot: Array = slot
        self.names = groups.select(NAMES)
        self._numbers: tuple[Array, ...] = tuple(
            groups.get_column(name).cast(pl.Int64).to_numpy().copy()
            for name in ("claims", "first_us", "last_us")
        )

    @property
    def claims(self) -> Array:
        """Give how many claims each group holds."""
        return self._numbers[0]

    @property
    def first_us(self) -> Array:
        """Give the time of each group's first claim."""
        return self._numbers[1]

    @property
    def last_us(self) -> Array:
        """Give the time of each group's last claim."""
        return self._numbers[2]

    def places(self, slot: Array) -> tuple[Array, Array]:
        """Give where slots stand, or would; and whether they do."""
        at = np.searchsorted(self.slot, slot)
        if not len(self.slot):
            return at, np.zeros(len(slot), dtype=np.bool_)
        return at, self.slot[np.minimum(at, len(self.slot) - 1)] == slot

    def enter(self, slot: Array, names: pl.DataFrame) -> Array:
        """Enter groups (slot rising) that are not there yet; give where all of them stand."""
        at, there = self.places(slot)
        if there.all():
            return at
        fresh = np.flatnonzero(~there)
        size, count = len(self.slot) + len(fresh), len(fresh)
        to = at[fresh] + np.arange(count)
        order = np.full(size, -1)
        order[to] = np.arange(len(self.slot), size)
        order[order < 0] = np.arange(len(self.slot))
        latest, earliest = np.iinfo(np.int64).max, np.iinfo(np.int64).min
        new = (np.zeros(count, dtype=np.int64), np.full(count, latest), np.full(count, earliest))
        self.slot = np.concatenate([self.slot, slot[fresh]])[order]
        self.names = pl.concat([self.names, names.select(NAMES)[fresh]])[order]
        both = zip(self._numbers, new, strict=True)
        self._numbers = tuple(np.concatenate(one)[order] for one in both)
        moved: Array = at + np.cumsum(~there) - ~there
        return moved

    def strike(self, is_kept: Array) -> None:
        """Strike off all groups but those."""
        if not is_kept.all():
            self.slot = self.slot[is_kept]
            self.names = self.names[np.flatnonzero(is_kept)]
            self._numbers = tuple(one[is_kept] for one in self._numbers)

    def table(self) -> pl.DataFrame:
        """Give the table `groups`."""
        numbers = ("slot", "claims", "first_us", "last_us")
        told = zip(numbers, (self.slot, *self._numbers), strict=True)
        columns = [pl.Series(name, values) for name, values in told]
        return pl.DataFrame([*self.names.get_columns(), *columns])
