"""Read payments for the screen: blocks of rows, those on hold with the chain that holds them."""

from dataclasses import dataclass, fields
from typing import Any, Final

from business import erp
from dashboards.read.filters import like
from dashboards.read.finding import MOST_PARTS, Step, steps
from dashboards.read.vendors import read_texts, say_texts
from storage.database import Database
from storage.database.queries import select
from storage.tenant import Scope

Row = dict[str, Any]
QUERY_MS: Final = "10000"
BLOCK_ROWS: Final = 100
MOST_ROWS: Final = 10_000
MOST_HELD: Final = 8
"""Held payments shown with their chain; the rest is in the list beneath."""
STATUS: Final = {"held": "On hold", "proposed": "Proposed", "approved": "Approved", "paid": "Paid"}


@dataclass(frozen=True, slots=True)
class PaymentFilter:
    """Hold which payments are asked for; `payment` is the one whose detail is open."""

    q: str = ""
    status: str = "all"
    of: str = ""
    payment: str = ""

    @classmethod
    def read(cls, search: str) -> "PaymentFilter":
        """Read it from a URL's query; what is unknown is left out.

        >>> PaymentFilter.read("?status=odd&of=V-1")
        PaymentFilter(q='', status='all', of='V-1', payment='')
        """
        given = read_texts(search, [f.name for f in fields(cls)])
        given["status"] = given["status"] if given["status"] in STATUS else "all"
        return cls(**given)

    def search(self) -> str:
        """Write it as a URL's query; defaults are left out."""
        return say_texts({f.name: getattr(self, f.name) for f in fields(self)}, {"status": "all"})

    def params(self) -> Row:
        """Give the parameters of the queries."""
        return {
            "status": None if self.status == "all" else self.status,
            "vendor_id": self.of or None,
            "text": like(self.q),
        }


@dataclass(frozen=True, slots=True)
class Held:
    """Hold a payment with why it stands still: its holds, the causes, the steps they rest on.

    `steps` None: the role may not see findings. `incident`: the one that holds them, if any.
    """

    payment: Row
    holds: list[Row]
    steps: list[Step] | None
    incident: Row | None


def totals(database: Database, scope: Scope) -> list[Row]:
    """Give how many payments and how much money stand where, by status and currency."""
    scope.require("erp:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        return select(tx, "pages_payment_totals")


def block(
    database: Database, scope: Scope, wanted: PaymentFilter, start: int, end: int
) -> tuple[list[Row], int]:
    """Give the rows from `start` to `end` (at most a block) and how many there are (to a bound)."""
    scope.require("erp:read")
    start = max(0, min(start, MOST_ROWS))
    limit = max(0, min(end - start, BLOCK_ROWS, MOST_ROWS - start))
    params = wanted.params()
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        total = int(str(select(tx, "pages_payment_count", **params, most=MOST_ROWS)[0]["payments"]))
        rows = select(tx, "pages_payments", **params, offset=start, limit=limit)
    return rows, total


def held(database: Database, scope: Scope) -> list[Held]:
    """Give the payments on hold, the newest first, each with its chain."""
    scope.require("erp:read")
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        found = erp.list_payments(scope, tx, status="held", limit=MOST_HELD)
        return [_held(tx, scope, payment) for payment in found]


def one(database: Database, scope: Scope, payment_id: str) -> Held:
    """Give a payment with its holds, also past ones; NotFound when there is none of that id."""
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        return _held(tx, scope, erp.get_payment(scope, tx, payment_id))


def _held(tx: Any, scope: Scope, payment: Row) -> Held:  # noqa: ANN401  a connection
    which = str(payment["payment_id"])
    holds = erp.list_holds(scope, tx, payment_id=which, limit=50)
    if not scope.may("findings:read"):
        return Held(payment, holds, None, None)
    ids = [str(f["finding_id"]) for f in erp.chain_of_hold(scope, tx, which)][:MOST_PARTS]
    claims: list[Row] = []
    incident = None
    if ids:
        claims = select(tx, "investigate_parts", finding_ids=ids, limit=MOST_PARTS)
        if scope.may("incidents:read"):
            found = select(tx, "pages_incident_of_findings", finding_ids=ids)
            incident = found[0] if found else None
    return Held(payment, holds, steps(tx, scope, claims), incident)
