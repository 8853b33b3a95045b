"""Say the names by which people know vendors, customers and items, where a claim has their ids."""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import TupleRow

from dashboards.read.names import Key, key_of, named_by
from storage.database.queries import select
from storage.tenant import Scope

Row = dict[str, Any]
MOST_NAMES: Final = 500
"""Ids looked up for one page; what is beyond keeps its id."""
_READ: Final = {"vendor": "erp:read", "item": "erp:read", "customer": "crm:read"}


def names_of(tx: Connection[TupleRow], scope: Scope, keys: Iterable[Key]) -> dict[str, str]:
    """Give `kind:id` -> name of those that the books know and the reader may see."""
    wanted = [k for k in dict.fromkeys(keys) if scope.may(_READ.get(k.kind, ""))][:MOST_NAMES]
    if not wanted:
        return {}
    ids = {kind: [k.name for k in wanted if k.kind == kind] for kind in _READ}
    rows = select(
        tx,
        "investigate_called",
        vendors=ids["vendor"],
        customers=ids["customer"],
        items=ids["item"],
    )
    return {f"{row['kind']}:{row['id']}": str(row["name"]) for row in rows}


def call(tx: Connection[TupleRow], scope: Scope, rows: Sequence[Row]) -> None:
    """Give each claim or incident the names of what it is about: column `called`.

    `named_by` reads it; a title that ends in an id ends in the name then.
    """
    called = names_of(tx, scope, (key for row in rows for key in named_by(row)))
    for row in rows:
        row["called"] = called
        name = called.get(key_of(str(row["entity_type"]), str(row["entity"])).id)
        if name and "title" in row:
            row["title"] = retitled(str(row["title"]), str(row["entity"]), name)


def retitled(title: str, uid: str, name: str) -> str:
    """Give a title with a name in the place of the id at its end.

    >>> retitled("Paid twice on V-9", "V-9", "Osprey Ltd")
    'Paid twice on Osprey Ltd'
    """
    return f"{title.removesuffix(uid)}{name}" if title.endswith(f" on {uid}") else title
