"""Know what may be asked of a host's tables, by hand or on a schedule; the bounds are the same."""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from agent.errors import AgentError

TABLES: Final = ("processes", "sockets", "users", "packages", "files")
MOST_ROWS: Final = 1000
MOST_BYTES: Final = 250_000
MOST_S: Final = 10.0
"""Rows, bytes of JSON, and seconds of one answer; what is more is cut, and said to be."""
MOST_ALL_BYTES: Final = 2_000_000
"""Of the last answers to all questions of a schedule; each may have its share of it in any case."""
MOST: Final = 20
LEAST_EVERY_S, MOST_EVERY_S = 60, 86_400
ROWS: Final = 500
_NAME: Final = re.compile(r"[a-z0-9_-]{1,40}")
_WORDS: Final = frozenset({"name", "table", "path", "limit", "every_s"})


class BadQuestion(AgentError):
    """What cannot be asked."""


class Asked(NamedTuple):
    """A table, `path` for files only, and how many rows at most."""

    table: str
    path: str
    limit: int


class Question(NamedTuple):
    """What is asked again and again, under a name of its own."""

    name: str
    asked: Asked
    every_s: float


def asked(said: Mapping[str, Any]) -> Asked:
    """Read what is asked; BadQuestion names what is out of its bounds."""
    table, limit = str(said.get("table")), said.get("limit", ROWS)
    if table not in TABLES:
        raise BadQuestion(f"there is no table {table[:40]!r}; there are {', '.join(TABLES)}")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= MOST_ROWS:
        raise BadQuestion(f"limit: 1 to {MOST_ROWS}")
    path = str(said.get("path") or "")
    names = path.split("/")[1:]
    if table == "files" and (not path.startswith("/") or set(names) & {"..", "."}):
        raise BadQuestion("path: absolute, without '..'")
    if "\0" in path or not _is_text(path):
        raise BadQuestion("path: no file has such a name")
    return Asked(table, path, limit)


def _is_text(path: str) -> bool:
    """Answer whether it can be said in UTF-8: half a surrogate cannot."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def questions(said: object) -> tuple[Question, ...]:
    """Read what is asked on a schedule; BadQuestion names what is wrong with it.

    >>> questions([{"name": "who", "table": "users", "every_s": 300}])[0].asked.limit
    500
    """
    if not isinstance(said, list) or len(said) > MOST:
        raise BadQuestion(f"queries: a list of up to {MOST}")
    found = tuple(_question(one) for one in said)
    if len({one.name for one in found}) < len(found):
        raise BadQuestion("queries: each has a name of its own")
    return found


def _question(said: object) -> Question:
    if not isinstance(said, dict) or set(said) - _WORDS:
        raise BadQuestion(f"queries: each has {', '.join(sorted(_WORDS))}")
    name, every_s = said.get("name"), said.get("every_s")
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise BadQuestion("queries: a name has up to 40 small letters, digits, '_' and '-'")
    if isinstance(every_s, bool) or not isinstance(every_s, int | float):
        raise BadQuestion(f"queries.{name}: every_s is missing")
    if not LEAST_EVERY_S <= every_s <= MOST_EVERY_S:
        raise BadQuestion(f"queries.{name}: every {LEAST_EVERY_S} to {MOST_EVERY_S} seconds")
    if (said.get("path") is not None) != (said.get("table") == "files"):
        raise BadQuestion(f"queries.{name}: the table 'files' needs a path, others take none")
    try:
        return Question(name, asked(said), float(every_s))
    except BadQuestion as wrong:
        raise BadQuestion(f"queries.{name}: {wrong}") from None
