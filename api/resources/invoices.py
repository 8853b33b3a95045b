"""Post and approve the invoices of vendors."""

from datetime import date, datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request, Response
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
Status = Literal["issued", "approved"]


class InvoiceView(BaseModel):
    """What a vendor asks for; it does not change once it is issued."""

    invoice_id: str
    vendor_id: str
    vendor_name: str
    amount_cents: int = Field(description="minor units of the currency")
    currency: str
    due: date | None
    status: Status
    created_by: str
    created_at: datetime
    approved_by: str
    approved_at: datetime | None
    version: int = Field(description="also the ETag; send it back as If-Match to change")


class InvoiceMade(Stated):
    """An invoice to post; the same request again gives the same one."""

    vendor_id: str = Field(min_length=1, max_length=100)
    amount_cents: int = Field(ge=1, le=10**15, strict=True, description="minor units")
    currency: str = Field(pattern="^[A-Z]{3}$", description="ISO 4217")
    due: date | None = None
    invoice_id: str = Field("", max_length=100, description="your own id; '' makes one")


@router.post(
    "/invoices",
    summary="Post an invoice",
    status_code=201,
    responses={409: {"description": "The id is taken by another content"}},
)
def create(request: Request, response: Response, scope: Writer, new: InvoiceMade) -> InvoiceView:
    """Enter an invoice as issued and tell the fact. No route edits it afterwards."""
    made = erp.NewInvoice(new.vendor_id, new.amount_cents, new.currency, new.due, new.invoice_id)
    by = acting_of(request, scope, new)
    with desk_of(request).database.app(scope) as tx:
        return answered(response, InvoiceView, erp.post_invoice(scope, tx, made, by))


@router.get("/invoices", summary="List invoices, newest first")
def listed(
    request: Request,
    scope: Reader,
    vendor_id: Text = None,
    status: Annotated[Status | None, Query()] = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Page[InvoiceView]:
    """Give a page; filters are exact and combine by 'and'."""
    place = read_cursor(cursor)
    with desk_of(request).database.app(scope) as tx:
        rows = erp.list_invoices(
            scope, tx, vendor_id=vendor_id, status=status, limit=limit + 1, **place
        )
    return Page[InvoiceView].model_validate(page_of(rows, limit, "created_at", "row_id"))


@router.get("/invoices/{invoice_id}", summary="Get one invoice")
def get(request: Request, response: Response, scope: Reader, invoice_id: str) -> InvoiceView:
    """Give the invoice; `ETag` is its version."""
    with desk_of(request).database.app(scope) as tx:
        return answered(response, InvoiceView, erp.get_invoice(scope, tx, invoice_id))


@router.post(
    "/invoices/{invoice_id}/approve",
    summary="Approve an invoice",
    responses=guarded("Approved already, or its maker may not approve it"),
)
def approve(
    request: Request,
    response: Response,
    scope: Writer,
    invoice_id: str,
    stated: Stated,
    if_match: IfMatch = None,
) -> InvoiceView:
    """Approve it, if it still has the version of If-Match."""
    version = version_of(if_match, scope)
    by = acting_of(request, scope, stated)
    desk = desk_of(request)
    policy = erp.Policy.of(desk.settings)
    with desk.database.app(scope) as tx:
        row = erp.approve_invoice(scope, tx, invoice_id, version, by, policy)
        return answered(response, InvoiceView, row)
