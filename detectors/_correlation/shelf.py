"""Keep the claims' rows themselves: found by slot and time, let go from the first on."""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._correlation.roll import Roll

Array = npt.NDArray[Any]
_MOST_CHUNKS: Final = 32
_FEW: Final = 4_096
_BITS: Final = 62


@dataclass(slots=True)
class Piece:
    """Hold some rows; `gone`: those that are let go."""

    frame: pl.DataFrame
    slot: Array
    time_us: Array
    gone: Array

    def of(self, slots: Array) -> Array:
        """Give the places of rows of slots (rising)."""
        return np.flatnonzero(is_among(self.slot, slots) & ~self.gone)


class Shelf:
    """Hold the rows of all groups in pieces: what was held, and what came since."""

    def __init__(self, held: pl.DataFrame) -> None:
        """Begin with the table `held`."""
        self.pieces: list[Piece] = []
        self.add(held)

    @property
    def is_unchanged(self) -> bool:
        """Answer whether nothing came and nothing went."""
        return len(self.pieces) == 1 and not self.pieces[0].gone.any()

    def add(self, rows: pl.DataFrame) -> None:
        """Put rows on the shelf."""
        slot, time_us = (rows.get_column(name).to_numpy() for name in ("slot", "time_us"))
        self.pieces.append(Piece(rows, slot, time_us, np.zeros(rows.height, dtype=np.bool_)))

    def of(self, slots: Array) -> pl.DataFrame:
        """Give the rows of slots (rising)."""
        return pl.concat([piece.frame[piece.of(slots)] for piece in self.pieces])

    def near(self, slot: Array, low_us: Array, high_us: Array) -> tuple[pl.DataFrame, Array]:
        """Give what was held at first for slots (rising) within their times; and whose each is."""
        whole = self.pieces[0]
        if not len(slot) or not len(whole.slot):
            return whole.frame.clear(), np.empty(0, dtype=np.int64)
        time_us = whole.time_us
        rows = np.flatnonzero((time_us >= low_us.min()) & (time_us <= high_us.max()))
        if len(rows) > _FEW:
            rows = rows[is_among(whole.slot[rows], slot)]
        group = np.minimum(np.searchsorted(slot, whole.slot[rows]), len(slot) - 1)
        is_own = slot[group] == whole.slot[rows]
        is_own &= (time_us[rows] >= low_us[group]) & (time_us[rows] <= high_us[group])
        return whole.frame[rows[is_own]], group[is_own]

    def cut(self, roll: Roll, at: Array, most: Array, floor_us: Array) -> Array:
        """Let go of groups (`at` on the roll, rising) what is before `floor_us`, and then the
        first beyond `most`; give how many of the latter each lost.
        """
        slots = roll.slot[at]
        found = [piece.of(slots) for piece in self.pieces]
        both = list(zip(self.pieces, found, strict=True))
        group = np.searchsorted(slots, np.concatenate([p.slot[rows] for p, rows in both]))
        time_us = np.concatenate([p.time_us[rows] for p, rows in both])
        order = ordered(group, time_us)
        whose, when = group[order], time_us[order]
        left = np.searchsorted(whose, whose, side="right") - np.arange(len(whose))
        is_young = when >= floor_us[whose]
        is_kept = is_young & (left <= most[whose])
        edge = is_young[:-1] & ~is_kept[:-1] & is_kept[1:] & (when[1:] == when[:-1])
        tied = whose[:-1][edge & (whose[1:] == whose[:-1])]
        if len(tied):
            some = np.flatnonzero(np.isin(whose, tied))
            order[some] = order[some][self._exactly(both, order[some], whose[some])]
        kept = np.zeros(len(order), dtype=np.bool_)
        kept[order] = is_kept
        begin = 0
        for piece, rows in both:
            piece.gone[rows[~kept[begin : begin + len(rows)]]] = True
            begin += len(rows)
        roll.claims[at] = np.bincount(whose[is_kept], minlength=len(at))
        roll.first_us[at] = np.iinfo(np.int64).max
        np.minimum.at(roll.first_us, at[whose[is_kept]], when[is_kept])
        return np.bincount(whose[is_young & ~is_kept], minlength=len(at))

    def _exactly(self, both: list[tuple[Piece, Array]], rows: Array, group: Array) -> Array:
        """Give the order of rows with all that tells claims of one moment apart."""
        whole = pl.concat(
            [p.frame[found].select("time_us", "finding_id", "step", "value") for p, found in both]
        )
        told = whole[rows].with_columns(pl.Series("group", group)).with_row_index("n")
        return told.sort("group", "time_us", "finding_id", "step", "value")["n"].to_numpy()

    def table(self) -> pl.DataFrame:
        """Give the table `held`."""
        if self.is_unchanged:
            return self.pieces[0].frame
        kept = [p.frame.filter(~p.gone) if p.gone.any() else p.frame for p in self.pieces]
        whole = pl.concat([frame for frame in kept if frame.height] or kept[:1])
        return whole.rechunk() if whole.n_chunks() > _MOST_CHUNKS else whole


def is_among(slot: Array, slots: Array) -> Array:
    """Say which of `slot` are among `slots` (rising)."""
    if not len(slots) or not len(slot):
        return np.zeros(len(slot), dtype=np.bool_)
    if len(slot) <= _FEW:
        found: Array = slots[np.minimum(np.searchsorted(slots, slot), len(slots) - 1)] == slot
        return found
    return pl.Series(slot).is_in(pl.Series(slots).implode()).to_numpy()


def ordered(group: Array, time_us: Array, step: Array | None = None) -> Array:
    """Give the order by group, time and step (below 32)."""
    if not len(group):
        return np.empty(0, dtype=np.int64)
    since_us = time_us - time_us.min()
    bits = int(group.max()).bit_length() + int(since_us.max()).bit_length()
    if bits + 5 <= _BITS:
        whole = (group << int(since_us.max()).bit_length()) + since_us
        return np.argsort((whole << 5) + step if step is not None else whole)
    return np.lexsort((time_us, group) if step is None else (step, time_us, group))
