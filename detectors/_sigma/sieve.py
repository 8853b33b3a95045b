"""Take claims out by filters over claims: exceptions for detectors in code and correlations.

Such a filter has `logsource: {product: inopsio, category: finding}`, names the rules whose claims
it looks at, and asks for `detector`, `rule`, `level`, `title` or `entities`. The last is every
entity that the claim names, as ";kind=name;kind=name;".
"""

from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl

from detectors._sigma.compiled import CompiledFilter, CompiledRule
from detectors._sigma.fields import Columns, Rows
from detectors._sigma.filters import program_of
from detectors._sigma.logsource import Route
from storage.schema.finding import Finding, entities_text

_PRODUCT: Final = "inopsio"
_CATEGORY: Final = "finding"
_ROUTE: Final = Route(((),))


def is_over_claims(rule: CompiledRule) -> bool:
    """Answer whether the rule looks at claims, not at events."""
    return (rule.product.lower(), rule.category.lower()) == (_PRODUCT, _CATEGORY)


def sieved(
    filters: Iterable[CompiledFilter], claims: Sequence[Finding], tenant_id: str
) -> list[Finding]:
    """Give the claims that stay. `tenant_id`: whose filters these are, "" = for every tenant."""
    kept = list(claims)
    for one in filters:
        if not is_over_claims(one.rule):
            continue
        places = [n for n, claim in enumerate(kept) if _is_asked(one, claim, tenant_id)]
        if places:
            holds = _holding(one.rule, [kept[n] for n in places])
            gone = {n for n, stays in zip(places, holds, strict=True) if not stays}
            kept = [claim for n, claim in enumerate(kept) if n not in gone]
    return kept


def _is_asked(one: CompiledFilter, claim: Finding, tenant_id: str) -> bool:
    is_over = one.until_us is not None and claim.time_us >= one.until_us
    is_theirs = tenant_id in ("", claim.tenant_id) and not is_over
    return is_theirs and not {claim.rule_id, claim.detector}.isdisjoint(one.rules)


def _holding(rule: CompiledRule, claims: Sequence[Finding]) -> list[bool]:
    frame = pl.DataFrame(
        {
            "unmapped.detector": [c.detector for c in claims],
            "unmapped.rule": [c.rule_id for c in claims],
            "unmapped.level": [str(c.level) for c in claims],
            "unmapped.title": [c.title for c in claims],
            "unmapped.entities": [
                entities_text(((c.entity_type, c.entity), *c.links)) for c in claims
            ],
        }
    )
    every = pl.Series([False]).new_from_index(0, frame.height)
    places = pl.int_range(frame.height, eager=True).to_numpy()
    rows = Rows(Columns(frame, every), places, own_words_only=False)
    found = list(program_of([rule], _ROUTE).run(rows).hits())
    return [bool(hit) for hit in found[0][1]] if found else [False] * len(claims)
