"""Know agents by their certificates: who asks, is it good now, is it the only one of its name."""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
from cryptography import x509
from fastapi import Request
from psycopg import Connection
from psycopg.rows import TupleRow
from starlette.types import Scope as Asgi

from api.agent_words import tell_of
from api.authority import serial_of
from api.desk import Desk, desk_of
from storage import telemetry
from storage.audit import write_audit
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotAllowed, NotSignedIn, Overloaded
from storage.tenant import Actor, Role, Scope, tenant_name

_LOG: Final = structlog.get_logger("agents")
RUN_HEADER: Final = "inopsio-run"
OLD_PAPERS: Final = "has_old_papers"
"""State of a request whose agent was given a newer certificate than it shows."""
SKEW: Final = timedelta(minutes=10)
"""How far an agent's or a server's clock may be off."""
SEEN_EVERY: Final = timedelta(seconds=10)
RUN_GRACE: Final = timedelta(seconds=10)
"""So long after a restart a word of the process before may still arrive."""
_RUN: Final = re.compile(r"[A-Za-z0-9-]{16,64}")
_AGENT: Final = re.compile(r"/agent/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_WHY: Final = {
    "unknown": "this agent is not enrolled here; enrol it with a new token",
    "suspended": "the tenant is suspended",
    "revoked": "this agent was revoked; enrol it again with a new token",
    "cloned": "two processes use this agent's key; enrol the host again with a new token",
    "expired": "the certificate is not good at this time; look at the clock, or enrol again",
    "superseded": "the certificate was replaced by a newer one; enrol again with a new token",
    "waits": "this agent waits for an administrator's approval; it tries again by itself",
    "no run": "the header Inopsio-Run is missing; use this house's agent",
}


_MISUSED: Final = {
    "agent_cloned": "two processes use one agent's key; both are refused",
    "agent_old_papers": "a certificate was shown that a newer one has replaced",
    "agent_leap": "a batch came with a number far beyond its stream's next",
}
_TOLD: Final = {"superseded": "agent_old_papers", "numbers too far ahead": "agent_leap"}
"""Reason of a refusal -> the event that it is told as beside the trail."""


@dataclass(frozen=True, slots=True)
class Peer:
    """Who the other end's certificate says it is; OpenSSL has seen that it holds the key."""

    tenant_id: str
    agent_id: str
    serial: str
    not_before: datetime
    not_after: datetime

    @property
    def scope(self) -> Scope:
        """Give the scope of an agent: it may send events and nothing else."""
        return Scope(self.tenant_id, Actor("agent", self.agent_id), frozenset({Role.INGEST}))


def peer_of(asgi: Asgi) -> Peer:
    """Read the client certificate that the listener's TLS has verified; NotSignedIn without one."""
    chain = asgi.get("extensions", {}).get("tls", {}).get("client_cert_chain") or ()
    if not chain:
        raise NotSignedIn("show this agent's certificate: enrol first")
    try:
        shown = x509.load_pem_x509_certificate(chain[0].encode())
        names = shown.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (uri,) = names.get_values_for_type(x509.UniformResourceIdentifier)
        place = urlsplit(uri)
        found = _AGENT.fullmatch(place.path)
        tenant = tenant_name(place.netloc)
    except (ValueError, x509.ExtensionNotFound, InvalidInput):
        found, tenant = None, ""
    if found is None:
        raise NotSignedIn("this certificate is no agent's")
    span = shown.not_valid_before_utc, shown.not_valid_after_utc
    return Peer(tenant, found[1], serial_of(shown), *span)


def agent_scope(request: Request) -> Scope:
    """Give the scope of the agent whose certificate this connection showed.

    NotAllowed when it is revoked, replaced, out of its time, or used by two: told in the trail.
    A GET changes nothing and needs no run: who examines a host is no second process of its agent.
    """
    desk, peer = desk_of(request), peer_of(request.scope)
    run = request.headers.get(RUN_HEADER, "")
    address = request.client.host if request.client else ""
    with desk.database.app(peer.scope) as tx:
        rows = select(tx, "agent_find", agent_id=peer.agent_id)
        row = rows[0] if rows else None
        is_look = request.method == "GET"
        reason = (
            fault(row, peer, run, desk.now()) if not is_look else standing(row, peer, desk.now())
        )
        if row is not None and not reason and not is_look:
            _settle(tx, desk, row, peer, run, address)
        elif reason == "cloned" and execute(
            tx, "agent_cloned", agent_id=peer.agent_id, now=desk.now()
        ):
            _tell_misuse(tx, desk, peer.scope, "agent_cloned", f"from {address}")
    if reason:
        host = str(rows[0]["host"]) if rows else ""
        told: dict[str, object] = {
            "reason": reason,
            "address": address,
            "serial": peer.serial,
            "host": host,
        }
        tell_refusal(desk, peer.scope, "agent.refused", peer.agent_id, told)
        raise NotAllowed(_WHY[reason])
    state = request.scope.setdefault("state", {})
    state["peer"] = peer
    state[OLD_PAPERS] = peer.serial == rows[0]["serial"] and bool(rows[0]["next_serial"])
    return peer.scope


