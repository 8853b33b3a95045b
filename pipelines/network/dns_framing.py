"""Cut DNS messages out of TCP streams: by length prefix (RFC 1035) or out of HTTP/2 (RFC 8484)."""

from typing import Final

from pipelines.network.dns_message import is_exact_message

HTTP2_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_MAX_FRAME_BYTES: Final = 16_384
_LAST_FRAME_TYPE: Final = 0x10
_DATA: Final = 0
_PADDED: Final = 8


def cut_prefixed(unread: bytes) -> tuple[list[bytes], bytes]:
    r"""Give the whole messages behind their two-byte lengths, and what is left.

    Bytes that cannot be a message's beginning are dropped.

    >>> cut_prefixed(bytes([0, 12]) + bytes(12) + bytes([0]))
    ([b'\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00'], b'\x00')
    """
    found: list[bytes] = []
    at = 0
    while len(unread) - at >= 2:
        size = int.from_bytes(unread[at : at + 2], "big")
        if size < 12:
            return found, b""
        if len(unread) - at < 2 + size:
            break
        found.append(unread[at + 2 : at + 2 + size])
        at += 2 + size
    return found, unread[at:]


def cut_http2(unread: bytes) -> tuple[list[bytes], bytes]:
    """Give the DATA frames that are each exactly one DNS message, and what is left.

    Bytes that cannot be a frame's beginning are dropped.
    """
    found: list[bytes] = []
    at = len(HTTP2_PREFACE) if unread.startswith(HTTP2_PREFACE) else 0
    while len(unread) - at >= 9:
        size, kind = int.from_bytes(unread[at : at + 3], "big"), unread[at + 3]
        if size > _MAX_FRAME_BYTES or kind > _LAST_FRAME_TYPE:
            return found, b""
        if len(unread) - at < 9 + size:
            break
        body = unread[at + 9 : at + 9 + size]
        if kind == _DATA and unread[at + 4] & _PADDED and body:
            body = body[1 : max(len(body) - body[0], 1)]
        if kind == _DATA and is_exact_message(body):
            found.append(body)
        at += 9 + size
    return found, unread[at:]
