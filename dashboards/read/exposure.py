"""Read how much money stands behind entities: open payments, invoices and deals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import TupleRow

from business import crm, erp
from dashboards.read.names import BUSINESS, Key
from storage.tenant import Scope

Row = dict[str, Any]
MOST_ROWS: Final = 60
MOST_ASKED: Final = 40
"""Entities looked up one by one."""


@dataclass(frozen=True, slots=True)
class Worth:
    """One thing that money stands on; `kind`: payment, invoice, vendor or deal."""

    kind: str
    uid: str
    title: str
    amount_cents: int
    currency: str

    @property
    def key(self) -> Key:
        """Give the entity it is."""
        return Key("vendor" if self.kind == "vendor" else "document", self.uid)


@dataclass(frozen=True, slots=True)
class Value:
    """Hold the money at risk: currency -> minor units, and what it is made of."""

    sums: dict[str, int]
    rows: list[Worth]

    @property
    def most_cents(self) -> int:
        """Give the largest sum of one currency, in minor units; 0 without money."""
        return max(self.sums.values(), default=0)


def value_of(tx: Connection[TupleRow], scope: Scope, keys: Iterable[Key]) -> Value:
    """Give what stands behind the entities, as far as the scope may see the books."""
    pairs = [(k.kind, k.name) for k in dict.fromkeys(keys) if k.kind in BUSINESS]
    rows: list[Worth] = []
    if pairs and scope.may("erp:read"):
        rows += [_worth(e) for e in erp.exposure(scope, tx, pairs)]
    if pairs and scope.may("crm:read"):
        rows += [_worth(e) for e in crm.exposure(scope, tx, pairs)]
    rows.sort(key=lambda w: -w.amount_cents)
    return Value(_sums(rows), rows[:MOST_ROWS])


def _worth(found: erp.Exposure | crm.Exposure) -> Worth:
    return Worth(found.kind, found.uid, found.title, found.amount_cents, found.currency)


def _sums(rows: Sequence[Worth]) -> dict[str, int]:
    sums: dict[str, int] = {}
    for row in rows:
        sums[row.currency] = sums.get(row.currency, 0) + row.amount_cents
    return dict(sorted(sums.items(), key=lambda told: -told[1]))


def held_of(tx: Connection[TupleRow], scope: Scope, keys: Iterable[Key]) -> list[Row]:
    """Give the payments that stand still among the entities, each once, the newest hold told."""
    if not scope.may("erp:read"):
        return []
    found: dict[str, Row] = {}
    for key in list(dict.fromkeys(keys))[:MOST_ASKED]:
        asked = {"vendor": "vendor_id", "document": "payment_id"}.get(key.kind)
        if asked is None:
            continue
        rows = erp.list_payments(scope, tx, status="held", limit=10, **{asked: key.name})
        found |= {str(row["payment_id"]): row for row in rows}
    return list(found.values())
