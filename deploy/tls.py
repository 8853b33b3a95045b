"""Make this machine's own CA and a certificate for what leaves loopback.

The CA lives in `keys/` of the data folder; agents and browsers are given `keys/ca.pem` to trust.
"""

import datetime as dt
import ipaddress
import os
import socket
from pathlib import Path
from typing import Final, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from api.authority import usage
from storage.settings import Settings

CA_DAYS: Final = 3650
SERVER_DAYS: Final = 397
RENEW_DAYS: Final = 30


class Papers(NamedTuple):
    """Files of the server's identity: CA certificate, server certificate, server key (PEM)."""

    ca: Path
    certificate: Path
    key: Path


def papers(settings: Settings, now: dt.datetime) -> Papers:
    """Give the server's papers; made at the first call, renewed 30 days before their end."""
    folder = settings.data_dir / "keys"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = Papers(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    names = _names(settings)
    if not found.ca.exists() or not (folder / "ca.key").exists():
        _make_ca(folder, now)
    if not _is_good(found.certificate, names, now):
        _make_server(folder, found, names, now)
    return found


def _names(settings: Settings) -> list[str]:
    host = settings.http_host
    own = {"localhost", "127.0.0.1", "::1", socket.gethostname(), socket.getfqdn()}
    return sorted(own | ({host} if host not in {"0.0.0.0", "::"} else set()))  # noqa: S104  comparison, not a bind


def _alternatives(names: list[str]) -> x509.SubjectAlternativeName:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return x509.SubjectAlternativeName(found)


def _is_good(path: Path, names: list[str], now: dt.datetime) -> bool:
    try:
        known = x509.load_pem_x509_certificate(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return False
    asked = known.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    until = known.not_valid_after_utc - dt.timedelta(days=RENEW_DAYS)
    return asked == _alternatives(names) and now < until


def _write(path: Path, data: bytes, mode: int) -> None:
    draft = path.with_suffix(".tmp")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(handle, "wb") as out:
        out.write(data)
    draft.replace(path)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _builder(subject: str, issuer: str, now: dt.datetime, days: int) -> x509.CertificateBuilder:
    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    return (
        x509.CertificateBuilder()
        .subject_name(named(subject))
        .issuer_name(named(issuer))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=days))
    )


def _ca_name(folder: Path) -> str:
    return f"Inopsio local CA {folder.stat().st_ino:x}"


def _make_ca(folder: Path, now: dt.datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _ca_name(folder)
    made = (
        _builder(name, name, now, CA_DAYS)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage(is_ca=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(folder / "ca.key", _key_pem(key), 0o600)
    _write(folder / "ca.pem", made.public_bytes(serialization.Encoding.PEM), 0o644)


def _make_server(folder: Path, found: Papers, names: list[str], now: dt.datetime) -> None:
    ca_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    assert isinstance(ca_key, ec.EllipticCurvePrivateKey)  # noqa: S101  the only kind made here
    ca = x509.load_pem_x509_certificate(found.ca.read_bytes())
    issuer = str(ca.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)
    key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    made = (
        _builder(socket.gethostname()[:64], issuer, now, SERVER_DAYS)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage(is_ca=False), critical=True)
        .add_extension(_alternatives(names), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(authority, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    _write(found.key, _key_pem(key), 0o600)
    _write(found.certificate, made.public_bytes(serialization.Encoding.PEM), 0o644)
