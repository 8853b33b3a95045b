"""Enrol this host and renew its certificate. Needs `cryptography`, for the key and the request.

Loaded only when it is used: an agent that runs does without it for days.
"""

import contextlib
import datetime as dt
import functools
import hashlib
import hmac
import http.client
import json
import secrets
import socket
import sqlite3
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.errors import AgentError, Away
from agent.identity import HARDWARE_ID, MACHINE_ID, Identity, load, machine_hash, save
from agent.lift import as_owner
from agent.ship import asked_s, by_address
from agent.ship_timed import TimedHTTPS, Until
from agent.spool import Spool
from agent.spool_file import NAME, set_aside
from agent.trust import trusting
from agent.version import version
from agent.voice import shown, tell

TIMEOUT_S: Final = 30
LARGEST: Final = 64 << 10
_ANSWERED: Final = frozenset({"tenant_id", "agent_id", "certificate", "not_after", "renew_at"})


class _Timed(urllib.request.HTTPSHandler):
    """TLS, an exchange over which ends as a whole."""

    def __init__(self, context: ssl.SSLContext) -> None:
        super().__init__(context=context)
        self._trusts, self._until = context, Until()

    def https_open(self, req: urllib.request.Request) -> Any:  # noqa: ANN401  as urllib has it
        made = functools.partial(TimedHTTPS, until=self._until)
        return self.do_open(made, req, context=self._trusts)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object) -> None:
        # A redirect would carry the token to an address nobody chose.
        return None


def enroll(
    folder: Path,
    url: str,
    token: str,
    fingerprint: str,
    machine_id: Path = MACHINE_ID,
    hardware_id: Path = HARDWARE_ID,
) -> Identity:
    """Make a key, have it certified for the token, and keep both in the folder.

    The token is sent only to a server that the authority of this fingerprint certifies. AgentError
    says what is wrong; what was in the folder stays until the new identity is whole.
    """
    place = urllib.parse.urlsplit(url)
    if place.scheme != "https" or not place.hostname:
        raise AgentError(f"{url}: the agents' listener is an https:// address")
    machine = machine_hash(machine_id)
    authority = _authority(url, fingerprint)
    key = ec.generate_private_key(ec.SECP256R1())
    told = {
        "csr": _request(key, "enrol"),
        "host": _readable(socket.gethostname()),
        "machine": machine,
        "hardware": machine_hash(hardware_id),
        "version": version(),
    }
    answer = _post(trusting(authority), f"{url.rstrip('/')}/v1/agents/enrol", told, token=token)
    made = Identity(
        folder,
        url.rstrip("/"),
        str(answer["tenant_id"]),
        str(answer["agent_id"]),
        machine,
        _due(answer),
        _second(answer["not_after"]),
        _second(answer["renew_at"]),
    )
    if _is_another(made, authority, machine_id) and (aside := set_aside(folder)):
        tell(f"this is another house: what the one before has not got stays in {aside}")
    save(made, authority, _key_text(key) + str(answer["certificate"]))
    _renumber(folder)
    return made


def _renumber(folder: Path) -> None:
    """Give the rows to come numbers of their own.

    Who had the key before may have used up the numbers of this host's streams.
    """
    path = folder / NAME
    if not path.exists():
        return
    try:
        with as_owner(folder), contextlib.closing(Spool(path)) as spool:
            spool.renumber(secrets.token_hex(3))
    except (AgentError, OSError, sqlite3.Error) as wrong:
        tell(f"the rows to come keep their numbers: {wrong}")


def _is_another(made: Identity, authority: str, machine_id: Path) -> bool:
    """Answer whether this folder was another tenant's, house's or machine's: events are theirs."""
    try:
        before = load(made.folder, machine_id)
        known = (made.folder / "authority.pem").read_text(encoding="ascii") if before else ""
    except (AgentError, OSError, ValueError):
        return True
    told = (made.tenant_id, authority.strip())
    return before is not None and (before.tenant_id, known.strip()) != told


