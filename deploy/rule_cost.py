"""Say what each rule costs: CPU that it takes alone over the same events."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from deploy.detect import Refuse, read_batches
from detectors.sigma import CompiledRule, RuleSet
from storage.schema import MAX_BATCH_ROWS

ROUNDS: Final = 3


@dataclass(frozen=True, slots=True)
class RuleCost:
    """What one rule costs alone: CPU microseconds for a thousand events, and what it hit."""

    rule: CompiledRule
    cpu_us: float
    hits: int

    def row(self) -> dict[str, object]:
        """Give the line that `--json` prints."""
        return {
            "rule_id": self.rule.rule_id,
            "rule": self.rule.title,
            "cpu_us": round(self.cpu_us, 1),
            "hits": self.hits,
        }


def sample(paths: Sequence[Path], most: int, refuse: Refuse) -> list[pl.DataFrame]:
    """Give up to `most` events of the files, in frames as large as the flows make them."""
    frames, held = list[pl.DataFrame](), 0
    for batch in read_batches(paths, refuse):
        frames.append(batch.frame)
        held += len(batch)
        if held >= most:
            break
    if not frames:
        return []
    whole = pl.concat(frames, how="diagonal").head(most)
    return list(whole.iter_slices(MAX_BATCH_ROWS))


def costs_of(rules: Iterable[CompiledRule], frames: Sequence[pl.DataFrame]) -> Iterator[RuleCost]:
    """Give each rule's cost: the best of three rounds, after one that builds what it needs.

    Rules that run together share most of this: the sum is more than all of them cost.
    """
    events = sum(frame.height for frame in frames)
    for rule in rules:
        alone = RuleSet([rule])
        hits = sum(alone.match(frame).height for frame in frames)
        best = min(_round(alone, frames) for _ in range(ROUNDS))
        yield RuleCost(rule, best / max(events, 1) * 1e9, hits)


def _round(alone: RuleSet, frames: Sequence[pl.DataFrame]) -> float:
    began = time.thread_time()
    for frame in frames:
        alone.match(frame)
    return time.thread_time() - began
