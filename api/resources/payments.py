"""Propose, approve, pay, hold and release payments."""

import uuid
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.acting import Stated, acting_of, version_of
from api.auth import require
from api.desk import desk_of
from api.paging import CursorText, Limit, Page, Text, page_of, read_cursor
from api.versions import IfMatch, answered, guarded, read_version
from business import erp
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["erp"])
Reader = Annotated[Scope, require("erp:read")]
Writer = Annotated[Scope, require("erp:write")]
Releaser = Annotated[Scope, require("payments:release")]
Status = Literal["proposed", "approved", "held", "paid"]
_MOST: Final = 100
_GUARDED: Final = guarded("Where it stands does not allow it; the detail says what to wait for")


class PaymentView(BaseModel):
    """Money on its way to a vendor."""

    payment_id: str
    vendor_id: str
    vendor_name: str
    invoice_id: str | None
    amount_cents: int = Field(description="minor units of the currency")
    currency: str
    bank_account: str = Field(description="as the vendor had it when this was proposed")
    status: Status
    held_from: Literal["proposed", "approved"] | None = Field(
        description="on hold: where it goes back to"
    )
    created_by: str
    created_at: datetime
    approved_by: str
    approved_at: datetime | None
    paid_by: str
    paid_at: datetime | None
    version: int = Field(description="also the ETag; send it back as If-Match to change")


class HoldView(BaseModel):
    """Why a payment stands still, and who let it go on."""

    hold_id: str
    payment_id: str
    finding_id: str | None = Field(description="null: a person's own decision")
    level: str
    title: str
    reason: str
    placed_by: str
    placed_at: datetime
    released_by: str
    released_at: datetime | None
    release_note: str


class HoldLine(HoldView):
    """A hold with the payment that it is on."""

    vendor_id: str
    vendor_name: str
    amount_cents: int
    currency: str
    status: Status
    version: int = Field(description="of the payment")


class CauseView(BaseModel):
    """A finding in the chain that led to a hold; `is_part`: one that another rests on."""

    finding_id: str
    is_part: bool
    time: datetime
    title: str
    level: str
    entity_type: str
    entity: str


class PaymentDetail(PaymentView):
    """A payment with its holds, newest first, and the chain that caused them, in order of time."""

    holds: list[HoldView]
    chain: list[CauseView] = Field(description="empty for who may not read findings")


class PaymentMade(Stated):
    """A payment to propose; the same request again gives the same one."""

    invoice_id: str = Field("", max_length=100, description="or vendor_id with an amount")
    vendor_id: str = Field("", max_length=100)
    amount_cents: int | None = Field(
        None, ge=1, le=10**15, strict=True, description="minor units; what is left of the invoice"
    )
    currency: str = Field("", pattern="^([A-Z]{3})?$", description="ISO 4217; the invoice's")
    payment_id: str = Field("", max_length=100, description="your own id; '' makes one")


class NewHold(Stated):
    """Why to hold it."""

    reason: str = Field(min_length=1, max_length=1000)


class NewRelease(BaseModel):
    """Why it may go on."""

    model_config = ConfigDict(extra="forbid")
    note: str = Field(min_length=1, max_length=2000)
    clears_warnings: bool = Field(
        False, description="the findings that held it hold no later payments either"
    )


@router.post(
    "/payments",
    summary="Propose a payment",
    status_code=201,
    responses={409: {"description": "The id is taken, or more than is left of the invoice"}},
)
def create(request: Request, response: Response, scope: Writer, new: PaymentMade) -> PaymentView:
    """Propose a payment and tell the fact. It may be on hold from its birth."""
    made = erp.NewPayment(
        new.invoice_id, new.vendor_id, new.amount_cents, new.currency, new.payment_id
    )
    by = acting_of(request, scope, new)
    with desk_of(request).database.app(scope) as tx:
        return answered(response, PaymentView, erp.propose_payment(scope, tx, made, by))


