"""Fold every detector over batches; a row that makes one raise is put aside."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType

import polars as pl

from pipelines.poison import isolate, reason_of
from storage.errors import PluginError, Unavailable
from storage.schema import Context, DetectorMeta, EventBatch, Finding, State

States = Mapping[str, State]
"""Detector name -> its state."""


@dataclass(frozen=True, slots=True)
class Detected:
    """What the detectors made of a stretch of the stream.

    `batches`: the rows that passed, in order; `poison`: (row as a one-row frame, reason).
    """

    states: States
    batches: tuple[EventBatch, ...] = ()
    findings: tuple[Finding, ...] = ()
    poison: tuple[tuple[pl.DataFrame, str], ...] = field(default=())


class DetectorFailed(Exception):
    """A detector raised on a batch; the message names it."""


def meta_of(module: ModuleType) -> DetectorMeta:
    """Give a detector module's META, typed; PluginError if it is something else."""
    meta = module.META
    if not isinstance(meta, DetectorMeta):
        raise PluginError(f"{module.__name__}.META is not a DetectorMeta")
    return meta


def detect(
    detectors: Mapping[str, ModuleType], states: States, batch: EventBatch, context: Context
) -> tuple[States, tuple[Finding, ...]]:
    """Run all detectors over one batch; DetectorFailed names the one that raised.

    A detector sees the classes it reads; one without state is not called for no rows.
    """
    after: dict[str, State] = {}
    findings: list[Finding] = []
    for name, module in detectors.items():
        meta, state = meta_of(module), states[name]
        seen = batch.only(pl.col("class_uid").is_in(meta.classes)) if meta.classes else batch
        if not len(seen) and not meta.tables:
            after[name] = state
            continue
        try:
            after[name], claims = module.detect(state, seen, context)
        except (Unavailable, PluginError):
            raise
        except Exception as error:
            raise DetectorFailed(f"detector '{name}' raised {reason_of(error)}") from error
        findings.extend(claims)
    return after, tuple(findings)


def fold(
    detectors: Mapping[str, ModuleType],
    states: States,
    stretches: Sequence[tuple[EventBatch, int]],
    context: Context,
) -> Detected:
    """Run the detectors over batches in order, each with its watermark (UTC µs) after it."""
    done = Detected(states)
    for batch, watermark_us in stretches:
        done = _fold_one(detectors, done, batch, replace(context, watermark_us=watermark_us))
    return done


def _fold_one(
    detectors: Mapping[str, ModuleType], done: Detected, batch: EventBatch, context: Context
) -> Detected:
    try:
        states, findings = detect(detectors, done.states, batch, context)
    except DetectorFailed as error:
        if not len(batch):
            raise PluginError(f"{error}, on no rows at all; mend or remove it") from error
        return _fold_around(detectors, done, batch, context)
    return Detected(states, (*done.batches, batch), (*done.findings, *findings), done.poison)


def _fold_around(
    detectors: Mapping[str, ModuleType], done: Detected, batch: EventBatch, context: Context
) -> Detected:
    """Go on without the rows that raise alone; if none does, take the batch in two halves."""
    # Halves must not close windows that the second half still fills: they keep the old watermark.
    early = replace(context, watermark_us=min(context.watermark_us, _oldest_us(batch)))
    bad = isolate(batch.frame, lambda rows: detect(detectors, done.states, EventBatch(rows), early))
    if bad:
        poison = tuple((batch.frame.slice(row, 1), reason) for row, reason in bad)
        keep = pl.int_range(pl.len()).is_in([row for row, _ in bad]).not_()
        rest = batch.only(keep)
        done = replace(done, poison=(*done.poison, *poison))
        return _fold_one(detectors, done, rest, context)
    if len(batch) == 1:
        return replace(
            done, poison=(*done.poison, (batch.frame, "raised after the rows before it"))
        )
    half = len(batch) // 2
    done = _fold_one(detectors, done, EventBatch(batch.frame.head(half)), early)
    return _fold_one(detectors, done, EventBatch(batch.frame.slice(half)), context)


def _oldest_us(batch: EventBatch) -> int:
    oldest = batch.frame["time"].dt.epoch("us").min()
    return int(oldest) if oldest is not None else 0  # type: ignore[arg-type]  # Int64 column