def fault(row: dict[str, Any] | None, peer: Peer, run: str, now: datetime) -> str:
    """Say why the certificate is not taken from this process, in one word; '' if it is.

    Each process of an agent has a random run id. An id that comes back after another was seen
    belongs to a second process that lives beside the first: the key is in two places.
    """
    reason = standing(row, peer, now)
    if reason or row is None:
        return reason
    if not _RUN.fullmatch(run):
        return "no run"
    old = run in row["past_runs"] and run != row["run_id"]
    return "cloned" if old and now - row["run_since"] > RUN_GRACE else ""


def standing(row: dict[str, Any] | None, peer: Peer, now: datetime) -> str:
    """Say why the certificate is not good, in one word; '' if it is."""
    if row is None:
        return "unknown"
    checks = (
        ("suspended", row["suspended"]),
        ("revoked", row["revoked_at"] is not None),
        ("expired", not peer.not_before - SKEW <= now <= peer.not_after + SKEW),
        ("superseded", peer.serial not in {row["serial"], row["next_serial"]}),
        ("cloned", row["cloned_at"] is not None),
        ("waits", row["waits_since"] is not None),
    )
    return next((name for name, is_so in checks if is_so), "")


def _settle(
    tx: Connection[TupleRow],
    desk: Desk,
    row: dict[str, Any],
    peer: Peer,
    run: str,
    address: str,
) -> None:
    """Write what this request changes: a newer certificate, another process, when it was seen.

    Overloaded for too many processes in a short time: they would push the first one's id out of
    the memory by which a stolen key is noticed.
    """
    who, now = {"agent_id": peer.agent_id}, desk.now()
    if peer.serial != row["serial"]:
        told = {"serial": peer.serial, "not_after": peer.not_after}
        execute(tx, "agent_renewed", **who, **told)
        write_audit(tx, peer.scope, "agent.renewed", peer.agent_id, detail={"serial": peer.serial})
    if run != row["run_id"] and run not in row["past_runs"]:
        desk.runs.check(f"{peer.tenant_id}/{peer.agent_id}", desk.now_us())
        desk.runs.fail(f"{peer.tenant_id}/{peer.agent_id}", desk.now_us())
        execute(tx, "agent_run", run_id=run, now=now, **who)
    seen = row["seen_at"]
    if seen is None or now - seen > SEEN_EVERY or address != row["address"]:
        execute(tx, "agent_seen", now=now, address=address, **who)


def tell_refusal(
    desk: Desk, scope: Scope, action: str, object: str, detail: dict[str, object]
) -> None:
    """Write a refusal into the tenant's trail: the same one once in ten minutes, not each try."""
    telemetry.count("inopsio_agents_refused_total")
    _LOG.warning("agent_refused", tenant=scope.tenant_id, agent=object, **detail)
    key = f"{scope.tenant_id}/{action}/{object}/{detail.get('reason')}/{detail.get('address')}"
    try:
        desk.told.check(key, desk.now_us())
    except Overloaded:
        return
    desk.told.fail(key, desk.now_us())
    with desk.database.app(scope) as tx:
        if select(tx, "tenant_is_there"):
            write_audit(tx, scope, action, object, "refused", detail)
            code = _TOLD.get(str(detail.get("reason")), "")
            if code:
                _tell_misuse(tx, desk, scope, code, str(detail))


def _tell_misuse(
    tx: Connection[TupleRow], desk: Desk, scope: Scope, code: str, detail: str
) -> None:
    """Tell what speaks of a stolen key as an event too, so that it becomes a finding."""
    agent_id = scope.actor.name
    found = select(tx, "agent_host", agent_id=agent_id)
    if found:
        agent, said = (agent_id, str(found[0]["host"])), f"{_MISUSED[code]} ({detail})"
        tell_of(tx, scope, code, agent, said, desk.now_us())


def check_sender(desk: Desk, scope: Scope, source: str | None, given: dict[str, str]) -> None:
    """Pass if the source may be this caller's; NotAllowed for another agent's or tenant's name.

    `given`: query parameters and headers in which an agent might name a tenant. Of others they
    mean nothing.
    """
    kind, _, rest = (source or "").partition(":")
    named = rest.partition(":")[0].partition(".")[0]
    if scope.actor.kind == "agent":
        forged = sorted(n for n, said in given.items() if said != scope.tenant_id)
        if forged:
            raise NotAllowed(f"the tenant is the certificate's; '{forged[0]}' names another")
        if kind != "agent" or named != scope.actor.name:
            raise NotAllowed(f"an agent sends as 'agent:{scope.actor.name}:...'")
    elif kind == "agent" and _AGENT.fullmatch(f"/agent/{named}"):
        with desk.database.app(scope) as tx:
            if select(tx, "agent_is_enrolled", agent_id=named):
                raise NotAllowed("this agent is enrolled: it sends by its certificate")
