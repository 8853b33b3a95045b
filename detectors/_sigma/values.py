"""Hold columns as distinct values and each row's place among them."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._sigma.texts import FEW, Indexes, Mask, Texts

Codes = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Encoded:
    """A whole column: its distinct texts, and each row's place among them (the last = null)."""

    texts: Texts
    codes: Codes


def encoded(column: pl.Series) -> Encoded:
    """Find the distinct values of a String column; nulls belong to none."""
    if len(column) <= FEW:
        values = column.to_list()
        words = dict.fromkeys(values)
        words.pop(None, None)
        place = {word: i for i, word in enumerate(words)} | {None: len(words)}
        codes = np.array([place[v] for v in values], dtype=np.int32)
        return Encoded(Texts(pl.Series(list(words), dtype=pl.String)), codes)
    # Views are neither copied nor widened on their way.
    found = column.to_arrow(compat_level=pl.CompatLevel.newest()).dictionary_encode()
    whole = found.indices.fill_null(len(found.dictionary)).to_numpy(zero_copy_only=False)
    return Encoded(Texts(pl.Series(found.dictionary, dtype=pl.String)), whole)


class Values:
    """Hold one column of some rows: the whole column's texts, and which of them the rows have."""

    def __init__(self, column: Encoded, places: Indexes | None) -> None:
        """Take a column and the rows of it that count (None: all)."""
        self.texts = column.texts
        self.codes = column.codes if places is None else column.codes[places]
        self.used: Mask | None = None
        if places is not None:
            self.used = np.zeros(len(self.texts), dtype=np.bool_)
            self.used[self.codes] = True
            self.used[-1] = False

    @property
    def is_empty(self) -> bool:
        """Whether no row has a value."""
        return len(self.texts) == 1 if self.used is None else not self.used.any()

    @property
    def is_there(self) -> Mask:
        """Rows that have a value."""
        return np.asarray(self.codes < len(self.texts) - 1)

    def seen(self, row: int, table: Mask) -> str | None:
        """Give the row's value if it is marked in the table."""
        code = int(self.codes[row])
        return str(self.texts.distinct[code]) if table[code] else None

    def rows(self, table: Mask) -> Mask:
        """Give the rows that have a marked value."""
        return table[self.codes]

    def compared(self, other: pl.Series | None, how: str) -> Mask:
        """Give the rows whose value equals (starts, ends, contains) the other field's, caseless."""
        if other is None:
            return np.zeros(len(self.codes), dtype=np.bool_)
        places = pl.Series(self.codes, dtype=pl.Int64)
        mine = self.texts.lowered.gather(places.set(places == len(self.texts) - 1, None))
        both = pl.DataFrame({"a": mine, "b": other.str.to_lowercase()})
        a, b = pl.col("a"), pl.col("b")
        test = {
            "": a == b,
            "starts": a.str.starts_with(b),
            "ends": a.str.ends_with(b),
            "contains": a.str.contains(b, literal=True),
        }[how]
        return np.asarray(both.select(test.fill_null(value=False)).to_series().to_numpy())


class Stacked:
    """Hold several columns' distinct values one under the other, for what may stand in any."""

    used: None = None

    def __init__(self, columns: Sequence[Values], height: int) -> None:
        """Take the columns, each of `height` rows."""
        self._columns = [c for c in columns if not c.is_empty]
        self._height = height
        self._kept = [None if c.used is None else np.flatnonzero(c.used) for c in self._columns]
        sizes = [
            len(c.texts) - 1 if kept is None else len(kept)
            for c, kept in zip(self._columns, self._kept, strict=True)
        ]
        self._ends = np.cumsum([0, *sizes])

    @functools.cached_property
    def texts(self) -> Texts:
        """The values; one that stands in two columns comes twice."""
        whole = [
            c.texts.distinct if kept is None else c.texts.distinct[kept]
            for c, kept in zip(self._columns, self._kept, strict=True)
        ]
        return Texts(pl.concat(whole) if whole else pl.Series([], dtype=pl.String))

    @property
    def is_empty(self) -> bool:
        """Whether no row has a value."""
        return not self._columns

    @property
    def is_there(self) -> Mask:
        """Rows that have a value in any column."""
        return self.rows(np.arange(int(self._ends[-1]) + 1) < self._ends[-1])

    def rows(self, table: Mask) -> Mask:
        """Give the rows that have a marked value in any column."""
        found = np.zeros(self._height, dtype=np.bool_)
        for column, part in self._parts(table):
            found |= column.rows(part)
        return found

    def seen(self, row: int, table: Mask) -> str | None:
        """Give the first value of the row that is marked in the table."""
        seen = (column.seen(row, part) for column, part in self._parts(table))
        return next((text for text in seen if text is not None), None)

    def _parts(self, table: Mask) -> list[tuple[Values, Mask]]:
        found: list[tuple[Values, Mask]] = []
        marks = np.flatnonzero(table)
        owners = np.searchsorted(self._ends, marks, side="right") - 1
        for at in np.unique(owners).tolist():
            mine = marks[owners == at] - self._ends[at]
            column, kept = self._columns[at], self._kept[at]
            found.append((column, column.texts.marked(mine if kept is None else kept[mine])))
        return found
