"""Keep deals: what a customer is about to buy, at which stage, at what reduction."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args

from business._conflict import Conflict
from business._event import Transaction
from business._fact import Acting, acting, checked_text, take_turn
from business.crm._words import (
    MODULE,
    Row,
    document_id,
    fingerprint,
    found,
    is_new_change,
    is_same_person,
    made_before,
    mail_address,
    moment,
    money,
    note,
    row_id,
    shown,
    tell,
)
from storage.database.queries import execute, select
from storage.errors import InvalidInput
from storage.tenant import Scope

Stage = Literal["lead", "qualified", "proposal", "negotiation", "won", "lost"]
STAGES: Final[tuple[str, ...]] = get_args(Stage)
ENDED: Final = frozenset({"won", "lost"})
_MOST_NAMED: Final = 1000


@dataclass(frozen=True, slots=True)
class NewDeal:
    """A deal to open. `deal_uid`: the client's own id, or '' for a new one."""

    customer_uid: str
    amount_cents: int
    currency: str
    title: str = ""
    contact_mail: str = ""
    stage: Stage = "lead"
    deal_uid: str = ""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Money at risk. `kind`: deal; `title`: the customer's name; the amount after the discount."""

    kind: str
    uid: str
    title: str
    amount_cents: int
    currency: str


def open_deal(scope: Scope, tx: Transaction, new: NewDeal, by: Acting | None = None) -> Row:
    """Open a deal with a customer; give it. The same request again gives the same deal.

    NotFound for an unknown customer, Conflict if the id is taken by another content.
    """
    scope.require("crm:write")
    by = by or acting(scope)
    uid = document_id("deal_uid", new.deal_uid)
    money(new.amount_cents, new.currency)
    title = checked_text("title", new.title, empty=True)
    mail = mail_address("contact_mail", new.contact_mail)
    stage = _stage(new.stage)
    made_from = fingerprint(
        new.customer_uid, new.amount_cents, new.currency, title, mail, new.stage
    )
    take_turn(tx, MODULE)
    if there := made_before(tx, "crm_deal_get", "deal", uid, made_from):
        return there
    found(tx, "crm_company_get", "company", new.customer_uid)
    execute(
        tx,
        "crm_deal_add",
        deal_uid=uid,
        row_id=row_id(),
        customer_uid=new.customer_uid,
        title=title,
        amount_cents=new.amount_cents,
        currency=new.currency,
        stage=stage,
        contact_mail=mail,
        created_by=by.name,
        at=moment(by.at_us),
        made_from=made_from,
    )
    after = _told(scope, tx, "Create", uid, by)
    note(scope, tx, "deal.create", uid, by, customer_uid=new.customer_uid)
    return after


def move_deal(
    scope: Scope,
    tx: Transaction,
    deal_uid: str,
    stage: str,
    version: int | None,
    by: Acting | None = None,
) -> Row:
    """Move a deal to another stage; Conflict once it is won or lost."""
    scope.require("crm:write")
    by = by or acting(scope)
    _stage(stage)
    take_turn(tx, MODULE)
    row = found(tx, "crm_deal_get", "deal", deal_uid)
    if not is_new_change(tx, row, ("deal", deal_uid, "stage"), version, by, stage):
        return shown(row)
    _check_open(row)
    execute(tx, "crm_deal_stage", uid=deal_uid, stage=stage)
    after = _told(scope, tx, "Stage Change", deal_uid, by)
    note(scope, tx, "deal.stage", deal_uid, by, stage=[row["stage"], stage])
    return after


