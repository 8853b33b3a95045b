"""Bring the whole house up on one machine, watch it, and take it down."""

import importlib
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fcntl import LOCK_EX, LOCK_NB, flock
from types import MappingProxyType

import structlog

from deploy.output import say
from deploy.process import names
from deploy.running import (
    READY_WAIT_S,
    agents_url_of,
    check_port,
    check_rules,
    environment_of,
    is_ready,
    make_private,
    private,
    state_file,
    tell,
    until_told_to_stop,
    url_of,
)
from deploy.supervise import Supervisor
from storage.errors import Unavailable
from storage.settings import Settings

log = structlog.get_logger()
Ready = Callable[[threading.Event], None]


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    make_private(settings.data_dir)
    with private(settings.data_dir / "up.lock").open("w") as handle:
        try:
            flock(handle, LOCK_EX | LOCK_NB)
        except OSError:
            raise Unavailable(
                f"a house is up already in {settings.data_dir}; see: inopsio status"
            ) from None
        yield


def up(settings: Settings, when_ready: Ready | None = None) -> None:
    """Start everything, say where it is, watch it until told to stop, stop everything.

    `when_ready` runs beside the watch once the front door answers; told to stop by the event.
    """
    stop = until_told_to_stop()
    with _alone(settings):
        check_port(settings)
        check_rules(settings)
        supervisor = Supervisor(names(), settings.data_dir, environment_of(settings))
        # The children load their programs while the database starts, and end before it does.
        with _swept(settings), _ended(settings, supervisor):
            supervisor.start()
            # By name, after the children are on their way: it takes as long to load as they do.
            ground = importlib.import_module("deploy.ground")
            with ground.standing(settings) as link, _ended(settings, supervisor):
                _serve(settings, supervisor, link, stop, when_ready)


def _serve(
    settings: Settings,
    supervisor: Supervisor,
    link: str | None,
    stop: threading.Event,
    when_ready: Ready | None,
) -> None:
    began_at = time.time()
    told = supervisor.pids()
    tell(settings, began_at, told)
    _wait_until_ready(settings, supervisor, stop)
    if not stop.is_set():
        say(f"Inopsio is up: {url_of(settings)}")
        if link:
            say(f"First sign-in (works once, for one hour): {url_of(settings)}{link}")
        if settings.agents_place[1]:
            say(f"Agents enrol at {agents_url_of(settings)}")
        say(f"Data: {settings.data_dir}   Stop: Ctrl-C, or inopsio down")
    with _beside(when_ready, stop):
        while not stop.wait(0.5):
            supervisor.tend()
            pids = supervisor.pids()
            if pids != told and is_told(settings, began_at, pids, supervisor.deaths()):
                told = pids


def is_told(
    settings: Settings,
    began_at: float,
    pids: dict[str, int],
    deaths: Mapping[str, list[float]] = MappingProxyType({}),
) -> bool:
    """Write who the children are now; False where the disk does not take it, to be tried again."""
    try:
        tell(settings, began_at, pids, deaths)
    except OSError as full:
        log.warning("state_not_written", reason=str(full))
        return False
    return True


@contextmanager
def _beside(when_ready: Ready | None, stop: threading.Event) -> Iterator[None]:
    if when_ready is None or stop.is_set():
        yield
        return
    beside = threading.Thread(target=when_ready, args=(stop,), name="when-ready")
    beside.start()
    try:
        yield
    finally:
        stop.set()
        beside.join()


@contextmanager
def _swept(settings: Settings) -> Iterator[None]:
    try:
        yield
    finally:
        importlib.import_module("deploy.house").swept(settings)


@contextmanager
def _ended(settings: Settings, supervisor: Supervisor) -> Iterator[None]:
    try:
        yield
    finally:
        supervisor.stop()
        state_file(settings).unlink(missing_ok=True)


def _wait_until_ready(settings: Settings, supervisor: Supervisor, stop: threading.Event) -> None:
    until = time.monotonic() + READY_WAIT_S
    while not is_ready(settings):
        if "api" in supervisor.tend():
            place = settings.data_dir / "logs" / "api.log"
            raise Unavailable(f"the api did not start; see {place}")
        if time.monotonic() > until:
            place = settings.data_dir / "logs"
            raise Unavailable(f"not ready after {READY_WAIT_S:.0f} s; see {place}")
        if stop.wait(0.1):
            return
