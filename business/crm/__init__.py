"""Keep whom the company sells to: companies, contacts, deals, and what is exported of them.

Commands take a Scope and a transaction, write their rows, an audit entry and a fact, all or
nothing. Commands of one tenant run one after the other. The module listens to nothing yet.
"""

from typing import Final

from business._event import Event, Transaction
from business.crm._companies import (
    NewCompany,
    NewContact,
    create_company,
    create_contact,
    get_company,
    get_contact,
    list_companies,
    list_contacts,
    update_company,
    update_contact,
)
from business.crm._deals import (
    STAGES,
    Exposure,
    NewDeal,
    Stage,
    exposure,
    get_deal,
    give_discount,
    list_deals,
    move_deal,
    open_deal,
)
from business.crm._exports import (
    DocumentType,
    NewExport,
    export_contacts,
    export_records,
    list_exports,
)
from business.crm._topics import TELLS
from storage.tenant import Scope

TOPICS: Final[tuple[str, ...]] = ()


def handle(scope: Scope, tx: Transaction, event: Event) -> None:
    """Take nothing: the module listens to no topic."""
    del scope, tx, event


__all__ = [
    "STAGES",
    "TELLS",
    "TOPICS",
    "DocumentType",
    "Exposure",
    "NewCompany",
    "NewContact",
    "NewDeal",
    "NewExport",
    "Stage",
    "create_company",
    "create_contact",
    "export_contacts",
    "export_records",
    "exposure",
    "get_company",
    "get_contact",
    "get_deal",
    "give_discount",
    "handle",
    "list_companies",
    "list_contacts",
    "list_deals",
    "list_exports",
    "move_deal",
    "open_deal",
    "update_company",
    "update_contact",
]
