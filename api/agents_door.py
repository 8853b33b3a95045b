"""Be the agents' own door: enrol by token; renew, beat and send events by certificate.

Served by a listener that asks for a client certificate and puts what it verified into the scope as
the ASGI TLS extension says (`extensions.tls.client_cert_chain`).
"""

from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Asgi

from api import agent_packages, agent_updates, agents_beat
from api.app import INGEST_PATH, audit_refusal
from api.auth.agents import OLD_PAPERS, Peer, agent_scope
from api.auth.gate import require
from api.authority import LONGEST_REQUEST, Authority
from api.desk import Desk, desk_of
from api.door import Door
from api.enrolment import Host, Issued, enrol, renew
from api.problems import install
from api.resources import ingest
from storage.errors import NotSignedIn, Refused
from storage.tenant import Scope

router: Final = APIRouter(prefix="/v1/agents", tags=["agents"])
_LINE: Final = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
_HASH: Final = r"^([0-9a-f]{64})?$"
CsrText = Annotated[str, Field(min_length=1, max_length=LONGEST_REQUEST)]


class EnrolAsked(BaseModel):
    """What a host sends with its token: a request of its own key, and what it is."""

    model_config = ConfigDict(extra="forbid")
    csr: CsrText
    host: str = Field(min_length=1, max_length=200, pattern=_LINE)
    machine: str = Field("", pattern=_HASH)
    hardware: str = Field("", pattern=_HASH)
    version: str = Field("", max_length=40, pattern=_LINE)


class RenewAsked(BaseModel):
    """What an agent sends before its certificate ends: a request of a new key."""

    model_config = ConfigDict(extra="forbid")
    csr: CsrText


class Known(BaseModel):
    """Who a certificate that is good belongs to."""

    tenant_id: str
    agent_id: str


class Certified(BaseModel):
    """A certificate and whose it is."""

    tenant_id: str
    agent_id: str
    certificate: str
    not_after: datetime
    renew_at: datetime


def create_agents_app(desk: Desk, authority: Authority) -> FastAPI:
    """Build the ASGI application of the agents' listener, on the front door's own desk."""
    app = FastAPI(
        title="Inopsio agents",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.desk = desk
    app.state.authority = authority
    app.state.identify = agent_scope
    install(app, _audit)
    app.include_router(router)
    app.include_router(agents_beat.router)
    app.include_router(ingest.router)
    app.include_router(agent_packages.router)
    app.include_router(agent_updates.router)
    app.add_middleware(_Closing)
    app.add_middleware(
        Door,
        ingest_path=INGEST_PATH,
        ingest_bytes=desk.settings.ingest_max_bytes,
        script_hashes=[],
    )
    return app


def _audit(request: Request, error: Refused) -> None:
    """Write a refused batch into the trail; enrolment and renewal write their own entries."""
    if request.url.path == INGEST_PATH:
        audit_refusal(request, error)


class _Closing:
    """End the connection after a refusal, or when the agent has a newer certificate to show."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Asgi, receive: Receive, send: Send) -> None:
        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                is_old = scope.get("state", {}).get(OLD_PAPERS, False)
                if is_old or message["status"] in {401, 403}:
                    MutableHeaders(scope=message)["connection"] = "close"
            await send(message)

        await self._app(scope, receive, told)


@router.get("/authority", summary="The authority's certificate", response_class=PlainTextResponse)
def authority(request: Request) -> PlainTextResponse:
    """Give the certificate that a host compares with the fingerprint it was told."""
    return PlainTextResponse(_authority(request).pem)


@router.post("/enrol", summary="Enrol this host", status_code=201)
def enrolled(request: Request, asked: EnrolAsked) -> Certified:
    """Give a certificate for `Authorization: Bearer enrol_...`; the token works once."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        raise NotSignedIn("Authorization must be 'Bearer <enrolment token>'")
    at = request.client.host if request.client else ""
    host = Host(asked.host, asked.machine, asked.hardware, asked.version)
    return _told(enrol(desk_of(request), _authority(request), token.strip(), asked.csr, host, at))


@router.get("/self", summary="Who this agent is")
def known(scope: Annotated[Scope, require()]) -> Known:
    """Tell an agent that its certificate is good; nothing is changed by it."""
    return Known(tenant_id=scope.tenant_id, agent_id=scope.actor.name)


@router.post("/renew", summary="Renew the certificate", status_code=201)
def renewed(request: Request, asked: RenewAsked, _scope: Annotated[Scope, require()]) -> Certified:
    """Give the agent of this connection's certificate its next one."""
    peer: Peer = request.state.peer
    return _told(renew(desk_of(request), _authority(request), peer, asked.csr))


def _authority(request: Request) -> Authority:
    found: Authority = request.app.state.authority
    return found


def _told(issued: Issued) -> Certified:
    return Certified(
        tenant_id=issued.tenant_id,
        agent_id=issued.agent_id,
        certificate=issued.certificate,
        not_after=issued.not_after,
        renew_at=issued.renew_at,
    )
