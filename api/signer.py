"""Sign what agents are told: an Ed25519 key of its own, certified by the agents' authority.

A signed order is JSON with three texts: `body` (JSON itself), `signature` (base64, over `MARK` and
the body's bytes) and `certificate` (PEM). The agent knows the authority since it enrolled, so the
key can be replaced without asking any agent. Neither the listener's certificate nor an agent's
can sign: the certificate of a signer has a purpose and a name that no other has.
"""

import base64
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from api.authority import Authority, authority_of
from storage.database import Database
from storage.database.queries import execute, select
from storage.identity import new_id
from storage.sealing import Seal
from storage.settings import Secret

MARK: Final = b"inopsio/order/1\n"
"""Stands before what is signed: the key's signature means nothing anywhere else."""
SIGNER_URI: Final = "inopsio://house/orders"
LIFE: Final = dt.timedelta(days=730)
RENEW_LEFT: Final = dt.timedelta(days=365)
_PLACE: Final = ("", "agent_signers")


@dataclass(frozen=True, slots=True)
class Signer:
    """Hold the signing key and its certificate (PEM); no repr shows the key."""

    certificate: str
    _key: Ed25519PrivateKey = field(repr=False)

    def sign(self, body: Mapping[str, Any]) -> str:
        """Give the signed order as it goes to an agent."""
        text = json.dumps(body, separators=(",", ":"), sort_keys=True)
        signature = base64.b64encode(self._key.sign(MARK + text.encode())).decode()
        told = {"body": text, "signature": signature, "certificate": self.certificate}
        return json.dumps(told, separators=(",", ":"))


def signer_of(database: Database, seal: Seal, now: dt.datetime) -> Signer:
    """Give the house's signer, made at the first call and a year before its certificate ends.

    Unavailable if the key does not open with this house's sealing key.
    """
    authority = authority_of(database, seal, now)
    with database.owner() as tx:
        execute(tx, "authority_lock")
        found = select(tx, "signer_of", authority=authority.fingerprint)
        if found:
            opened, until = _opened(found[0], seal)
            if until - now > RENEW_LEFT:
                return opened
        signer_id, made = new_id(int(now.timestamp() * 1_000_000)), _made(authority, now)
        shut = seal.close(Secret(_text(made._key)), *_PLACE, signer_id)
        execute(
            tx,
            "signer_add",
            signer_id=signer_id,
            authority=authority.fingerprint,
            certificate=made.certificate,
            sealed_key=shut,
            now=now,
        )
        return made


def _made(authority: Authority, now: dt.datetime) -> Signer:
    key = Ed25519PrivateKey.generate()
    signed = authority.sign_signer(key.public_key(), SIGNER_URI, now, now + LIFE)
    return Signer(signed.public_bytes(serialization.Encoding.PEM).decode(), key)


def _opened(row: Mapping[str, object], seal: Seal) -> tuple[Signer, dt.datetime]:
    shut = row["sealed_key"]
    assert isinstance(shut, bytes)  # noqa: S101  a NOT NULL bytea
    text = seal.open(shut, *_PLACE, str(row["signer_id"])).reveal()
    key = serialization.load_pem_private_key(text.encode(), None)
    assert isinstance(key, Ed25519PrivateKey)  # noqa: S101  the only kind made here
    certificate = str(row["certificate"])
    until = x509.load_pem_x509_certificate(certificate.encode()).not_valid_after_utc
    return Signer(certificate, key), until


def _text(key: Ed25519PrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
