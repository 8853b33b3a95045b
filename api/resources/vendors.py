"""Keep vendors: who is paid, and to which account."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field

from api.acting import Stated, acting_of, version_of
from api.auth import require
from api.desk import desk_of
from api.paging import CursorText, Limit, Page, Text, page_of, read_cursor
from api.versions import IfMatch, answered, guarded
from business import erp
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["erp"])
Reader = Annotated[Scope, require("erp:read")]
Writer = Annotated[Scope, require("erp:write")]
_GUARDED: Final = guarded("A later change is there already")


class VendorView(BaseModel):
    """A vendor."""

    vendor_id: str
    name: str
    address: str
    domain: str = Field(description="where it writes from; held against feeds of indicators")
    bank_account: str
    previous_bank_account: str = Field(description="'' if it never changed")
    bank_changed_by: str
    bank_changed_at: datetime | None
    confirmation: erp.Confirmation = Field(description="how the account was checked")
    confirmed_by: str
    created_by: str
    created_at: datetime
    version: int = Field(description="also the ETag; send it back as If-Match to change")
    held: int | None = Field(None, description="in lists: payments on hold")


class VendorMade(Stated):
    """A vendor to keep; the same request again gives the same one."""

    name: str = Field(min_length=1, max_length=200)
    bank_account: str = Field(min_length=4, max_length=100)
    address: str = Field("", max_length=500)
    vendor_id: str = Field("", max_length=100, description="your own id; '' makes one")
    confirmation: erp.Confirmation = "none"
    confirmed_by: str = Field("", max_length=200)
    domain: str = Field("", max_length=253, description="where it writes from: vendor.example")


class VendorChange(Stated):
    """What to change; a field left out stays."""

    name: str | None = Field(None, min_length=1, max_length=200)
    address: str | None = Field(None, max_length=500)
    domain: str | None = Field(None, max_length=253)


class BankChange(Stated):
    """The account that the vendor is paid to from now on."""

    bank_account: str = Field(min_length=4, max_length=100)
    confirmation: erp.Confirmation = Field("none", description="how it was checked with the vendor")
    confirmed_by: str = Field("", max_length=200, description="another person than who changes it")


@router.post(
    "/vendors",
    summary="Keep a vendor",
    status_code=201,
    responses={409: {"description": "The id is taken by another content"}},
)
def create(request: Request, response: Response, scope: Writer, new: VendorMade) -> VendorView:
    """Keep a vendor and tell the fact."""
    made = erp.NewVendor(
        new.name,
        new.bank_account,
        new.address,
        new.vendor_id,
        new.confirmation,
        new.confirmed_by,
        new.domain,
    )
    by = acting_of(request, scope, new)
    with desk_of(request).database.app(scope) as tx:
        return answered(response, VendorView, erp.create_vendor(scope, tx, made, by))


@router.get("/vendors", summary="List vendors, newest first")
def listed(
    request: Request,
    scope: Reader,
    search: Text = None,
    bank_account: Text = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Page[VendorView]:
    """Give a page; `search`: an id or part of a name; `bank_account`: who is paid to it."""
    place = read_cursor(cursor)
    with desk_of(request).database.app(scope) as tx:
        rows = erp.list_vendors(
            scope, tx, search=search, bank_account=bank_account, limit=limit + 1, **place
        )
    return Page[VendorView].model_validate(page_of(rows, limit, "created_at", "row_id"))


@router.get("/vendors/{vendor_id}", summary="Get one vendor")
def get(request: Request, response: Response, scope: Reader, vendor_id: str) -> VendorView:
    """Give the vendor; `ETag` is its version."""
    with desk_of(request).database.app(scope) as tx:
        return answered(response, VendorView, erp.get_vendor(scope, tx, vendor_id))


@router.patch("/vendors/{vendor_id}", summary="Change name, address or domain", responses=_GUARDED)
def change(
    request: Request,
    response: Response,
    scope: Writer,
    vendor_id: str,
    wanted: VendorChange,
    if_match: IfMatch = None,
) -> VendorView:
    """Change what the body names, if the vendor still has the version of If-Match."""
    version = version_of(if_match, scope)
    by = acting_of(request, scope, wanted)
    with desk_of(request).database.app(scope) as tx:
        row = erp.update_vendor(
            scope, tx, vendor_id, version, wanted.name, wanted.address, by, wanted.domain
        )
        return answered(response, VendorView, row)


@router.post(
    "/vendors/{vendor_id}/bank-account", summary="Change the account paid to", responses=_GUARDED
)
def change_bank_account(
    request: Request,
    response: Response,
    scope: Writer,
    vendor_id: str,
    wanted: BankChange,
    if_match: IfMatch = None,
) -> VendorView:
    """Pay the vendor elsewhere from now on; payments proposed already keep their account."""
    version = version_of(if_match, scope)
    by = acting_of(request, scope, wanted)
    how = wanted.confirmation, wanted.confirmed_by
    with desk_of(request).database.app(scope) as tx:
        row = erp.change_bank_account(
            scope, tx, vendor_id, wanted.bank_account, version, *how, by=by
        )
        return answered(response, VendorView, row)
