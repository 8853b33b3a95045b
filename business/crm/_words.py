"""Check what a command is given, tell its fact, and know a repeat of what was done before."""

import hashlib
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from business._conflict import Conflict, OldVersion
from business._event import Transaction
from business._fact import Acting, Fact, Value, announce, checked_text
from storage.audit import write_audit
from storage.database.queries import select
from storage.errors import InvalidInput, NotFound
from storage.identity import new_id
from storage.schema.entity import canonical
from storage.tenant import Scope

MODULE: Final = "crm"
Row = dict[str, Any]
MOST_CENTS: Final = 10**15
_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,99}")
_MAIL: Final = re.compile(r"[^\s@<>\"',;]{1,64}@[^\s@<>\"',;]{1,190}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")


def document_id(name: str, given: str) -> str:
    """Give the id that a client chose, or a new one for ''; InvalidInput for an odd one."""
    return known_id(name, given) if given else row_id()


def known_id(name: str, given: str) -> str:
    """Give the id of a document that is to be there already."""
    if not _ID.fullmatch(given):
        raise InvalidInput(f"{name} must be 1 to 100 of letters, digits and . _ : @ + -")
    return given


def row_id() -> str:
    """Give a new id that sorts by time."""
    return new_id(time.time_ns() // 1000)


def money(amount_cents: int, currency: str) -> None:
    """Pass for 1 to 10^15 minor units of a three-letter currency, else InvalidInput."""
    if type(amount_cents) is not int or not 1 <= amount_cents <= MOST_CENTS:
        raise InvalidInput(f"amount_cents must be a whole number of 1 to {MOST_CENTS} minor units")
    if not _CURRENCY.fullmatch(currency):
        raise InvalidInput(f"currency {currency[:10]!r} is not three capital letters (ISO 4217)")


def mail_address(name: str, text: str) -> str:
    """Give a mail address without blanks around it, or ''; InvalidInput for what is none.

    >>> mail_address("mail", " Ann@Bolt.example ")
    'Ann@Bolt.example'
    """
    kept = checked_text(name, text, 254, empty=True)
    if kept and not _MAIL.fullmatch(kept):
        raise InvalidInput(f"{name} must be one mail address, as in ann@bolt.example")
    return kept


def is_same_person(one: str, other: str) -> bool:
    """Answer whether two account names mean one person."""
    return canonical("user", one) == canonical("user", other)


def moment(at_us: int) -> datetime:
    """Give UTC µs as an aware datetime."""
    return datetime.fromtimestamp(at_us / 1_000_000, UTC)


def fingerprint(*parts: str | float | None) -> str:
    """Give what a repeat of the same request has in common with it."""
    return hashlib.blake2b(msgspec.json.encode(parts), digest_size=16).hexdigest()


def found(tx: Transaction, query: str, what: str, uid: str) -> Row:
    """Give the document's row; NotFound if this tenant has none of that id."""
    rows = select(tx, query, uid=known_id(f"{what} id", uid))
    if not rows:
        raise NotFound(f"{what} {uid} is not there")
    return rows[0]


def made_before(tx: Transaction, query: str, what: str, uid: str, made_from: str) -> Row | None:
    """Give the document if this request made it before; Conflict if another did."""
    rows = select(tx, query, uid=uid)
    if rows and rows[0]["made_from"] != made_from:
        raise Conflict(f"{what} {uid} is there already with another content")
    return shown(rows[0]) if rows else None


def is_new_change(
    tx: Transaction,
    row: Mapping[str, Any],
    place: tuple[str, str, str],
    version: int | None,
    by: Acting,
    *content: str | float,
) -> bool:
    """Mark the change; False if this very one was made before. OldVersion if another came first.

    `place`: document type, its id, verb. `version` None: an import, which tells changes apart by
    their moment and content.
    """
    document_type, uid, verb = place
    when = by.at_us if version is None else version
    person = canonical("user", by.name)[1]
    marked = select(
        tx,
        "crm_change_mark",
        document_type=document_type,
        document_uid=uid,
        command=fingerprint(verb, version is None, when, person, *content),
        verb=verb,
        by=by.name,
        at=moment(by.at_us),
    )
    if marked and version is not None and row["version"] != version:
        raise OldVersion(
            f"it is at version {row['version']}, not {version}; read it again and decide anew"
        )
    return bool(marked)


def tell(
    scope: Scope, tx: Transaction, kind: str, activity: str, uid: str, by: Acting, **data: Value
) -> None:
    """Leave the fact of a document; names of `data` have `__` for the dots of the schema."""
    columns = {name.replace("__", "."): value for name, value in data.items()}
    whole = {**by.columns(), "document.uid": uid, "document.type": kind, **columns}
    topic = "crm.export" if kind in {"contacts", "deals", "ledger"} else f"crm.{kind}"
    class_name = "record_export" if topic == "crm.export" else kind
    announce(
        scope, tx, MODULE, Fact(topic, class_name, activity, whole, uid), by.at_us, by.trace_id
    )


def note(
    scope: Scope, tx: Transaction, action: str, uid: str, by: Acting, **detail: object
) -> None:
    """Write the audit entry of a command."""
    write_audit(tx, scope, action, uid, detail=by.detail(**detail))


def shown(row: Mapping[str, Any]) -> Row:
    """Give the row without what only the commands need."""
    return {k: v for k, v in row.items() if k != "made_from"}
