"""Read DTLS hellos and DHCP for IPv6; hostile ones give rows or none, never an error."""

import random
import struct
from pathlib import Path

import pytest

from pipelines.network.protocols import dhcp6, dtls
from pipelines.network.sensor import watch
from pipelines.network.sightings import Sighting
from tests.pipelines.network_frames import capture, packets_of, seen, udp
from tests.pipelines.test_network_tcp import client_hello, server_hello

REAL = Path(__file__).with_name("dtls_hellos.pcap")
"""Hello, hello verify request, hello with cookie, server's hello: openssl 3.0 on loopback."""


def rows_of(data: bytes) -> list[Sighting]:
    return [row for part in watch([data], flows=False, dns=False) for row in part.others]


def dtls_record(message: bytes, *, number: int = 0, cookie: bytes = b"", piece: int = 0) -> bytes:
    """Write a TLS hello as the records of one DTLS datagram, in pieces of so many bytes."""
    body = message[4:]
    if message[0] == 1:
        body = b"\xfe\xfd" + body[2:35] + bytes([len(cookie)]) + cookie + body[35:]
    out = b""
    for at in range(0, len(body), piece or len(body)):
        part = body[at : at + (piece or len(body))]
        head = message[:1] + len(body).to_bytes(3, "big") + struct.pack(">H", number)
        head += at.to_bytes(3, "big") + len(part).to_bytes(3, "big") + part
        out += b"\x16\xfe\xfd" + bytes(8) + len(head).to_bytes(2, "big") + head
    return out


def test_a_real_handshake_is_one_row_with_the_fingerprints_that_tshark_gives() -> None:
    (row,) = rows_of(REAL.read_bytes())
    wanted = {
        "sni": "dtls.example", "version": "DTLSv1.2", "alpn": "coap",
        "ja3": "096df697a18c538158d6a52abc65a0db", "ja3s": "bc10d7f027e925d0b3a6309e29d8620b",
    }  # fmt: skip
    assert row.fields.items() >= wanted.items()
    assert str(row.fields["ja4"]).startswith("dd2d")
    assert (row.proto, row.dst_port) == ("udp", 4433)


@pytest.mark.parametrize("piece", [0, 20, 33])
def test_a_hello_in_pieces_and_again_with_a_cookie_counts_once(piece: int) -> None:
    hello = client_hello()
    frames = [
        udp(dtls_record(hello, piece=piece)),
        udp(dtls_record(hello, number=1, cookie=b"c" * 20, piece=piece)),
        udp(dtls_record(server_hello(), number=1), back=True),
    ]
    (row,) = seen(frames)
    assert (row.fields["sni"], row.fields["cipher"]) == ("h.example", "0x1301")


def test_a_dtls_hello_without_an_answer_is_told_at_the_end() -> None:
    (row,) = seen([udp(dtls_record(client_hello()))])
    assert (row.fields["sni"], row.fields["version"]) == ("h.example", None)


def test_encrypted_records_are_no_hellos() -> None:
    later = bytearray(dtls_record(client_hello()))
    later[4] = 1  # the epoch after the keys were changed
    assert seen([udp(bytes(later))]) == []


def option(kind: int, body: bytes) -> bytes:
    return struct.pack(">HH", kind, len(body)) + body


ADDRESS = bytes.fromhex("20010db8") + bytes(11) + b"\x07"
CLIENT_ID = option(1, bytes.fromhex("00010001") + bytes(4) + bytes.fromhex("0a0b0c0d0e0f"))
REPLY = (
    b"\x07\x00\x00\x2a" + CLIENT_ID
    + option(3, bytes(12) + option(5, ADDRESS + bytes(8)))
    + option(39, b"\0\4host\3lab")
    + option(16, bytes(4) + b"\0\4MSFT")
)  # fmt: skip
RELAYED = b"\x0d\x00" + bytes(32) + option(9, REPLY)


@pytest.mark.parametrize("data", [REPLY, RELAYED, b"\x0d\x01" + bytes(32) + option(9, RELAYED)])
def test_a_reply_names_client_and_address_also_inside_relays(data: bytes) -> None:
    told = dhcp6.read_message(data)
    assert told is not None
    assert told[:7] == (42, "REPLY", "0a:0b:0c:0d:0e:0f", "host.lab", "2001:db8::7", None, "MSFT")


def test_dhcp_of_both_kinds_stay_apart() -> None:
    (row,) = seen([udp(REPLY, sport=547, dport=546)])
    assert (row.kind, row.fields["address"]) == ("dhcp6", "2001:db8::7")


def test_garbage_gives_rows_or_none() -> None:
    chance = random.Random(7)
    for base in (REPLY, RELAYED, dtls_record(client_hello(), piece=30)):
        for _ in range(400):
            data = bytearray(base)
            for _ in range(chance.randint(1, 6)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            cut = bytes(data[: chance.randint(0, len(data))])
            dhcp6.read_message(cut)
            dtls.pieces(cut)
    link, packets = packets_of(REAL.read_bytes())
    for _ in range(50):
        chance.shuffle(packets)
        rows_of(capture(packets[:3], link=link))
