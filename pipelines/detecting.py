"""Fold every detector over batches; one that raises on a row goes on without it, the rest do not.

Each detector stands alone: what makes one raise is still stored, counted and seen by the others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Final

import polars as pl

from pipelines.dead_letter import KEPT
from pipelines.poison import isolate, reason_of
from pipelines.shown import Shown, Stretches
from storage.errors import PluginError, Unavailable
from storage.schema import Context, DetectorMeta, EventBatch, Finding, State

States = Mapping[str, State]
"""Detector name -> its state."""

MOST_BAD: Final = 64
"""Rows of a batch that one detector may raise on before it is left out for the rest."""
MOST_PROBES: Final = 512
"""Tries to find such rows in one batch: a few seconds at worst."""


@dataclass(frozen=True, slots=True)
class Detected:
    """What the detectors made of a stretch of the stream.

    `poison`: (row as a one-row frame, reason naming the detector); `left_out`: detector -> rows it
    was not shown, as it raised on too many.
    """

    states: States
    findings: tuple[Finding, ...] = ()
    poison: tuple[tuple[pl.DataFrame, str], ...] = field(default=())
    left_out: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Did:
    """What one detector did with one batch so far. `left_out`: None if it saw everything else."""

    state: State
    findings: tuple[Finding, ...] = ()
    poison: tuple[tuple[pl.DataFrame, str], ...] = ()
    left_out: int | None = None
    probes: int = 0


def meta_of(module: ModuleType) -> DetectorMeta:
    """Give a detector module's META, typed; PluginError if it is something else."""
    meta = module.META
    if not isinstance(meta, DetectorMeta):
        raise PluginError(f"{module.__name__}.META is not a DetectorMeta")
    return meta


def fold(
    detectors: Mapping[str, ModuleType],
    states: States,
    stretches: Stretches,
    context: Context,
    whole: pl.DataFrame | None = None,
) -> Detected:
    """Run the detectors over batches in order, each with its watermark (UTC µs) after it.

    `whole`: the rows of all batches, where the caller has them in one frame. Findings come in the
    order of the batches, or of the last of those that a detector was shown together.
    """
    shown = Shown(stretches, whole)
    after = dict(states)
    found: list[tuple[int, Finding]] = []
    poison: list[tuple[pl.DataFrame, str]] = []
    left_out: dict[str, int] = {}
    for name, module in detectors.items():
        for number, batch, watermark_us in shown.to(meta_of(module).classes):
            now = replace(context, watermark_us=watermark_us)
            did = _run(module, after[name], batch, now)
            after[name] = did.state
            found += [(number, finding) for finding in _sieved(did.findings, now)]
            poison += did.poison
            if did.left_out is not None:
                left_out[name] = left_out.get(name, 0) + did.left_out
    found.sort(key=lambda one: one[0])
    return Detected(after, tuple(finding for _, finding in found), tuple(poison), left_out)


def _sieved(claims: tuple[Finding, ...], context: Context) -> tuple[Finding, ...]:
    """Leave out what rules that can say so take out of claims: exceptions made by people."""
    kept: Sequence[Finding] = claims
    for tenant, own in context.rules.items():
        sieve = getattr(own, "sieve", None)
        if kept and sieve is not None:
            kept = sieve(kept, tenant)
    return tuple(kept)


def _run(module: ModuleType, state: State, batch: EventBatch, context: Context) -> _Did:
    """Show the batch to one detector; without state it sees no empty one."""
    if not len(batch) and not meta_of(module).tables:
        return _Did(state)
    return _go_on(module, _Did(state), batch, context)


def _go_on(module: ModuleType, did: _Did, batch: EventBatch, context: Context) -> _Did:
    try:
        state, claims = module.detect(did.state, batch, context)
    except (Unavailable, PluginError):
        raise
    except Exception as error:  # noqa: BLE001  consume loop: the bad row is sought below
        if len(batch):
            return _around(module, did, batch, context, reason_of(error))
        return _leave_out(did, 0)
    return replace(did, state=state, findings=(*did.findings, *claims))


def _around(
    module: ModuleType, did: _Did, batch: EventBatch, context: Context, reason: str
) -> _Did:
    """Go on without the rows that raise alone; if none does, take the batch in two halves."""
    most, most_probes = MOST_BAD - len(did.poison), MOST_PROBES - did.probes
    if most <= 0 or most_probes <= 0:
        return _leave_out(did, len(batch))
    if len(batch) == 1:
        did = _poisoned(module, did, batch.frame, reason)
        return _go_on(module, did, EventBatch(batch.frame.clear()), context)
    # Halves must not close windows that the second half still fills: they keep the old watermark.
    early = replace(context, watermark_us=min(context.watermark_us, _oldest_us(batch)))
    found = isolate(
        batch.frame,
        lambda rows: module.detect(did.state, EventBatch(rows), early),
        most,
        most_probes,
    )
    did = replace(did, probes=did.probes + found.probes)
    if found.bad:
        for row, why in found.bad:
            did = _poisoned(module, did, batch.frame.slice(row, 1), why)
        good = pl.int_range(pl.len()).is_in([row for row, _ in found.bad]).not_()
        rest = batch.only(good)
        if found.checked < len(batch):
            # Too many: the tenants whose rows these are go without this detector, not the others.
            tenants = batch.frame[[row for row, _ in found.bad]]["tenant_id"].unique().to_list()
            others = pl.col("tenant_id").is_in(tenants).not_()
            rest = batch.only(good & ((pl.int_range(pl.len()) < found.checked) | others))
            did = _leave_out(did, len(batch) - len(found.bad) - len(rest))
        return _go_on(module, did, rest, context)
    half = len(batch) // 2
    did = _go_on(module, did, EventBatch(batch.frame.head(half)), early)
    return _go_on(module, did, EventBatch(batch.frame.slice(half)), context)


def _poisoned(module: ModuleType, did: _Did, row: pl.DataFrame, reason: str) -> _Did:
    told = f"{KEPT}{meta_of(module).name}' raised {reason}"
    return replace(did, poison=(*did.poison, (row, told)))


def _leave_out(did: _Did, rows: int) -> _Did:
    return replace(did, left_out=(did.left_out or 0) + rows)


def _oldest_us(batch: EventBatch) -> int:
    oldest = batch.frame["time"].dt.epoch("us").min()
    return int(oldest) if oldest is not None else 0  # type: ignore[arg-type]  # Int64 column
