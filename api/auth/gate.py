"""Turn a request into a Scope, or refuse it: the one place where that happens."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fastapi import Request, params

from api.auth.secrets import csrf_digest, is_same
from api.auth.sessions import find_session, session_key
from api.auth.tokens import token_scope
from api.desk import Desk, desk_of
from storage.errors import NotAllowed, NotSignedIn
from storage.tenant import Scope

CSRF_HEADER: Final = "x-csrf-token"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Require:
    """Ask for a signed-in actor with this grant ('' = any); the door checks each route has one."""

    grant: str = ""

    def __call__(self, request: Request) -> Scope:
        """Give the scope; NotSignedIn or NotAllowed."""
        found = scope(request)
        if self.grant:
            found.require(self.grant)
        return found


def require(grant: str = "") -> params.Depends:
    """Say what a route's caller must be allowed, as `noun:verb`; '' asks for any signed-in actor.

    Used as `scope: Annotated[Scope, require("findings:read")]`.
    """
    return params.Depends(Require(grant))


def scope(request: Request) -> Scope:
    """Find out whose request it is, in the way of the application that it came to."""
    identify: Callable[[Request], Scope] = request.app.state.identify
    found = identify(request)
    request.scope.setdefault("state", {})["scope"] = found
    return found


def by_credentials(request: Request) -> Scope:
    """Give the scope of a bearer token, else of a session cookie (writes need CSRF)."""
    desk = desk_of(request)
    header = request.headers.get("authorization")
    return _by_token(desk, header) if header else _by_cookie(desk, request)


def _by_token(desk: Desk, header: str) -> Scope:
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "bearer":
        raise NotSignedIn("Authorization must be 'Bearer <token>'")
    return token_scope(desk.database, text.strip(), desk.now_us())


def _by_cookie(desk: Desk, request: Request) -> Scope:
    key = session_key(request.cookies, request.url.scheme == "https")
    found = key and find_session(desk.database, key, desk.settings.session_idle_s, desk.now_us())
    if not found:
        raise NotSignedIn(
            "sign in first: POST /v1/session, or send 'Authorization: Bearer <token>'"
        )
    if request.method not in SAFE_METHODS:
        word = request.headers.get(CSRF_HEADER, "")
        if not is_same(csrf_digest(word), found.csrf_hash):
            request.scope.setdefault("state", {})["scope"] = found.scope
            raise NotAllowed("a write from a browser needs the session's X-CSRF-Token")
    return found.scope
