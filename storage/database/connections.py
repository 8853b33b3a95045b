"""Open the database and lend connections: one way in for each role, scope and errors included."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Self

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow
from psycopg.types.string import TextLoader
from psycopg_pool import ConnectionPool

from storage.database import embedded, migrate
from storage.database.roles import Logins, ensure_roles, logins
from storage.errors import InvalidInput, Unavailable
from storage.settings import Settings
from storage.tenant import Scope, scoped, tenant_name

_POOL: Final = 8
_WAIT_S: Final = 30.0
_RESET: Final = """
    SET SESSION AUTHORIZATION DEFAULT; RESET ALL; CLOSE ALL; UNLISTEN *;
    SELECT pg_advisory_unlock_all(); DISCARD TEMP
"""


class Database:
    """Lend transactions as the app role (one tenant's rows), the writer or the owner."""

    def __init__(self, logins: Logins, data_dir: Path | None = None) -> None:
        """Keep the logins; nothing is connected before it is asked for."""
        self._logins = logins
        self._data_dir = data_dir
        self._pools: dict[str, ConnectionPool[Connection[TupleRow]]] = {}
        self._guard = threading.Lock()
        self.days_known: set[int] = set()
        """Days since 1970 whose partition this process has asked for (`dialect.ensure_days`)."""
        self.counts_appended = 0
        """Rows that this process has appended since it last folded (`rollups.fold_if_many`)."""
        self.looked_through: dict[str, object] = {}
        """Tenant -> when and by which policies old rows were sought (`retention.forget_old`)."""

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open the server of the settings, else the embedded one (started if it is not running).

        Roles and schema are brought to this version first. Unavailable if no server answers,
        PluginError if the schema cannot be brought to this version.
        """
        url = settings.database_url.reveal()
        with errors_named():
            owner = _checked(url) if url else _own(embedded.start(settings.data_dir))
            database = cls(logins(owner), None if url else settings.data_dir)
            with psycopg.connect(database._logins.owner, autocommit=True) as connection:
                connection.execute("SET client_min_messages = warning")
                ensure_roles(connection, database._logins)
                migrate.migrate(connection, migrate.read())
        return database

    @classmethod
    def empty(cls, settings: Settings) -> Self:
        """Open the server with its roles, but leave the schema to whoever restores one."""
        url = settings.database_url.reveal()
        with errors_named():
            owner = _checked(url) if url else _own(embedded.start(settings.data_dir))
            database = cls(logins(owner), None if url else settings.data_dir)
            with psycopg.connect(database._logins.owner, autocommit=True) as connection:
                ensure_roles(connection, database._logins)
        return database

    def owner_login(self) -> str:
        """Give the owner's conninfo, for programs that connect by themselves; it is a secret."""
        return self._logins.owner

    @contextmanager
    def app(self, scope: Scope) -> Iterator[Connection[TupleRow]]:
        """Open a transaction as the app role, in which only this scope's tenant exists."""
        pool = self._pool("app", self._logins.app)
        with errors_named(), pool.connection() as connection, scoped(connection, scope):
            yield connection

    @contextmanager
    def writer(self) -> Iterator[Connection[TupleRow]]:
        """Open a transaction as the pipelines' writer: inserts for all tenants, reads no events."""
        pool = self._pool("writer", self._logins.writer)
        with errors_named(), pool.connection() as connection, connection.transaction():
            yield connection

    @contextmanager
    def owner(self) -> Iterator[Connection[TupleRow]]:
        """Open a transaction as the owner role: migrations, partitions and the tenants' list."""
        with errors_named(), psycopg.connect(self._logins.owner, autocommit=True) as connection:
            _set_up(connection)
            connection.execute("SET ROLE inopsio_owner")
            with connection.transaction():
                yield connection

    @contextmanager
    def listening(self) -> Iterator[Connection[TupleRow]]:
        """Lend a connection of its own, outside of the pool and of any scope, to LISTEN on.

        It is the app role's, without a tenant: row-level security shows it nothing.
        """
        with errors_named(), psycopg.connect(self._logins.app, autocommit=True) as connection:
            yield connection

    def tenants(self) -> list[str]:
        """List the tenant ids, sorted."""
        with self.owner() as connection:
            rows = connection.execute("SELECT tenant_id FROM tenants ORDER BY tenant_id")
            return [str(row[0]) for row in rows]

    def create_tenant(self, tenant_id: str, title: str = "") -> bool:
        """Make a tenant; True if it is new, False if it was there. InvalidInput for a bad id."""
        with self.owner() as connection:
            made = connection.execute(
                "INSERT INTO tenants (tenant_id, title) VALUES (%s, %s) ON CONFLICT DO NOTHING",
                (tenant_name(tenant_id), title),
            )
            return made.rowcount == 1

    def close(self) -> None:
        """Close the connections; an embedded server goes on for other processes."""
        with self._guard:
            pools, self._pools = list(self._pools.values()), {}
        for pool in pools:
            pool.close()

    def stop(self) -> None:
        """Close, and stop the server if it is the embedded one of this data folder."""
        self.close()
        if self._data_dir is not None:
            embedded.stop(self._data_dir)

    def _pool(self, name: str, info: str) -> ConnectionPool[Connection[TupleRow]]:
        with self._guard:
            pool = self._pools.get(name)
            if pool is None:
                pool = self._pools[name] = ConnectionPool(
                    info,
                    connection_class=Connection[TupleRow],
                    kwargs={"autocommit": True, "connect_timeout": 10},
                    min_size=0,
                    max_size=_POOL,
                    max_idle=120,
                    timeout=_WAIT_S,
                    configure=_set_up,
                    reset=_reset,
                    check=ConnectionPool.check_connection,
                    open=True,
                    name=f"inopsio-{name}",
                )
            return pool


@contextmanager
def errors_named() -> Iterator[None]:
    """Turn psycopg's errors into the house's: the world is down, or the data is wrong."""
    try:
        yield
    except psycopg.errors.QueryCanceled as e:
        raise Unavailable("the database query took too long; ask for less") from e
    except psycopg.errors.ProgramLimitExceeded as e:
        raise InvalidInput(f"the database cannot hold a value: {e.diag.message_primary}") from e
    except (psycopg.OperationalError, psycopg.InterfaceError, psycopg.InternalError) as e:
        # InternalError too: a server that only reads since a fail-over, a damaged page.
        raise Unavailable(f"the database does not answer: {str(e).strip()[:500]}") from e
    except psycopg.IntegrityError as e:
        name = e.diag.constraint_name or "a constraint"
        raise InvalidInput(f"the database refused the row: {name} does not hold") from e
    except psycopg.DataError as e:
        raise InvalidInput(f"the database cannot hold a value: {e.diag.message_primary}") from e


def _set_up(connection: Connection[TupleRow]) -> None:
    # An id is text everywhere in the house (columns, JSON, addresses).
    connection.adapters.register_loader("uuid", TextLoader)


def _reset(connection: Connection[TupleRow]) -> None:
    # Whatever a borrower SET at session level must not reach the next one: it may be a tenant.
    # Not DISCARD ALL: the driver would not learn that its prepared statements went with it.
    connection.execute(_RESET)


def _checked(url: str) -> str:
    try:
        conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise InvalidInput("INOPSIO_DATABASE_URL is not a PostgreSQL address") from None
    return url


def _own(admin: str) -> str:
    """Make the product's database in a fresh cluster; give the conninfo that leads to it."""
    with psycopg.connect(admin, autocommit=True) as connection:
        name = embedded.DATABASE
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).rowcount:
            # Another process may be quicker.
            with suppress(psycopg.errors.DuplicateDatabase, psycopg.errors.UniqueViolation):
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return make_conninfo(admin, dbname=embedded.DATABASE)
