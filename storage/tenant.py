"""Say whose data, who asks and with which right; set that scope on a transaction, only here."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from storage.errors import InvalidInput, NotAllowed

_NAME_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


class Role(StrEnum):
    """What a person may do in a tenant; each row of `MAY` lists the grants."""

    VIEWER = "viewer"
    ANALYST = "analyst"
    ADMIN = "admin"
    AUDITOR = "auditor"
    FINANCE = "finance"
    SALES = "sales"
    INGEST = "ingest"
    INTEGRATION = "integration"
    OPERATOR = "operator"


MAY: Final[dict[Role, frozenset[str]]] = {
    Role.VIEWER: frozenset({"findings:read", "incidents:read", "events:read"}),
    Role.ANALYST: frozenset(
        {
            *("findings:read", "incidents:read", "incidents:write", "events:read", "hunt:run"),
            *("erp:read", "crm:read", "rules:write", "ops:read"),
            *("response:ask", "response:approve", "evidence:read"),
        }
    ),
    Role.AUDITOR: frozenset(
        {"findings:read", "incidents:read", "audit:read", "erp:read", "crm:read"}
    ),
    # Who releases money that is on hold is never asked from a token: `release_payment` says so too.
    Role.FINANCE: frozenset(
        {"findings:read", "incidents:read", "erp:read", "erp:write", "payments:release"}
    ),
    Role.SALES: frozenset({"crm:read", "crm:write"}),
    # Another system's books: it may say who acted there and when (`facts:import`).
    Role.INTEGRATION: frozenset(
        {
            *("events:write", "erp:read", "erp:write", "crm:read", "crm:write"),
            "facts:import",
        }
    ),
    Role.ADMIN: frozenset(
        {
            "findings:read",
            "incidents:read",
            "incidents:write",
            "events:read",
            "hunt:run",
            "users:write",
            "tokens:write",
            "audit:read",
            "ops:read",
            "erp:read",
            "crm:read",
            "rules:write",
            "policy:write",
            # Who approves an action on a host is another person than who asked: `approve` says so.
            *("response:ask", "response:approve", "evidence:read"),
        }
    ),
    Role.INGEST: frozenset({"events:write"}),
    Role.OPERATOR: frozenset(
        {
            "ops:read",
            "ops:write",
            "events:write",
            "findings:read",
            "incidents:read",
            "incidents:write",
            "events:read",
            "hunt:run",
            "tenants:write",
            "users:write",
            "tokens:write",
            *("erp:read", "erp:write", "crm:read", "crm:write", "rules:write", "facts:import"),
            *("policy:write", "response:ask", "evidence:read"),
        }
    ),
}


def tenant_name(text: str) -> str:
    """Check a tenant id: 1 to 63 of a-z, 0-9 and '-', beginning with a letter; give it back.

    >>> tenant_name("acme")
    'acme'
    """
    if not text or len(text) > 63 or not text[0].isalpha() or not set(text) <= _NAME_LETTERS:
        raise InvalidInput(
            f"tenant id {text[:80]!r} is not valid; use 1-63 of a-z, 0-9 and '-', a letter first"
        )
    return text


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: `kind` is user, token, agent or system; `name` is what an audit entry shows.

    `behind`: the person who made the token, or runs the command (`user:ann`), '' if not known.
    """

    kind: str
    name: str
    behind: str = field(default="", compare=False)

    @property
    def person(self) -> str:
        """Give which person acts, itself or by a program; '' if that is not known."""
        return f"user:{self.name}" if self.kind == "user" else self.behind


@dataclass(frozen=True, slots=True)
class Scope:
    """Whose data, who asks, as what. Needed for every read or write; it has no default."""

    tenant_id: str
    actor: Actor
    roles: frozenset[Role]

    def may(self, grant: str) -> bool:
        """Answer whether any role of this scope carries the grant."""
        return any(grant in MAY[role] for role in self.roles)

    def require(self, grant: str) -> None:
        """Pass, or raise NotAllowed naming the grant."""
        if not self.may(grant):
            raise NotAllowed(f"{self.actor.name} may not '{grant}' in tenant '{self.tenant_id}'")


def system_scope(tenant_id: str, name: str) -> Scope:
    """Give the scope in which the house itself acts for one tenant (a consumer, the CLI)."""
    return Scope(tenant_name(tenant_id), Actor("system", name), frozenset({Role.OPERATOR}))


@contextmanager
def scoped(connection: Connection[TupleRow], scope: Scope) -> Iterator[Connection[TupleRow]]:
    """Open a transaction in which row-level security shows this scope's tenant and no other.

    The settings are local to the transaction: the next user of a pooled connection starts blind.
    """
    with connection.transaction():
        connection.execute(
            "SELECT set_config('inopsio.tenant', %s, true), set_config('inopsio.actor', %s, true)",
            (scope.tenant_id, scope.actor.name),
        )
        yield connection
