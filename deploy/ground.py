"""Keep the ground a house stands on: its database, with a first tenant and a way to sign in."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import structlog

from api.auth import make_first_link
from deploy.house import database_of
from storage.database import Database, embedded
from storage.errors import Unavailable
from storage.settings import Settings

log = structlog.get_logger()
FIRST_TENANT: Final = "main"
_LOOK_S: Final = 0.5
_LONGEST_WAIT_S: Final = 30.0


@contextmanager
def standing(settings: Settings) -> Iterator[str | None]:
    """Open the database for the house's life; give the first sign-in's path, if none can sign in.

    The first tenant is made where there is none. An embedded server that dies is started again.
    """
    with database_of(settings) as database, _kept(settings):
        yield _prepare(database)


@contextmanager
def _kept(settings: Settings) -> Iterator[None]:
    if settings.database_url:
        yield
        return
    stop = threading.Event()
    keeper = threading.Thread(target=_keep, args=(settings, stop), name="database")
    keeper.start()
    try:
        yield
    finally:
        stop.set()
        keeper.join()


def _keep(settings: Settings, stop: threading.Event) -> None:
    """Start the embedded server again whenever it is gone, until told to stop."""
    wait_s = _LOOK_S
    while not stop.wait(wait_s):
        if embedded.is_running(settings.data_dir):
            wait_s = _LOOK_S
            continue
        log.warning("database_died", data_dir=str(settings.data_dir))
        try:
            embedded.start(settings.data_dir)
        except (Unavailable, OSError) as down:  # a full disk, for example
            wait_s = min(wait_s * 2, _LONGEST_WAIT_S)
            log.warning("database_not_started", reason=str(down)[:300], again_in_s=wait_s)


def _prepare(database: Database) -> str | None:
    if not database.tenants():
        database.create_tenant(FIRST_TENANT, "Main")
    return make_first_link(database, FIRST_TENANT) if FIRST_TENANT in database.tenants() else None
