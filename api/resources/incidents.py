"""Work on incidents: list, read, change with If-Match, note."""

import uuid
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import require
from api.desk import desk_of
from api.paging import CursorText, Limit, Page, Text, page_of, read_cursor
from api.versions import IfMatch, answered, guarded, read_version
from business import incidents
from storage.database.queries import select
from storage.schema.finding import Kind, Level
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["incidents"])
Reader = Annotated[Scope, require("incidents:read")]
Writer = Annotated[Scope, require("incidents:write")]
_MOST: Final = 500


class IncidentView(BaseModel):
    """People's work on a group of findings."""

    incident_id: str
    title: str
    level: Level
    status: incidents.Status
    verdict: incidents.Verdict | None
    assignee: str | None
    entity_type: str
    entity: str
    rule_id: str
    opened_at: datetime
    first_time: datetime
    last_time: datetime
    finding_count: int = Field(description="all claims: findings and signals")
    signal_count: int = Field(description="how many of them are signals")
    merged_into: str | None = Field(description="the incident that this one leads on to")
    version: int = Field(description="also the ETag; send it back as If-Match to change")


class FindingLine(BaseModel):
    """A finding of an incident, in short."""

    finding_id: str
    time: datetime
    title: str
    level: Level
    kind: Kind
    event_count: int


class ClaimLine(FindingLine):
    """A claim of an incident; `via`: the claim that drew it in, null if it spreads itself."""

    rule_id: str
    detector: str
    entity_type: str
    entity: str
    parts: list[str]
    via: str | None


class EntityLine(BaseModel):
    """Whom an incident is about."""

    entity_type: str
    entity: str
    claims: int
    first_time: datetime
    last_time: datetime
    is_accused: bool = Field(description="a high or critical finding is about it")
    is_core: bool = Field(description="it stands in a claim that draws others in")


class Timeline(BaseModel):
    """An incident's claims, oldest first, and whom they are about."""

    claims: list[ClaimLine]
    entities: list[EntityLine]


class NoteView(BaseModel):
    """What somebody wrote under an incident."""

    note_id: str
    at: datetime
    author: str
    body: str


class IncidentDetail(IncidentView):
    """An incident with its newest findings and its notes."""

    findings: list[FindingLine]
    notes: list[NoteView]


class IncidentChange(BaseModel):
    """What to change; a field left out stays, '' empties it."""

    model_config = ConfigDict(extra="forbid")
    status: incidents.Status | None = None
    verdict: incidents.Verdict | Literal[""] | None = None
    assignee: str | None = Field(None, max_length=incidents.LONGEST_NAME, pattern=r"^[^\x00]*$")


class NewNote(BaseModel):
    """A note to add."""

    model_config = ConfigDict(extra="forbid")
    body: str = Field(min_length=1, max_length=incidents.LONGEST_NOTE)


class NewIncident(BaseModel):
    """Findings to work on together, under a name."""

    model_config = ConfigDict(extra="forbid")
    title: str = Field(min_length=1, max_length=incidents.LONGEST_TITLE, pattern=r"^[^\x00]*$")
    finding_ids: list[uuid.UUID] = Field(min_length=1, max_length=incidents.MOST_BY_HAND)


class Merge(BaseModel):
    """The incident whose claims and notes move here."""

    model_config = ConfigDict(extra="forbid")
    from_id: uuid.UUID


class Unlink(BaseModel):
    """The finding or signal that does not belong here."""

    model_config = ConfigDict(extra="forbid")
    finding_id: uuid.UUID


class NoteAdded(BaseModel):
    """The id of the note that was added."""

    note_id: str


@router.get("/incidents", summary="List incidents, latest activity first")
def listed(
    request: Request,
    scope: Reader,
    status: Annotated[incidents.Status | None, Query()] = None,
    level: Annotated[Level | None, Query()] = None,
    assignee: Text = None,
    entity: Text = None,
    rule_id: Text = None,
    cursor: CursorText = None,
    limit: Limit = 50,
) -> Page[IncidentView]:
    """Give a page; filters are exact and combine by 'and'."""
    with desk_of(request).database.app(scope) as tx:
        rows = select(
            tx,
            "incidents_page",
            status=status,
            level=level,
            assignee=assignee,
            entity=entity,
            rule_id=rule_id,
            limit=limit + 1,
            **read_cursor(cursor),
        )
    return Page[IncidentView].model_validate(page_of(rows, limit, "last_time", "incident_id"))


