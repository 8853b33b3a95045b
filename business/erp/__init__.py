"""Keep what the company buys and pays: vendors, invoices, payments with their holds, items.

Commands take a Scope and a transaction, write their rows, an audit entry and a fact, all or
nothing. Commands of one tenant run one after the other. A finding puts payments on hold; another
person releases them.
"""

from typing import Final

from business._event import Event, Transaction
from business.erp._exposure import Exposure, exposure
from business.erp._holds import (
    ReleaseRefused,
    chain_of_hold,
    hear_finding,
    hold_payment,
    list_holds,
    note_refusal,
    release_payment,
    try_release,
)
from business.erp._invoices import (
    NewInvoice,
    approve_invoice,
    get_invoice,
    list_invoices,
    post_invoice,
)
from business.erp._items import (
    NewItem,
    adjust_stock,
    change_price,
    create_item,
    get_item,
    list_items,
)
from business.erp._payments import (
    NewPayment,
    approve_payment,
    get_payment,
    list_payments,
    pay_payment,
    propose_payment,
)
from business.erp._topics import TELLS
from business.erp._vendors import (
    NewVendor,
    change_bank_account,
    create_vendor,
    get_vendor,
    list_vendors,
    update_vendor,
)
from business.erp._words import Confirmation, Policy
from storage.tenant import Scope

TOPICS: Final = ("findings",)


def handle(scope: Scope, tx: Transaction, event: Event) -> None:
    """Hold the payments that a grave finding is about; a repeat changes nothing."""
    hear_finding(scope, tx, event)


__all__ = [
    "TELLS",
    "TOPICS",
    "Confirmation",
    "Exposure",
    "NewInvoice",
    "NewItem",
    "NewPayment",
    "NewVendor",
    "Policy",
    "ReleaseRefused",
    "adjust_stock",
    "approve_invoice",
    "approve_payment",
    "chain_of_hold",
    "change_bank_account",
    "change_price",
    "create_item",
    "create_vendor",
    "exposure",
    "get_invoice",
    "get_item",
    "get_payment",
    "get_vendor",
    "handle",
    "hold_payment",
    "list_holds",
    "list_invoices",
    "list_items",
    "list_payments",
    "list_vendors",
    "note_refusal",
    "pay_payment",
    "post_invoice",
    "propose_payment",
    "release_payment",
    "try_release",
    "update_vendor",
]
