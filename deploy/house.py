"""Open the house for one process: settings, database, log and lake, in one place."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from pathlib import Path

from storage.database import Database
from storage.errors import NotFound
from storage.lake import Lake
from storage.log import EventLog
from storage.log.open import open_log
from storage.settings import Settings, variable
from storage.tenant import tenant_name


@dataclass(frozen=True, slots=True)
class House:
    """Hold what a process needs; closed by `opened`."""

    settings: Settings
    database: Database
    log: EventLog
    lake: Lake


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


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[House]:
    """Open the house and close it again; Unavailable says what is missing."""
    make_private(settings.data_dir)
    with database_of(settings) as database, contextlib.closing(open_log(settings)) as log:
        yield House(settings, database, log, Lake(settings.data_dir / "lake"))


@contextlib.contextmanager
def database_of(settings: Settings) -> Iterator[Database]:
    """Open the database; whoever leaves last stops the embedded server, so that none is left over.

    Everyone holds a shared lock on `database.lock`; who can have it alone is the last.
    """
    with (settings.data_dir / "database.lock").open("w") as users:
        flock(users, LOCK_SH)
        database = Database.open(settings)
        try:
            yield database
        finally:
            database.close()
            with contextlib.suppress(BlockingIOError):
                flock(users, LOCK_EX | LOCK_NB)
                database.stop()


def make_private(folder: Path) -> None:
    """Make the data folder if it is not there; only its owner may write in it."""
    if not folder.exists():
        folder.mkdir(parents=True, mode=0o711)


def known_tenant(house: House, tenant: str) -> str:
    """Give the tenant's id if there is such a tenant; NotFound says how to make it."""
    tenant_name(tenant)
    if tenant not in house.database.tenants():
        raise NotFound(
            f"tenant '{tenant}' is not there; make it with: inopsio tenant create {tenant}"
        )
    return tenant


def until_told_to_stop() -> threading.Event:
    """Give an event that SIGTERM and SIGINT set."""
    stop = threading.Event()

    def told(_signal: int, _frame: object) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, told)
    signal.signal(signal.SIGINT, told)
    return stop


def is_alive(pid: int) -> bool:
    """Answer whether a process of that id runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
