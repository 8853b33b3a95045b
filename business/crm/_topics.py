"""Say which facts of customers go to which topic, and what each holds."""

from typing import Final

from storage.wire.documents import Told

_CUSTOMER: Final = ("document.type", "customer.uid", "customer.name")
TELLS: Final = (
    Told(
        "crm.company",
        "company",
        ("Create", "Update"),
        _CUSTOMER,
        {"address": "string"},
        ("customer.uid",),
    ),
    Told(
        "crm.contact",
        "contact",
        ("Create", "Update"),
        _CUSTOMER,
        {"mail": "string", "contact_name": "string"},
        ("customer.uid",),
    ),
    Told(
        "crm.deal",
        "deal",
        ("Create", "Stage Change", "Discount"),
        (
            *(*_CUSTOMER, "document.status", "amount_cents", "currency", "discount_percent"),
            "user.name",
        ),
        {
            "stage": "string",
            "campaign": "string",
            "approved_by": "string",
            "contact_mail": "string",
        },
        ("customer.uid", "document.status", "amount_cents", "currency"),
    ),
    Told(
        "crm.export",
        "record_export",
        ("Export",),
        ("document.type", "record_count"),
        {"report": "string"},
        ("record_count",),
    ),
)
