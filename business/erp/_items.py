"""Keep the things that are bought, stocked and sold: price and stock."""

import time
from dataclasses import dataclass

from business._conflict import Conflict
from business._event import Transaction
from business._fact import Acting, Fact, Value, acting, announce, checked_text, take_turn
from business.erp._words import (
    MODULE,
    MOST_CENTS,
    Row,
    command_of,
    document_id,
    fingerprint,
    is_repeat,
    known_id,
    moment,
    money,
    shown,
)
from storage.audit import write_audit
from storage.database.queries import select
from storage.errors import InvalidInput, NotFound
from storage.identity import new_id
from storage.tenant import Scope


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item to keep; `price_cents` in minor units of `currency`, `stock` in pieces."""

    name: str
    price_cents: int
    currency: str
    stock: int = 0
    item_id: str = ""


def create_item(scope: Scope, tx: Transaction, new: NewItem, by: Acting | None = None) -> Row:
    """Keep a new item; give it. The same request again gives the same item."""
    scope.require("erp:write")
    by = by or acting(scope)
    item_id = document_id("item_id", new.item_id)
    name = checked_text("name", new.name)
    money(new.price_cents, new.currency)
    _pieces("stock", new.stock, least=0)
    made_from = fingerprint(name, new.price_cents, new.currency, new.stock)
    take_turn(tx, MODULE)
    found = select(tx, "erp_item_get", item_id=item_id)
    if is_repeat(found[0] if found else None, made_from, f"item {item_id}"):
        return shown(found[0])
    (row,) = select(
        tx,
        "erp_item_add",
        item_id=item_id,
        row_id=new_id(time.time_ns() // 1000),
        name=name,
        price_cents=new.price_cents,
        currency=new.currency,
        stock=new.stock,
        created_by=by.name,
        at=moment(by.at_us),
        made_from=made_from,
    )
    _tell(scope, tx, "Create", row, by)
    detail = by.detail(name=name, price_cents=new.price_cents, currency=new.currency)
    write_audit(tx, scope, "item.create", item_id, detail=detail)
    return row


def change_price(
    scope: Scope,
    tx: Transaction,
    item_id: str,
    price_cents: int,
    version: int | None,
    campaign: str = "",
    by: Acting | None = None,
) -> Row:
    """Set the price of an item that still stands at `version`; `campaign` says why, '' = none."""
    scope.require("erp:write")
    by = by or acting(scope)
    campaign = checked_text("campaign", campaign, empty=True)
    take_turn(tx, MODULE)
    row = _found(tx, item_id)
    money(price_cents, str(row["currency"]))
    command = command_of(scope, row, "price", version, by, price_cents, campaign)
    if command is None:
        return shown(row)
    after = _changed(tx, row, price_cents, int(row["stock"]), command, by)
    more: dict[str, Value] = {"previous_cents": row["price_cents"], "campaign": campaign}
    _tell(scope, tx, "Price Change", after, by, **more)
    prices = [row["price_cents"], price_cents]
    detail = by.detail(price_cents=prices, campaign=campaign)
    write_audit(tx, scope, "item.price_change", item_id, detail=detail)
    return after


def adjust_stock(
    scope: Scope,
    tx: Transaction,
    item_id: str,
    change: int,
    version: int | None,
    reason: str,
    by: Acting | None = None,
) -> Row:
    """Add to the stock of an item that still stands at `version` (take, if below 0).

    `reason` is required; Conflict if the stock would be below 0.
    """
    scope.require("erp:write")
    by = by or acting(scope)
    reason = checked_text("reason", reason)
    _pieces("change", change, least=-MOST_CENTS)
    take_turn(tx, MODULE)
    row = _found(tx, item_id)
    command = command_of(scope, row, "stock", version, by, change, reason)
    if command is None:
        return shown(row)
    stock = int(row["stock"]) + change
    if not 0 <= stock <= MOST_CENTS:
        raise Conflict(f"item {item_id} has {row['stock']} in stock, which does not allow {change}")
    after = _changed(tx, row, int(row["price_cents"]), stock, command, by)
    _tell(scope, tx, "Stock Adjust", after, by, change=change, reason=reason)
    write_audit(
        tx, scope, "item.stock_adjust", item_id, detail=by.detail(change=change, reason=reason)
    )
    return after


def list_items(
    scope: Scope,
    tx: Transaction,
    *,
    search: str | None = None,
    before: object = None,
    before_id: str | None = None,
    limit: int = 50,
) -> list[Row]:
    """Give items, newest first. `before`, `before_id`: created_at and row_id of the last row."""
    scope.require("erp:read")
    return select(
        tx, "erp_items_page", search=search, before=before, before_id=before_id, limit=limit
    )


def get_item(scope: Scope, tx: Transaction, item_id: str) -> Row:
    """Give one item; NotFound if this tenant has none of that id."""
    scope.require("erp:read")
    return shown(_found(tx, item_id))


def _found(tx: Transaction, item_id: str) -> Row:
    rows = select(tx, "erp_item_get", item_id=known_id("item_id", item_id))
    if not rows:
        raise NotFound(f"item {item_id} is not there")
    return rows[0]


def _pieces(name: str, number: int, least: int) -> None:
    if type(number) is not int or not least <= number <= MOST_CENTS:
        raise InvalidInput(f"{name} must be a whole number of {least} to {MOST_CENTS}")


def _changed(
    tx: Transaction, row: Row, price_cents: int, stock: int, command: str, by: Acting
) -> Row:
    (after,) = select(
        tx,
        "erp_item_change",
        item_id=row["item_id"],
        price_cents=price_cents,
        stock=stock,
        at=moment(by.at_us),
        command=command,
    )
    return after


def _tell(
    scope: Scope, tx: Transaction, activity: str, row: Row, by: Acting, **more: Value
) -> None:
    uid = str(row["item_id"])
    data: dict[str, Value] = {
        **by.columns(),
        "document.uid": uid,
        "document.type": "item",
        "item.uid": uid,
        "item.name": row["name"],
        "amount_cents": row["price_cents"],
        "currency": row["currency"],
        "stock": row["stock"],
        **more,
    }
    fact = Fact("erp.item", "item", activity, data, uid)
    announce(scope, tx, MODULE, fact, by.at_us, by.trace_id)
