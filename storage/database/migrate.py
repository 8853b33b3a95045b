"""Bring the database to this version: numbered plain SQL, each once, in its own transaction."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, LiteralString

import psycopg
from psycopg import Connection, sql
from psycopg.rows import TupleRow

from storage.errors import PluginError

FOLDER: Final = Path(__file__).resolve().parent.parent / "migrations"
_NAME: Final = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
_LOCK: Final = 0x1095_10  # any fixed number: two processes must not migrate at once

_PREPARE: Final = "CREATE SCHEMA IF NOT EXISTS inopsio AUTHORIZATION inopsio_owner"
_IS_OPEN_TO_ALL: Final = """
    SELECT has_database_privilege('inopsio_app', current_database(), 'TEMP')
        OR NOT has_database_privilege('inopsio_writer', current_database(), 'CONNECT')
"""
_RIGHTS: Final[tuple[LiteralString, ...]] = (
    "REVOKE ALL ON SCHEMA public FROM PUBLIC",
    "REVOKE ALL ON DATABASE {} FROM PUBLIC",
    "GRANT CONNECT ON DATABASE {} TO inopsio_app, inopsio_writer",
    "GRANT TEMP ON DATABASE {} TO inopsio_writer",
    "GRANT CREATE ON DATABASE {} TO inopsio_owner",
)
_TIMESCALE: Final = """
    SELECT n.nspname FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace
    WHERE e.extname = 'timescaledb'
"""
_LEDGER: Final = """
    CREATE TABLE IF NOT EXISTS inopsio.migrations (
        number integer PRIMARY KEY,
        name text NOT NULL,
        digest text NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """Hold one file: its number, its name, its SQL and the digest of it."""

    number: int
    name: str
    text: str
    digest: str


def read(folder: Path = FOLDER) -> list[Migration]:
    """Read the files in order; PluginError for a bad name or a number given twice."""
    found: dict[int, Migration] = {}
    for file in sorted(folder.glob("*.sql")):
        match = _NAME.fullmatch(file.name)
        if match is None:
            raise PluginError(f"storage/migrations/{file.name}: name it NNNN_what_it_does.sql")
        number = int(match[1])
        if number in found:
            raise PluginError(f"migrations {found[number].name} and {file.name} share a number")
        text = file.read_text()
        digest = hashlib.sha256(text.encode()).hexdigest()
        found[number] = Migration(number, file.name, text, digest)
    return list(found.values())


def migrate(connection: Connection[TupleRow], migrations: list[Migration]) -> list[str]:
    """Run what this database has not seen, as the owner role; give the names of what ran.

    `connection`: in autocommit. PluginError if a migration was edited after it had run, or if the
    database is newer than this program.
    """
    connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
    try:
        _prepare(connection)
        done: dict[int, tuple[str, str]] = {
            int(n): (str(name), str(digest))
            for n, name, digest in connection.execute(
                "SELECT number, name, digest FROM inopsio.migrations"
            )
        }
        return _run_missing(connection, migrations, done)
    finally:
        if not connection.broken:
            connection.execute("RESET ROLE")
            connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


def _prepare(connection: Connection[TupleRow]) -> None:
    connection.execute(_PREPARE)
    # Not copied with a database and lost in some restores: looked at each time.
    if connection.execute(_IS_OPEN_TO_ALL).fetchone() == (True,):
        here = sql.Identifier(connection.info.dbname)
        for right in _RIGHTS:
            connection.execute(sql.SQL(right).format(here))
    for (place,) in connection.execute(_TIMESCALE):
        use = sql.SQL("GRANT USAGE ON SCHEMA {} TO inopsio_owner")
        connection.execute(use.format(sql.Identifier(str(place))))
    connection.execute("SET ROLE inopsio_owner")
    connection.execute(_LEDGER)


def _run_missing(
    connection: Connection[TupleRow],
    migrations: list[Migration],
    done: dict[int, tuple[str, str]],
) -> list[str]:
    known = {m.number for m in migrations}
    if strange := sorted(set(done) - known):
        raise PluginError(
            f"the database has migration {done[strange[-1]][0]}, which this version does not know; "
            "start the version that made it"
        )
    ran: list[str] = []
    for m in migrations:
        if m.number in done:
            if done[m.number][1] != m.digest:
                raise PluginError(f"migration {m.name} was edited after it had run; add a new one")
            continue
        try:
            with connection.transaction():
                connection.execute(m.text.encode())
                connection.execute(
                    "INSERT INTO inopsio.migrations (number, name, digest) VALUES (%s, %s, %s)",
                    (m.number, m.name, m.digest),
                )
        except psycopg.Error as e:
            raise PluginError(f"migration {m.name} does not run: {e}") from e
        ran.append(m.name)
    return ran
