"""Fetch what a feed offers, as if whoever offers it were hostile.

HTTPS, or HTTP to addresses that the house names; the address that was checked is the one connected
to; at most three redirects, each checked alike; bounds on size, unpacked size and time; a secret
goes to the origin it was given for and into no message.
"""

import base64
import contextlib
import http.client
import math
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from pipelines.intel.reach import Network, Place, Resolve, onward, placed, resolved, taken_apart
from storage.errors import InvalidInput, Unavailable
from storage.settings import Secret

MAX_BYTES: Final = 64 * 1024 * 1024
"""Of an answer, unpacked."""
MAX_RATIO: Final = 200
"""Unpacked : packed, above 1 MiB."""
MOST_HOPS: Final = 3
CONNECT_S: Final = 10.0
TOTAL_S: Final = 120.0
_CHUNK: Final = 64 * 1024
_FREE_BYTES: Final = 1024 * 1024
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_AGENT: Final = "inopsio-feeds"


@dataclass(frozen=True, slots=True)
class Auth:
    """What a feed is asked with. `kind`: none, basic (name:password), bearer, key (bare)."""

    kind: str = "none"
    secret: Secret = field(default_factory=lambda: Secret(""))

    def header(self) -> dict[str, str]:
        """Give the header that carries it; for the request alone, never for a message."""
        text = self.secret.reveal()
        if self.kind == "none" or not text:
            return {}
        if self.kind == "basic":
            return {"Authorization": "Basic " + base64.b64encode(text.encode()).decode()}
        return {"Authorization": f"Bearer {text}" if self.kind == "bearer" else text}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server said: `headers` by lower-case name, `body` unpacked, `url` after redirects."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str


@dataclass(frozen=True, slots=True)
class Fetcher:
    """Fetch with one secret, under one set of bounds.

    `home`: the url that the secret was given for; only its scheme, host and port are sent it.
    `total_s`: for one answer, redirects included; `until_s`: for all, by the monotonic clock.
    """

    home: str = ""
    auth: Auth = field(default_factory=Auth)
    named: tuple[Network, ...] = ()
    resolve: Resolve = resolved
    tls: ssl.SSLContext | None = None
    max_bytes: int = MAX_BYTES
    total_s: float = TOTAL_S
    until_s: float = math.inf

    def get(self, url: str, accept: str, headers: Mapping[str, str] | None = None) -> Answer:
        """Give the answer to a GET: 200 or 304; every other status is an error in words.

        InvalidInput where trying again cannot help, Unavailable where it may.
        """
        until_s = min(self.until_s, time.monotonic() + self.total_s)
        home = taken_apart(self.home)[:3] if self.home else None
        for hop in range(MOST_HOPS + 1):
            place = placed(url, self.named, self.resolve, hop=hop > 0)
            sent = {"Accept": accept, "Accept-Encoding": "gzip", "User-Agent": _AGENT}
            sent |= headers or {}
            if is_home := place.origin == home:
                sent |= self.auth.header()
            answer = _asked(place, sent, url, self, until_s)
            if answer.status not in _MOVED:
                return _checked(answer, place, is_home=is_home)
            url = onward(url, answer.headers.get("location", ""))
        raise InvalidInput(f"the server sends us on more than {MOST_HOPS} times: correct the url")


def _checked(answer: Answer, place: Place, *, is_home: bool) -> Answer:
    status, host = answer.status, place.told
    if status in {200, 304}:
        return answer
    if status in {401, 403} and not is_home:
        raise InvalidInput(f"{host} wants a secret, but yours is for another: give the url there")
    if status in {401, 403}:
        raise InvalidInput(f"{host} refuses the secret ({status}): give the feed another one")
    if status in {404, 410}:
        raise InvalidInput(f"{host} has nothing there ({status}): correct url or collection")
    if status == 429 or status >= 500:
        raise Unavailable(f"{host} is busy or broken ({status}): tried again later")
    raise InvalidInput(f"{host} answers {status}: correct the url or the kind of the feed")


