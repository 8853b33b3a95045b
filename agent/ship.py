"""Send batches to the front door: packed, over one kept connection, safe to send again."""

import email.utils
import gzip
import hashlib
import http.client
import ipaddress
import json
import re
import socket
import ssl
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.errors import AgentError, Away, Refused
from agent.identity import Identity
from agent.ship_timed import TimedHTTP, TimedHTTPS, Until, linked
from agent.spool import Batch
from agent.voice import shown

try:
    import zstandard
except ImportError:  # an extra: without it gzip does
    zstandard = None  # type: ignore[assignment]  # what an absent extra is

LINK_S: Final = 300
"""A connection is kept so long: papers that were renewed meanwhile count from then on."""
MOST_HOUSES: Final = 8
MOST_GROWTH: Final = 90
_FINAL: Final = frozenset({400, 413, 415, 422})
"""Answers that will be the same next time for the same bytes."""
_STRANGE: Final = re.compile(r"[^A-Za-z0-9._:@/+=-]")
_LONGEST_STREAM: Final = 120


@dataclass(frozen=True, slots=True)
class Server:
    """Where to send, as whom: by `identity` (enrolled) or by `token`, which never shows."""

    url: str
    token: str = field(default="", repr=False)
    ca_file: Path | None = None
    identity: Identity | None = None

    def __post_init__(self) -> None:
        """Refuse clear text to anywhere but this machine: the token would be readable."""
        parts = urllib.parse.urlsplit(self.url)
        if parts.scheme == "https" or (parts.scheme == "http" and _is_here(parts.hostname or "")):
            return
        raise AgentError(f"{self.url}: use https:// (http:// goes to this machine only)")

    def sender(self, spool_id: str) -> str:
        """Give the name that sources begin with.

        An enrolled host stays the same agent when it is installed anew, but its spool counts from 0
        again: the spool's id beside the agent's keeps its events from being taken for repeats.
        """
        if self.identity is None:
            return spool_id
        return f"{self.identity.agent_id}.{spool_id[:12]}"

    def credentials(self) -> dict[str, str]:
        """Give the headers that say who sends; an identity's certificate says it by itself."""
        if self.identity is not None:
            return self.identity.headers()
        return {"Authorization": f"Bearer {self.token}"}

    def context(self) -> ssl.SSLContext:
        """Make whom to trust: the house's authority if enrolled, else the given or system's CA."""
        if self.identity is not None:
            return self.identity.context()
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:
            raise AgentError(f"the CA file {self.ca_file} cannot be used: {error}") from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Sender:
    """Hold one connection to the server; no proxy, no redirects: they would carry the token away.

    `skew_s`: the server's clock less this host's, by the newest answer (to about a second).
    """

    def __init__(
        self,
        server: Server,
        agent_id: str,
        host: str,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        """Keep it; the first `send` connects."""
        self._server, self._agent_id, self._host = server, server.sender(agent_id), host
        self._now_s, self._made_s = now_s, 0.0
        self._link: http.client.HTTPConnection | None = None
        self.until = Until()
        """How long an exchange may take."""
        self.skew_s: float | None = None
        self.houses: list[tuple[str, int]] = []
        """Addresses and port of the house's name; the one by which it was reached last is first."""

    def send(self, batch: Batch) -> None:
        """Send one batch and return when the server has it durably.

        Away: not now (network, 5xx, 429, also 401/403: a renewed token makes it pass). Refused:
        never.
        """
        body, encoding = _pack(b"\n".join(batch.rows) + b"\n")
        target = f"{urllib.parse.urlsplit(self._server.url).path.rstrip('/')}/v1/ingest?"
        headers = {
            **self._server.credentials(),
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": encoding,
            "User-Agent": "inopsio-agent",
        }
        status, said, text = self._ask(target + self._query(batch), body, headers)
        if status != http.HTTPStatus.ACCEPTED:
            raise _judged(status, said, text)

    def greet(self) -> None:
        """Ask whether the house lets this enrolled host in; it is changed by nothing.

        Without this process's id: it would be taken for a second agent with the first one's key.
        """
        path = urllib.parse.urlsplit(self._server.url).path.rstrip("/")
        status, said, text = self._ask(f"{path}/v1/agents/self", b"", {}, "GET")
        if status != http.HTTPStatus.OK:
            raise _judged(status, said, text)

    def say(
        self, path: str, body: bytes, kind: str = "application/json", most: int = 4 << 20
    ) -> tuple[int, bytes]:
        """Post something else than events; give the status and what came back. Away as `send`."""
        begin = urllib.parse.urlsplit(self._server.url).path.rstrip("/")
        headers = {**self._server.credentials(), "Content-Type": kind}
        status, said, text = self._ask(begin + path, body, headers, most=most)
        if status == http.HTTPStatus.TOO_MANY_REQUESTS or status >= 500:
            raise _judged(status, said, text)
        return status, text

    def _query(self, batch: Batch) -> str:
        return urllib.parse.urlencode(
            {
                "format": batch.format,
                "source": f"agent:{self._agent_id}:{_in_source(batch.stream)}",
                "position": batch.first,
                "name": _readable(f"{self._host}:{batch.stream}"),
            }
        )

    def _ask(
        self,
        target: str,
        body: bytes,
        headers: dict[str, str],
        method: str = "POST",
        most: int = 65536,
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        if self._link is not None and not 0 <= self._now_s() - self._made_s < LINK_S:
            self.close()
        is_used = self._link is not None
        self.until.begin(len(body))
        try:
            link = self._link = self._link or self._connect()
            began_s = self._now_s()
            link.request(method, target, body, headers)
            answer = link.getresponse()
            text = answer.read(most)
        except (OSError, ValueError, http.client.HTTPException) as gone:
            self.close()
            # A kept connection that the server has closed meanwhile says nothing about the server.
            if is_used and isinstance(gone, ConnectionError):
                return self._ask(target, body, headers, method, most)
            raise Away(shown(f"{self._server.url} is not reachable: {gone}")) from gone
        self._measure(answer.headers.get("Date", ""), (began_s + self._now_s()) / 2)
        if answer.will_close or not answer.isclosed():
            self.close()
        return answer.status, answer.headers, text

    def _connect(self) -> http.client.HTTPConnection:
        parts = urllib.parse.urlsplit(self._server.url)
        host, self._made_s = parts.hostname or "", self._now_s()
        if parts.scheme == "http":
            place = host, parts.port or 80
            return TimedHTTP(*place, timeout=self.until.pause_s, until=self.until)
        port, context = parts.port or 443, self._server.context()
        try:
            link = linked(host, port, context, self.until)
        except ssl.SSLError:
            raise
        except OSError as gone:
            # A host that is cut off from its name servers, or from all addresses but those that
            # are kept open, still knows where the house was.
            known = left_over(gone, host, port, self.houses) if self._server.identity else []
            if not known:
                raise
            return _linked_to_one(known, context, self.until)
        found = link.sock.getpeername()[:2]
        self.houses = list(dict.fromkeys([found, *_addresses(host, port)]))[:MOST_HOUSES]
        return link

    def _measure(self, date: str, here_s: float) -> None:
        try:
            there = email.utils.parsedate_to_datetime(date)
        except (ValueError, TypeError, IndexError, OverflowError):  # a stranger's header
            return
        # The header has whole seconds: on average half a second is cut off.
        self.skew_s = round(there.timestamp() + 0.5 - here_s, 1)

    def close(self) -> None:
        """Close the connection; the next `send` opens a new one, with new papers."""
        if self._link is not None:
            self._link.close()
            self._link = None


def _linked_to_one(
    houses: list[tuple[str, int]], context: ssl.SSLContext, until: Until
) -> TimedHTTPS:
    """Connect to the first of these that answers; what the last one said if none does."""
    for host, port in houses[:-1]:
        try:
            return linked(host, port, context, until)
        except OSError:
            continue
    return linked(*houses[-1], context, until)


def left_over(
    gone: BaseException | None, host: str, port: int, houses: list[tuple[str, int]]
) -> list[tuple[str, int]]:
    """Give what of the addresses known from before is still to be tried after this failure.

    Where the name was found, those that it has now were tried already.
    """
    if isinstance(gone, socket.gaierror):
        return houses
    now = set(_addresses(host, port))
    return [one for one in houses if one not in now]


def _addresses(host: str, port: int) -> list[tuple[str, int]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return [(str(where[0]), int(where[1])) for *_, where in found]


def by_address(url: str, houses: list[tuple[str, int]]) -> list[str]:
    """Give the URL with each of these in the place of its name.

    >>> by_address("https://house:8443/a", [("192.0.2.1", 8443), ("2001:db8::1", 8443)])
    ['https://192.0.2.1:8443/a', 'https://[2001:db8::1]:8443/a']
    """
    parts = urllib.parse.urlsplit(url)
    places = [f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in houses]
    return [parts._replace(netloc=place).geturl() for place in places]


def _pack(plain: bytes) -> tuple[bytes, str]:
    if zstandard is not None:
        packed, how = zstandard.ZstdCompressor(level=3).compress(plain), "zstd"
    else:
        packed, how = gzip.compress(plain, 5), "gzip"
    # The house takes what grows over 100 times for a bomb: repeats go as they are.
    return (packed, how) if len(plain) <= MOST_GROWTH * len(packed) else (plain, "identity")


def _in_source(stream: str) -> str:
    """Give the stream's name in letters that the server takes; no two streams get the same.

    >>> _in_source("log:/var/log/syslog"), _in_source("log:/my app.log")
    ('log:/var/log/syslog', 'log:/my_app.log=154893c2efb26fc8')
    """
    safe = _STRANGE.sub("_", stream)
    if safe == stream and len(safe) <= _LONGEST_STREAM:
        return stream
    mark = hashlib.sha256(stream.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return f"{safe[:_LONGEST_STREAM]}={mark}"


def _readable(name: str) -> str:
    """Give a name for people within what the server takes, whatever bytes a path has."""
    text = name.encode("utf-8", "replace").decode()
    return "".join(c if c.isprintable() else "?" for c in text)[:300]


def _judged(status: int, said: http.client.HTTPMessage, text: bytes) -> AgentError:
    try:
        told = str(json.loads(text[:4096]).get("detail", ""))[:300]
    except (ValueError, AttributeError, RecursionError):
        told = ""
    message = shown(f"the server answered {status} {told}".rstrip())
    # A proxy's own 400 or 413 says nothing about the rows: only the house's word is final.
    is_ours = said.get_content_type() == "application/problem+json"
    if status in _FINAL and is_ours:
        return Refused(message, status)
    return Away(message, asked_s(said.get("Retry-After", "")))


def asked_s(text: str) -> float:
    """Give the seconds that a Retry-After asks for, an hour at most; 0 if it says no number.

    >>> asked_s("7"), asked_s("9" * 99), asked_s("\u00b2"), asked_s("tomorrow")
    (7.0, 3600.0, 0.0, 0.0)
    """
    return min(float(text), 3600.0) if text.isdecimal() else 0.0
