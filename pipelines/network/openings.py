"""Remember the SYNs of connections of which nothing was read yet: who opened, where bytes begin.

State: 16 bytes for each of SLOTS directions; of two mixes in one slot the later stays.
"""

from bisect import bisect_right
from operator import itemgetter
from typing import Final, NamedTuple

import numpy as np

from pipelines.network.packets import Bools, Int64s, UInt64s
from pipelines.network.sides import NOT_YET

SLOTS: Final = 1 << 14
_SHIFT: Final = np.uint64(64 - 14)
_IS_SYN: Final = 1 << 32
_DOUBTFUL: Final = -2


class Opening(NamedTuple):
    """Hold what SYNs told: the first sequence number of the sides 0 and 1, who the client is."""

    began: tuple[int, int]
    client: int | None


UNSEEN: Final = Opening((NOT_YET, NOT_YET), None)


_place: Final = itemgetter(0)


class Openings:
    """Hold the SYN, or its answer, of a direction by its mix until it is asked for.

    Of two that differ nothing is known: a sender could hide behind a second, false one.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._mixes: UInt64s = np.zeros(SLOTS, np.uint64)
        self._told: Int64s = np.zeros(SLOTS, np.int64)
        self._here: dict[int, list[tuple[int, int]]] = {}

    def note(
        self, mix: UInt64s, sequence: Int64s, is_syn: Bools, places: Int64s, is_near: Bools
    ) -> None:
        """Note the SYNs at these places of a block; `is_near`: that block asks for them."""
        self._here = {}
        told = sequence[places] | np.where(is_syn[places], _IS_SYN, 0)
        mixes = mix[places]
        for place, one, said in zip(
            places[is_near].tolist(), mixes[is_near].tolist(), told[is_near].tolist(), strict=True
        ):
            before = self._here.setdefault(one, [])
            is_other = before and before[-1][1] != said
            before.append((place, _DOUBTFUL if is_other else said))
        mixes, told = mixes[~is_near], told[~is_near]
        slots = mixes >> _SHIFT
        differs = (self._mixes[slots] == mixes) & (self._told[slots] != told)
        self._mixes[slots], self._told[slots] = mixes, told
        differs |= (self._mixes[slots] == mixes) & (self._told[slots] != told)
        self._told[slots[differs]] = _DOUBTFUL

    def doubt(self, *mixes: int) -> None:
        """Note that a connection was known already when the latest SYN came."""
        for mix in mixes:
            self._mixes[mix >> 50], self._told[mix >> 50] = mix, _DOUBTFUL

    def take(self, back: int, mix: int, place: int) -> Opening:
        """Give what is known of the sides 0 and 1 before a place of the block, and forget it."""
        one, other = self._take(back, place), self._take(mix, place)
        if one < 0 and other < 0:
            return UNSEEN
        began = one % _IS_SYN if one >= 0 else NOT_YET, other % _IS_SYN if other >= 0 else NOT_YET
        has_asked = one >= _IS_SYN, other >= _IS_SYN
        if _DOUBTFUL in (one, other) or has_asked == (True, True):
            return Opening(began, None)
        if has_asked == (False, False):
            # A side answered a SYN; if both did, nobody knows.
            return Opening(began, None if NOT_YET not in began else began.index(NOT_YET))
        return Opening(began, int(has_asked[1]))

    def _take(self, mix: int, place: int) -> int:
        found, slot = NOT_YET, mix >> 50
        if self._mixes.item(slot) == mix:
            self._mixes[slot] = 0
            found = self._told.item(slot)
        here = self._here.get(mix)
        if here is None or here[0][0] > place:
            return found
        at = bisect_right(here, place, key=_place) - 1 if len(here) > 1 else 0
        said = here[at][1]
        return said if found in (NOT_YET, said) else _DOUBTFUL
