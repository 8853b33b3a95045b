"""Say how much money stands behind what a finding or an incident names."""

from collections.abc import Sequence
from dataclasses import dataclass

from business._event import Transaction
from storage.database.queries import select
from storage.tenant import Scope

_MOST_NAMED = 1000


@dataclass(frozen=True, slots=True)
class Exposure:
    """Money at risk. `kind`: payment, invoice or vendor; `title`: the vendor's name."""

    kind: str
    uid: str
    title: str
    amount_cents: int
    currency: str


def exposure(scope: Scope, tx: Transaction, entities: Sequence[tuple[str, str]]) -> list[Exposure]:
    """Give the money behind (type, name) pairs of vendors and documents, gravest first.

    Amounts do not overlap and may be added up per currency: a document named stands for itself, a
    vendor for what is open beside those, an invoice for what no payment was proposed for. Entities
    of other types stand for no money. Needs `erp:read`.
    """
    scope.require("erp:read")
    vendors = [name for kind, name in entities if kind == "vendor"][:_MOST_NAMED]
    documents = [name for kind, name in entities if kind == "document"][:_MOST_NAMED]
    if not vendors and not documents:
        return []
    rows = select(tx, "erp_exposure", vendors=vendors, documents=documents)
    return [
        Exposure(
            str(r["kind"]),
            str(r["uid"]),
            str(r["title"]),
            int(str(r["amount_cents"])),
            str(r["currency"]),
        )
        for r in rows
    ]
