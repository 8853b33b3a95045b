"""Hold one column as distinct values, so that each text is tested once however often it occurs."""

import functools
import ipaddress
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._sigma.atoms import Atom

Mask = npt.NDArray[np.bool_]
Indexes = npt.NDArray[np.intp]
_NUMBER: Final = r"\A[+-]?\d+(\.\d+)?\z"
_EXACT: Final = r"\A[+-]?\d{1,15}(\.\d+)?\z"
"""What a double holds exactly; longer numbers equal by text only."""
_MOMENTS: Final = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.fZ",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
)
_V4: Final = r"\A(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\z"


class Values:
    """Split a String column into distinct values and each row's place among them."""

    def __init__(self, column: pl.Series, rows: Indexes | None = None, height: int = 0) -> None:
        """Find the distinct values; nulls belong to none.

        `rows`: where several columns stand under one another, the row of each of the values, out
        of `height` rows.
        """
        found = column.to_arrow().dictionary_encode()
        self._words = found.dictionary
        self._size = len(self._words)
        codes = found.indices.fill_null(self._size)
        self._codes: Indexes = codes.to_numpy(zero_copy_only=False).astype(np.intp)
        self._rows = rows
        self._height = height

    def __len__(self) -> int:
        """Count the distinct values and one more for null: the length of a table."""
        return self._size + 1

    @functools.cached_property
    def distinct(self) -> pl.Series:
        """The distinct values."""
        return pl.Series(self._words, dtype=pl.String)

    @functools.cached_property
    def lowered(self) -> pl.Series:
        """The distinct values in lower case."""
        return self.distinct.str.to_lowercase()

    @property
    def is_there(self) -> Mask:
        """Rows that have a value."""
        return self._spread(np.asarray(self._codes < self._size))

    def seen(self, row: int, table: Mask) -> str | None:
        """Give the first value of the row that is marked in a table of the distinct ones."""
        places = [row] if self._rows is None else np.flatnonzero(self._rows == row).tolist()
        for place in places:
            code = int(self._codes[place])
            if table[code]:
                return str(self._words[code].as_py())
        return None

    def haystack(self, start: str, end: str) -> tuple[bytes, npt.NDArray[np.int64]]:
        """Give all values as one lower-case text, each between the sentinels; and their places."""
        words = self._words.to_pylist()
        text = f"{start}{(end + start).join(words)}{end}"
        if text.count(start) != self._size or text.count(end) != self._size:
            hide = str.maketrans({start: "\x01", end: "\x01"})
            text = f"{start}{(end + start).join(w.translate(hide) for w in words)}{end}"
        whole = text.lower().encode()
        return whole, np.flatnonzero(np.frombuffer(whole, dtype=np.uint8) == ord(start))

    def marked(self, found: Indexes) -> Mask:
        """Give the table of distinct values (and a last False for null) that marks these."""
        table = np.zeros(self._size + 1, dtype=np.bool_)
        table[found] = True
        return table

    def passing(self, atom: Atom) -> Mask:
        """Give the table of distinct values that pass an atom without a needle."""
        return np.append(self._passes(atom), False)

    def rows(self, table: Mask) -> Mask:
        """Give the rows that have a marked value."""
        return self._spread(table[self._codes])

    def _spread(self, of_values: Mask) -> Mask:
        if self._rows is None:
            return of_values
        of_rows = np.zeros(self._height, dtype=np.bool_)
        of_rows[self._rows[of_values]] = True
        return of_rows

    def verified(self, atom: Atom, found: Indexes) -> Indexes:
        """Keep the positions whose value matches the atom's pattern."""
        texts = (self.lowered if atom.lower else self.distinct).gather(found)
        return np.asarray(found[texts.str.contains(atom.text).to_numpy()])

    def compared(self, other: pl.Series | None, how: str) -> Mask:
        """Give the rows whose value equals (starts, ends, contains) the other field's, caseless."""
        if other is None:
            return np.zeros(len(self._codes), dtype=np.bool_)
        places = pl.Series(self._codes, dtype=pl.Int64)
        mine = self.lowered.gather(places.set(places == self._size, None))
        both = pl.DataFrame({"a": mine, "b": other.str.to_lowercase()})
        a, b = pl.col("a"), pl.col("b")
        test = {
            "": a == b,
            "starts": a.str.starts_with(b),
            "ends": a.str.ends_with(b),
            "contains": a.str.contains(b, literal=True),
        }[how]
        return np.asarray(both.select(test.fill_null(value=False)).to_series().to_numpy())

    def _passes(self, atom: Atom) -> Mask:
        if atom.op == "any":
            return np.ones(self._size, dtype=np.bool_)
        if atom.op == "text":  # an empty text between wildcards
            return np.ones(self._size, dtype=np.bool_)
        if atom.op == "pattern":
            texts = self.lowered if atom.lower else self.distinct
            return texts.str.contains(atom.text).to_numpy()
        if atom.op == "number":
            same_text = (self.distinct == atom.text).to_numpy()
            return np.asarray(same_text | (self._exact == float(atom.text)))
        if atom.op == "compare":
            return self._ordered(atom.more, float(atom.text))
        if atom.op == "cidr":
            return self._inside(atom.text)
        return self._moment_part(atom.more, int(atom.text))

    @functools.cached_property
    def _exact(self) -> npt.NDArray[np.float64]:
        return self._numbers(_EXACT)

    def _numbers(self, shape: str) -> npt.NDArray[np.float64]:
        texts = self.distinct.set(~self.distinct.str.contains(shape), None)
        return texts.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()

    def _ordered(self, word: str, limit: float) -> Mask:
        seen = self._numbers(_NUMBER)
        found = {
            "lt": seen < limit,
            "lte": seen <= limit,
            "gt": seen > limit,
            "gte": seen >= limit,
            "neq": ~(seen == limit),
        }[word]
        return np.asarray(found)

    @functools.cached_property
    def _addresses(self) -> tuple[npt.NDArray[np.int64], dict[int, int]]:
        parts = self.distinct.str.extract_groups(_V4).struct.unnest()
        octets = [parts.to_series(i).cast(pl.Int64, strict=False) for i in range(4)]
        whole = pl.Series([-1], dtype=pl.Int64).new_from_index(0, self._size)
        if self._size:
            frame = pl.DataFrame({str(i): o for i, o in enumerate(octets)})
            sound = pl.all_horizontal(pl.all() <= 255)
            value = sum((pl.col(str(i)) * 256 ** (3 - i) for i in range(4)), start=pl.lit(0))
            whole = frame.select(pl.when(sound).then(value).otherwise(-1)).to_series()
        six: dict[int, int] = {}
        for place in self.distinct.str.contains(":", literal=True).arg_true().to_list():
            number = _v6(str(self.distinct[place]))
            if number is not None:
                six[place] = number
        return whole.fill_null(-1).to_numpy(), six

    def _inside(self, network: str) -> Mask:
        net = ipaddress.ip_network(network)
        low, high = int(net.network_address), int(net.broadcast_address)
        four, six = self._addresses
        if net.version == 4:
            return np.asarray((four >= low) & (four <= high))
        table = np.zeros(self._size, dtype=np.bool_)
        table[[place for place, number in six.items() if low <= number <= high]] = True
        return table

    def _moment_part(self, part: str, wanted: int) -> Mask:
        found = pl.Series([None], dtype=pl.Datetime("us", "UTC")).new_from_index(0, self._size)
        for shape in _MOMENTS:
            seen = self.distinct.str.to_datetime(shape, strict=False, time_unit="us")
            aware = seen.dt.convert_time_zone("UTC") if "z" in shape else _utc(seen)
            found = found.zip_with(found.is_not_null(), aware)
        number: pl.Series = getattr(found.dt, part)()  # minute .. year
        same = number.cast(pl.Int64) == wanted
        return np.asarray(same.fill_null(value=False).to_numpy())


def _utc(moments: pl.Series) -> pl.Series:
    return moments.dt.replace_time_zone("UTC")


@functools.lru_cache(maxsize=4096)
def _v6(text: str) -> int | None:
    if len(text) > 64:
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return int(address) if address.version == 6 else None