def renew(identity: Identity, houses: Sequence[tuple[str, int]] = ()) -> Identity:
    """Have a new key certified over the old certificate; Away if it cannot be had now.

    `houses`: where to look for the house if its name cannot be looked up.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    answer = _asked(identity, {"csr": _request(key, identity.agent_id)}, list(houses))
    made = replace(
        identity,
        renew_at_s=_due(answer),
        not_after_s=_second(answer["not_after"]),
        house_due_s=_second(answer["renew_at"]),
    )
    authority = (identity.folder / "authority.pem").read_text(encoding="ascii")
    save(made, authority, _key_text(key) + str(answer["certificate"]))
    return made


def _asked(
    identity: Identity, told: dict[str, str], houses: list[tuple[str, int]]
) -> dict[str, Any]:
    urls = [identity.url, *by_address(identity.url, houses)]
    for url in urls:
        try:
            place = f"{url}/v1/agents/renew"
            return _post(identity.context(), place, told, headers=identity.headers())
        except Away as away:
            is_nameless = isinstance(getattr(away.__cause__, "reason", None), socket.gaierror)
            if url == urls[-1] or (url == identity.url and not is_nameless):
                raise
    raise AgentError("there is no address of the house")


def _authority(url: str, fingerprint: str) -> str:
    """Fetch the authority's certificate; AgentError unless it has the fingerprint."""
    wanted = fingerprint.strip().lower().removeprefix("sha256:").replace(":", "")
    if len(wanted) != 64 or not set(wanted) <= set("0123456789abcdef"):
        raise AgentError("--ca-fingerprint is sha256: and 64 hex digits, as the console shows it")
    # Nobody is trusted yet. What comes is public, and is compared before anything is sent.
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname = False
    stranger.verify_mode = ssl.CERT_NONE
    asked = urllib.request.Request(f"{url.rstrip('/')}/v1/agents/authority")  # noqa: S310  https only
    text = _sent(stranger, asked).decode("ascii", "replace")
    try:
        der = ssl.PEM_cert_to_DER_cert(text)
    except ValueError:
        raise AgentError(f"{url} is not an agents' listener") from None
    if not hmac.compare_digest(hashlib.sha256(der).hexdigest(), wanted):
        raise AgentError(
            f"{url} is not the house that you were given: its authority has another fingerprint. "
            "Nothing was sent; compare --ca-fingerprint with the console"
        )
    return ssl.DER_cert_to_PEM_cert(der)


def _request(key: ec.EllipticCurvePrivateKey, name: str) -> str:
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = x509.CertificateSigningRequestBuilder().subject_name(named).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM).decode()


def _post(
    context: ssl.SSLContext,
    url: str,
    told: dict[str, str],
    token: str = "",
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310  the scheme was checked
        url,
        data=json.dumps(told).encode(),
        method="POST",
        headers={"Content-Type": "application/json", **(headers or {})},
    )
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    try:
        found = json.loads(_sent(context, request))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not found.keys() >= _ANSWERED:
        raise AgentError(f"{url} did not answer as the house does")
    return found


def _sent(context: ssl.SSLContext, request: urllib.request.Request) -> bytes:
    out = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        _Timed(context),
        _NoRedirects,
    )
    try:
        with out.open(request, timeout=TIMEOUT_S) as answer:
            return bytes(answer.read(LARGEST))
    except urllib.error.HTTPError as said:
        raise _judged(said) from said
    except (OSError, ValueError, http.client.HTTPException) as gone:
        reason = getattr(gone, "reason", gone)
        raise Away(shown(f"{request.host} is not reachable: {reason}")) from gone


def _judged(said: urllib.error.HTTPError) -> AgentError:
    told = ""
    with contextlib.suppress(ValueError, AttributeError, OSError, RecursionError):
        told = str(json.loads(said.read(4096)).get("detail", ""))[:300]
    message = shown(f"the server answered {said.code} {told}".rstrip())
    if said.code == 429 or said.code >= 500:
        return Away(message, asked_s(said.headers.get("Retry-After", "")))
    return AgentError(message)


def _second(text: object) -> float:
    try:
        return dt.datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        raise AgentError(shown(f"the server told no time: {str(text)[:40]}")) from None


def _due(answer: dict[str, Any]) -> float:
    """Say when to renew, by this host's clock: a clock that is days off must not matter.

    Two thirds of the life are over at `renew_at`, so what is left then is half of them.
    """
    return time.time() + 2 * (_second(answer["not_after"]) - _second(answer["renew_at"]))


def _key_text(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _readable(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name)[:200] or "host"
