"""Write the database to one file and read it back, with what proves that both are the same."""

import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import TupleRow

from storage.database import embedded
from storage.database.queries import named
from storage.errors import InvalidInput, Unavailable

_SCHEMAS: Final = ("inopsio", "inopsio_chunks")
_TABLES: Final = """
    SELECT n.nspname, c.relname FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY(%s) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    ORDER BY 1, 2
"""
_DIGEST: Final = """
    SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text FROM {}.{} AS t
"""
_MAY_SEE_ALL: Final = "SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = current_user"
Digests = Mapping[str, tuple[int, str]]
"""Table -> rows, and the sum of their hashes; partitions count in their table."""


class Snapshot:
    """See the database as it was at one moment, for as long as it is open."""

    def __init__(self, login: str, connection: Connection[TupleRow], name: str) -> None:
        """Keep the connection that holds the moment."""
        self._login = login
        self._connection = connection
        self._name = name

    def digests(self) -> Digests:
        """Give rows and hash sums of every table."""
        return _digests(self._connection)

    def lake_paths(self) -> list[str]:
        """Give the files of the manifest, replaced ones too: readers may hold them still."""
        rows = self._connection.execute("SELECT path FROM inopsio.lake_files ORDER BY path")
        return [str(path) for (path,) in rows]

    def write(self, file: Path) -> None:
        """Dump the database of that moment."""
        words = ["--format=custom", "--compress=gzip:1", f"--snapshot={self._name}"]
        words += [f"--schema={name}" for name in _SCHEMAS]
        _run("pg_dump", self._login, [*words, f"--file={file}"])


@contextmanager
def snapshot(login: str) -> Iterator[Snapshot]:
    """Hold a moment of the database. `login`: an owner's conninfo.

    Unavailable if the login does not see the rows of all tenants.
    """
    try:
        with psycopg.connect(login, autocommit=True) as connection:
            if connection.execute(_MAY_SEE_ALL).fetchone() != (True,):
                raise Unavailable(
                    "this database login sees no tenant's rows; back up with a login that has "
                    "SUPERUSER or BYPASSRLS in INOPSIO_DATABASE_URL"
                )
            connection.execute("SET statement_timeout = 0")
            connection.execute("SET idle_in_transaction_session_timeout = 0")
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            named = connection.execute("SELECT pg_export_snapshot()").fetchall()
            yield Snapshot(login, connection, str(named[0][0]))
    except psycopg.Error as e:
        raise Unavailable(f"the database cannot be backed up: {str(e).strip()[:500]}") from e


def read_back(login: str, file: Path) -> Digests:
    """Restore a dump into a database without tables of ours; give what stands in it then.

    The roles must be there. InvalidInput if there is such a schema already.
    """
    try:
        with psycopg.connect(login, autocommit=True) as connection:
            there = connection.execute(
                "SELECT nspname FROM pg_namespace WHERE nspname = ANY(%s)", (list(_SCHEMAS),)
            ).fetchall()
            if there:
                raise InvalidInput("the database is not empty: restore into a new one")
            words = ["--exit-on-error", "--single-transaction"]
            with tempfile.TemporaryDirectory() as folder:
                chosen = Path(folder, "list")
                chosen.write_text(_without_foreign(_run("pg_restore", login, ["-l", str(file)])))
                _run("pg_restore", login, [*words, f"--use-list={chosen}", str(file)])
            connection.execute("SET statement_timeout = 0")
            return _digests(connection)
    except psycopg.Error as e:
        raise Unavailable(f"the database cannot be restored: {str(e).strip()[:500]}") from e


def settle(login: str) -> None:
    """Have the events as this server keeps them, as a hypertable or partitions; rows stay the same.

    For a database that `read_back` filled; a second time changes nothing. Unavailable, and nothing
    is changed, if a row were lost.
    """
    try:
        with psycopg.connect(login) as connection:
            connection.execute("SET statement_timeout = 0")
            before = _digest_of(connection, "inopsio", "events")
            connection.execute(named("events_settle"))
            connection.execute("RESET ROLE")
            if _digest_of(connection, "inopsio", "events") != before:
                raise Unavailable("the events are not the same as a hypertable or as partitions")
    except psycopg.Error as e:
        raise Unavailable(f"the events cannot be settled: {str(e).strip()[:500]}") from e


def _without_foreign(listed: str) -> str:
    """Leave out what TimescaleDB adds to its tables and only its extension could restore."""
    lines = (line for line in listed.splitlines() if "TRIGGER inopsio events ts_" not in line)
    return "\n".join(lines) + "\n"


def _digests(connection: Connection[TupleRow]) -> Digests:
    tables = connection.execute(_TABLES, (list(_SCHEMAS),)).fetchall()
    return {f"{schema}.{table}": _digest_of(connection, schema, table) for schema, table in tables}


def _digest_of(connection: Connection[TupleRow], schema: str, table: str) -> tuple[int, str]:
    connection.execute("SET search_path = pg_catalog")  # the words of a row must not hang on it
    connection.execute("SET timezone = 'UTC'")
    asked = sql.SQL(_DIGEST).format(sql.Identifier(schema), sql.Identifier(table))
    ((rows, total),) = connection.execute(asked).fetchall()
    return int(rows), str(total)


def _run(name: str, login: str, words: list[str]) -> str:
    told = {key: str(value) for key, value in conninfo_to_dict(login).items() if value is not None}
    # By the environment: a command line is everybody's to read.
    told_to = [] if "-l" in words else [f"--dbname={told.get('dbname', '')}"]
    env = {_VARIABLES[key]: value for key, value in told.items() if key in _VARIABLES}
    done = subprocess.run(
        [embedded.program(name), "--no-password", *told_to, *words],
        env=env | {"LC_ALL": "C", "PGOPTIONS": "-c statement_timeout=0"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()[-1000:]
        raise Unavailable(f"{name} failed ({done.returncode}): {said}")
    return done.stdout.decode(errors="replace")


_VARIABLES: Final = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}
