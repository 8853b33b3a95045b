"""Keep the ground a house stands on: its database, with a first tenant and a way to sign in."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from api.auth import make_first_link
from deploy.house import database_of
from storage.database import Database
from storage.settings import Settings

FIRST_TENANT: Final = "main"


@contextmanager
def standing(settings: Settings) -> Iterator[str | None]:
    """Open the database for the house's life; give the first sign-in's path, if none can sign in.

    The first tenant is made where there is none.
    """
    with database_of(settings) as database:
        yield _prepare(database)


def _prepare(database: Database) -> str | None:
    if not database.tenants():
        database.create_tenant(FIRST_TENANT, "Main")
    return make_first_link(database, FIRST_TENANT) if FIRST_TENANT in database.tenants() else None
