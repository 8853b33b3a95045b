"""Send batches to the front door: gzip over HTTPS, paced by the server, safe to send again."""

import gzip
import hashlib
import ipaddress
import json
import re
import ssl
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from agent.errors import AgentError, Away, Refused
from agent.identity import Identity
from agent.spool import Batch

TIMEOUT_S: Final = 30
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
        context = ssl.create_default_context(cafile=self.ca_file)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args: object) -> None:
        # A redirect would carry the token to an address nobody chose.
        return None


def opener(server: Server) -> urllib.request.OpenerDirector:
    """Make what sends: TLS as the server's papers say, no redirects, no proxy."""
    return urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=server.context()),
        _NoRedirects,
    )


def send(
    out: urllib.request.OpenerDirector, server: Server, agent_id: str, host: str, batch: Batch
) -> None:
    """Send one batch and return when the server has it durably.

    Away: not now (network, 5xx, 429, also 401/403: a renewed token makes it pass). Refused: never.
    """
    query = urllib.parse.urlencode(
        {
            "format": batch.format,
            "source": f"agent:{agent_id}:{_in_source(batch.stream)}",
            "position": batch.first,
            "name": _readable(f"{host}:{batch.stream}"),
        }
    )
    request = urllib.request.Request(  # noqa: S310  the scheme was checked in Server
        f"{server.url.rstrip('/')}/v1/ingest?{query}",
        data=gzip.compress(b"\n".join(batch.rows) + b"\n", 5),
        method="POST",
        headers={
            **server.credentials(),
            "Content-Type": "application/x-ndjson",
            "Content-Encoding": "gzip",
            "User-Agent": "inopsio-agent",
        },
    )
    try:
        with out.open(request, timeout=TIMEOUT_S) as answer:
            answer.read(65536)
    except urllib.error.HTTPError as said:
        raise _judged(said) from said
    except (OSError, ValueError) as gone:
        reason = getattr(gone, "reason", gone)
        raise Away(f"{server.url} is not reachable: {reason}") from gone


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


def _judged(said: urllib.error.HTTPError) -> AgentError:
    text = said.read(4096)
    try:
        told = str(json.loads(text).get("detail", ""))[:300]
    except (ValueError, AttributeError):
        told = ""
    message = f"the server answered {said.code} {told}".rstrip()
    # A proxy's own 400 or 413 says nothing about the rows: only the house's word is final.
    is_ours = said.headers.get_content_type() == "application/problem+json"
    if said.code in _FINAL and is_ours:
        return Refused(message, said.code)
    wait = said.headers.get("Retry-After", "")
    return Away(message, float(wait) if wait.isdigit() else 0.0)
