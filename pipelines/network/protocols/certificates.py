"""Read a server's certificate out of the clear part of a TLS handshake (up to TLS 1.2).

In TLS 1.3 certificates are encrypted. Only the first one is read, the server's own. Names are
written as RFC 4514 says, the most special part first. Nothing is verified here.
"""

import hashlib
import warnings
from datetime import datetime
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from pipelines.network.protocols.tls import BEFORE, MAX_RECORDS

MAX_KNOWN: Final = 512
"""Certificates whose reading is kept: a server shows the same one again and again. Some 3 KB."""
NAMES: Final = ("subject", "issuer", "not_before", "not_after", "serial", "fingerprint")
"""The fields of a row that a certificate gives."""

_HANDSHAKE: Final = 22
_SERVER_HELLO, _CERTIFICATE = 2, 11
_MAX_RECORD: Final = 16_384 + 256


def cut_certificate(data: bytes) -> bytes | None:
    """Give the first certificate (DER) of the records that begin with a ServerHello.

    b"" where none will come (a session is taken up again, the server has none); None: more bytes
    are needed.
    """
    stream, at, count = b"", 0, 0
    while True:
        count += 1
        if count > MAX_RECORDS:
            return b""
        found = _first_certificate(stream)
        if found is not None or len(data) - at < 5:
            return found
        kind, size = data[at], int.from_bytes(data[at + 3 : at + 5], "big")
        if (kind, size) in BEFORE and not stream:
            at += 5 + size
            continue
        if kind != _HANDSHAKE or data[at + 1] != 3 or not 0 < size <= _MAX_RECORD:
            return b""
        stream += data[at + 5 : at + 5 + size]
        at += 5 + size
        if at > len(data):
            return _first_certificate(stream)


def _first_certificate(stream: bytes) -> bytes | None:
    """Look in handshake messages; as `cut_certificate`."""
    at = 0
    while len(stream) - at >= 4:
        kind, size = stream[at], int.from_bytes(stream[at + 1 : at + 4], "big")
        if kind == _CERTIFICATE:
            begin = at + 10
            length = int.from_bytes(stream[at + 7 : begin], "big")
            if size < 6 or (len(stream) >= begin and not 0 < length <= size - 6):
                return b""
            return stream[begin : begin + length] if len(stream) >= begin + length else None
        if kind != _SERVER_HELLO:
            return b""
        at += 4 + size
    return None


@lru_cache(maxsize=MAX_KNOWN)
def certificate_fields(der: bytes) -> dict[str, str | None]:
    """Give what a certificate says under NAMES; only its SHA-256 where it cannot be read.

    Times are ISO 8601 in UTC; the serial number is in whole bytes, hexadecimal, capital letters.
    """
    said: dict[str, str | None] = dict.fromkeys(NAMES)
    said["fingerprint"] = hashlib.sha256(der).hexdigest()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of numbers that the standard forbids, and that occur
            one = x509.load_der_x509_certificate(der)
            said |= {
                "serial": _serial(one.serial_number),
                "not_before": _time(one.not_valid_before_utc),
                "not_after": _time(one.not_valid_after_utc),
                "subject": one.subject.rfc4514_string(),
                "issuer": one.issuer.rfc4514_string(),
            }
    except (ValueError, TypeError, OverflowError, x509.InvalidVersion, UnsupportedAlgorithm):
        pass  # hostile or odd: its hash still tells it from others
    return said


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def _serial(number: int) -> str:
    """Write a serial number as Zeek and Suricata do: two digits a byte.

    >>> _serial(0x56686BF), _serial(0)
    ('056686BF', '00')
    """
    digits = f"{abs(number):X}"
    return "-" * (number < 0) + digits.zfill(len(digits) + len(digits) % 2)
