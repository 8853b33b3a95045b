"""Sign in and out, and say who one is."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import require
from api.auth.people import check_own_password, set_password, sign_in
from api.auth.secrets import Key
from api.auth.sessions import cookie_name, end_session, find_session, open_session, session_key
from api.desk import desk_of
from storage.audit import write_audit
from storage.errors import InvalidInput, NotSignedIn
from storage.tenant import MAY, Scope

router: Final = APIRouter(prefix="/v1", tags=["session"])
AnyActor = Annotated[Scope, require()]


class SignIn(BaseModel):
    """Who signs in."""

    model_config = ConfigDict(extra="forbid")
    tenant: str = Field(max_length=63)
    name: str = Field(max_length=128, pattern=r"^[^\x00]*$")
    password: str = Field(max_length=256, repr=False)


class Me(BaseModel):
    """Who the caller is, as what."""

    tenant: str
    kind: str
    name: str
    roles: list[str]
    grants: list[str]
    csrf_token: str | None = Field(description="send as X-CSRF-Token with every write by cookie")
    expires_at: datetime | None


class NewPassword(BaseModel):
    """A new password for one's own account."""

    model_config = ConfigDict(extra="forbid")
    present: str = Field("", max_length=256, repr=False, description="'' if there is none yet")
    password: str = Field(min_length=12, max_length=256, repr=False)


@router.post("/session", summary="Sign in", responses={401: {"description": "Not signed in"}})
def post(request: Request, response: Response, who: SignIn) -> Me:
    """Open a session and set its cookie; an earlier session of the same browser ends."""
    desk = desk_of(request)
    address = request.client.host if request.client else "?"
    key = sign_in(desk, who.tenant, who.name, who.password, address)
    give_cookie(request, response, key)
    return _me_of(request, key)


@router.get("/session", summary="Who am I?")
def me(request: Request, scope: AnyActor) -> Me:
    """Give tenant, name, roles and, for a session, the CSRF token."""
    key = session_key(request.cookies, request.url.scheme == "https")
    if scope.actor.kind == "user" and key is not None:
        return _me_of(request, key)
    return _me(scope, None, None)


@router.delete("/session", summary="Sign out", status_code=204)
def delete(request: Request, response: Response, scope: AnyActor) -> None:
    """End this session at once."""
    desk, is_secure = desk_of(request), request.url.scheme == "https"
    key = session_key(request.cookies, is_secure)
    if key is None or scope.actor.kind != "user":
        raise InvalidInput("there is no session to end; a token is revoked at /v1/tokens")
    end_session(desk.database, key, scope)
    with desk.database.app(scope) as tx:
        write_audit(tx, scope, "session.sign-out")
    response.delete_cookie(
        cookie_name(is_secure), path="/", secure=is_secure, httponly=True, samesite="lax"
    )


@router.put("/session/password", summary="Change my password", status_code=204)
def put_password(request: Request, response: Response, scope: AnyActor, new: NewPassword) -> None:
    """Set a password of 12 characters or more; all sessions of the account end, this one anew."""
    desk = desk_of(request)
    key = session_key(request.cookies, request.url.scheme == "https")
    found = key and find_session(desk.database, key, desk.settings.session_idle_s, desk.now_us())
    if scope.actor.kind != "user" or not found:
        raise InvalidInput("only a signed-in person has a password")
    check_own_password(desk, scope, new.present)
    set_password(desk.database, scope, found.user_id, new.password)
    give_cookie(request, response, open_session(desk, scope, found.user_id))


def give_cookie(request: Request, response: Response, key: Key) -> None:
    """Set the session's cookie on the answer and end the session the browser came with."""
    desk, is_secure = desk_of(request), request.url.scheme == "https"
    old = session_key(request.cookies, is_secure)
    if old is not None:
        found = find_session(desk.database, old, desk.settings.session_idle_s, desk.now_us())
        if found:
            end_session(desk.database, old, found.scope)
    response.set_cookie(
        cookie_name(is_secure),
        key.text,
        max_age=desk.settings.session_max_s,
        path="/",
        secure=is_secure,
        httponly=True,
        samesite="lax",
    )


def _me_of(request: Request, key: Key) -> Me:
    desk = desk_of(request)
    found = find_session(desk.database, key, desk.settings.session_idle_s, desk.now_us())
    if found is None:
        raise NotSignedIn("sign in again")
    return _me(found.scope, key.csrf, found.expires_at)


def _me(scope: Scope, csrf_token: str | None, expires_at: datetime | None) -> Me:
    return Me(
        tenant=scope.tenant_id,
        kind=scope.actor.kind,
        name=scope.actor.name,
        roles=sorted(r.value for r in scope.roles),
        grants=sorted({g for r in scope.roles for g in MAY[r]}),
        csrf_token=csrf_token,
        expires_at=expires_at,
    )
