"""Give the names people know behind ids: of vendors, customers, items, payments and invoices."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from psycopg import Connection
from psycopg.rows import TupleRow

from dashboards.read.names import Key, key_of
from storage.database.queries import select
from storage.tenant import Scope

Names = Mapping[Key, str]
"""Entity -> the name people know it by; who is not in it is known by its id."""
MOST_NAMED: Final = 500
_ERP: Final = frozenset({"vendor", "item", "document"})


def names_of(tx: Connection[TupleRow], scope: Scope, keys: Iterable[Key]) -> dict[Key, str]:
    """Give the names of those that the books know, in one read, as far as the scope may see."""
    told: dict[str, list[str]] = {"vendor": [], "item": [], "document": [], "customer": []}
    for key in list(dict.fromkeys(k for k in keys if k.kind in told))[:MOST_NAMED]:
        if scope.may("erp:read" if key.kind in _ERP else "crm:read"):
            told[key.kind].append(key.name)
    if not any(told.values()):
        return {}
    rows: list[dict[str, Any]] = select(
        tx,
        "investigate_names",
        vendors=told["vendor"],
        items=told["item"],
        documents=told["document"],
        customers=told["customer"],
        limit=MOST_NAMED,
    )
    return {Key(str(row["kind"]), str(row["id"])): str(row["name"]) for row in rows}


def call(tx: Connection[TupleRow], scope: Scope, rows: Sequence[dict[str, Any]]) -> None:
    """Add to claims or incidents how to call what each is about (`shown`); name it in the title."""
    keys = [key_of(str(row["entity_type"]), str(row["entity"])) for row in rows]
    names = names_of(tx, scope, keys)
    for row, key in zip(rows, keys, strict=True):
        row["shown"] = names.get(key, key.name)
        if key in names:
            row["title"] = said(str(row["title"]), {key: names[key]})


def said(text: str, names: Names) -> str:
    """Say a title with names where it has ids.

    >>> said("Unusual payment on V-9007", {Key("vendor", "V-9007"): "Osprey Security Ltd"})
    'Unusual payment on Osprey Security Ltd'
    """
    short = {k.name: name for k, name in names.items() if k.kind != "document"}
    if not short:
        return text
    ids = "|".join(re.escape(i) for i in sorted(short, key=len, reverse=True))
    return re.sub(rf"(?<![\w-])(?:{ids})(?![\w-])", lambda m: short[m[0]], text)
