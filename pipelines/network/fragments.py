"""Give later fragments the ports of their first fragment, so that they count for its flow."""

from typing import Final

import numpy as np

from pipelines.network.headers import FIRST_FRAGMENT, Headers

MAX_HELD: Final = 4_096
_Key = tuple[int, int, int, int, int, int]


class FragmentPorts:
    """Remember the ports of the latest MAX_HELD fragmented datagrams.

    Fragments that arrive before their first one (in an earlier block) keep ports 0. A loop over
    fragments only: they are rare, and each costs about a microsecond.
    """

    def __init__(self) -> None:
        """Begin with nothing held."""
        self._ports: dict[_Key, tuple[int, int]] = {}

    def fill(self, headers: Headers) -> None:
        """Write the ports into the later fragments of this block."""
        rows = np.flatnonzero(headers.fragment)
        if not len(rows):
            return
        keys = list(
            zip(
                headers.src_high[rows].tolist(),
                headers.src_low[rows].tolist(),
                headers.dst_high[rows].tolist(),
                headers.dst_low[rows].tolist(),
                headers.protocol[rows].tolist(),
                headers.fragment_id[rows].tolist(),
                strict=True,
            )
        )
        is_first = (headers.fragment[rows] == FIRST_FRAGMENT).tolist()
        for key, row, first in zip(keys, rows.tolist(), is_first, strict=True):
            if first:
                self._ports.pop(key, None)
                self._ports[key] = (int(headers.src_port[row]), int(headers.dst_port[row]))
        for key, row, first in zip(keys, rows.tolist(), is_first, strict=True):
            if not first and key in self._ports:
                headers.src_port[row], headers.dst_port[row] = self._ports[key]
        for _ in range(len(self._ports) - MAX_HELD):
            del self._ports[next(iter(self._ports))]