def give_discount(
    scope: Scope,
    tx: Transaction,
    deal_uid: str,
    discount_percent: float,
    version: int | None,
    campaign: str = "",
    approved_by: str = "",
    by: Acting | None = None,
) -> Row:
    """Reduce the price of an open deal by 0 to 100 per cent, to two digits after the point.

    `campaign`: under which it is given; `approved_by`: another person than the one who acts.
    """
    scope.require("crm:write")
    by = by or acting(scope)
    percent = _percent(discount_percent)
    campaign = checked_text("campaign", campaign, empty=True)
    approved_by = checked_text("approved_by", approved_by, empty=True)
    if approved_by and is_same_person(approved_by, by.name):
        raise InvalidInput("approved_by must be another person than the one who acts")
    take_turn(tx, MODULE)
    row = found(tx, "crm_deal_get", "deal", deal_uid)
    given = (percent, campaign, approved_by)
    if not is_new_change(tx, row, ("deal", deal_uid, "discount"), version, by, *given):
        return shown(row)
    _check_open(row)
    execute(
        tx,
        "crm_deal_discount",
        uid=deal_uid,
        discount_percent=percent,
        campaign=campaign,
        approved_by=approved_by,
    )
    after = _told(scope, tx, "Discount", deal_uid, by)
    percents = [row["discount_percent"], percent]
    note(scope, tx, "deal.discount", deal_uid, by, percent=percents, approved_by=approved_by)
    return after


def get_deal(scope: Scope, tx: Transaction, deal_uid: str) -> Row:
    """Give one deal; NotFound if this tenant has none of that id."""
    scope.require("crm:read")
    return shown(found(tx, "crm_deal_get", "deal", deal_uid))


def list_deals(
    scope: Scope,
    tx: Transaction,
    *,
    customer_uid: str | None = None,
    stage: str | None = None,
    least_discount: float | None = None,
    before: object = None,
    before_id: str | None = None,
    limit: int = 50,
) -> list[Row]:
    """Give deals, newest first: of a customer, at a stage, with at least so much discount."""
    scope.require("crm:read")
    return select(
        tx,
        "crm_deals_page",
        customer_uid=customer_uid,
        stage=stage,
        least_discount=least_discount,
        before=before,
        before_id=before_id,
        limit=limit,
    )


def exposure(
    scope: Scope, tx: Transaction, entities: Sequence[tuple[str, str]], limit: int = 100
) -> list[Exposure]:
    """Give the open deals behind (type, name) pairs of customers and documents, largest first.

    Each deal once; entities of other types stand for no money. Needs `crm:read`.
    """
    scope.require("crm:read")
    customers = [name for kind, name in entities if kind == "customer"][:_MOST_NAMED]
    documents = [name for kind, name in entities if kind == "document"][:_MOST_NAMED]
    if not customers and not documents:
        return []
    rows: list[Row] = select(
        tx, "crm_exposure", customers=customers, documents=documents, limit=limit
    )
    return [
        Exposure("deal", r["deal_uid"], r["customer_name"], _net_cents(r), r["currency"])
        for r in rows
    ]


def _net_cents(row: Row) -> int:
    basis_points = 10_000 - round(float(row["discount_percent"]) * 100)
    return int(row["amount_cents"]) * basis_points // 10_000


def _stage(stage: str) -> str:
    if stage not in STAGES:
        raise InvalidInput(f"stage is one of {', '.join(STAGES)}")
    return stage


def _percent(given: float) -> float:
    if not math.isfinite(given) or not 0 <= given <= 100 or round(given, 2) != given:
        raise InvalidInput("discount_percent must be 0 to 100 with two digits after the point")
    return float(given)


def _check_open(row: Row) -> None:
    if row["stage"] in ENDED:
        raise Conflict(f"deal {row['deal_uid']} is {row['stage']}; open a new one")


def _told(scope: Scope, tx: Transaction, activity: str, uid: str, by: Acting) -> Row:
    row = get_deal(scope, tx, uid)
    tell(
        scope,
        tx,
        "deal",
        activity,
        uid,
        by,
        document__status=row["stage"],
        customer__uid=row["customer_uid"],
        customer__name=row["customer_name"],
        amount_cents=row["amount_cents"],
        currency=row["currency"],
        discount_percent=row["discount_percent"],
        user__name=row["created_by"],
        stage=row["stage"],
        campaign=row["campaign"],
        approved_by=row["approved_by"],
        contact_mail=row["contact_mail"],
    )
    return row
