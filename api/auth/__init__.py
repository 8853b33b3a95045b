"""Say who asks and with which right; everything that makes a Scope from a request is here."""

from api.auth.gate import Require, require, scope
from api.auth.people import change_user, create_user, list_users, sign_in
from api.auth.sessions import session_scope
from api.auth.tokens import create_token, list_tokens, make_first_link, revoke_token

__all__ = [
    "Require",
    "change_user",
    "create_token",
    "create_user",
    "list_tokens",
    "list_users",
    "make_first_link",
    "require",
    "revoke_token",
    "scope",
    "session_scope",
    "sign_in",
]
