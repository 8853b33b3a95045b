"""Bound what is held for a tenant: the groups longest unseen go first, then the oldest claims."""

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._correlation.roll import Roll
from detectors._correlation.shelf import Shelf, is_among

MOST_ROWS: Final = 200_000
"""Claims held for one tenant; the oldest go first."""
_MOST_ROWS: Final = MOST_ROWS + MOST_ROWS // 10
"""When some go: not with every batch, as each time costs."""
RULE_ID: Final = pl.col("key").str.split_exact("\x1f", 1).struct.field("field_0").alias("rule_id")

Array = npt.NDArray[Any]
Lost = tuple[pl.DataFrame, Array]
"""Groups (tenant_id, key), and how many claims each lost."""


def bound(roll: Roll, shelf: Shelf, max_keys: int) -> Iterator[Lost]:
    """Let go what is beyond `max_keys` groups or 200,000 claims of a tenant."""
    if len(roll.slot) <= max_keys and roll.claims.sum() <= _MOST_ROWS:
        return
    tenant_id = roll.names.get_column("tenant_id")
    for tenant in tenant_id.unique():
        own = (tenant_id == tenant).to_numpy() & (roll.claims > 0)
        over = int(own.sum()) - max_keys
        if over > 0:
            lost = _longest_unseen(roll, np.flatnonzero(own), over)
            yield roll.names[lost], roll.claims[lost]
            slots = roll.slot[lost]
            for piece in shelf.pieces:
                piece.gone |= is_among(piece.slot, slots)
            roll.claims[lost] = 0
            own[lost] = False
        if roll.claims[own].sum() > _MOST_ROWS:
            yield _oldest(roll, shelf, own)


def _longest_unseen(roll: Roll, own: Array, over: int) -> Array:
    """Give `over` of the groups; of those seen last at one moment the first by name."""
    newest = roll.last_us[own]
    cut = np.partition(newest, over)[over]
    lost: Array = own[newest < cut]
    ties = own[newest == cut]
    more = over - len(lost)
    if not more:
        return lost
    by_name = roll.names.get_column("key")[ties].arg_sort().to_numpy()
    return np.sort(np.append(lost, ties[by_name[:more]]))


def _oldest(roll: Roll, shelf: Shelf, own: Array) -> Lost:
    """Let the oldest claims of a tenant's groups go, down to 200,000."""
    slots = roll.slot[own]
    rows = [piece.of(slots) for piece in shelf.pieces]
    time_us = np.concatenate([p.time_us[r] for p, r in zip(shelf.pieces, rows, strict=True)])
    over = len(time_us) - MOST_ROWS
    cut = np.partition(time_us, over)[over]
    ties = np.flatnonzero(time_us == cut)
    is_lost = time_us < cut
    is_lost[ties[: over - int(is_lost.sum())]] = True
    claims = np.zeros(len(roll.slot), dtype=np.int64)
    roll.first_us[own] = np.iinfo(np.int64).max
    begin = 0
    for piece, found in zip(shelf.pieces, rows, strict=True):
        out = is_lost[begin : begin + len(found)]
        begin += len(found)
        piece.gone[found[out]] = True
        np.add.at(claims, np.searchsorted(roll.slot, piece.slot[found[out]]), 1)
        kept = found[~out]
        at = np.searchsorted(roll.slot, piece.slot[kept])
        np.minimum.at(roll.first_us, at, piece.time_us[kept])
    np.subtract(roll.claims, claims, out=roll.claims)
    lost = np.flatnonzero(claims)
    return roll.names[lost], claims[lost]
