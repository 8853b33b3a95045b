"""Keep the things that are bought, stocked and sold."""

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
_GUARDED: Final = guarded("What is there does not allow it")


class ItemView(BaseModel):
    """A thing with its price and stock."""

    item_id: str
    name: str
    price_cents: int = Field(description="minor units of the currency")
    currency: str
    stock: int = Field(description="pieces")
    created_by: str
    created_at: datetime
    version: int = Field(description="also the ETag; send it back as If-Match to change")


class ItemMade(Stated):
    """An item to keep; the same request again gives the same one."""

    name: str = Field(min_length=1, max_length=200)
    price_cents: int = Field(ge=1, le=10**15, strict=True, description="minor units")
    currency: str = Field(pattern="^[A-Z]{3}$", description="ISO 4217")
    stock: int = Field(0, ge=0, le=10**15, strict=True, description="pieces")
    item_id: str = Field("", max_length=100, description="your own id; '' makes one")


class PriceChange(Stated):
    """The price from now on."""

    price_cents: int = Field(ge=1, le=10**15, strict=True, description="minor units")
    campaign: str = Field("", max_length=200, description="why, '' = none")


class StockChange(Stated):
    """What came or went."""

    change: int = Field(ge=-(10**15), le=10**15, strict=True, description="pieces, below 0 = gone")
    reason: str = Field(min_length=1, max_length=200)


@router.post(
    "/items",
    summary="Keep an item",
    status_code=201,
    responses={409: {"description": "The id is taken by another content"}},
)
def create(request: Request, response: Response, scope: Writer, new: ItemMade) -> ItemView:
    """Keep an item and tell the fact."""
    made = erp.NewItem(new.name, new.price_cents, new.currency, new.stock, new.item_id)
    by = acting_of(request, scope, new)
    with desk_of(request).database.app(scope) as tx:
        return answered(response, ItemView, erp.create_item(scope, tx, made, by))


@router.get("/items", summary="List items, newest first")
def listed(
    request: Request,
    scope: Reader,
    search: Text = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Page[ItemView]:
    """Give a page; `search`: an id or part of a name."""
    place = read_cursor(cursor)
    with desk_of(request).database.app(scope) as tx:
        rows = erp.list_items(scope, tx, search=search, limit=limit + 1, **place)
    return Page[ItemView].model_validate(page_of(rows, limit, "created_at", "row_id"))


@router.get("/items/{item_id}", summary="Get one item")
def get(request: Request, response: Response, scope: Reader, item_id: str) -> ItemView:
    """Give the item; `ETag` is its version."""
    with desk_of(request).database.app(scope) as tx:
        return answered(response, ItemView, erp.get_item(scope, tx, item_id))


@router.post("/items/{item_id}/price", summary="Change the price", responses=_GUARDED)
def change_price(
    request: Request,
    response: Response,
    scope: Writer,
    item_id: str,
    wanted: PriceChange,
    if_match: IfMatch = None,
) -> ItemView:
    """Set the price, if the item still has the version of If-Match."""
    version = version_of(if_match, scope)
    by = acting_of(request, scope, wanted)
    with desk_of(request).database.app(scope) as tx:
        row = erp.change_price(scope, tx, item_id, wanted.price_cents, version, wanted.campaign, by)
        return answered(response, ItemView, row)


@router.post("/items/{item_id}/stock", summary="Adjust the stock", responses=_GUARDED)
def adjust_stock(
    request: Request,
    response: Response,
    scope: Writer,
    item_id: str,
    wanted: StockChange,
    if_match: IfMatch = None,
) -> ItemView:
    """Add to the stock or take from it, if the item still has the version of If-Match."""
    version = version_of(if_match, scope)
    by = acting_of(request, scope, wanted)
    with desk_of(request).database.app(scope) as tx:
        row = erp.adjust_stock(scope, tx, item_id, wanted.change, version, wanted.reason, by)
        return answered(response, ItemView, row)
