"""Be the house's own certificate authority for agents: its key is sealed in the ledger.

It signs three kinds: the agents' listener (serverAuth), agents (clientAuth) and the key that signs
what agents are told (codeSigning, see `api/signer.py`). Whoever trusts it as a server's authority
therefore trusts the listener and nothing else.
"""

import datetime as dt
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import InvalidInput, Unavailable
from storage.identity import new_id
from storage.sealing import Seal
from storage.settings import Secret

LISTENER_NAME: Final = "agents.inopsio.internal"
"""What every listener is called in its certificate, by whatever address it is reached."""
AUTHORITY_DAYS: Final = 3650
LISTENER_DAYS: Final = 90
AGENT_LIFE: Final = dt.timedelta(days=7)
EARLIER: Final = dt.timedelta(hours=1)
"""How much before now a certificate begins: a host's clock may be late."""
SIGNER_EARLIER: Final = dt.timedelta(days=60)
LONGEST_REQUEST: Final = 4096
_PLACE: Final = ("", "agent_authorities")


@dataclass(frozen=True, slots=True)
class Authority:
    """Hold the authority's certificate and key; no repr shows the key."""

    certificate: x509.Certificate
    _key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def pem(self) -> str:
        """Give the certificate as everybody may have it."""
        return _text(self.certificate)

    @property
    def fingerprint(self) -> str:
        """Give what a host is told to know the authority by."""
        return f"sha256:{self.certificate.fingerprint(hashes.SHA256()).hex()}"

    def sign_agent(
        self, key: ec.EllipticCurvePublicKey, tenant_id: str, agent_id: str, now: dt.datetime
    ) -> x509.Certificate:
        """Certify a host's key for a week; every name in the certificate is ours."""
        names = x509.SubjectAlternativeName(
            [x509.UniformResourceIdentifier(agent_uri(tenant_id, agent_id))]
        )
        made = _builder(agent_id, now, now + AGENT_LIFE).issuer_name(self.certificate.subject)
        return self._sign(made, key, names, ExtendedKeyUsageOID.CLIENT_AUTH)

    def sign_listener(self, names: Iterable[str], now: dt.datetime) -> tuple[str, str]:
        """Make the listener's key and certificate (PEM): its one name, and those given."""
        key = ec.generate_private_key(ec.SECP256R1())
        until = now + dt.timedelta(days=LISTENER_DAYS)
        made = _builder(LISTENER_NAME, now, until).issuer_name(self.certificate.subject)
        told = x509.SubjectAlternativeName([_name(n) for n in (LISTENER_NAME, *sorted(set(names)))])
        signed = self._sign(made, key.public_key(), told, ExtendedKeyUsageOID.SERVER_AUTH)
        return _text(signed), _key_text(key)

    def sign_signer(
        self, key: Ed25519PublicKey, uri: str, begin: dt.datetime, until: dt.datetime
    ) -> x509.Certificate:
        """Certify the key that signs what agents are told; it can do nothing in TLS."""
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        # A host's clock may be weeks late: what it is told still counts.
        made = _builder("Inopsio orders", begin - SIGNER_EARLIER, until)
        made = made.issuer_name(self.certificate.subject)
        return self._sign(made, key, names, ExtendedKeyUsageOID.CODE_SIGNING)

    def _sign(
        self,
        made: x509.CertificateBuilder,
        key: ec.EllipticCurvePublicKey | Ed25519PublicKey,
        names: x509.SubjectAlternativeName,
        purpose: ObjectIdentifier,
    ) -> x509.Certificate:
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        return (
            made.public_key(key)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage(is_ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(names, critical=False)
            .add_extension(issuer, critical=False)
            .sign(self._key, hashes.SHA256())
        )


def agent_uri(tenant_id: str, agent_id: str) -> str:
    """Give the name that an agent's certificate carries.

    >>> agent_uri("acme", "0196f000-0000-7000-8000-000000000001")
    'inopsio://acme/agent/0196f000-0000-7000-8000-000000000001'
    """
    return f"inopsio://{tenant_id}/agent/{agent_id}"


def authority_of(database: Database, seal: Seal, now: dt.datetime) -> Authority:
    """Give the house's authority, made at the first call; Unavailable if its key does not open."""
    with database.owner() as tx:
        execute(tx, "authority_lock")
        found = select(tx, "authority_newest")
        if found:
            return _opened(found[0], seal)
        authority_id, made = new_id(int(now.timestamp() * 1_000_000)), _made(now)
        shut = seal.close(Secret(_key_text(made._key)), *_PLACE, authority_id)
        told = {"authority_id": authority_id, "certificate": made.pem, "sealed_key": shut}
        execute(tx, "authority_add", **told)
        return made


def _opened(row: dict[str, object], seal: Seal) -> Authority:
    shut = row["sealed_key"]
    assert isinstance(shut, bytes)  # noqa: S101  a NOT NULL bytea
    try:
        text = seal.open(shut, *_PLACE, str(row["authority_id"])).reveal()
    except Unavailable:
        raise Unavailable(
            "the agents' authority is sealed with another key: give this house the file "
            "keys/sealing, or the INOPSIO_SEALING_KEY, of the one that made it"
        ) from None
    key = serialization.load_pem_private_key(text.encode(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101  the only kind made here
    return Authority(x509.load_pem_x509_certificate(str(row["certificate"]).encode()), key)


def _made(now: dt.datetime) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    known = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = f"Inopsio agents {known.digest.hex()[:16]}"
    made = _builder(name, now, now + dt.timedelta(days=AUTHORITY_DAYS))
    signed = (
        made.issuer_name(_common(name))
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(is_ca=True), critical=True)
        .add_extension(known, critical=False)
        .sign(key, hashes.SHA256())
    )
    return Authority(signed, key)


def key_of_request(text: str) -> tuple[ec.EllipticCurvePublicKey, str]:
    """Give the key and the common name that a request (CSR, PEM) asks a certificate for.

    InvalidInput unless the key is of P-256 and signed the request: whoever sends it has it.
    """
    try:
        asked = x509.load_pem_x509_csr(text[:LONGEST_REQUEST].encode())
        key = asked.public_key()
        is_signed = asked.is_signature_valid
        names = asked.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except (ValueError, TypeError, UnsupportedAlgorithm, InvalidSignature):
        raise InvalidInput("'csr' is no certificate request (PEM)") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise InvalidInput("'csr' has a key that is not of P-256")
    if not is_signed:
        raise InvalidInput("'csr' is not signed by its own key")
    return key, str(names[0].value) if names else ""


def key_hash(key: ec.EllipticCurvePublicKey) -> bytes:
    """Give what a public key is known by."""
    spki = serialization.PublicFormat.SubjectPublicKeyInfo
    digest = hashes.Hash(hashes.SHA256())
    digest.update(key.public_bytes(serialization.Encoding.DER, spki))
    return digest.finalize()


def serial_of(certificate: x509.Certificate) -> str:
    """Give the serial number as the ledger keeps it."""
    return f"{certificate.serial_number:x}"


def _common(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _builder(subject: str, now: dt.datetime, until: dt.datetime) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(_common(subject))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - EARLIER)
        .not_valid_after(until)
    )


def usage(*, is_ca: bool) -> x509.KeyUsage:
    """Give what a key may do: sign certificates if it is an authority's, else sign only."""
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=is_ca,
        crl_sign=is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


def _text(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_text(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
