"""No relation shows or takes another tenant's row, by whatever name it is reached.

Walks the whole catalogue, chunks and the extension's own schemas too, as the app role in fresh
connections. `test_hypertable` runs this file on a real TimescaleDB.
"""

import re
import time
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection, sql
from psycopg.rows import TupleRow
from psycopg.types.json import Json

from storage.database import Database
from storage.database.commit import copy_events
from storage.database.dialect import ensure_days
from storage.tenant import Scope
from tests.storage.made_events import START, batch_of

_OURS = frozenset(
    {
        "migrations",
        "flow_offsets",
        "flow_state",
        "flow_lanes",
        "agent_authorities",
        "agent_release_stops",
    }
)
_VALUES = {
    "text": "'bolt'",
    "uuid": "'00000000-0000-4000-8000-000000000001'",
    "bytea": "'x'",
    "text[]": "ARRAY['analyst']",
    "uuid[]": "ARRAY[]::uuid[]",
    "integer": "1",
    "bigint": "1",
    "bigint[]": "ARRAY[1]",
    "timestamp with time zone": "'2024-05-01T12:00:00Z'",
    "date": "'2024-05-01'",
    "jsonb": "'[]'",
}
_CHECKED = {
    "bucket_s": "60",
    "every_minutes": "60",
    "subscriptions.kind": "'csv'",
    "retention.kind": "'days'",
}
"""Values of columns that take few."""
_TENANT_TABLES = (
    *("tenants", "users", "sessions", "tokens", "audit_entries", "events", "findings"),
    *("incidents", "incident_findings", "incident_notes", "inbox", "outbox"),
    *("sources", "lake_files"),
    *("agent_streams", "agent_gaps", "agent_drops", "agent_checks", "agent_admission"),
    *("fact_positions", "source_rates", "event_hours", "saved_views"),
    *(
        "retention",
        "entity_deltas",
        "entity_packs",
        "entity_minutes",
        "entity_hours",
        "entity_days",
    ),
    *("tenant_rules", "screened_sources", "rule_windows", "rule_versions", "backtests"),
    *("indicators", "indicator_marks", "subscriptions", "indicator_matches"),
    *("erp_vendors", "erp_invoices", "erp_payments", "erp_holds", "erp_warnings", "erp_items"),
    *("incident_claims", "incident_entities", "incident_parts"),
    *("retried_letters", "tenant_quotas"),
    *("agents", "agent_certificates", "agent_policies", "agent_actions", "captures", "topology"),
    *("evidence_files", "evidence_pieces", "evidence_custody"),
    *("crm_companies", "crm_contacts", "crm_deals", "crm_exports", "crm_changes"),
)
_VIEWS = ("window_counts",)
_TOUCHED = psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState
"""What a write is refused with: no right, or a view that takes none."""


@pytest.fixture
def admin(database: Database, two_tenants: tuple[Scope, Scope]) -> Iterator[Connection[TupleRow]]:
    """Lend a superuser, with one row of `bolt` in every table that has a tenant, and in every chunk
    or partition of the events one more.
    """
    today = int(time.time()) // 86_400
    ensure_days(database, [19_844, *range(today - 3, today + 1)])
    _store_everywhere(database, today)
    with psycopg.connect(database._logins.owner, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # rows without their parents
        for table in _tenant_tables(connection):
            if table != "tenants":
                _fill(connection, table)
        connection.execute("SET session_replication_role = origin")
        connection.execute("ANALYZE")  # statistics hold values of rows, too
        yield connection


def _store_everywhere(database: Database, today: int) -> None:
    """Give `bolt` an event in each place: the last days, the rest, and before 1970."""
    start = START.timestamp() // 86_400
    for day in (*range(today - 3, today + 2), 100, -40_000):
        with database.writer() as tx:
            copy_events(tx, batch_of("bolt", 2, first=int(86_400 * (day - start))))


def _tenant_tables(connection: Connection[TupleRow]) -> list[str]:
    rows = connection.execute(
        "SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " WHERE c.relnamespace = 'inopsio'::regnamespace AND c.relkind IN ('r', 'p')"
        " AND a.attname = 'tenant_id' ORDER BY 1"
    )
    return [str(row[0]) for row in rows]


def _fill(connection: Connection[TupleRow], table: str) -> None:
    columns = connection.execute(
        "SELECT attname, format_type(atttypid, NULL) FROM pg_attribute WHERE attnum > 0"
        " AND attrelid = %s::regclass AND attnotnull AND NOT atthasdef AND attidentity = ''",
        (f"inopsio.{table}",),
    ).fetchall()
    names = ", ".join(f'"{name}"' for name, _ in columns)
    own = {name: _CHECKED.get(f"{table}.{name}") or _CHECKED.get(name) for name, _ in columns}
    values = ", ".join(own[name] or _VALUES[kind] for name, kind in columns)
    connection.execute(f"INSERT INTO {table} ({names}) VALUES ({values})".encode())


def _relations(connection: Connection[TupleRow]) -> list[tuple[str, str]]:
    rows = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE n.nspname LIKE 'inopsio%' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')"
        " ORDER BY 1, 2"
    )
    return [(str(schema), str(name)) for schema, name in rows]