@router.post("/incidents", summary="Open an incident of chosen findings", status_code=201)
def open_by_hand(request: Request, scope: Writer, new: NewIncident) -> IncidentView:
    """Gather the findings in one incident; the same choice again gives the same incident.

    They leave the incidents they are in; one left empty leads on to the new one.
    """
    chosen = [str(f) for f in new.finding_ids]
    with desk_of(request).database.app(scope) as tx:
        return IncidentView.model_validate(incidents.open_by_hand(scope, tx, new.title, chosen))


@router.get("/incidents/{incident_id}/timeline", summary="Get an incident's claims and entities")
def timeline(request: Request, scope: Reader, incident_id: uuid.UUID) -> Timeline:
    """Give the claims oldest first, at most 500, and the entities, the accused first."""
    which = str(incident_id)
    with desk_of(request).database.app(scope) as tx:
        incidents.get(scope, tx, which)
        claims = incidents.timeline(scope, tx, which, _MOST)
        named = incidents.entities(scope, tx, which)
    return Timeline.model_validate({"claims": claims, "entities": named})


@router.post("/incidents/{incident_id}/merge", summary="Merge another incident into this one")
def merge(request: Request, scope: Writer, incident_id: uuid.UUID, wanted: Merge) -> IncidentView:
    """Move claims and notes here; the other leads on to this one."""
    with desk_of(request).database.app(scope) as tx:
        row = incidents.merge(scope, tx, str(incident_id), str(wanted.from_id))
    return IncidentView.model_validate(row)


@router.post("/incidents/{incident_id}/unlink", summary="Take a finding out of an incident")
def unlink(request: Request, scope: Writer, incident_id: uuid.UUID, wanted: Unlink) -> IncidentView:
    """Take it out for good: it joins nothing by itself any more."""
    with desk_of(request).database.app(scope) as tx:
        row = incidents.unlink(scope, tx, str(incident_id), str(wanted.finding_id))
    return IncidentView.model_validate(row)


@router.get("/incidents/{incident_id}", summary="Get one incident with findings and notes")
def get(
    request: Request, response: Response, scope: Reader, incident_id: uuid.UUID
) -> IncidentDetail:
    """Give the incident; `ETag` is its version."""
    which = str(incident_id)
    with desk_of(request).database.app(scope) as tx:
        row = incidents.get(scope, tx, which)
        found = select(tx, "incident_findings_of", incident_id=which, limit=_MOST)
        notes = select(tx, "incident_notes_of", incident_id=which, limit=_MOST)
    return answered(response, IncidentDetail, row, findings=found, notes=notes)


@router.patch(
    "/incidents/{incident_id}",
    summary="Change status, assignee or verdict",
    responses=guarded(),
)
def change(
    request: Request,
    response: Response,
    scope: Writer,
    incident_id: uuid.UUID,
    wanted: IncidentChange,
    if_match: IfMatch = None,
) -> IncidentView:
    """Change what the body names, if the incident still has the version of If-Match.

    412 when somebody was quicker: read it again and decide anew. 428 without If-Match.
    """
    version = read_version(if_match)
    change = incidents.Change(wanted.status, wanted.verdict, wanted.assignee)
    with desk_of(request).database.app(scope) as tx:
        row = incidents.change(scope, tx, str(incident_id), change, version)
    return answered(response, IncidentView, row)


@router.post("/incidents/{incident_id}/notes", summary="Add a note", status_code=201)
def add_note(request: Request, scope: Writer, incident_id: uuid.UUID, note: NewNote) -> NoteAdded:
    """Write a note; notes are never edited."""
    with desk_of(request).database.app(scope) as tx:
        note_id = incidents.add_note(scope, tx, str(incident_id), note.body)
    return NoteAdded(note_id=note_id)
