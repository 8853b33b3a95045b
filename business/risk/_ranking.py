"""Reckon risks from the ledger: of one entity, and of those that have most."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from business._event import Transaction
from business.risk._model import DAYS, HALF_LIFE_S, MOST_OF_RULE, WEIGHTS, Risk, risk
from storage.database.queries import select
from storage.errors import InvalidInput
from storage.schema.entity import canonical
from storage.tenant import Scope

MOST_RANKED: Final = 200
Pair = tuple[str, str]
Money = Mapping[Pair, tuple[int, str]]
"""Canonical (type, name) -> (minor units behind it, the same in words)."""


def risk_of(
    scope: Scope, tx: Transaction, entity_type: str, entity: str, at: datetime, money: Money
) -> Risk:
    """Give an entity's risk at a moment; 0 without parts when nothing is claimed of it.

    `tx`: a transaction in the scope; `at`: aware. Needs `findings:read`.
    """
    return risks(scope, tx, [canonical(entity_type, entity)], at, money)[0]


def risks(
    scope: Scope, tx: Transaction, pairs: Sequence[Pair], at: datetime, money: Money
) -> list[Risk]:
    """Give the risks of canonical (type, name) pairs, in their order. Needs `findings:read`."""
    scope.require("findings:read")
    if len(pairs) > MOST_RANKED:
        raise InvalidInput(f"at most {MOST_RANKED} entities are reckoned at once")
    told: dict[Pair, list[Mapping[str, Any]]] = defaultdict(list)
    for row in select(tx, "risk_parts", **_asked(pairs), **bounds(at), half_life_s=HALF_LIFE_S):
        told[str(row["entity_type"]), str(row["entity"])].append(row)
    return [risk(*pair, told[pair], *money.get(pair, (0, ""))) for pair in pairs]


def ranking(
    scope: Scope, tx: Transaction, at: datetime, kind: str | None = None, limit: int = 50
) -> list[Pair]:
    """Give the entities whose claims weigh most at a moment, of one kind or all: (type, name).

    Money does not count here: see `behind`. Needs `findings:read`; InvalidInput over `MOST_RANKED`.
    """
    scope.require("findings:read")
    if not 1 <= limit <= MOST_RANKED:
        raise InvalidInput(f"a ranking has 1 to {MOST_RANKED} entities")
    rows = select(
        tx,
        "risk_top",
        **bounds(at),
        half_life_s=HALF_LIFE_S,
        kind=kind,
        limit=limit,
        levels=list(WEIGHTS),
        weights=[float(weight) for weight in WEIGHTS.values()],
        most_of_rule=MOST_OF_RULE,
    )
    return [(str(row["entity_type"]), str(row["entity"])) for row in rows]


def behind(
    scope: Scope, tx: Transaction, pairs: Sequence[Pair], at: datetime
) -> dict[Pair, list[Pair]]:
    """Give which documents, vendors, customers and items stand in the same claims as each.

    An entity of business stands behind itself. Needs `findings:read`.
    """
    scope.require("findings:read")
    found: dict[Pair, list[Pair]] = {pair: [] for pair in pairs}
    for row in select(tx, "risk_behind", **_asked(pairs), **bounds(at)):
        pair = (str(row["entity_type"]), str(row["entity"]))
        found[pair].append((str(row["other_type"]), str(row["other"])))
    return found


def bounds(at: datetime) -> dict[str, Any]:
    """Give the times between which claims count, as parameters of the queries."""
    return {"since": at - timedelta(days=DAYS), "at": at}


def _asked(pairs: Sequence[Pair]) -> dict[str, Any]:
    return {"kinds": [kind for kind, _ in pairs], "names": [name for _, name in pairs]}