def _others(connection: Connection[TupleRow]) -> list[tuple[str, str]]:
    """List what is not ours: the server's catalogue, and the extension's if it is there."""
    rows = connection.execute(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " WHERE n.nspname NOT LIKE 'inopsio%' AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S')"
        " ORDER BY 1, 2"
    )
    return [(str(schema), str(name)) for schema, name in rows]


def _seen(database: Database, tenant: str, schema: str, name: str) -> str:
    """Say what the app role gets from the relation, in a fresh connection."""
    with psycopg.connect(database._logins.app) as fresh:
        fresh.execute(
            "SELECT set_config('inopsio.tenant', %s, true), set_config('inopsio.actor', %s, true)",
            (tenant, "bolt"),  # whose rows are a person's own are this one's, of whichever tenant
        )
        try:
            rows = fresh.execute(sql.SQL("SELECT * FROM {}").format(sql.Identifier(schema, name)))
            return str(rows.fetchall())
        except psycopg.errors.InsufficientPrivilege:
            return "refused"


def _leaks(database: Database, relations: list[tuple[str, str]]) -> list[str]:
    return [
        f"{schema}.{name} as {tenant!r}"
        for schema, name in relations
        for tenant in ("acme", "")
        for seen in [_seen(database, tenant, schema, name)]
        if "bolt" in seen
    ]


def test_no_relation_shows_a_foreign_row(database: Database, admin: Connection[TupleRow]) -> None:
    relations = _relations(admin)
    assert _tenant_tables(admin) == sorted(_TENANT_TABLES)
    assert {schema for schema, _ in relations} == {"inopsio", "inopsio_chunks"}
    assert _leaks(database, relations) == []
    own = [table for table in _TENANT_TABLES if "bolt" in _seen(database, "bolt", "inopsio", table)]
    assert own == [table for table in _TENANT_TABLES if table != "outbox"]


def test_every_chunk_holds_a_row_that_only_the_admin_sees(
    database: Database, admin: Connection[TupleRow]
) -> None:
    chunks = [name for schema, name in _relations(admin) if schema == "inopsio_chunks"]
    for name in chunks:
        place = sql.Identifier("inopsio_chunks", name)
        held = admin.execute(sql.SQL("SELECT count(*) FROM {}").format(place)).fetchone()
        assert _seen(database, "bolt", "inopsio_chunks", name) == "refused", name
        if held == (0,):
            assert name.removeprefix("events_").isdigit(), name  # a day made ahead of its events
    assert len(chunks) >= 6


def _leaks_elsewhere(database: Database, relations: list[tuple[str, str]]) -> list[str]:
    leaks = []
    with psycopg.connect(database._logins.app, autocommit=True) as fresh:
        fresh.execute("SELECT set_config('inopsio.tenant', 'acme', false)")
        for schema, name in relations:
            place = sql.Identifier(schema, name)
            try:
                rows = fresh.execute(sql.SQL("SELECT * FROM {}").format(place)).fetchall()
            except psycopg.Error:
                continue  # refused, or not to be read by anybody
            if "bolt" in str(rows):
                leaks.append(f"{schema}.{name}")
    return leaks


