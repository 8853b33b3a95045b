"""Know a running house without opening it: its settings, its processes, whether it answers.

Light on purpose: `inopsio status` and `inopsio down` load no database and no columns.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

from storage.errors import InvalidInput, Unavailable
from storage.restarts import STATE_FILE
from storage.settings import Settings, variable

READY_WAIT_S: Final = 90.0
STOP_WAIT_S: Final = 40.0
AGENTS_WAIT_S: Final = 10.0
_ANSWER_S: Final = 5.0
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass(frozen=True, slots=True)
class Running:
    """Tell of a running house: the supervisor's process id, its address, its children."""

    pid: int
    url: str
    started_at: float
    children: dict[str, int]


def settings_for(data: Path | None = None, port: int | None = None) -> Settings:
    """Read the settings; `--data` and `--port` win over the environment. Paths become absolute."""
    settings = Settings.read()
    if data is not None:
        settings = replace(settings, data_dir=data)
    if port is not None:
        settings = replace(settings, http_port=port)
    return replace(settings, data_dir=settings.data_dir.expanduser().absolute())


def environment_of(settings: Settings) -> dict[str, str]:
    """Give the variables that make a child process see the same house."""
    return {
        variable("data_dir"): str(settings.data_dir),
        variable("http_port"): str(settings.http_port),
    }


def make_private(folder: Path) -> None:
    """Make the data folder if it is not there; only its owner may write in it or list it."""
    try:
        folder.mkdir(parents=True, mode=0o711, exist_ok=True)
    except OSError as wrong:
        raise Unavailable(
            f"the data folder {folder} cannot be made: {wrong.strerror}; use --data"
        ) from None
    seen = folder.stat()
    if seen.st_uid != os.geteuid() or seen.st_mode & 0o002:
        raise Unavailable(
            f"the data folder {folder} belongs to somebody else or everybody may write in it; "
            "keys lie there: use another by --data, or chown and chmod it"
        )


def private(file: Path) -> Path:
    """Make a file that only its owner may read, if it is not there; give it back."""
    file.touch(mode=0o600, exist_ok=True)
    file.chmod(0o600)
    return file


def is_tls_wanted(settings: Settings) -> bool:
    """Answer whether the front door speaks TLS: always beyond loopback, unless told otherwise."""
    if settings.tls == "auto":
        return settings.http_host not in LOOPBACK
    return settings.tls == "on"


def url_of(settings: Settings) -> str:
    """Give the address of the console."""
    scheme = "https" if is_tls_wanted(settings) else "http"
    return f"{scheme}://{_shown(settings.http_host)}:{settings.http_port}"


def agents_url_of(settings: Settings) -> str:
    """Give the address of the agents' listener, '' if there is none.

    Of a house that is up: beside the port it has, whatever the settings here say.
    """
    house = running(settings)
    own = urlsplit(house.url).port if house is not None else None
    host, port = replace(settings, http_port=own or settings.http_port).agents_place
    return f"https://{_shown(host)}:{port}" if port else ""


def are_agents_heard(settings: Settings, wait_s: float = AGENTS_WAIT_S) -> bool:
    """Wait until somebody listens where agents enrol: it comes a moment after the front door."""
    parts = urlsplit(agents_url_of(settings))
    until_s = time.monotonic() + wait_s
    while True:
        try:
            socket.create_connection((parts.hostname or "", parts.port or 0), 5).close()
        except OSError:
            if time.monotonic() > until_s:
                return False
            time.sleep(0.2)
        else:
            return True


def _shown(host: str) -> str:
    own = host if host not in {"0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104  comparison, not a bind
    return f"[{own}]" if ":" in own else own


def check_port(settings: Settings) -> None:
    """Raise Unavailable if another program has the port: its answers must not pass for ours.

    The agents' port too, where it was chosen; the one beside ours is tried again until it is free.
    """
    _check(settings.http_host, settings.http_port, "use --port N")
    if settings.agents_port > 0:
        _check(*settings.agents_place, "change INOPSIO_AGENTS_PORT")


def check_rules(settings: Settings) -> None:
    """Raise InvalidInput if a folder of rules is not there: no event would be looked at."""
    if missing := absent_rules(settings):
        raise InvalidInput(f"no folder {', '.join(missing)}; correct {variable('rules_dirs')}")


def absent_rules(settings: Settings) -> list[str]:
    """Give the folders and files of rules that the settings name and that are not there."""
    return [d for d in settings.rules_dirs.split(":") if d and not Path(d).exists()]


def _check(host: str, port: int, way_out: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except (OSError, OverflowError) as taken:
            raise Unavailable(f"{host} port {port} cannot be had ({taken}); {way_out}") from None


def state_file(settings: Settings) -> Path:
    """Give the file in which the supervisor tells of itself."""
    return settings.data_dir / STATE_FILE


def tell(
    settings: Settings,
    began_at: float,
    children: dict[str, int],
    deaths: Mapping[str, list[float]] = MappingProxyType({}),
) -> None:
    """Write that this process is the supervisor of the house, who its children are, who died."""
    told = {
        "pid": os.getpid(),
        "url": url_of(settings),
        "started_at": began_at,
        "children": children,
        "deaths": dict(deaths),
    }
    draft = state_file(settings).with_suffix(".tmp")
    private(draft).write_text(json.dumps(told), encoding="utf-8")
    draft.replace(state_file(settings))


def running(settings: Settings) -> Running | None:
    """Give the running house of this data folder, or None."""
    try:
        told = json.loads(state_file(settings).read_text(encoding="utf-8"))
        house = Running(told["pid"], told["url"], told["started_at"], told["children"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return house if is_alive(house.pid) else None


def is_ready(settings: Settings) -> bool:
    """Answer whether the front door of the running house says that it is ready."""
    house = running(settings)
    if house is None:
        return False
    place = urlsplit(house.url)
    door: http.client.HTTPConnection
    try:
        if place.scheme == "https":
            trust = ssl.create_default_context(cafile=str(settings.data_dir / "keys" / "ca.pem"))
            door = http.client.HTTPSConnection(
                str(place.hostname), place.port, timeout=_ANSWER_S, context=trust
            )
        else:
            door = http.client.HTTPConnection(str(place.hostname), place.port, timeout=_ANSWER_S)
        with contextlib.closing(door):
            door.request("GET", "/v1/health/ready")
            return door.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


def down(settings: Settings) -> bool:
    """Stop the running house and wait for its end; False if none runs."""
    house = running(settings)
    if house is None:
        return False
    os.kill(house.pid, signal.SIGTERM)
    until = time.monotonic() + STOP_WAIT_S
    while is_alive(house.pid):
        if time.monotonic() > until:
            raise Unavailable(f"process {house.pid} did not end in {STOP_WAIT_S:.0f} s")
        time.sleep(0.05)
    return True


def is_alive(pid: int) -> bool:
    """Answer whether a process of that id runs; one that ended and was not yet fetched does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        said = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return True
    return said.rpartition(")")[2].split()[:1] != ["Z"]


def until_told_to_stop() -> threading.Event:
    """Give an event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def told(_signal: int, _frame: object) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
    return stop
