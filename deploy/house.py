"""Open the house for one process: settings, database, log and lake, in one place."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, flock
from typing import IO

from deploy.running import make_private, private
from storage.database import Database, embedded
from storage.errors import NotFound
from storage.lake import Lake
from storage.lake.open import open_lake
from storage.log import EventLog
from storage.log.open import open_log
from storage.settings import Settings
from storage.tenant import tenant_name


@dataclass(frozen=True, slots=True)
class House:
    """Hold what a process needs; closed by `opened`."""

    settings: Settings
    database: Database
    log: EventLog
    lake: Lake


@contextlib.contextmanager
def opened(settings: Settings) -> Iterator[House]:
    """Open the house and close it again; Unavailable says what is missing."""
    make_private(settings.data_dir)
    with database_of(settings) as database, contextlib.closing(open_log(settings)) as log:
        yield House(settings, database, log, open_lake(settings))


@contextlib.contextmanager
def database_of(settings: Settings) -> Iterator[Database]:
    """Open the database; whoever leaves last stops the embedded server, so that none is left over.

    Everyone holds a shared lock on `database.lock`; who can have it alone is the last. (Of two that
    leave at once one gets it: a change of lock gives the old one up first, flock(2).)
    """
    with private(settings.data_dir / "database.lock").open("w") as users:
        flock(users, LOCK_SH)
        try:
            database = _opened_alone(settings)
            try:
                yield database
            finally:
                database.close()
        finally:
            _stop_if_last(users, settings)


def swept(settings: Settings) -> None:
    """Stop the embedded server if nobody uses it, for example after its last user was killed."""
    with private(settings.data_dir / "database.lock").open("w") as users:
        _stop_if_last(users, settings)


def _stop_if_last(users: IO[str], settings: Settings) -> None:
    with contextlib.suppress(BlockingIOError):
        flock(users, LOCK_EX | LOCK_NB)
        _stop_server(settings)


def _opened_alone(settings: Settings) -> Database:
    # One after the other: of processes that start at once only one may make roles and schema.
    with private(settings.data_dir / "opening.lock").open("w") as alone:
        flock(alone, LOCK_EX)
        return Database.open(settings)


def _stop_server(settings: Settings) -> None:
    if not settings.database_url:
        embedded.stop(settings.data_dir)


def known_tenant(house: House, tenant: str) -> str:
    """Give the tenant's id if there is such a tenant; NotFound says how to make it."""
    tenant_name(tenant)
    if tenant not in house.database.tenants():
        raise NotFound(
            f"tenant '{tenant}' is not there; make it with: inopsio tenant create {tenant}"
        )
    return tenant
