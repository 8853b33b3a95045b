"""Gather findings and signals into incidents that people work on.

A finding of level high or critical opens an incident; what shares an entity with it within a day
joins it, and a correlation brings the parts it rests on. A closed incident stays closed: the next
finding opens a new one. How claims join: docs/decisions/009-incidents-join-by-entities.md.
"""

from typing import Final

from business._event import Event, Transaction
from business.incidents._claims import LEVELS, LONGEST_TITLE, claim_of, title_of
from business.incidents._join import WINDOW_S, incident_id_for, join
from business.incidents._work import (
    LONGEST_NAME,
    LONGEST_NOTE,
    MOST_BY_HAND,
    Change,
    Status,
    Verdict,
    VersionConflict,
    add_note,
    assign,
    change,
    entities,
    get,
    link,
    merge,
    open_by_hand,
    set_status,
    set_verdict,
    timeline,
    unlink,
    unmerge,
)
from storage.database.queries import select
from storage.outcome import MARK
from storage.tenant import Scope
from storage.wire.documents import Told

TOPICS: Final = ("findings", "signals")
TELLS: Final = (
    Told(
        "incidents",
        "incident",
        ("Judge",),
        ("document.status",),
        {"findings": "string"},
        ("document.status",),
    ),
)
"""Topics that the module's facts go to; `findings`: ids, one a line."""

__all__ = [
    "LEVELS",
    "LONGEST_NAME",
    "LONGEST_NOTE",
    "LONGEST_TITLE",
    "MOST_BY_HAND",
    "TELLS",
    "TOPICS",
    "WINDOW_S",
    "Change",
    "Status",
    "Verdict",
    "VersionConflict",
    "add_note",
    "assign",
    "change",
    "entities",
    "get",
    "handle",
    "incident_id_for",
    "link",
    "merge",
    "open_by_hand",
    "set_status",
    "set_verdict",
    "timeline",
    "title_of",
    "unlink",
    "unmerge",
]


def handle(scope: Scope, tx: Transaction, event: Event) -> None:
    """Put the claim into the incident it belongs to, or open one; a repeat changes nothing.

    Topic `signals` has copies of findings too, under the same id: whichever comes first counts. Its
    marks say how far a flow has read and are no claims.
    """
    if event.type == MARK:
        return
    claim = claim_of(event, scope.tenant_id)
    select(tx, "incident_lock")
    join(tx, scope.tenant_id, claim)
