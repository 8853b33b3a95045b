"""Claim what Sigma rules say of single events, evaluated on columns."""

from collections.abc import Iterator
from typing import Final

import polars as pl

from detectors._sigma.claim import claims as claims_of
from detectors._sigma.compiled import CompiledRule, RuleReport
from detectors._sigma.load import compile_rules, compile_texts, lint
from detectors._sigma.logsource import SYSMON_CHANNEL
from detectors._sigma.rules import RuleSet
from detectors._sigma.sieve import is_over_claims
from storage.schema import Context, DetectorMeta, EventBatch, Finding, State

__all__ = [
    "META",
    "SYSMON_CHANNEL",
    "CompiledRule",
    "RuleReport",
    "RuleSet",
    "claims",
    "compile_rules",
    "compile_texts",
    "detect",
    "is_over_claims",
    "lint",
]

META: Final = DetectorMeta(name="sigma", version="1", title="Sigma rules")


def detect(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
    """Give one finding a (rule, event) that matches; keeps no state.

    `context.rules[""]`: the house's RuleSet, for every tenant; `context.rules[tenant]`: a tenant's
    own, for its rows only. Where both have a rule of one id, the tenant's is a finding of its own.
    """
    return state, list(_findings(batch, context))


def claims(rules: RuleSet, frame: pl.DataFrame) -> list[Finding]:
    """Give what these rules claim of the frame's events, whatever their number and tenant."""
    return list(claims_of(rules, frame, META))


def _findings(batch: EventBatch, context: Context) -> Iterator[Finding]:
    house = context.rules.get("")
    sets = {tenant: rules for tenant, rules in context.rules.items() if isinstance(rules, RuleSet)}
    if isinstance(house, RuleSet):
        yield from claims_of(house, batch.frame, META, sets)
    tenants = batch.frame.get_column("tenant_id")
    for tenant in tenants.unique(maintain_order=True):
        own = sets.get(str(tenant)) if tenant else None
        if own is not None:
            yield from claims_of(own, batch.frame.filter(pl.col("tenant_id") == tenant), META, sets)
