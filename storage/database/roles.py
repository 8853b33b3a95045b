"""Make the three roles: the owner who cannot log in, the app held to its tenant, the writer.

The passwords of the two that log in are derived from the owner login's (scrypt), so that every
process that may open the database finds them, on any machine, and nothing more has to be kept.
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

import psycopg
from psycopg import Connection, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import TupleRow

from storage.errors import PluginError, Unavailable

OWNER: Final = "inopsio_owner"
APP: Final = "inopsio_app"
WRITER: Final = "inopsio_writer"

_ROLES: Final = {
    OWNER: "NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION",
    APP: "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION",
    WRITER: "LOGIN NOSUPERUSER BYPASSRLS NOCREATEROLE NOCREATEDB NOREPLICATION",
}
_IS_OWNER: Final = "SELECT pg_has_role(current_user, 'inopsio_owner', %s)"
# A peer that vanished says nothing, and the system's own patience is two hours: ask after 15 s.
_LINE: Final = {
    "keepalives_idle": "15",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "30000",
}
_SESSION: Final = (
    "-c search_path=inopsio,pg_temp -c timezone=UTC -c idle_in_transaction_session_timeout=120000"
    " -c tcp_keepalives_idle=15 -c tcp_keepalives_interval=5 -c tcp_keepalives_count=3"
)


@dataclass(frozen=True, slots=True, repr=False)
class Logins:
    """Hold the conninfo of each role; no repr, they carry passwords."""

    owner: str
    app: str
    writer: str


def logins(owner: str) -> Logins:
    """Derive the app's and the writer's conninfo from the owner login's.

    What it says of TCP keepalives stands; else a silent peer is given up after half a minute.
    """
    said = conninfo_to_dict(owner)
    owner = make_conninfo(owner, **{k: v for k, v in _LINE.items() if k not in said})
    return Logins(
        owner=make_conninfo(owner, options=_SESSION, application_name="inopsio owner"),
        app=_as_role(owner, APP, f"{_SESSION} -c statement_timeout=60000"),
        writer=_as_role(owner, WRITER, _SESSION),
    )


def _as_role(owner: str, role: str, options: str) -> str:
    return make_conninfo(
        owner,
        user=role,
        password=_password(owner, role),
        options=options,
        application_name=role.replace("_", " "),
    )


def _password(owner: str, role: str) -> str:
    secret = str(conninfo_to_dict(owner).get("password") or "")
    if not secret:
        raise Unavailable("INOPSIO_DATABASE_URL has no password; the other logins need one too")
    key = hashlib.scrypt(secret.encode(), salt=f"inopsio/{role}".encode(), n=1 << 14, r=8, p=1)
    return base64.urlsafe_b64encode(key[:32]).decode()


def ensure_roles(connection: Connection[TupleRow], logins: Logins) -> None:
    """Make the roles that are missing and set the passwords that do not fit.

    Unavailable says which SQL an administrator must run if this login may not.
    """
    found = {
        str(name): (bool(login), bool(above), bool(bypass))
        for name, login, above, bypass in connection.execute(
            "SELECT rolname, rolcanlogin, rolsuper, rolbypassrls FROM pg_roles"
            " WHERE rolname = ANY(%s)",
            (list(_ROLES),),
        )
    }
    for role in _ROLES:
        if role not in found:
            _make(connection, role)
    wanted = {OWNER: (False, False, False), APP: (True, False, False), WRITER: (True, False, True)}
    for role, rights in found.items():
        if rights != wanted[role]:
            raise PluginError(
                f"database role '{role}' has login, superuser, bypassrls = {rights}; "
                f"it must have {wanted[role]}, or tenants are not kept apart"
            )
    _join_owner(connection)
    for role, info in ((APP, logins.app), (WRITER, logins.writer)):
        if role not in found or not _fits(connection, info):
            _set_password(connection, role, info)


def _make(connection: Connection[TupleRow], role: str) -> None:
    try:
        connection.execute(f"CREATE ROLE {role} {_ROLES[role]}".encode())  # constants of ours
    except psycopg.errors.DuplicateObject:
        return  # another process was quicker
    except psycopg.errors.InsufficientPrivilege as e:
        lines = "; ".join(f"CREATE ROLE {r} {_ROLES[r]}" for r in _ROLES)
        raise Unavailable(
            f"this database login may not make role '{role}'; an administrator must run: {lines}; "
            "GRANT inopsio_owner, inopsio_app, inopsio_writer TO it WITH ADMIN OPTION"
        ) from e


def _join_owner(connection: Connection[TupleRow]) -> None:
    right = "SET" if connection.info.server_version >= 160_000 else "MEMBER"
    if connection.execute(_IS_OWNER, (right,)).fetchone() == (True,):
        return
    try:
        connection.execute("GRANT inopsio_owner TO CURRENT_USER")
    except psycopg.errors.InsufficientPrivilege as e:
        raise Unavailable(
            f"this database login is no member of {OWNER}; an administrator must run: "
            f"GRANT {OWNER}, {APP}, {WRITER} TO it WITH ADMIN OPTION"
        ) from e


def _set_password(connection: Connection[TupleRow], role: str, info: str) -> None:
    # Hashed here: the clear password must not reach the server's statement log.
    name = role.encode()
    hashed = connection.pgconn.encrypt_password(
        str(conninfo_to_dict(info)["password"]).encode(), name, b"scram-sha-256"
    )
    try:
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), hashed.decode())
        )
    except psycopg.errors.InsufficientPrivilege as e:
        raise Unavailable(
            f"this database login may not set the password of '{role}'; an administrator must "
            f"grant it '{role}' WITH ADMIN OPTION"
        ) from e


def _fits(connection: Connection[TupleRow], info: str) -> bool:
    try:
        psycopg.connect(info, dbname=connection.info.dbname, connect_timeout=10).close()
    except psycopg.OperationalError as e:
        return "password" not in str(e)
    return True
