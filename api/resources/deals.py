"""Keep deals: stage and discount."""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request, Response
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
_GUARDED: Final = guarded("The deal is won or lost")


class DealView(BaseModel):
    """What a customer is about to buy."""

    deal_uid: str
    customer_uid: str
    customer_name: str
    title: str
    amount_cents: int = Field(description="list price")
    currency: str
    stage: crm.Stage
    discount_percent: float
    campaign: str
    approved_by: str
    contact_mail: str
    created_by: str
    created_at: datetime
    version: int = Field(description="also the ETag; send it back as If-Match to change")


class DealMade(Stated):
    """A deal to open; the same request again gives the same one."""

    customer_uid: str = Field(min_length=1, max_length=100)
    amount_cents: int = Field(ge=1, le=10**15)
    currency: str = Field(pattern="^[A-Z]{3}$")
    title: str = Field("", max_length=200)
    contact_mail: str = Field("", max_length=254)
    stage: crm.Stage = "lead"
    deal_uid: str = Field("", max_length=100, description="your own id; '' makes one")


class StageChange(Stated):
    """Where the deal stands now."""

    stage: crm.Stage


class DiscountGiven(Stated):
    """What comes off the list price, under which campaign, and who else agreed."""

    discount_percent: float = Field(ge=0, le=100)
    campaign: str = Field("", max_length=200)
    approved_by: str = Field("", max_length=200)


@router.post(
    "/deals",
    summary="Open a deal",
    status_code=201,
    responses={409: {"description": "The id is taken by another content"}},
)
def create(request: Request, scope: Writer, new: DealMade) -> DealView:
    """Open a deal with a customer and tell the fact."""
    names = ("customer_uid", "amount_cents", "currency", "title", "contact_mail", "stage")
    made = crm.NewDeal(**{n: getattr(new, n) for n in names}, deal_uid=new.deal_uid)
    by = acting_of(request, scope, new)
    with desk_of(request).database.app(scope) as tx:
        return DealView.model_validate(crm.open_deal(scope, tx, made, by))


@router.get("/deals", summary="List deals, newest first")
def listed(
    request: Request,
    scope: Reader,
    customer_uid: Text = None,
    stage: Annotated[crm.Stage | None, Query()] = None,
    least_discount: Annotated[float | None, Query(ge=0, le=100)] = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Page[DealView]:
    """Give a page; filters combine by 'and'."""
    place = read_cursor(cursor)
    with desk_of(request).database.app(scope) as tx:
        rows = crm.list_deals(
            scope,
            tx,
            customer_uid=customer_uid,
            stage=stage,
            least_discount=least_discount,
            limit=limit + 1,
            **place,
        )
    return Page[DealView].model_validate(page_of(rows, limit, "created_at", "row_id"))


@router.get("/deals/{deal_uid}", summary="Get one deal")
def get(request: Request, response: Response, scope: Reader, deal_uid: str) -> DealView:
    """Give the deal; `ETag` is its version."""
    with desk_of(request).database.app(scope) as tx:
        row = crm.get_deal(scope, tx, deal_uid)
    return answered(response, DealView, row)


@router.post("/deals/{deal_uid}/stage", summary="Move a deal to another stage", responses=_GUARDED)
def move(
    request: Request,
    response: Response,
    scope: Writer,
    deal_uid: str,
    wanted: StageChange,
    if_match: IfMatch = None,
) -> DealView:
    """Move the deal, if it still has the version of If-Match."""
    version = version_of(if_match, scope)
    by = acting_of(request, scope, wanted)
    with desk_of(request).database.app(scope) as tx:
        row = crm.move_deal(scope, tx, deal_uid, wanted.stage, version, by)
    return answered(response, DealView, row)


@router.post("/deals/{deal_uid}/discount", summary="Give a discount", responses=_GUARDED)
def discount(
    request: Request,
    response: Response,
    scope: Writer,
    deal_uid: str,
    given: DiscountGiven,
    if_match: IfMatch = None,
) -> DealView:
    """Reduce the price, if the deal still has the version of If-Match."""
    version = version_of(if_match, scope)
    by = acting_of(request, scope, given)
    what = (given.discount_percent, version, given.campaign, given.approved_by)
    with desk_of(request).database.app(scope) as tx:
        row = crm.give_discount(scope, tx, deal_uid, *what, by)
    return answered(response, DealView, row)
