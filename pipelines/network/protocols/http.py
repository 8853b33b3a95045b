"""Read the heads of HTTP/1 requests and answers (RFC 9112), and of SSDP, which writes alike."""

import re
from sys import getsizeof
from typing import Final, NamedTuple

MAX_HEAD: Final = 16_384
MAX_HEADS: Final = 16
"""Heads that are read of what comes at once; the rest of a longer queue is let go."""
METHODS: Final = (
    "GET", "POST", "PUT", "HEAD", "DELETE", "OPTIONS", "CONNECT", "TRACE", "PATCH", "PROPFIND",
    "PROPPATCH", "MKCOL", "MKCALENDAR", "COPY", "MOVE", "LOCK", "UNLOCK", "SEARCH", "REPORT",
    "SUBSCRIBE", "UNSUBSCRIBE", "NOTIFY", "M-SEARCH", "BITS_POST", "RPC_CONNECT", "RPC_IN_DATA",
    "RPC_OUT_DATA", "CCM_POST", "VERSION-CONTROL", "CHECKOUT", "CHECKIN", "MERGE", "BIND", "ACL",
    "BASELINE-CONTROL", "BCOPY", "BDELETE", "BMOVE", "BPROPFIND", "BPROPPATCH", "LABEL", "LINK",
    "MKACTIVITY", "MKWORKSPACE", "ORDERPATCH", "POLL", "PURGE", "UNCHECKOUT", "UNLINK", "UPDATE",
)  # fmt: skip

HEAD_COST: Final = 384
"""Bytes that a request takes, beside its texts, while it waits for its answer."""

_REQUEST: Final = re.compile(
    rb"(?:\r?\n)?("
    + b"|".join(m.encode() for m in METHODS)
    + rb") +(\S[^\r\n]*?) +HTTP/1\.\d *\r?\n"
)
_OLD_REQUEST: Final = re.compile(rb"(GET|POST|HEAD) +(/\S*) *\r?\n")
_STATUS: Final = re.compile(rb"HTTP/1\.\d +(\d{3})[^\r\n]*\r?\n")
_LONG_LINE: Final = re.compile(
    rb"(?:\r?\n)?(?:HTTP/1\.\d +(\d{3})|("
    + b"|".join(m.encode() for m in METHODS)
    + rb") +(\S[^\r\n]*))[^\r\n]*\Z"
)
"""A first line of which MAX_HEAD bytes are no end."""
_LAST_LINE: Final = re.compile(rb"\r?\n\r?\n")
_VALUE: Final = re.compile(rb"[^\r\n]*")
_LENGTH: Final = re.compile(rb"\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r?\n")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_SMALL: Final = re.compile(
    b"(?:"
    + b"|".join(rb"(?i:%x)(?:;[^\r\n]*)?\r\n[\x00-\xff]{%d}\r\n" % (n, n) for n in range(1, 16))
    + b")++"
)
"""Chunks of a few bytes, one after the other: one by one they would cost more than they hold."""
_BEHIND_DIGIT: Final = (b"\r", b";")
_MAX_CHUNK_LINE: Final = 256
_CODED: Final = re.compile(rb"\ntransfer-encoding:[ \t]*\S")
_STARTS: Final = (*(m.encode() + b" " for m in METHODS), b"HTTP/1.")
_USUAL: Final = (b"GET ", b"HTTP/1.", b"POST ")
_START: Final = re.compile(rb"[\r\n]{0,2}(?:" + b"|".join(map(re.escape, _STARTS)) + rb")")


class HttpHead(NamedTuple):
    """Hold one head: a request has `method` and `uri`, an answer has `status`.

    `size`: bytes of the head; `length`: of the body, as told, or None.
    """

    method: str | None
    uri: str | None
    status: int | None
    host: str | None
    user_agent: str | None
    size: int
    length: int | None
    is_chunked: bool = False


def held_bytes(head: HttpHead) -> int:
    """Give the bytes of memory that a head takes while it waits for its answer."""
    said = (head.method, head.uri, head.host, head.user_agent)
    return HEAD_COST + sum([getsizeof(text) for text in said])


def may_begin(data: bytes) -> bool:
    """Tell whether the bytes are, or could become, the beginning of a head."""
    if data.startswith(_USUAL) or _START.match(data):
        return True
    begun = data[:20].lstrip(b"\r\n")
    return len(data) < 20 and any(s.startswith(begun) for s in _STARTS)


