"""Keep one authority a house, sealed; sign for two purposes and no other."""

from dataclasses import replace
from datetime import UTC, datetime

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from api.authority import LISTENER_NAME, Authority, agent_uri, authority_of
from storage.database import Database
from storage.errors import Unavailable
from storage.sealing import Seal
from storage.settings import Secret, Settings
from storage.tenant import Scope

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def purposes(found: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(found.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


@pytest.fixture
def authority(settings: Settings, database: Database) -> Authority:
    return authority_of(database, Seal.of(settings), NOW)


def test_there_is_one_whoever_asks(
    settings: Settings, database: Database, authority: Authority
) -> None:
    again = authority_of(database, Seal.of(settings), NOW)
    assert again.fingerprint == authority.fingerprint
    assert "_key" not in repr(again)


def test_its_key_opens_with_this_houses_seal_only(
    settings: Settings, database: Database, authority: Authority
) -> None:
    other = replace(settings, sealing_key=Secret("another key of another house"))
    with pytest.raises(Unavailable, match="sealed with another key"):
        authority_of(database, Seal.of(other), NOW)
    with database.owner() as tx:
        kept = tx.execute("SELECT certificate, sealed_key FROM agent_authorities").fetchall()
    assert "PRIVATE" not in str(kept)


def test_the_app_role_does_not_see_it(
    database: Database, authority: Authority, two_tenants: tuple[Scope, Scope]
) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege), database.app(two_tenants[0]) as tx:
        tx.execute("SELECT * FROM agent_authorities")


def test_an_agents_certificate_is_no_servers(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    agent = authority.sign_agent(key.public_key(), "acme", "some-id", NOW)
    assert purposes(agent) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    names = agent.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.UniformResourceIdentifier(agent_uri("acme", "some-id"))]
    agent.verify_directly_issued_by(authority.certificate)


def test_a_listeners_certificate_is_no_agents(authority: Authority) -> None:
    text, _ = authority.sign_listener(["10.0.0.1"], NOW)
    found = x509.load_pem_x509_certificate(text.encode())
    assert purposes(found) == [ExtendedKeyUsageOID.SERVER_AUTH]
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == [LISTENER_NAME]
