"""Keep the tenant's accounts."""

import uuid
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from api.auth import change_user, create_user, list_users, require
from api.desk import desk_of
from storage.tenant import Role, Scope

router: Final = APIRouter(prefix="/v1", tags=["users"])
Admin = Annotated[Scope, require("users:write")]


class UserView(BaseModel):
    """An account; never its password."""

    user_id: str
    name: str
    roles: list[str]
    created_at: datetime
    disabled: bool
    has_password: bool


class Users(BaseModel):
    """All accounts of the tenant by name, 1,000 at most."""

    items: list[UserView]


class NewUser(BaseModel):
    """An account to make."""

    model_config = ConfigDict(extra="forbid")
    name: str = Field(min_length=1, max_length=128)
    roles: list[Role] = Field(min_length=1, max_length=len(Role))


class UserMade(BaseModel):
    """The password is shown this once."""

    name: str
    password: str


class UserChange(BaseModel):
    """What to change; a field left out stays."""

    model_config = ConfigDict(extra="forbid")
    roles: list[Role] | None = Field(None, min_length=1, max_length=len(Role))
    disabled: bool | None = None


@router.get("/users", summary="List accounts")
def listed(request: Request, scope: Admin) -> Users:
    """Give the accounts of the caller's tenant."""
    rows = list_users(desk_of(request).database, scope)
    return Users.model_validate({"items": rows})


@router.post("/users", summary="Make an account", status_code=201)
def post(request: Request, scope: Admin, new: NewUser) -> UserMade:
    """Make an account with a password made here."""
    password = create_user(desk_of(request).database, scope, new.name, None, new.roles)
    return UserMade(name=new.name, password=password)


@router.patch("/users/{user_id}", summary="Change roles, or disable")
def patch(request: Request, scope: Admin, user_id: uuid.UUID, wanted: UserChange) -> UserView:
    """Change an account; its sessions end at once."""
    row = change_user(desk_of(request).database, scope, str(user_id), wanted.roles, wanted.disabled)
    return UserView.model_validate(row)
