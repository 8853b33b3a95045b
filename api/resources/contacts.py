"""Keep the people at customers."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from api.acting import Stated, acting_of, version_of
from api.auth import require
from api.desk import desk_of
from api.paging import CursorText, Limit, Page, Text, page_of, read_cursor
from api.versions import IfMatch, answered, guarded
from business import crm
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["crm"])
Reader = Annotated[Scope, require("crm:read")]
Writer = Annotated[Scope, require("crm:write")]


class ContactView(BaseModel):
    """A person at a customer."""

    contact_uid: str
    customer_uid: str
    customer_name: str
    name: str
    mail: str
    created_by: str
    created_at: datetime
    version: int = Field(description="also the ETag; send it back as If-Match to change")


class ContactMade(Stated):
    """A person to keep; the same request again gives the same contact."""

    customer_uid: str = Field(min_length=1, max_length=100)
    name: str = Field(min_length=1, max_length=200)
    mail: str = Field("", max_length=254)
    contact_uid: str = Field("", max_length=100, description="your own id; '' makes one")


class ContactChange(Stated):
    """What to change; a field left out stays."""

    name: str | None = Field(None, min_length=1, max_length=200)
    mail: str | None = Field(None, max_length=254)


@router.post(
    "/contacts",
    summary="Keep a contact",
    status_code=201,
    responses={409: {"description": "The id is taken by another content"}},
)
def create(request: Request, scope: Writer, new: ContactMade) -> ContactView:
    """Keep a person at a customer and tell the fact."""
    made = crm.NewContact(new.customer_uid, new.name, new.mail, new.contact_uid)
    by = acting_of(request, scope, new)
    with desk_of(request).database.app(scope) as tx:
        return ContactView.model_validate(crm.create_contact(scope, tx, made, by))


@router.get("/contacts", summary="List contacts, newest first")
def listed(
    request: Request,
    scope: Reader,
    customer_uid: Text = None,
    search: Text = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Page[ContactView]:
    """Give a page; `search`: an id, a mail address or part of a name."""
    asked = {"customer_uid": customer_uid, "search": search, **read_cursor(cursor)}
    with desk_of(request).database.app(scope) as tx:
        rows = crm.list_contacts(scope, tx, limit=limit + 1, **asked)
    return Page[ContactView].model_validate(page_of(rows, limit, "created_at", "row_id"))


@router.get("/contacts/{contact_uid}", summary="Get one contact")
def get(request: Request, response: Response, scope: Reader, contact_uid: str) -> ContactView:
    """Give the contact; `ETag` is its version."""
    with desk_of(request).database.app(scope) as tx:
        row = crm.get_contact(scope, tx, contact_uid)
    return answered(response, ContactView, row)


@router.patch(
    "/contacts/{contact_uid}",
    summary="Change name or mail",
    responses=guarded(),
)
def change(
    request: Request,
    response: Response,
    scope: Writer,
    contact_uid: str,
    wanted: ContactChange,
    if_match: IfMatch = None,
) -> ContactView:
    """Change what the body names, if the contact still has the version of If-Match."""
    version = version_of(if_match, scope)
    by = acting_of(request, scope, wanted)
    with desk_of(request).database.app(scope) as tx:
        row = crm.update_contact(scope, tx, contact_uid, version, wanted.name, wanted.mail, by)
    return answered(response, ContactView, row)
