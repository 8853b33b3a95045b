"""Read vendors for the screen: what is open with each, whose account changed, what was found."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from business import erp
from dashboards.read.filters import like
from storage.database import Database
from storage.database.queries import select
from storage.tenant import Scope

Row = dict[str, Any]
QUERY_MS: Final = "10000"
MOST: Final = 1000
SHOWN: Final = 20
RECENT: Final = timedelta(days=30)
LONG_AGO: Final = timedelta(days=400)
ONLY: Final = {
    "all": "All",
    "held": "Held payments",
    "unconfirmed": "Unconfirmed account",
    "findings": "With findings",
}
_LONGEST: Final = 200


@dataclass(frozen=True, slots=True)
class VendorFilter:
    """Hold which vendors are asked for; `vendor` is the one whose detail is open."""

    q: str = ""
    only: str = "all"
    vendor: str = ""

    @classmethod
    def read(cls, search: str) -> "VendorFilter":
        """Read it from a URL's query; what is unknown is left out.

        >>> VendorFilter.read("?only=held&vendor=V-7")
        VendorFilter(q='', only='held', vendor='V-7')
        """
        given = read_texts(search, [f.name for f in fields(cls)])
        given["only"] = given["only"] if given["only"] in ONLY else "all"
        return cls(**given)

    def search(self) -> str:
        """Write it as a URL's query; defaults are left out."""
        return say_texts({f.name: getattr(self, f.name) for f in fields(self)}, {"only": "all"})


@dataclass(frozen=True, slots=True)
class Detail:
    """Hold one vendor with what surrounds it. `findings` None: the role may not see them."""

    vendor: Row
    history: list[Row]
    invoices: list[Row]
    payments: list[Row]
    findings: list[Row] | None


def read_texts(search: str, names: list[str]) -> dict[str, str]:
    """Read texts of a URL's query by name; '' where there is none."""
    try:
        told = parse_qs(search.removeprefix("?")[:4000], max_num_fields=40)
    except ValueError:
        told = {}
    return {name: told.get(name, [""])[0].replace("\x00", "")[:_LONGEST] for name in names}


def say_texts(values: Mapping[str, str], usual: Mapping[str, str]) -> str:
    """Write texts as a URL's query; defaults are left out.

    >>> say_texts({"q": "a b", "only": "all"}, {"only": "all"})
    '?q=a+b'
    """
    kept = {k: v for k, v in values.items() if v != usual.get(k, "")}
    return f"?{urlencode(kept, safe=',:')}" if kept else "?"


def vendors(database: Database, scope: Scope, wanted: VendorFilter) -> list[Row]:
    """Give vendors, those with held payments first, then whose account changed last."""
    scope.require("erp:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        return select(tx, "pages_vendors", text=like(wanted.q), only=wanted.only, limit=MOST)


def totals(database: Database, scope: Scope, now: datetime) -> Row:
    """Give how many vendors there are, and whose account changed within 30 days."""
    scope.require("erp:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        found = select(tx, "pages_vendor_totals", since=now - RECENT)[0]
        money = select(tx, "pages_payment_totals")
    return {**found, "money": money}


def detail(database: Database, scope: Scope, vendor_id: str, now: datetime) -> Detail:
    """Give one vendor with its history; NotFound when this tenant has none of that id."""
    may_see = scope.may("findings:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        found = erp.get_vendor(scope, tx, vendor_id)
        known = str(found["vendor_id"])
        asked = {"vendor_id": known, "since": now - LONG_AGO, "limit": SHOWN}
        return Detail(
            vendor=found,
            history=select(tx, "pages_vendor_history", vendor_id=known, limit=SHOWN),
            invoices=erp.list_invoices(scope, tx, vendor_id=known, limit=SHOWN),
            payments=erp.list_payments(scope, tx, vendor_id=known, limit=SHOWN),
            findings=select(tx, "pages_vendor_findings", **asked) if may_see else None,
        )