def test_no_relation_of_the_server_or_the_extension_shows_a_foreign_row(
    database: Database, admin: Connection[TupleRow]
) -> None:
    others = _others(admin)
    assert len(others) > 100
    assert _leaks_elsewhere(database, others) == []
    admin.execute(
        "CREATE SCHEMA elsewhere; CREATE TABLE elsewhere.copied AS SELECT * FROM inopsio.events;"
        "GRANT USAGE ON SCHEMA elsewhere TO PUBLIC; GRANT SELECT ON elsewhere.copied TO PUBLIC"
    )
    try:
        mine = [place for place in _others(admin) if place[0] == "elsewhere"]
        assert _leaks_elsewhere(database, mine) == ["elsewhere.copied"]
    finally:
        admin.execute("DROP SCHEMA elsewhere CASCADE")


def test_the_app_role_may_write_to_nothing_that_is_not_ours(admin: Connection[TupleRow]) -> None:
    rows = admin.execute(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace"
        " CROSS JOIN unnest(ARRAY['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE']) AS r (may)"
        " WHERE n.nspname <> 'inopsio' AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        " AND has_table_privilege('inopsio_app', c.oid, may)"
        " AND has_schema_privilege('inopsio_app', n.oid, 'USAGE')"
    ).fetchall()
    assert rows == [("pg_settings",)]  # a SET of the session by another name, for everybody


def test_no_foreign_row_is_changed_or_deleted(
    database: Database, admin: Connection[TupleRow]
) -> None:
    touched = []
    for table in _TENANT_TABLES:
        for act in ("DELETE FROM {}", "UPDATE {} SET tenant_id = tenant_id"):
            with psycopg.connect(database._logins.app) as fresh:
                fresh.execute("SELECT set_config('inopsio.tenant', 'acme', true)")
                place = sql.Identifier("inopsio", table)
                try:
                    done = fresh.execute(sql.SQL(act).format(place)).rowcount
                except psycopg.errors.InsufficientPrivilege:
                    done = 0
                fresh.rollback()
            if done:
                touched.append((act, table))
    assert touched == []


def test_without_a_tenant_there_is_nothing(database: Database, admin: Connection[TupleRow]) -> None:
    for table in (*_TENANT_TABLES, *_VIEWS):
        assert _seen(database, "", "inopsio", table) in {"[]", "refused"}


def test_what_has_no_tenant_and_every_partition_is_refused(
    database: Database, admin: Connection[TupleRow]
) -> None:
    for schema, name in _relations(admin):
        if name not in (*_TENANT_TABLES, *_VIEWS):
            assert _seen(database, "bolt", schema, name) == "refused", name


def _given_columns(admin: Connection[TupleRow], schema: str, name: str) -> list[str]:
    """Give the columns that a row may be written with: not those the database reckons itself."""
    rows = admin.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = format('%%I.%%I', %s::text, %s::text)"
        "::regclass AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
        (schema, name),
    )
    return [str(row[0]) for row in rows]


def test_no_relation_takes_a_foreign_row(database: Database, admin: Connection[TupleRow]) -> None:
    taken = []
    for schema, name in _relations(admin):
        if name in _OURS or name.endswith("_seq"):
            continue
        with psycopg.connect(database._logins.app) as fresh:
            fresh.execute("SELECT set_config('inopsio.tenant', 'acme', true)")
            place = sql.Identifier(schema, name)
            row = admin.execute(sql.SQL("SELECT to_json(r) FROM {} r").format(place)).fetchone()
            if row is None:
                row = admin.execute("SELECT to_json(r) FROM events r").fetchone()
            given = sql.SQL(", ").join(map(sql.Identifier, _given_columns(admin, schema, name)))
            try:
                fresh.execute(
                    sql.SQL(
                        "INSERT INTO {0} ({2}) OVERRIDING SYSTEM VALUE"
                        " SELECT {2} FROM json_populate_record(NULL::{0}, {1})"
                    ).format(place, sql.Literal(Json(row and row[0])), given)
                )
                taken.append(name)
            except _TOUCHED:
                pass
    assert taken == []


