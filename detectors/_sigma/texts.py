"""Test distinct texts: each is tested once however often it occurs."""

import functools
import ipaddress
import re
from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._sigma.atoms import END, START, Atom

Mask = npt.NDArray[np.bool_]
Indexes = npt.NDArray[np.intp]
Edges = npt.NDArray[np.int64]
FEW: Final = 512
"""Up to here plain Python is quicker than a call into the frame library."""
_NUMBER: Final = r"\A[+-]?\d+(\.\d+)?\z"
_EXACT: Final = r"\A[+-]?\d{1,15}(\.\d+)?\z"
"""What a double holds exactly; longer numbers equal by text only."""
_MOMENTS: Final = (
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.fZ",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%.f UTC",
    "%Y-%m-%dT%H:%M%#z",
    "%Y-%m-%d %H:%M",
)
_V4: Final = r"\A(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\z"


class Texts:
    """Hold distinct texts; a table marks some of them, with a last False for null."""

    def __init__(self, distinct: pl.Series) -> None:
        """Take the texts, each once, no nulls."""
        self.distinct = distinct
        self._size = len(distinct)
        self._known: dict[Atom, Mask] = {}

    def __len__(self) -> int:
        """Count the texts and one more for null: the length of a table."""
        return self._size + 1

    @functools.cached_property
    def lowered(self) -> pl.Series:
        """The texts in lower case."""
        if self._size <= FEW:
            return pl.Series([t.lower() for t in self.distinct.to_list()], dtype=pl.String)
        return self.distinct.str.to_lowercase()

    @functools.cached_property
    def haystack(self) -> tuple[memoryview, Edges]:
        """All texts as one, lower-case, each between the sentinels; and where each begins."""
        if self._size <= FEW:
            parts = [f"{START}{t}{END}".encode() for t in self.lowered.to_list()]
            edges = np.cumsum([0, *map(len, parts)])
            whole = memoryview(b"".join(parts))
        else:
            texts = self.lowered
            joined = pl.select(pl.concat_str(pl.lit(START), texts, pl.lit(END)))
            _, offsets, letters = joined.to_series().to_arrow().buffers()
            edges = np.frombuffer(offsets, dtype=np.int64)[: self._size + 1]
            whole = memoryview(letters).cast("B")[: int(edges[-1])]
        return _hidden(whole, edges), edges[:-1]

    def part(self, used: Mask) -> "Texts":
        """Give those that the table marks, in their order."""
        return Texts(self.distinct[np.flatnonzero(used)])

    def marked(self, found: Indexes) -> Mask:
        """Give the table that marks these texts."""
        table = np.zeros(self._size + 1, dtype=np.bool_)
        table[found] = True
        return table

    def passing(self, atom: Atom) -> Mask:
        """Give the table of the texts that pass an atom, every one of them tested, once."""
        table = self._known.get(atom)
        if table is None:
            table = self._known[atom] = np.append(self._passes(atom), False)
        return table

    def verified(self, atom: Atom, found: Indexes) -> Indexes:
        """Keep the positions whose text matches the atom's pattern."""
        texts = (self.lowered if atom.lower else self.distinct)[found]
        return np.asarray(found[texts.str.contains(atom.text).to_numpy()])

    def _passes(self, atom: Atom) -> Mask:
        if atom.op == "any":
            return np.ones(self._size, dtype=np.bool_)
        if atom.op == "text":
            return self._holds(atom.text)
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

    def _holds(self, text: str) -> Mask:
        plain = text.removeprefix(START).removesuffix(END)
        if self._size <= FEW:
            test = _few_test(plain, starts=text[:1] == START, ends=text[-1:] == END)
            return np.array([test(t) for t in self.lowered.to_list()], dtype=np.bool_)
        if text[:1] == START and text[-1:] == END:
            return (self.lowered == plain).to_numpy()
        if text[:1] == START:
            return self.lowered.str.starts_with(plain).to_numpy()
        if text[-1:] == END:
            return self.lowered.str.ends_with(plain).to_numpy()
        return self.lowered.str.contains(plain, literal=True).to_numpy()

    @functools.cached_property
    def _exact(self) -> npt.NDArray[np.float64]:
        return self._numbers(_EXACT)

    def _numbers(self, shape: str) -> npt.NDArray[np.float64]:
        if self._size <= FEW:
            is_number = _few_shape(shape).fullmatch
            texts = self.distinct.to_list()
            return np.array([float(t) if is_number(t) else np.nan for t in texts], np.float64)
        numbers = self.distinct.set(~self.distinct.str.contains(shape), None)
        return numbers.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()

    def _ordered(self, word: str, limit: float) -> Mask:
        return _compared(self._numbers(_NUMBER), word, limit)

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

    def _moment_part(self, asked: str, wanted: int) -> Mask:
        part, _, word = asked.partition(" ")
        found = pl.Series([None], dtype=pl.Datetime("us", "UTC")).new_from_index(0, self._size)
        for shape in _MOMENTS:
            seen = self.distinct.str.to_datetime(shape, strict=False, time_unit="us")
            aware = seen.dt.convert_time_zone("UTC") if "z" in shape else _utc(seen)
            found = found.zip_with(found.is_not_null(), aware)
        number: pl.Series = getattr(found.dt, part)()  # minute .. year
        numbers = number.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        return _compared(numbers, word or "eq", wanted)


def _compared(seen: npt.NDArray[np.float64], word: str, limit: float) -> Mask:
    """Compare numbers; what is none (NaN) differs from all and is neither less nor more."""
    found = {
        "eq": seen == limit,
        "lt": seen < limit,
        "lte": seen <= limit,
        "gt": seen > limit,
        "gte": seen >= limit,
        "neq": ~(seen == limit),
    }[word]
    return np.asarray(found)


def _few_test(plain: str, *, starts: bool, ends: bool) -> Callable[[str], bool]:
    """Give the test of one text: it is, starts with, ends with or holds `plain`."""
    if starts and ends:
        return plain.__eq__
    if starts:
        return lambda text: text.startswith(plain)
    if ends:
        return lambda text: text.endswith(plain)
    return lambda text: plain in text


@functools.lru_cache(maxsize=8)
def _few_shape(shape: str) -> re.Pattern[str]:
    return re.compile(shape.removeprefix(r"\A").removesuffix(r"\z"), re.ASCII)


def _hidden(whole: memoryview, edges: Edges) -> memoryview:
    r"""Write \x01 where a value holds a sentinel: it must not look like the value's edge."""
    letters = np.frombuffer(whole, dtype=np.uint8)
    is_edge = (letters == ord(START)) | (letters == ord(END))
    if np.count_nonzero(is_edge) == 2 * (len(edges) - 1):
        return whole
    hidden = letters.copy()
    hidden[is_edge] = 1
    hidden[edges[:-1]] = ord(START)
    hidden[edges[1:] - 1] = ord(END)
    return memoryview(hidden.tobytes())


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