def may_end(data: bytes, at: int) -> bool:
    """Tell whether a head, in whose bytes up to `at` no end was found, is to be read now."""
    return len(data) >= MAX_HEAD or _end(data, max(at - 3, 0), len(data)) is not None


def read_head(data: bytes, *, is_all: bool = False) -> HttpHead | None:
    """Read the head with which the bytes begin; None: more bytes are needed.

    With `is_all` (nothing more comes) a head that is cut off after its first line counts. Of a head
    over MAX_HEAD bytes the beginning is read, of its first line, too.
    ValueError where the bytes are no head.
    """
    if not may_begin(data):
        raise ValueError("no HTTP head")
    end = _end(data, 0, MAX_HEAD)
    if end is None and len(data) < MAX_HEAD and not is_all:
        return None
    head = data[: end or MAX_HEAD]
    small = head.lower()
    asked = None if head.startswith(b"HTTP") else _REQUEST.match(head) or _OLD_REQUEST.match(head)
    if asked is not None:
        method, uri = asked.group(1).decode(), _text(asked.group(2))
        host, agent = _field(b"\nhost:", head, small), _field(b"\nuser-agent:", head, small)
        chunks = is_chunked(small)
        body = None if chunks else _length(small) or 0
        return HttpHead(method, uri, None, host, agent, len(head), body, chunks)
    said = _STATUS.match(head)
    if said is None:
        return _long(head)
    return HttpHead(
        None, None, int(said.group(1)), None, None, len(head), _length(small), is_chunked(small)
    )


def _long(head: bytes) -> HttpHead:
    """Read what there is of a first line that is too long: its URI is cut."""
    told = _LONG_LINE.match(head) if len(head) >= MAX_HEAD else None
    if told is None:
        raise ValueError("no HTTP head")
    status, method, uri = told.groups()
    if method is None:
        return HttpHead(None, None, int(status), None, None, len(head), None)
    return HttpHead(method.decode(), _text(uri), None, None, None, len(head), 0)


def behind_chunks(data: bytes, at: int) -> tuple[int, bool]:
    r"""Step over a body in chunks; give where the next chunk (or the next message) begins.

    True with it: the body is over. The place may lie behind the data: so far away is the next
    chunk. ValueError where the bytes are no chunk.

    >>> behind_chunks(b"2\r\nab\r\n0\r\n\r\nHTTP/1.1", 0), behind_chunks(b"ff\r\nab", 0)
    ((12, True), (261, False))
    """
    while at < len(data):
        if data[at + 1 : at + 2] in _BEHIND_DIGIT and (several := _SMALL.match(data, at)):
            at = several.end()
            continue
        told = _CHUNK.match(data, at)
        if told is None:
            if len(data) - at > _MAX_CHUNK_LINE or not data[at : at + 1].isalnum():
                raise ValueError("no chunk")
            return at, False
        size = int(told.group(1), 16)
        if size == 0:
            # Trailer fields may follow, and an empty line does.
            last = _LAST_LINE.search(data, told.end() - 2, told.end() + MAX_HEAD)
            return (last.end(), True) if last else (at, False)
        at = told.end() + size
        at += 1 if data[at : at + 1] == b"\n" else 2
    return at, False


def _end(data: bytes, at: int, until: int) -> int | None:
    """Find where the empty line behind a head ends; a fixed text is found ten times as fast."""
    usual = data.find(b"\n\r\n", at, until)
    short = data.find(b"\n\n", at, until if usual < 0 else usual + 1)
    return short + 2 if short >= 0 else usual + 3 if usual >= 0 else None


def is_chunked(small: bytes) -> bool:
    """Tell whether a head in small letters announces a body in chunks."""
    return b"\ntransfer-encoding:" in small and b"chunked" in small


def names_http2(head: bytes) -> bool:
    """Tell whether a head says that HTTP/2 in the clear follows."""
    return re.search(rb"\nupgrade:[^\r\n]*\bh2c\b", head.lower()) is not None


def _length(small: bytes) -> int | None:
    """Read the body's length out of a head in small letters."""
    # To look for a fixed text first costs a tenth of what the patterns do.
    if b"\ntransfer-encoding:" in small and _CODED.search(small):
        return None
    told = _LENGTH.search(small) if b"\ncontent-length:" in small else None
    return int(told.group(1)) if told else None


def _field(name: bytes, head: bytes, small: bytes) -> str | None:
    """Give what stands behind a name on its line."""
    at = small.find(name)
    if at < 0:
        return None
    found = _VALUE.match(head, at + len(name))
    return _text(found.group().strip(b" \t")) if found else None


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