def test_taking_any_policy_away_is_noticed(database: Database, admin: Connection[TupleRow]) -> None:
    for table in _TENANT_TABLES:
        if table == "outbox":  # the app role cannot read it at all
            continue
        place = sql.Identifier("inopsio", table)
        admin.execute(sql.SQL("ALTER TABLE {} DISABLE ROW LEVEL SECURITY").format(place))
        leaks = _leaks(database, [("inopsio", table)])
        admin.execute(sql.SQL("ALTER TABLE {} ENABLE ROW LEVEL SECURITY").format(place))
        assert leaks, table


def test_every_tenant_table_and_partition_forces_its_policy(admin: Connection[TupleRow]) -> None:
    loose = admin.execute(
        "SELECT c.oid::regclass::text FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname LIKE 'inopsio%'"
        " AND c.relkind IN ('r', 'p') AND a.attname = 'tenant_id'"
        " AND NOT (c.relrowsecurity AND (c.relforcerowsecurity OR EXISTS ("
        # A hypertable's chunk has a policy, but its owner, who cannot log in, is not forced.
        " SELECT FROM pg_inherits JOIN pg_class p ON p.oid = inhparent"
        " WHERE inhrelid = c.oid AND p.relkind = 'r')))"
    ).fetchall()
    assert loose == []


def test_one_function_runs_with_its_owners_rights(admin: Connection[TupleRow]) -> None:
    rows = admin.execute(
        "SELECT proname, proconfig FROM pg_proc WHERE prosecdef"
        " AND pronamespace::regnamespace::text LIKE 'inopsio%'"
    ).fetchall()
    assert rows == [("ensure_event_day", ["search_path=inopsio, pg_temp"])]


_APP_MAY_NOT = (
    "SET ROLE inopsio_owner",
    "SET ROLE inopsio_writer",
    "SET row_security = off; SELECT * FROM events",
    "TRUNCATE findings",
    "UPDATE findings SET title = 'x'",
    "DELETE FROM audit_entries",
    "UPDATE audit_entries SET actor = 'x'",
    "UPDATE tenants SET suspended = true",
    "INSERT INTO events (tenant_id) VALUES ('acme')",
    "INSERT INTO findings (tenant_id) VALUES ('acme')",
    "INSERT INTO tenants (tenant_id) VALUES ('acme')",
    "UPDATE users SET tenant_id = 'bolt'",
    "CREATE TABLE x (a integer)",
    "CREATE TEMP TABLE x (a integer)",
    "CREATE SCHEMA x",
    "SELECT ensure_event_day('2024-01-01')",
    "COPY findings FROM STDIN",
    "COPY (SELECT 1) TO '/tmp/inopsio-x'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT * FROM pg_authid",
    "SELECT lo_import('/etc/passwd')",
    "ALTER TABLE findings DISABLE ROW LEVEL SECURITY",
    "DROP TABLE findings",
)
_WRITER_MAY_NOT = (
    "SELECT * FROM events",
    "SELECT * FROM users",
    "SELECT title FROM findings",
    "SELECT * FROM inopsio_chunks.events_other",
    "DELETE FROM findings",
    "UPDATE events SET message = ''",
    "UPDATE tenants SET suspended = true",
    "INSERT INTO users (tenant_id) VALUES ('acme')",
    "INSERT INTO audit_entries (tenant_id) VALUES ('acme')",
    "CREATE TABLE x (a integer)",
    "SET ROLE inopsio_owner",
)


def _done(tx: Connection[TupleRow], statement: str) -> str:
    """Say what came of the statement, if it was not refused for want of rights."""
    try:
        with tx.transaction():
            tx.execute(statement.encode())
    except psycopg.Error as e:
        words = "permission denied|must be owner|policy|row-level security|must be superuser"
        return "" if re.search(words, str(e)) else f"{statement}: {e}"
    return f"{statement}: done"


def test_the_app_role_may_not(database: Database, two_tenants: tuple[Scope, Scope]) -> None:
    with database.app(two_tenants[0]) as tx:
        tx.execute(
            "INSERT INTO users (tenant_id, user_id, name, password_hash, roles)"
            " VALUES ('acme', gen_random_uuid(), 'a', 'b', '{}')"
        )
        assert [said for s in _APP_MAY_NOT if (said := _done(tx, s))] == []


def test_the_writer_may_not(database: Database) -> None:
    with database.writer() as tx:
        assert [said for s in _WRITER_MAY_NOT if (said := _done(tx, s))] == []
