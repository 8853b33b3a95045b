"""Look for a new version, and fetch it for the updater, which believes nothing of this."""

import hashlib
import http.client
import json
import os
import platform
import random
import shutil
import ssl
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from agent.errors import AgentError, Away
from agent.place import ANNOUNCED, KEPT, KEY, PACKAGE, PLACE, READY, RESULT
from agent.release import MOST_ANNOUNCED, BadRelease, Release, is_for, parts, read
from agent.ship import by_address, left_over
from agent.version import version
from agent.voice import tell

FIRST_S: Final = 60.0
EVERY_S: Final = 900.0
TIMEOUT_S: Final = 30
ROOM: Final = 8
"""Free disk wanted, in sizes of the package: it is copied and unpacked, the old one stays."""
REPORTED: Final = "reported.json"


def system() -> str:
    """Give what releases call this kind of host.

    >>> "-" in system()
    True
    """
    return f"{sys.platform}-{platform.machine()}"


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where releases lie: `url` of the folder, how to speak with it.

    `report`: whether it wants to be told how an update ended (the house's own does); `houses`:
    where the house was reached before, for a host without name servers.
    """

    url: str
    context: Callable[[], ssl.SSLContext]
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    report: bool = False
    houses: Callable[[], list[tuple[str, int]]] = list

    def get(self, name: str, most: int) -> Iterator[bytes]:
        """Give a file in pieces; Away if it cannot be had, BadRelease if it is over `most`."""
        with self._open(f"/{name}") as answer:
            if answer.status == http.HTTPStatus.NO_CONTENT:
                return
            left = most
            while chunk := _read(answer):
                left -= len(chunk)
                if left < 0:
                    raise BadRelease(f"{name} is larger than announced")
                yield chunk

    def post(self, row: dict[str, Any]) -> None:
        """Tell how an update ended; Away if that cannot be told."""
        body = json.dumps(row).encode()
        said = {**self.headers, "Content-Type": "application/json"}
        self._open("", body, said).close()

    def _open(
        self, path: str, body: bytes | None = None, said: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        """Ask by the name; if that is not found or not reached, by the addresses it had before."""
        headers = dict(said or {})
        try:
            return self._opened(urllib.request.Request(self.url + path, body, headers))  # noqa: S310  https or loopback
        except Away as away:
            gone = getattr(away.__cause__, "reason", None)
            if not isinstance(gone, OSError) or isinstance(gone, ssl.SSLError):
                raise
            parts = urllib.parse.urlsplit(self.url)
            known = left_over(gone, parts.hostname or "", parts.port or 443, self.houses())
            last = away
        for url in by_address(self.url, known):
            try:
                return self._opened(urllib.request.Request(url + path, body, headers))  # noqa: S310  as above
            except Away as again:
                last = again
        raise last

    def _opened(self, asked: urllib.request.Request) -> http.client.HTTPResponse:
        # No proxy and no redirect, as for events: only the server that was named.
        opener = urllib.request.OpenerDirector()
        for one in (
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(context=self.context()),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
        ):
            opener.add_handler(one)
        try:
            found: http.client.HTTPResponse = opener.open(asked, timeout=TIMEOUT_S)
        except (OSError, http.client.HTTPException) as gone:
            raise Away(f"{asked.full_url}: {gone}") from gone
        return found


def _read(answer: http.client.HTTPResponse) -> bytes:
    try:
        return answer.read(1 << 18)
    except (OSError, http.client.HTTPException) as gone:
        raise Away(f"the server went away: {gone}") from gone


@dataclass(frozen=True, slots=True)
class Fetcher:
    """One host's look at the shelf. `place`, `kept`: the updater's; `data`: the agent's own."""

    shelf: Shelf
    data: Path
    ring: str
    agent_id: str
    place: Path = PLACE
    kept: Path = KEPT
    system: str = field(default_factory=system)
    version: str = field(default_factory=version)
    now_s: Callable[[], float] = time.time

    def look(self) -> Release | None:
        """Report how the last update ended, then fetch what is announced for this host, if any."""
        ended = _row(self.kept / RESULT)
        if self.shelf.report and ended and ended != _row(self.data / REPORTED):
            self.shelf.post({k: ended[k] for k in ("outcome", "version", "serial", "reason")})
            _put(self.data / REPORTED, json.dumps(ended).encode())
        if (self.data / "update" / READY).exists():
            return None
        announced = b"".join(self.shelf.get(ANNOUNCED, MOST_ANNOUNCED))
        if not announced or hashlib.sha256(announced).hexdigest() == ended.get("announced"):
            return None
        found = read(announced, (self.place / KEY).read_bytes(), self.system, self.now_s())
        if parts(found.version) <= parts(self.version) or not is_for(
            found, self.ring, self.agent_id
        ):
            return None
        self._fetch(found, announced)
        return found

    def _fetch(self, found: Release, announced: bytes) -> None:
        folder = self.data / "update"
        folder.mkdir(exist_ok=True, mode=0o700)
        if shutil.disk_usage(folder).free < ROOM * found.size:
            raise BadRelease(f"no room on the disk for {found.version}")
        digest = hashlib.sha256()
        draft = folder / "package.draft"
        with draft.open("wb") as out:
            for chunk in self.shelf.get(found.name, found.size):
                digest.update(chunk)
                out.write(chunk)
        if digest.hexdigest() != found.sha256:
            draft.unlink()
            raise BadRelease(f"{found.name} is not what was announced")
        draft.replace(folder / PACKAGE)
        _put(folder / ANNOUNCED, announced)
        _put(folder / READY, b"")
        tell(f"{found.version} was fetched")


def _row(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _put(path: Path, content: bytes) -> None:
    draft = path.with_name(path.name + ".draft")
    draft.write_bytes(content)
    draft.replace(path)


def keep_looking(fetcher: Fetcher, stop: threading.Event) -> None:
    """Look now and then until told to stop; without a key of releases never."""
    if not os.access(fetcher.place / KEY, os.R_OK):
        return
    pause_s = FIRST_S
    told = ""
    while not stop.wait(pause_s * random.uniform(0.8, 1.2)):  # noqa: S311  not a secret
        pause_s = EVERY_S
        try:
            fetcher.look()
            told = ""
        except (AgentError, OSError) as wrong:
            if str(wrong) != told:
                tell(f"no new version could be fetched: {wrong}")
            told = str(wrong)