def _asked(place: Place, sent: Mapping[str, str], url: str, how: Fetcher, until_s: float) -> Answer:
    told = place.told
    try:
        with _connected(place, how, until_s) as link:
            link.request("GET", place.path, headers=dict(sent))
            with link.getresponse() as reply:
                heads = {name.lower(): value for name, value in reply.getheaders()}
                is_moved = reply.status in _MOVED
                body = b"" if is_moved else _body(reply, heads, how.max_bytes, told)
                _in_time(until_s, told)
                return Answer(reply.status, heads, body, url)
    except ssl.SSLCertVerificationError as wrong:
        raise InvalidInput(
            f"{told} shows a certificate that is not trusted ({wrong.verify_message}):"
            " correct it there, or add its authority to this machine (SSL_CERT_FILE)"
        ) from None
    except (OSError, http.client.HTTPException, ValueError) as wrong:
        # Their words may repeat what the server was sent: only the kind is told.
        _in_time(until_s, told)
        raise Unavailable(
            f"{told} does not answer as it should ({type(wrong).__name__}): tried again later"
        ) from None


def _in_time(until_s: float, told: str) -> None:
    if time.monotonic() >= until_s:
        raise Unavailable(f"{told} is too slow: tried again later")


@contextlib.contextmanager
def _connected(place: Place, how: Fetcher, until_s: float) -> Iterator[http.client.HTTPConnection]:
    """Connect to a checked address; whatever happens on it ends when the time is up."""
    link = http.client.HTTPConnection(place.host, place.port)
    plain = _socket(place, until_s)
    # A socket's own timeout begins anew with each byte that drips in: this one does not.
    twin = plain.dup()
    end = threading.Timer(max(0.0, until_s - time.monotonic()), _shut, (twin,))
    end.daemon = True
    end.start()
    try:
        link.sock = plain
        link.default_port = {"https": 443, "http": 80}[place.scheme]
        if place.scheme == "https":
            context = how.tls or ssl.create_default_context()
            link.sock = context.wrap_socket(plain, server_hostname=place.host)
        # A connection that has a socket and may not make another: no second look at the name.
        link.auto_open = 0
        yield link
    finally:
        end.cancel()
        with contextlib.suppress(OSError):
            link.close()
        plain.close()
        twin.close()


def _shut(twin: socket.socket) -> None:
    with contextlib.suppress(OSError):
        twin.shutdown(socket.SHUT_RDWR)


def _socket(place: Place, until_s: float) -> socket.socket:
    last: OSError = ConnectionError("no address")
    for address in place.addresses:
        left_s = until_s - time.monotonic()
        if left_s <= 0:
            break
        try:
            made = socket.create_connection((address, place.port), min(CONNECT_S, left_s))
        except OSError as wrong:
            last = wrong
            continue
        made.settimeout(max(0.1, until_s - time.monotonic()))
        return made
    raise last


def _body(reply: http.client.HTTPResponse, heads: Mapping[str, str], most: int, told: str) -> bytes:
    packing = heads.get("content-encoding", "identity").strip().lower()
    if packing not in {"identity", "", "gzip", "x-gzip"}:
        raise InvalidInput(f"{told} packs its answer in a way nobody asked for: correct the url")
    if (reply.length or 0) > most:
        raise InvalidInput(f"{told} answers with over {most:,} bytes: take a smaller feed")
    unpack = zlib.decompressobj(wbits=31) if "gzip" in packing else None
    parts: list[bytes] = []
    packed = size = 0
    while chunk := reply.read1(_CHUNK):
        packed += len(chunk)
        for part in (chunk,) if unpack is None else _unpacked(unpack, chunk, told):
            size += len(part)
            if size > most:
                raise InvalidInput(f"{told} answers with over {most:,} bytes: take a smaller feed")
            if size > max(_FREE_BYTES, packed * MAX_RATIO):
                raise InvalidInput(f"{told} sends a gzip bomb: leave this feed")
            parts.append(part)
    if reply.length or (unpack is not None and packed and not unpack.eof):
        raise Unavailable(f"{told} broke off in the middle: tried again later")
    return b"".join(parts)


def _unpacked(unpack: "zlib._Decompress", chunk: bytes, told: str) -> Iterator[bytes]:
    """Give what a chunk unpacks to in small pieces, so that whoever counts them can stop."""
    left, begun = chunk, not unpack.eof
    try:
        while not unpack.eof:
            part = unpack.decompress(left, _CHUNK)
            left = unpack.unconsumed_tail
            yield part
            if not left and len(part) < _CHUNK:
                break
    except zlib.error:
        raise InvalidInput(f"{told} sends broken gzip: correct the url") from None
    if unpack.unused_data or not begun:
        raise InvalidInput(f"{told} sends more than one gzip at once: correct the url")