@router.get("/payments", summary="List payments, newest first")
def listed(
    request: Request,
    scope: Reader,
    status: Annotated[Status | None, Query()] = None,
    vendor_id: Text = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Page[PaymentView]:
    """Give a page; filters are exact and combine by 'and'."""
    place = read_cursor(cursor)
    with desk_of(request).database.app(scope) as tx:
        rows = erp.list_payments(
            scope, tx, status=status, vendor_id=vendor_id, limit=limit + 1, **place
        )
    return Page[PaymentView].model_validate(page_of(rows, limit, "created_at", "row_id"))


@router.get("/payments/{payment_id}", summary="Get one payment with its holds and their causes")
def get(request: Request, response: Response, scope: Reader, payment_id: str) -> PaymentDetail:
    """Give the payment; `ETag` is its version."""
    with desk_of(request).database.app(scope) as tx:
        row = erp.get_payment(scope, tx, payment_id)
        holds = erp.list_holds(scope, tx, payment_id=payment_id, limit=_MOST)
        may = scope.may("findings:read")
        chain = erp.chain_of_hold(scope, tx, payment_id) if may else []
    return answered(response, PaymentDetail, row, holds=holds, chain=chain)


@router.post("/payments/{payment_id}/approve", summary="Approve a payment", responses=_GUARDED)
def approve(
    request: Request,
    response: Response,
    scope: Writer,
    payment_id: str,
    stated: Stated,
    if_match: IfMatch = None,
) -> PaymentView:
    """Approve it, if it still has the version of If-Match and is not on hold."""
    version = version_of(if_match, scope)
    by = acting_of(request, scope, stated)
    desk = desk_of(request)
    policy = erp.Policy.of(desk.settings)
    with desk.database.app(scope) as tx:
        row = erp.approve_payment(scope, tx, payment_id, version, by, policy)
        return answered(response, PaymentView, row)


@router.post("/payments/{payment_id}/pay", summary="Pay a payment", responses=_GUARDED)
def pay(
    request: Request,
    response: Response,
    scope: Writer,
    payment_id: str,
    stated: Stated,
    if_match: IfMatch = None,
) -> PaymentView:
    """Pay it, once it is approved and the flows have looked at it; 409 says what to wait for."""
    version = version_of(if_match, scope)
    by = acting_of(request, scope, stated)
    desk = desk_of(request)
    policy = erp.Policy.of(desk.settings)
    with desk.database.app(scope) as tx:
        row = erp.pay_payment(scope, tx, payment_id, version, by, policy)
        return answered(response, PaymentView, row)


@router.post("/payments/{payment_id}/hold", summary="Put a payment on hold", responses=_GUARDED)
def hold(
    request: Request,
    response: Response,
    scope: Writer,
    payment_id: str,
    wanted: NewHold,
    if_match: IfMatch = None,
) -> PaymentView:
    """Hold it by a person's own decision; another person must release it."""
    version = version_of(if_match, scope)
    by = acting_of(request, scope, wanted)
    with desk_of(request).database.app(scope) as tx:
        row = erp.hold_payment(scope, tx, payment_id, wanted.reason, version, by)
        return answered(response, PaymentView, row)


@router.post("/payments/{payment_id}/release", summary="Release a payment", responses=_GUARDED)
def release(
    request: Request,
    response: Response,
    scope: Releaser,
    payment_id: str,
    wanted: NewRelease,
    if_match: IfMatch = None,
) -> PaymentView:
    """Let it go on. Only a signed-in person who had no hand in it; 403 for anybody else."""
    version = read_version(if_match)
    row = erp.try_release(
        desk_of(request).database,
        scope,
        payment_id,
        wanted.note,
        version,
        clears_warnings=wanted.clears_warnings,
        by=acting_of(request, scope, Stated.model_validate({})),
    )
    return answered(response, PaymentView, row)


@router.get("/holds", summary="List holds on payments, newest first")
def holds(
    request: Request,
    scope: Reader,
    standing: Annotated[bool, Query(description="only those not released")] = False,
    payment_id: Text = None,
    finding_id: Annotated[uuid.UUID | None, Query()] = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Page[HoldLine]:
    """Give a page; filters are exact and combine by 'and'."""
    place = read_cursor(cursor)
    with desk_of(request).database.app(scope) as tx:
        rows = erp.list_holds(
            scope,
            tx,
            standing=standing,
            payment_id=payment_id,
            finding_id=None if finding_id is None else str(finding_id),
            limit=limit + 1,
            **place,
        )
    return Page[HoldLine].model_validate(page_of(rows, limit, "placed_at", "hold_id"))
