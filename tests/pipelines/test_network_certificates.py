"""See that a server's certificate is read where it is clear, and never waited for in vain."""

import ipaddress
from collections.abc import Collection
from datetime import UTC, datetime
from itertools import pairwise

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.network.protocols.certificates import NAMES, certificate_fields, cut_certificate
from pipelines.network.sensor import watch
from pipelines.network.sightings import TLS
from tests.pipelines.network_frames import seen, tcp
from tests.pipelines.test_network_tcp import client_hello, record, said, server_hello
from tests.shared import shared_data

CHANGE = bytes((20, 3, 3, 0, 1, 1))


def made() -> bytes:
    """Make a certificate of 1 January 2026 for a year."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([
        x509.NameAttribute(NameOID.COUNTRY_NAME, "DE"),
        x509.NameAttribute(NameOID.COMMON_NAME, "h.example"),
    ])  # fmt: skip
    one = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    one = one.public_key(key.public_key()).serial_number(0xABCDEF)
    one = one.not_valid_before(datetime(2026, 1, 1, tzinfo=UTC))
    one = one.not_valid_after(datetime(2027, 1, 1, tzinfo=UTC))
    signed = one.sign(key, hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


DER = made()


def length(size: int) -> bytes:
    return size.to_bytes(3, "big")


def certificates(*ders: bytes) -> bytes:
    listed = b"".join(length(len(der)) + der for der in ders)
    return b"\x0b" + length(len(listed) + 3) + length(len(listed)) + listed


def chosen() -> bytes:
    """Give a ServerHello of TLS 1.2."""
    body = b"\3\3" + bytes(32) + b"\0" + b"\xc0\x2b\0"
    return b"\2" + length(len(body)) + body


def answered(payload: bytes, cuts: Collection[int] = ()) -> list[tuple[object, ...]]:
    places = [0, *sorted(c for c in cuts if 0 < c < len(payload)), len(payload)]
    frames = [tcp(record(client_hello()), dport=443)]
    for a, b in pairwise(places):
        frames.append(tcp(payload[a:b], dport=443, seq=1 + a, back=True))
    return said(seen(frames), "sni", "version", "subject", "serial")


WHOLE = record(chosen()) + record(certificates(DER, b"another")) + record(b"\x0e\0\0\0")
READ = [("h.example", "TLSv1.2", "CN=h.example,C=DE", "ABCDEF")]
WITHOUT = [("h.example", "TLSv1.2", None, None)]


@given(st.sets(st.integers(1, len(WHOLE)), max_size=9))
@settings(max_examples=60, deadline=None)
def test_a_certificate_is_read_however_it_is_cut(cuts: set[int]) -> None:
    assert answered(WHOLE, cuts) == READ


@pytest.mark.parametrize("step", [1, 7, 1_000])
@pytest.mark.parametrize("piece", [1, 3, 50])
def test_a_certificate_in_tiny_records_is_read(piece: int, step: int) -> None:
    chain = chosen() + certificates(DER, b"another" * 20)
    sent = b"".join(record(chain[at : at + piece]) for at in range(0, len(chain), piece))
    assert answered(sent, range(step, len(sent), step)) == READ


def test_a_certificate_in_the_record_of_the_hello_is_read() -> None:
    assert answered(record(chosen() + certificates(DER))) == READ


@pytest.mark.parametrize(
    "behind",
    [
        CHANGE,
        b"",
        record(certificates()),
        record(certificates(DER))[:100],
        record(b"\x0b\0\xff\xff\0\xff\xfc\0\xff\xff"),
        record(b"\x0c\0\0\1x"),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    # The certificate is another one in each process that collects the tests.
    ids=("change", "nothing", "no certificate", "cut off", "endless", "another", "http"),
)
def test_where_no_certificate_comes_the_row_is_there_without(behind: bytes) -> None:
    assert answered(record(chosen()) + behind) == WITHOUT


def test_a_certificate_without_end_is_given_up_and_what_follows_is_read() -> None:
    long = record(chosen()) + record(certificates(bytes(40_000)))[:20_000]
    parts = {*range(0, 20_000, 1_000)}
    assert answered(long, parts) == WITHOUT


def test_of_tls_13_the_row_waits_for_nothing() -> None:
    frames = [
        tcp(record(client_hello()), dport=443),
        tcp(record(server_hello()), dport=443, back=True),
    ]
    assert said(seen(frames), "version", "fingerprint") == [("TLSv1.3", None)]


def test_of_an_unreadable_certificate_its_hash_remains() -> None:
    fields = certificate_fields(b"garbage")
    assert fields.pop("fingerprint") is not None
    assert fields == dict.fromkeys(name for name in NAMES if name != "fingerprint")


def test_times_and_issuer_are_the_certificates() -> None:
    fields = certificate_fields(DER)
    assert fields["issuer"] == "CN=h.example,C=DE"
    assert (fields["not_before"], fields["not_after"]) == (
        "2026-01-01T00:00:00Z",
        "2027-01-01T00:00:00Z",
    )


@given(st.binary(max_size=300))
@settings(max_examples=200, deadline=None)
def test_garbage_never_raises(data: bytes) -> None:
    cut_certificate(record(chosen()) + data)
    cut_certificate(data)
    certificate_fields(DER[: len(data)] + data)


def test_certificates_are_those_of_suricata() -> None:
    truth = (shared_data("truth-network") / "suricata-eve.jsonl").read_bytes().splitlines()
    wanted = set()
    for r in map(orjson.loads, truth):
        if r["event_type"] == "tls" and r["tls"].get("serial"):
            src = str(ipaddress.ip_address(r["src_ip"]))
            serial = int(r["tls"]["serial"].replace(":", ""), 16)
            wanted.add((r["pcap"], src, r["src_port"], serial, r["tls"]["notbefore"]))
    found = {
        (name, row.src_ip, row.src_port, int(str(row.fields["serial"]), 16),
         str(row.fields["not_before"]).removesuffix("Z"))
        for name in {row[0] for row in wanted}
        for part in watch([(shared_data("pcap") / name).read_bytes()], flows=False, dns=False)
        for row in part.others
        if row.kind == TLS and row.fields["serial"]
    }  # fmt: skip
    assert len(wanted) > 10
    # The one that is missing is an attack on whoever reads it; its hash is in the row.
    assert {row[0] for row in wanted - found} <= {"c2-malware__zeek__CVE-2015-3194.pcap"}
