"""Cut a stretch of the stream for each detector: the classes it reads, in as few batches as may be.

A batch costs a detector a hundred calls into the frame library, however few its rows are; most
detectors read a small part of the stream. What they are shown is a coarser cut of it, and cutting a
stream in other places changes no answer. Detectors that read the same classes share one frame.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from storage.schema import ENVELOPE, EventBatch

_ALWAYS: Final = frozenset(column.name for column in ENVELOPE)

Stretches = Sequence[tuple[EventBatch, int]]
"""Batches in order, each with the watermark (UTC µs) after it."""


class Shown:
    """One stretch of the stream, batch by batch, and what of it was asked for so far."""

    def __init__(self, stretches: Stretches, whole: pl.DataFrame | None = None) -> None:
        """Keep the batches; `whole`: all their rows, where the caller has them in one frame."""
        self._stretches = stretches
        self._most = max((len(batch) for batch, _ in stretches), default=0)
        frames = [batch.frame for batch, _ in stretches]
        if whole is None and frames:
            whole = pl.concat(frames, how="diagonal") if len(frames) > 1 else frames[0]
        self._whole = whole
        self._present: frozenset[int] | None = None
        self._ends = np.cumsum([0, *(frame.height for frame in frames)])
        self._cut: dict[frozenset[int], list[tuple[int, EventBatch, int]]] = {}

    def to(self, classes: frozenset[int]) -> list[tuple[int, EventBatch, int]]:
        """Give the batches for one that reads these classes (none given: all of them).

        Each with the number of the last batch that is in it, and the watermark after that. What
        ends without such rows ends in a batch without rows: windows close on its watermark.
        """
        if not classes:
            every = enumerate(self._stretches)
            return [(number, batch, mark) for number, (batch, mark) in every]
        if classes not in self._cut:
            self._cut[classes] = self._cut_to(classes)
        return self._cut[classes]

    def _cut_to(self, classes: frozenset[int]) -> list[tuple[int, EventBatch, int]]:
        if self._whole is None:
            return []
        uids = self._whole.get_column("class_uid")
        if self._present is None:
            self._present = frozenset(uids.unique().to_list())
        key = classes & self._present
        if key not in self._cut:
            mask = np.isin(uids.to_numpy(), list(key))
            self._cut[key] = self._made(self._whole, mask)
        return self._cut[key]

    def _made(
        self, whole: pl.DataFrame, mask: npt.NDArray[np.bool_]
    ) -> list[tuple[int, EventBatch, int]]:
        ends = np.concatenate([[0], np.cumsum(mask)])[self._ends].tolist()
        frame = _filled(whole if mask.all() else whole.filter(pl.Series(mask)))
        batches: list[tuple[int, EventBatch, int]] = []
        first = 0
        for number, (_, mark) in enumerate(self._stretches):
            last = number + 1 == len(self._stretches)
            if last or ends[number + 2] - first > self._most:
                piece = frame.slice(first, ends[number + 1] - first)
                if last or piece.height:
                    batches.append((number, EventBatch(piece), mark))
                first = ends[number + 1]
        return batches


def _filled(frame: pl.DataFrame) -> pl.DataFrame:
    """Leave out columns without a value: those of other classes are most of a wide frame."""
    kept = [s for s in frame if s.name in _ALWAYS or s.null_count() < len(s)]
    return pl.DataFrame(kept)
