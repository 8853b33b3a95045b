"""Keep the tokens of programs."""

import uuid
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from api.auth import create_token, list_tokens, require, revoke_token
from api.auth.tokens import LONGEST_TTL_S
from api.desk import desk_of
from storage.tenant import Role, Scope

router: Final = APIRouter(prefix="/v1", tags=["tokens"])
Admin = Annotated[Scope, require("tokens:write")]


class TokenView(BaseModel):
    """A token; never its text."""

    token_id: str
    name: str
    roles: list[str]
    uses_left: int | None
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None


class Tokens(BaseModel):
    """All tokens of the tenant, newest first, 1,000 at most."""

    items: list[TokenView]


class NewToken(BaseModel):
    """A token to make."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=128)
    roles: list[Role] = Field(min_length=1, max_length=len(Role))
    ttl_s: int = Field(ge=1, le=LONGEST_TTL_S, description="life, seconds")
    uses: int | None = Field(None, ge=1, le=1_000_000_000)


class TokenMade(BaseModel):
    """The token is shown this once."""

    token: str


@router.get("/tokens", summary="List tokens")
def listed(request: Request, scope: Admin) -> Tokens:
    """Give the tokens of the caller's tenant."""
    return Tokens.model_validate({"items": list_tokens(desk_of(request).database, scope)})


@router.post("/tokens", summary="Make a token", status_code=201)
def post(request: Request, scope: Admin, new: NewToken) -> TokenMade:
    """Make a token for a program: an agent, a shipper, a script."""
    database = desk_of(request).database
    return TokenMade(token=create_token(database, scope, new.name, new.roles, new.ttl_s, new.uses))


@router.delete("/tokens/{token_id}", summary="Revoke a token", status_code=204)
def delete(request: Request, scope: Admin, token_id: uuid.UUID) -> None:
    """Make the token worthless at once."""
    revoke_token(desk_of(request).database, scope, str(token_id))
