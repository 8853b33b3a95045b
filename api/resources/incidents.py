"""Work on incidents: list, read, change with If-Match, note."""

import uuid
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import require
from api.desk import desk_of
from api.paging import CursorText, Limit, Page, Text, page_of, read_cursor
from api.problems import VersionMissing
from business import incidents
from storage.database.queries import select
from storage.errors import InvalidInput
from storage.schema.finding import Level
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
    finding_count: int
    version: int = Field(description="also the ETag; send it back as If-Match to change")


class FindingLine(BaseModel):
    """A finding of an incident, in short."""

    finding_id: str
    time: datetime
    title: str
    level: Level
    event_count: int


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
    response.headers["ETag"] = f'"{row["version"]}"'
    return IncidentDetail.model_validate({**row, "findings": found, "notes": notes})


@router.patch(
    "/incidents/{incident_id}",
    summary="Change status, assignee or verdict",
    responses={
        412: {"description": "Changed by somebody else"},
        428: {"description": "No If-Match"},
    },
)
def change(
    request: Request,
    response: Response,
    scope: Writer,
    incident_id: uuid.UUID,
    wanted: IncidentChange,
    if_match: Annotated[str | None, Header(max_length=40)] = None,
) -> IncidentView:
    """Change what the body names, if the incident still has the version of If-Match.

    412 when somebody was quicker: read it again and decide anew. 428 without If-Match.
    """
    version = _version(if_match)
    change = incidents.Change(wanted.status, wanted.verdict, wanted.assignee)
    with desk_of(request).database.app(scope) as tx:
        row = incidents.change(scope, tx, str(incident_id), change, version)
    response.headers["ETag"] = f'"{row["version"]}"'
    return IncidentView.model_validate(row)


@router.post("/incidents/{incident_id}/notes", summary="Add a note", status_code=201)
def add_note(request: Request, scope: Writer, incident_id: uuid.UUID, note: NewNote) -> NoteAdded:
    """Write a note; notes are never edited."""
    with desk_of(request).database.app(scope) as tx:
        note_id = incidents.add_note(scope, tx, str(incident_id), note.body)
    return NoteAdded(note_id=note_id)


def _version(if_match: str | None) -> int:
    if if_match is None:
        raise VersionMissing("send If-Match with the version you read, so that nothing is lost")
    digits = if_match.strip().removeprefix("W/").strip('"')
    if not digits.isascii() or not digits.isdigit() or len(digits) > 9:
        raise InvalidInput('If-Match must be the ETag of the incident, as in "3"')
    return int(digits)
