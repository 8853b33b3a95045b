"""Let agents in: a token that works once becomes a certificate for a week, which is renewed."""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from psycopg import Connection
from psycopg.rows import TupleRow

from api.auth.agents import Peer, tell_refusal
from api.auth.secrets import Key, is_same, new_key, read_key
from api.auth.tokens import keep_key
from api.authority import Authority, key_hash, key_of_request, serial_of
from api.desk import Desk
from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotAllowed, NotFound, NotSignedIn, Overloaded
from storage.identity import new_id
from storage.tenant import Actor, Scope

TOKEN_TTL_S: Final = 3600
LONGEST_HOST: Final = 100
MOST: Final = 1000
KEEP_CERTIFICATES: Final = timedelta(days=30)
A_DAY: Final = timedelta(days=1)
MOST_RENEWALS: Final = 48
"""In a day, the enrolment's certificate not counted: an agent in need tries once an hour."""
_NAMED: Final = "enrol:"
_NOT_GOOD: Final = "the enrolment token is unknown, used, over an hour old or revoked"


@dataclass(frozen=True, slots=True)
class Host:
    """What a host tells of itself. Nothing of it gives a right; it is shown and compared.

    `machine`, `hardware`: hashes of the machine's id and of the hardware's, '' if there is none.
    """

    name: str
    machine: str = ""
    hardware: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and whose it is; `renew_at` is two thirds into its life."""

    tenant_id: str
    agent_id: str
    certificate: str
    not_after: datetime
    renew_at: datetime


def create_enrolment_token(database: Database, scope: Scope, host: str) -> str:
    """Make the token with which one host enrols, once, within an hour; stored only as a hash.

    InvalidInput for an empty or odd name; NotAllowed without `tokens:write`. Audited.
    """
    scope.require("tokens:write")
    name = host.strip()
    if not 1 <= len(name) <= LONGEST_HOST or not name.isprintable():
        raise InvalidInput(f"give the host a name of 1 to {LONGEST_HOST} printable characters")
    key = new_key("enrol", scope.tenant_id)
    return keep_key(database, scope, key, _NAMED + name, frozenset(), TOKEN_TTL_S, 1)


def enrol(desk: Desk, authority: Authority, token: str, csr: str, host: Host, at: str) -> Issued:
    """Give a host its certificate for a token; a host that was here before stays the same agent.

    NotSignedIn for a token that is not good (now), Overloaded after many of them from one address
    (`at`), InvalidInput for a request that is none. A token is used up only by a certificate.
    """
    now_us = desk.now_us()
    desk.enrol_tries.check(at, now_us)
    desk.enrol_tries.fail(at, now_us)  # counted from its begin, so that tries at once count too
    key = read_key("enrol", token)
    actor = Scope(key.tenant_id, Actor("agent", host.name), frozenset())
    try:
        asked, _ = key_of_request(csr)
        with desk.database.app(actor) as tx:
            made = _enrolled(desk, authority, tx, (actor, key), asked, host, at)
    except (NotSignedIn, NotAllowed, InvalidInput) as no:
        told: dict[str, object] = {"reason": str(no), "address": at, "host": host.name}
        tell_refusal(desk, actor, "agent.enrol", "", told)
        raise
    desk.enrol_tries.give_back(at, now_us)
    desk.runs.forgive(f"{made.tenant_id}/{made.agent_id}")
    return made


def _enrolled(
    desk: Desk,
    authority: Authority,
    tx: Connection[TupleRow],
    who: tuple[Scope, Key],
    asked: ec.EllipticCurvePublicKey,
    host: Host,
    at: str,
) -> Issued:
    scope, key = who
    now = desk.now()
    named = _used(tx, key, now)
    execute(tx, "agents_alone")
    known = select(tx, "agent_of_machine", machine=host.machine, hardware=host.hardware)
    agent_id = str(known[0]["agent_id"]) if known else new_id(desk.now_us())
    made = authority.sign_agent(asked, scope.tenant_id, agent_id, now)
    row: dict[str, Any] = {
        "agent_id": agent_id,
        "host": host.name,
        "hardware": host.hardware,
        "version": host.version,
        "serial": serial_of(made),
        "not_after": made.not_valid_after_utc,
        "now": now,
        "address": at,
    }
    if known:
        execute(tx, "agent_again", **row)
    else:
        execute(tx, "agent_add", machine=host.machine, **row)
    execute(tx, "agent_let_in", agent_id=agent_id, named=named, now=now)
    _keep(tx, made, agent_id, asked, now)
    told = {"host": host.name, "token": named, "address": at, "serial": row["serial"]}
    again = "agent.enrol-again" if known else "agent.enrol"
    write_audit(tx, scope, again, agent_id, detail=told)
    return _issued(scope.tenant_id, agent_id, made, now)


def _used(tx: Connection[TupleRow], key: Key, now: datetime) -> str:
    """Use the token up; give its name. NotSignedIn if it is not good."""
    rows = select(tx, "token_find", token_hash=key.digest, now=now)
    stored = rows[0]["token_hash"] if rows else b""
    good = isinstance(stored, bytes) and is_same(stored, key.digest)
    if not good or execute(tx, "token_use", token_hash=key.digest, now=now) != 1:
        raise NotSignedIn(_NOT_GOOD)
    return str(rows[0]["name"]).removeprefix(_NAMED)


def _keep(
    tx: Connection[TupleRow],
    made: x509.Certificate,
    agent_id: str,
    asked: ec.EllipticCurvePublicKey,
    now: datetime,
) -> None:
    kept = execute(
        tx,
        "agent_certificate_add",
        agent_id=agent_id,
        serial=serial_of(made),
        key_hash=key_hash(asked),
        now=now,
        not_after=made.not_valid_after_utc,
    )
    if not kept:
        raise NotAllowed("this key has a certificate already; make a new one")
    execute(tx, "agent_certificates_forget", agent_id=agent_id, before=now - KEEP_CERTIFICATES)


def _issued(tenant_id: str, agent_id: str, made: x509.Certificate, now: datetime) -> Issued:
    until = made.not_valid_after_utc
    text = made.public_bytes(Encoding.PEM).decode()
    return Issued(tenant_id, agent_id, text, until, now + (until - now) * 2 / 3)


def renew(desk: Desk, authority: Authority, peer: Peer, csr: str) -> Issued:
    """Give an agent its next certificate, for a new key; the old one counts until that is used.

    NotAllowed for a request made by or for another agent, or by one that was shut out meanwhile;
    InvalidInput for one that is none; Overloaded after `MOST_RENEWALS` in a day.
    """
    now = desk.now()
    try:
        asked, name = key_of_request(csr)
        if name != peer.agent_id:
            raise NotAllowed("the request names another agent than the certificate")
        made = authority.sign_agent(asked, peer.tenant_id, peer.agent_id, now)
        with desk.database.app(peer.scope) as tx:
            who = {"agent_id": peer.agent_id}
            serials = {"serial": serial_of(made), "shown": peer.serial}
            if not execute(tx, "agent_renew", **who, **serials):
                raise NotAllowed("the certificate is not good any more")
            (row,) = select(tx, "agent_certificates_since", **who, since=now - A_DAY)
            if int(str(row["count"])) > MOST_RENEWALS:
                raise Overloaded("too many renewals today", retry_after_s=3600)
            _keep(tx, made, peer.agent_id, asked, now)
            told: dict[str, object] = {"serial": serial_of(made), "before": peer.serial}
            write_audit(tx, peer.scope, "agent.renew", peer.agent_id, detail=told)
    except (NotAllowed, InvalidInput) as no:
        told = {"reason": str(no), "serial": peer.serial}
        tell_refusal(desk, peer.scope, "agent.renew", peer.agent_id, told)
        raise
    return _issued(peer.tenant_id, peer.agent_id, made, now)


def list_agents(database: Database, scope: Scope) -> list[dict[str, Any]]:
    """List the tenant's enrolled agents, the last seen first; 1,000 at most."""
    scope.require("ops:read")
    with database.app(scope) as tx:
        return select(tx, "agents_all", limit=MOST)


def revoke_agent(database: Database, scope: Scope, agent_id: str, now: datetime) -> None:
    """Refuse an agent from its next request on; NotFound if there is none that is let in.

    Needs `tokens:write`. A new token lets the host in again, as the same agent.
    """
    scope.require("tokens:write")
    with database.app(scope) as tx:
        if not execute(tx, "agent_revoke", agent_id=_id(agent_id), now=now):
            raise NotFound(f"agent {agent_id[:40]} is not there, or is revoked already")
        write_audit(tx, scope, "agent.revoke", agent_id)


def restore_agent(database: Database, scope: Scope, agent_id: str) -> None:
    """Take a revocation back; NotFound if there is none. Needs `tokens:write`."""
    scope.require("tokens:write")
    with database.app(scope) as tx:
        if not execute(tx, "agent_restore", agent_id=_id(agent_id)):
            raise NotFound(f"agent {agent_id[:40]} is not there, or is not revoked")
        write_audit(tx, scope, "agent.restore", agent_id)


def _id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise NotFound(f"agent {text[:40]!r} is not there") from None
