"""Let people and the company's systems in: the visitor, three colleagues, one token."""

from typing import Final

from api.auth import change_user, create_token, list_tokens, list_users, revoke_token
from api.auth.people import add_user
from api.auth.tokens import FIRST_USER
from deploy.demo.company import Company
from deploy.ground import FIRST_TENANT
from storage.database import Database
from storage.tenant import Role, system_scope

TOKEN: Final = "demo company"  # noqa: S105  the token's name, no secret
_TOKEN_S: Final = 30 * 86_400
_WHO: Final = "inopsio demo"
VISITOR: Final = frozenset({Role.ADMIN, Role.ANALYST, Role.FINANCE, Role.SALES})
"""In the demo whoever has the first sign-in link may also release a payment."""


def let_in(database: Database, company: Company) -> str:
    """Give the visitor's account the roles the demo needs, add colleagues; give a new token."""
    scope = system_scope(FIRST_TENANT, _WHO)
    known = {str(u["name"]): u for u in list_users(database, scope)}
    first = known.get(FIRST_USER)
    if first is not None and {str(r) for r in first["roles"]} != {r.value for r in VISITOR}:
        change_user(database, scope, str(first["user_id"]), VISITOR)
    colleagues = [
        (company.by("it")[0].account, frozenset({Role.ANALYST})),
        (company.by("it")[1].account, frozenset({Role.ANALYST})),
        (company.by("finance")[0].account, frozenset({Role.FINANCE})),
    ]
    for name, roles in colleagues:
        if name not in known:
            add_user(database, scope, name, "", roles)
    for token in list_tokens(database, scope):
        if token["name"] == TOKEN and token.get("revoked_at") is None:
            revoke_token(database, scope, str(token["token_id"]))
    return create_token(database, scope, TOKEN, {Role.INTEGRATION}, _TOKEN_S)
