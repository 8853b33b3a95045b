"""See bursts in a stream of edges: many connections of a pair, from one address or to one address.

After Bhatia et al., "MIDAS: Microcluster-based detector of anomalies in edge streams", AAAI 2020:
counts of a tick are held against what count-min sketches remember of earlier ticks. Unlike there,
a whole tick is scored at once, when it has ended, by arrays and not edge by edge.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Unsigned = npt.NDArray[np.uint64]
ROWS: Final = 2
"""Sketches of each view: the smallest answer counts, so that two must collide to mislead."""
WIDTH: Final = 16_384
MEMORY: Final = 10_000.0
"""Ticks after which a tick counts 1/e: of minutes, a week."""
VIEWS: Final = ("pair", "source", "destination")
_SALTS: Final = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9], np.uint64)
_TICK_BITS: Final = np.uint64(20)
_MOST_TICKS: Final = 1 << 20
_FAR: Final = 40.0
"""Exponent at which the remembered counts are written down to the present's scale."""


class Bursts:
    """Remember how often pairs, sources and destinations usually connect in a tick.

    `past`: (views, rows, width), counts that fade, in the scale of tick `scale`; memory is fixed,
    786 KB. Ticks are any whole numbers that only grow from one call to the next.
    """

    def __init__(self, memory: float = MEMORY, width: int = WIDTH) -> None:
        self.memory, self.width = memory, width
        self.past: Floats = np.zeros((len(VIEWS), ROWS, width))
        self.first: int | None = None
        self.scale = 0

    def score_and_learn(self, sources: Ints, destinations: Ints, ticks: Ints) -> Floats:
        """Give how far above its usual each edge's tick is, in deviations of a count: (edges,).

        The highest of the three views. All edges of a tick come in one call.
        """
        if not len(ticks):
            return np.zeros(0)
        begin = int(ticks.min())
        self.first = begin if self.first is None else self.first
        self._rescale(begin)
        if int(ticks.max()) - begin >= _MOST_TICKS:
            raise ValueError("one call holds fewer than 1,048,576 ticks")
        found = np.full(len(ticks), -np.inf)
        for view, keys in enumerate(self._keys(sources, destinations)):
            np.maximum(found, self._view(view, keys, ticks, begin), out=found)
        return found

    def _keys(self, sources: Ints, destinations: Ints) -> tuple[Unsigned, Unsigned, Unsigned]:
        one, other = sources.astype(np.uint64), destinations.astype(np.uint64)
        return _mixed(one * _SALTS[0] + other), _mixed(one), _mixed(other)

    def _view(self, view: int, keys: Unsigned, ticks: Ints, begin: int) -> Floats:
        groups = (keys << _TICK_BITS) | (ticks - begin).astype(np.uint64)
        told, place, counts = np.unique(groups, return_inverse=True, return_counts=True)
        tick = (told & np.uint64(_MOST_TICKS - 1)).astype(np.int64) + begin
        usual = self._counted(view, told >> _TICK_BITS, tick, counts)
        return np.asarray(((counts - usual) / np.sqrt(usual + 1.0))[place])

    def usual_and_learn(self, view: str, names: Unsigned, tick: int, counts: Ints) -> Floats:
        """Give how often each name of one view (hashes, each once) usually comes in a tick.

        `counts`: how often it came in this tick, learned afterwards. For callers that count.
        """
        self.first = tick if self.first is None else self.first
        self._rescale(tick)
        keys = _mixed(names)
        order = np.argsort(keys, kind="stable")
        told = np.empty(len(names))
        ticks = np.full(len(names), tick, np.int64)
        told[order] = self._counted(VIEWS.index(view), keys[order], ticks, counts[order])
        return told

    def _counted(self, view: int, key: Unsigned, tick: Ints, counts: Ints) -> Floats:
        """Give the usual counts of (key, tick), sorted by both, and learn these."""
        weight = counts * np.exp((tick - self.scale) / self.memory)
        earlier = np.cumsum(weight) - weight
        is_new = np.concatenate([[True], key[1:] != key[:-1]])
        earlier -= earlier[is_new][np.cumsum(is_new) - 1]
        cells = [_cells(key, row, self.width) for row in range(ROWS)]
        known = np.minimum(*(self.past[view, row, cell] for row, cell in enumerate(cells)))
        usual = (known + earlier) * np.exp((self.scale - tick) / self.memory) / self._ticks(tick)
        for row, cell in enumerate(cells):
            self.past[view, row] += np.bincount(cell, weight, self.width)
        return np.asarray(usual)

    def _ticks(self, tick: Ints) -> Floats:
        """Give how many ticks there were before each, faded as their counts are."""
        seen = tick - (self.first or 0)
        share = np.exp(-1.0 / self.memory)
        return np.asarray(np.maximum((1.0 - share**seen) / (1.0 - share), 1.0))

    def _rescale(self, tick: int) -> None:
        if self.first == tick:
            self.scale = tick
        elif (tick - self.scale) / self.memory > _FAR:
            self.past *= np.exp(max((self.scale - tick) / self.memory, -700.0))
            self.scale = tick


def _mixed(keys: Unsigned) -> Unsigned:
    """Spread keys over 44 bits (a finaliser of splitmix64), so that a tick fits beside each."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return (keys ^ (keys >> np.uint64(31))) >> _TICK_BITS


def _cells(keys: Unsigned, row: int, width: int) -> Ints:
    spread = (keys * _SALTS[row + 1]) >> np.uint64(33)
    return np.asarray((spread % np.uint64(width)).astype(np.int64))
