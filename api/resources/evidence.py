"""Read what agents collected: facts, custody, the file itself."""

import base64
import uuid
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from api import evidence
from api.auth import require
from api.desk import desk_of
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1", tags=["agents"])
Reader = Annotated[Scope, require("evidence:read")]


class EvidenceView(BaseModel):
    """A collected file: where it is from, its size and SHA-256."""

    evidence_id: str
    agent_id: str
    host: str
    source: str
    size_bytes: int
    sha256: str
    collected_at: datetime
    received_at: datetime


class CustodyView(BaseModel):
    """One hand-over: who did what with it."""

    at: datetime
    actor: str
    what: str
    detail: dict[str, Any]


class EvidenceFull(EvidenceView):
    """A collected file with its chain of custody."""

    detail: dict[str, Any]
    custody: list[CustodyView]


class EvidenceList(BaseModel):
    """Collected files, the newest first, 500 at most."""

    items: list[EvidenceView]


@router.get("/evidence", summary="List collected files")
def listed(request: Request, scope: Reader) -> EvidenceList:
    """Give the tenant's evidence."""
    found = evidence.list_evidence(desk_of(request).database, scope)
    return EvidenceList.model_validate({"items": found})


@router.get("/evidence/{evidence_id}", summary="Read a collected file's custody")
def read(request: Request, scope: Reader, evidence_id: uuid.UUID) -> EvidenceFull:
    """Give its facts and who had it when."""
    found = evidence.evidence_of(desk_of(request).database, scope, str(evidence_id))
    return EvidenceFull.model_validate(found)


@router.get(
    "/evidence/{evidence_id}/content",
    summary="Take a collected file",
    response_class=Response,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
def content(request: Request, scope: Reader, evidence_id: uuid.UUID) -> Response:
    """Give the bytes as they came; it is written into its custody."""
    desk = desk_of(request)
    found, held = evidence.hand_out(desk.database, scope, str(evidence_id), desk.now())
    name = f'attachment; filename="{found["evidence_id"]}.bin"'
    digest = base64.b64encode(bytes.fromhex(found["sha256"])).decode()
    headers = {
        "Content-Disposition": name,
        "Content-Length": str(found["size_bytes"]),
        "Repr-Digest": f"sha-256=:{digest}:",
    }
    return StreamingResponse(held, media_type="application/octet-stream", headers=headers)
