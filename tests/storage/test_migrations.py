"""Migrations run once, in order, and notice what does not fit."""

from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from storage.database import Database, migrate
from storage.errors import PluginError
from storage.outcome import Mark, mark_of
from storage.tenant import Scope

_SCHEMA = """
    SELECT table_schema, table_name, column_name, data_type, is_nullable, column_default
    FROM information_schema.columns WHERE table_schema LIKE 'inopsio%%' ORDER BY 1, 2, 3
"""


def test_a_second_run_changes_nothing(database: Database) -> None:
    with psycopg.connect(database._logins.owner, autocommit=True) as connection:
        before = connection.execute(_SCHEMA).fetchall()
        assert migrate.migrate(connection, migrate.read()) == []
        assert connection.execute(_SCHEMA).fetchall() == before
        assert len(before) > 100


def test_a_migration_that_fails_leaves_nothing(database: Database) -> None:
    bad = migrate.Migration(9998, "9998_bad.sql", "CREATE TABLE bad (a integer); SELECT 1/0", "d")
    with psycopg.connect(database._logins.owner, autocommit=True) as connection:
        with pytest.raises(PluginError, match="9998_bad"):
            migrate.migrate(connection, [*migrate.read(), bad])
        assert connection.execute("SELECT to_regclass('inopsio.bad')").fetchone() == (None,)


def test_an_edited_migration_and_a_newer_database_are_refused(database: Database) -> None:
    known = migrate.read()
    with psycopg.connect(database._logins.owner, autocommit=True) as connection:
        with pytest.raises(PluginError, match="was edited"):
            migrate.migrate(connection, [replace(known[0], digest="other"), *known[1:]])
        with pytest.raises(PluginError, match="does not know"):
            migrate.migrate(connection, known[:-1])


def test_what_was_read_before_there_were_marks_gets_one_behind_the_claims(
    database: Database, two_tenants: tuple[Scope, Scope]
) -> None:
    screened = next(m for m in migrate.read() if m.name.startswith("0012"))
    with psycopg.connect(database._logins.owner) as connection:
        connection.execute(
            "INSERT INTO sources (tenant_id, source, name, log_format, next_position, events,"
            " rejected) VALUES ('acme', 'business:erp', '', '', 7, 0, 0),"
            " ('bolt', 'business:crm', '', '', 3, 0, 0), ('bolt', 'dns', '', '', 9, 0, 0)"
        )
        connection.execute("DROP TABLE screened_sources; SET LOCAL ROLE inopsio_owner")
        connection.execute(screened.text.encode())
        forced = "SELECT bool_and(relforcerowsecurity) FROM pg_class WHERE relname = ANY(%s)"
        names = ["sources", "outbox", "screened_sources"]
        assert connection.execute(forced, (names,)).fetchone() == (True,)
        connection.execute("RESET ROLE")
        told = connection.execute("SELECT key, value FROM outbox ORDER BY key").fetchall()
        connection.rollback()
    marks = [(key, mark_of(bytes(value))) for key, value in told]
    assert marks == [
        ("acme", Mark("acme", "business:erp", 7)),
        ("bolt", Mark("bolt", "business:crm", 3)),
    ]


def test_two_files_with_one_number_are_refused(tmp_path: Path) -> None:
    for name in ("0001_a.sql", "0001_b.sql"):
        (tmp_path / name).write_text("SELECT 1")
    with pytest.raises(PluginError, match="share a number"):
        migrate.read(tmp_path)
