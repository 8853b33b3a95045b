"""Name what travels on the log: each published schema with its version, told in a header.

A message's header `schema` is `name/major.minor` (`finding/1.0`); a message without one is of the
first version. A reader takes every message up to the major version that it knows: minor versions
only add. What is newer is refused as InvalidInput, so it goes to the dead letter and can be put
back once this program is newer too.
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from storage.errors import InvalidInput

HEADER: Final = "schema"
RAW: Final = "raw/1.0"
EVENTS: Final = "events/1.0"
FINDING: Final = "finding/1.0"
MARK: Final = "mark/1.0"
DEAD_LETTER: Final = "dead-letter/1.0"
FIRST: Final = "1.0"
"""Version of a schema that was never changed."""

_SCHEMA: Final = re.compile(r"([a-z][a-z0-9.-]{0,99})/(\d{1,4})\.(\d{1,4})")
_ALL: Final = (RAW, EVENTS, FINDING, MARK, DEAD_LETTER)
_KNOWN: Final[Mapping[str, int]] = {
    name: int(version.partition(".")[0]) for name, _, version in (s.partition("/") for s in _ALL)
}


def check_schema(headers: Mapping[str, str], name: str = "") -> None:
    """Pass, or raise InvalidInput for a message of a newer major version than is known here.

    `name`: the schema that is expected; any if empty (a fact of business: major 1).

    >>> check_schema({"schema": "finding/1.7"}, "finding")
    """
    told = headers.get(HEADER)
    if told is not None and (reason := _unreadable(told, name)):
        raise InvalidInput(reason)


@lru_cache(maxsize=256)
def _unreadable(told: str, name: str) -> str:
    found = _SCHEMA.fullmatch(told)
    if found is None:
        return f"header '{HEADER}' is {told[:80]!r}, not 'name/major.minor'"
    if name and found[1] != name:
        return f"message is a '{found[1]}', not a '{name}'"
    known = _KNOWN.get(found[1], 1)
    if int(found[2]) <= known:
        return ""
    return (
        f"message has schema {told}, this version reads {found[1]}/{known} and older; "
        "use the newer version, then put it back: inopsio topic retry"
    )
