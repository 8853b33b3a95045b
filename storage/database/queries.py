"""Run named queries: SQL lives in storage/queries/*.sql and parameters are bound, always.

A file holds blocks; the line before a block names it. A literal percent sign is written twice:

    -- name: findings_since
    SELECT finding_id, title FROM findings WHERE "time" >= %(since)s LIMIT %(limit)s
"""

import functools
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from psycopg import Connection, Cursor
from psycopg.rows import TupleRow, dict_row

from storage.errors import PluginError

FOLDER: Final = Path(__file__).resolve().parent.parent / "queries"
_HEAD: Final = re.compile(r"^-- name: *(\S+) *$", re.MULTILINE)


def select(
    connection: Connection[TupleRow], query: str, /, **params: object
) -> list[dict[str, object]]:
    """Run the named query in the connection's transaction; give its rows, column -> value.

    Ids come as text, times as aware UTC datetimes, jsonb as Python values.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.execute(named(query), params)
        return cursor.fetchall()


def execute(connection: Connection[TupleRow], query: str, /, **params: object) -> int:
    """Run the named statement in the connection's transaction; give how many rows it touched."""
    return connection.execute(named(query), params).rowcount


def ask(
    connection: Connection[TupleRow], query: str, /, **params: object
) -> Cursor[dict[str, object]]:
    """Send the named query; its rows are the cursor's, in a pipeline once that has ended."""
    return connection.cursor(row_factory=dict_row).execute(named(query), params)


def named(query: str) -> bytes:
    """Give the text of a named query; PluginError if no file has it."""
    try:
        return _loaded()[query]
    except KeyError:
        raise PluginError(f"query '{query}' is in no file of storage/queries/") from None


@functools.cache
def _loaded() -> Mapping[str, bytes]:
    return MappingProxyType(load(FOLDER))


def load(folder: Path) -> dict[str, bytes]:
    """Read every block of the folder's files; PluginError for a name given twice or an odd file."""
    found: dict[str, bytes] = {}
    for file in sorted(folder.glob("*.sql")):
        head, *blocks = _HEAD.split(file.read_text())
        if any(line.strip() and not line.startswith("--") for line in head.splitlines()):
            raise PluginError(f"storage/queries/{file.name} has SQL before its first '-- name:'")
        for name, text in zip(blocks[::2], blocks[1::2], strict=True):
            if not name.isidentifier():
                raise PluginError(f"storage/queries/{file.name}: '{name}' is no query name")
            if name in found:
                raise PluginError(f"storage/queries/{file.name}: query '{name}' exists already")
            found[name] = text.strip().encode()
    return found
