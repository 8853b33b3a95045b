"""Keep books for tests: one vendor, short words for commands, and what they told."""

import json
from typing import Any

from business import erp
from business._fact import Acting
from business.erp import NewInvoice, NewPayment, NewVendor, Policy
from storage.database import Database
from storage.database.queries import select
from storage.log.memory import MemoryLog
from storage.outbox import relay
from storage.tenant import Actor, Role, Scope

NOON_US = 1_795_000_000_000_000
SECOND_US = 1_000_000
NOW = NOON_US + 3600 * SECOND_US
ACCOUNT = "DE89370400440532013000"
OTHER = "GB33BUKB20201555555555"
ACME = Scope("acme", Actor("user", "ann"), frozenset({Role.ADMIN}))
BOLT = Scope("bolt", Actor("user", "ann"), frozenset({Role.OPERATOR, Role.FINANCE}))
PATIENT = Policy(60)
Row = dict[str, Any]


def clerk(name: str, tenant: str = "acme") -> Scope:
    """Give a signed-in person of finance."""
    return Scope(tenant, Actor("user", name), frozenset({Role.FINANCE}))


def by(name: str, at_us: int = NOON_US, now_us: int = NOON_US) -> Acting:
    """Say that this person acts at noon."""
    return Acting(name, at_us, now_us)


class Books:
    """The books of tenant acme, with a log that its outbox is relayed to."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.log = MemoryLog(partitions=1)

    def vendor(
        self, vendor_id: str = "V-9", name: str = "Bolt & Sons", account: str = ACCOUNT
    ) -> Row:
        new = NewVendor(name, account, "1 Main Street", vendor_id)
        with self.database.app(clerk("ann")) as tx:
            return erp.create_vendor(clerk("ann"), tx, new, by("ann"))

    def invoice(self, invoice_id: str, cents: int = 1000, vendor_id: str = "V-9") -> Row:
        new = NewInvoice(vendor_id, cents, "EUR", None, invoice_id)
        with self.database.app(clerk("ann")) as tx:
            return erp.post_invoice(clerk("ann"), tx, new, by("ann"))

    def approved_invoice(self, invoice_id: str, who: str = "bob") -> Row:
        with self.database.app(clerk(who)) as tx:
            return erp.approve_invoice(clerk(who), tx, invoice_id, 1, by(who))

    def propose(self, who: str = "ann", at_us: int = NOON_US, **content: Any) -> Row:  # noqa: ANN401  any field
        new = NewPayment(**content)
        with self.database.app(clerk(who)) as tx:
            return erp.propose_payment(clerk(who), tx, new, by(who, at_us))

    def approve(self, payment_id: str, version: int, who: str = "bob") -> Row:
        with self.database.app(clerk(who)) as tx:
            return erp.approve_payment(clerk(who), tx, payment_id, version, by(who))

    def pay(
        self, payment_id: str, version: int, now_us: int = NOW, policy: Policy = PATIENT
    ) -> Row:
        with self.database.app(clerk("cleo")) as tx:
            acting = by("cleo", now_us, now_us)
            return erp.pay_payment(clerk("cleo"), tx, payment_id, version, acting, policy)

    def payment(self, payment_id: str) -> Row:
        with self.database.app(clerk("ann")) as tx:
            return erp.get_payment(clerk("ann"), tx, payment_id)

    def read_by_the_flow(self, up_to: int | None = None) -> None:
        """Note that both flows have read the facts so far, or those before a position."""
        with self.database.owner() as tx:
            tx.execute("SELECT set_config('inopsio.tenant', 'acme', true)")
            tx.execute(
                "INSERT INTO screened_sources (tenant_id, source, next_position)"
                " SELECT 'acme', 'business:erp', coalesce(%s, next_position) FROM fact_positions"
                " WHERE module = 'erp' ON CONFLICT (tenant_id, source)"
                " DO UPDATE SET next_position = excluded.next_position",
                (up_to,),
            )
            tx.execute(
                "INSERT INTO sources (tenant_id, source, name, log_format, next_position, events,"
                " rejected) SELECT 'acme', 'business:erp', '', 'ocsf_json',"
                " coalesce(%s, next_position), 0, 0 FROM fact_positions WHERE module = 'erp'"
                " ON CONFLICT (tenant_id, source)"
                " DO UPDATE SET next_position = excluded.next_position",
                (up_to,),
            )

    def facts(self) -> list[Row]:
        """Give the facts told to the flow so far."""
        while relay(self.database.writer, self.log):
            pass
        return [json.loads(m.value) for m in self.log.read("raw.events", 0, 0)]

    def trail(self) -> list[tuple[str, str, str]]:
        """Give (action, object, result) of the audit entries, oldest first."""
        with self.database.app(ACME) as tx:
            rows = tx.execute("SELECT action, object, result FROM audit_entries ORDER BY entry_id")
            return [(str(a), str(o), str(r)) for a, o, r in rows.fetchall()]

    def holds(self) -> list[Row]:
        """Give the holds, oldest first."""
        with self.database.app(clerk("ann")) as tx:
            return erp.list_holds(clerk("ann"), tx)[::-1]

    def rows(self, query: str, **params: object) -> list[Row]:
        with self.database.app(clerk("ann")) as tx:
            return select(tx, query, **params)
