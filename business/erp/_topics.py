"""Say which facts of the books go to which topic, and what each holds."""

from typing import Final

from storage.wire.documents import Told

_DOCUMENT: Final = ("document.type", "document.status")
_VENDOR: Final = ("vendor.uid", "vendor.name", "vendor.bank_account")
_MONEY: Final = ("amount_cents", "currency")
TELLS: Final = (
    Told(
        "erp.vendor",
        "vendor",
        ("Create", "Update", "Bank Change"),
        ("document.type", *_VENDOR),
        {
            "address": "string",
            "domain": "string",
            "confirmation": "string",
            "confirmed_by": "string",
            "previous_bank_account": "string",
        },
        ("vendor.uid",),
    ),
    Told(
        "erp.invoice",
        "invoice",
        ("Issue", "Approve"),
        (*_DOCUMENT, *_VENDOR, *_MONEY, "user.name"),
        {"due": "string"},
        ("document.status", "vendor.uid", *_MONEY),
    ),
    Told(
        "erp.payment",
        "payment",
        ("Create", "Approve", "Hold", "Release", "Pay"),
        (*_DOCUMENT, *_VENDOR, *_MONEY, "user.name", "status_id", "status_detail"),
        {"invoice_uid": "string", "reason": "string", "finding_id": "string", "note": "string"},
        ("document.status", "vendor.uid", *_MONEY),
    ),
    Told(
        "erp.item",
        "item",
        ("Create", "Price Change", "Stock Adjust"),
        ("document.type", "item.uid", "item.name", *_MONEY),
        {
            "stock": "integer",
            "change": "integer",
            "reason": "string",
            "previous_cents": "integer",
            "campaign": "string",
        },
        ("item.uid", *_MONEY),
    ),
)
