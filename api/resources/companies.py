"""Keep the companies that buy from us."""

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


class CompanyView(BaseModel):
    """A customer."""

    customer_uid: str
    name: str
    address: str
    created_by: str
    created_at: datetime
    version: int = Field(description="also the ETag; send it back as If-Match to change")
    open_deals: int | None = Field(None, description="in lists: deals neither won nor lost")


class CompanyMade(Stated):
    """A customer to keep; the same request again gives the same one."""

    name: str = Field(min_length=1, max_length=200)
    address: str = Field("", max_length=500)
    customer_uid: str = Field("", max_length=100, description="your own id; '' makes one")


class CompanyChange(Stated):
    """What to change; a field left out stays."""

    name: str | None = Field(None, min_length=1, max_length=200)
    address: str | None = Field(None, max_length=500)


@router.post(
    "/companies",
    summary="Keep a customer",
    status_code=201,
    responses={409: {"description": "The id is taken by another content"}},
)
def create(request: Request, scope: Writer, new: CompanyMade) -> CompanyView:
    """Keep a customer and tell the fact."""
    made = crm.NewCompany(new.name, new.address, new.customer_uid)
    by = acting_of(request, scope, new)
    with desk_of(request).database.app(scope) as tx:
        return CompanyView.model_validate(crm.create_company(scope, tx, made, by))


@router.get("/companies", summary="List customers, newest first")
def listed(
    request: Request,
    scope: Reader,
    search: Text = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Page[CompanyView]:
    """Give a page; `search`: an id or part of a name."""
    place = read_cursor(cursor)
    with desk_of(request).database.app(scope) as tx:
        rows = crm.list_companies(scope, tx, search=search, limit=limit + 1, **place)
    return Page[CompanyView].model_validate(page_of(rows, limit, "created_at", "row_id"))


@router.get("/companies/{customer_uid}", summary="Get one customer")
def get(request: Request, response: Response, scope: Reader, customer_uid: str) -> CompanyView:
    """Give the customer; `ETag` is its version."""
    with desk_of(request).database.app(scope) as tx:
        row = crm.get_company(scope, tx, customer_uid)
    return answered(response, CompanyView, row)


@router.patch(
    "/companies/{customer_uid}",
    summary="Change name or address",
    responses=guarded(),
)
def change(
    request: Request,
    response: Response,
    scope: Writer,
    customer_uid: str,
    wanted: CompanyChange,
    if_match: IfMatch = None,
) -> CompanyView:
    """Change what the body names, if the customer still has the version of If-Match."""
    version = version_of(if_match, scope)
    by = acting_of(request, scope, wanted)
    with desk_of(request).database.app(scope) as tx:
        row = crm.update_company(scope, tx, customer_uid, version, wanted.name, wanted.address, by)
    return answered(response, CompanyView, row)
