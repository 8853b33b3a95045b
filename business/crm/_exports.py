"""Take records out of the CRM, and leave word of it."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

from business._event import Transaction
from business._fact import IMPORT, Acting, acting, checked_text, take_turn
from business.crm._words import (
    MODULE,
    Row,
    document_id,
    fingerprint,
    made_before,
    moment,
    note,
    row_id,
    tell,
)
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotAllowed
from storage.tenant import Scope

DocumentType = Literal["contacts", "deals", "ledger"]
_TYPES: Final = get_args(DocumentType)
_MOST: Final = 10**9


@dataclass(frozen=True, slots=True)
class NewExport:
    """What is taken out. `report`: for which report; `export_uid`: the client's own id or ''.

    `record_count`: how many another system gave out; None counts what this one has.
    """

    document_type: DocumentType = "contacts"
    report: str = ""
    export_uid: str = ""
    record_count: int | None = None


def export_records(scope: Scope, tx: Transaction, new: NewExport, by: Acting | None = None) -> Row:
    """Count what is taken out and leave a record_export fact; give the export.

    The same request again gives the same export. `record_count` may be stated only with the grant
    `facts:import`; of the ledger it must be.
    """
    scope.require("crm:read")
    if new.document_type not in _TYPES:
        raise InvalidInput(f"document_type is one of {', '.join(_TYPES)}")
    # A person may take records out, but not say how many: only another system's bridge.
    may_state = scope.may(IMPORT) and scope.actor.kind != "user"
    if new.record_count is not None and not may_state:
        raise NotAllowed(f"{scope.actor.name} may not state record_count; it is counted")
    if new.record_count is None and new.document_type == "ledger":
        raise InvalidInput("the ledger is not kept here; state record_count")
    if not 0 <= (new.record_count or 0) <= _MOST:
        raise InvalidInput(f"record_count must be 0 to {_MOST}")
    by = by or acting(scope)
    uid = document_id("export_uid", new.export_uid)
    report = checked_text("report", new.report, empty=True)
    made_from = fingerprint(new.document_type, report, new.record_count, by.name)
    take_turn(tx, MODULE)
    if there := made_before(tx, "crm_export_get", "export", uid, made_from):
        return there
    records = new.record_count
    if records is None:
        records = int(str(select(tx, "crm_count", document_type=new.document_type)[0]["records"]))
    execute(
        tx,
        "crm_export_add",
        export_uid=uid,
        row_id=row_id(),
        document_type=new.document_type,
        record_count=records,
        report=report,
        created_by=by.name,
        at=moment(by.at_us),
        made_from=made_from,
    )
    tell(scope, tx, new.document_type, "Export", uid, by, record_count=records, report=report)
    note(scope, tx, "records.export", uid, by, document_type=new.document_type, records=records)
    return {k: v for k, v in select(tx, "crm_export_get", uid=uid)[0].items() if k != "made_from"}


def export_contacts(
    scope: Scope, tx: Transaction, report: str = "", by: Acting | None = None
) -> int:
    """Take all contacts out; give how many there are."""
    return int(export_records(scope, tx, NewExport("contacts", report), by)["record_count"])


def list_exports(
    scope: Scope,
    tx: Transaction,
    *,
    before: object = None,
    before_id: str | None = None,
    limit: int = 50,
) -> list[Row]:
    """Give exports, newest first: who took how many records out, when and for what."""
    scope.require("crm:read")
    return select(tx, "crm_exports_page", before=before, before_id=before_id, limit=limit)
