"""Bring the whole house up on one machine, watch it, and take it down."""

import json
import os
import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from fcntl import LOCK_EX, LOCK_NB, flock
from pathlib import Path
from typing import Final

import httpx

from api.auth import make_first_link
from deploy.house import (
    database_of,
    environment_of,
    is_alive,
    make_private,
    until_told_to_stop,
)
from deploy.output import say
from deploy.process import names
from deploy.supervise import Supervisor
from deploy.tls import is_wanted, papers
from storage.database import Database
from storage.errors import Unavailable
from storage.settings import Settings

FIRST_TENANT: Final = "main"
READY_WAIT_S: Final = 90.0
STOP_WAIT_S: Final = 40.0


@dataclass(frozen=True, slots=True)
class Running:
    """Tell of a running house: the supervisor's process id, its address, its children."""

    pid: int
    url: str
    started_at: float
    children: dict[str, int]


def _state_file(settings: Settings) -> Path:
    return settings.data_dir / "up.json"


def running(settings: Settings) -> Running | None:
    """Give the running house of this data folder, or None."""
    try:
        told = json.loads(_state_file(settings).read_text(encoding="utf-8"))
        house = Running(told["pid"], told["url"], told["started_at"], told["children"])
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return house if is_alive(house.pid) else None


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    make_private(settings.data_dir)
    with (settings.data_dir / "up.lock").open("w") as handle:
        try:
            flock(handle, LOCK_EX | LOCK_NB)
        except OSError:
            raise Unavailable(
                f"a house is up already in {settings.data_dir}; see: inopsio status"
            ) from None
        yield


def url_of(settings: Settings) -> str:
    """Give the address of the console."""
    host = settings.http_host if settings.http_host not in {"0.0.0.0", "::"} else "127.0.0.1"  # noqa: S104  comparison, not a bind
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if is_wanted(settings) else 'http'}://{shown}:{settings.http_port}"


def _prepare(database: Database) -> str | None:
    """Make the first tenant; give the one-time path to its first sign-in, if none can sign in."""
    if not database.tenants():
        database.create_tenant(FIRST_TENANT, "Main")
    return make_first_link(database, FIRST_TENANT) if FIRST_TENANT in database.tenants() else None


def up(settings: Settings) -> None:
    """Start everything, say where it is, watch it until told to stop, stop everything."""
    stop = until_told_to_stop()
    with _alone(settings):
        began = time.monotonic()
        supervisor = Supervisor(names(), settings.data_dir, environment_of(settings))
        with database_of(settings) as database, _tended(settings, supervisor):
            link = _prepare(database)
            supervisor.start()
            _write_state(settings, supervisor)
            _wait_until_ready(settings, supervisor)
            say(f"Inopsio is up after {time.monotonic() - began:.1f} s: {url_of(settings)}")
            if link:
                say(f"First sign-in (works once, for one hour): {url_of(settings)}{link}")
            say(f"Data: {settings.data_dir}   Stop: Ctrl-C, or inopsio down")
            while not stop.wait(0.5):
                if supervisor.tend():
                    _write_state(settings, supervisor)


@contextmanager
def _tended(settings: Settings, supervisor: Supervisor) -> Iterator[None]:
    try:
        yield
    finally:
        supervisor.stop()
        _state_file(settings).unlink(missing_ok=True)


def _write_state(settings: Settings, supervisor: Supervisor) -> None:
    told = {
        "pid": os.getpid(),
        "url": url_of(settings),
        "started_at": time.time(),
        "children": supervisor.pids(),
    }
    draft = _state_file(settings).with_suffix(".tmp")
    draft.write_text(json.dumps(told), encoding="utf-8")
    draft.replace(_state_file(settings))


def _wait_until_ready(settings: Settings, supervisor: Supervisor) -> None:
    until = time.monotonic() + READY_WAIT_S
    while time.monotonic() < until:
        if "api" in supervisor.tend():
            raise Unavailable(
                f"the api did not start; see {settings.data_dir / 'logs' / 'api.log'}"
            )
        if is_ready(settings):
            return
        time.sleep(0.1)
    raise Unavailable(f"not ready after {READY_WAIT_S:.0f} s; see {settings.data_dir / 'logs'}")


def is_ready(settings: Settings) -> bool:
    """Answer whether the front door says that it is ready."""
    try:
        trust = ssl.create_default_context()
        if is_wanted(settings):
            trust.load_verify_locations(papers(settings, datetime.now(UTC)).ca)
        answer = httpx.get(f"{url_of(settings)}/v1/health/ready", timeout=2, verify=trust)
        return answer.status_code == 200
    except httpx.HTTPError:
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
        time.sleep(0.1)
    return True
