"""Hold what the company's systems say: log lines and commands of the books, with their time."""

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import orjson

SECOND: Final = 1_000_000
MINUTE: Final = 60 * SECOND
HOUR: Final = 3600 * SECOND
DAY: Final = 24 * HOUR

FORMATS: Final = {
    "wec": "windows_json",
    "linux": "syslog",
    "zeek-conn": "zeek_json",
    "zeek-dns": "zeek_json",
    "idp": "ocsf_json",
    "mail": "ocsf_json",
    "mailbox": "ocsf_json",
    "hr": "ocsf_json",
    "esp": "ocsf_json",
    "plans": "ocsf_json",
}
"""Log source -> format of its lines."""
ERP: Final = "business:erp"
CRM: Final = "business:crm"

Mark: TypeAlias = tuple[int, int]
"""Which step of which story of the plan a row is: never written beside the row."""


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was said at `time_us` (UTC µs): a line of a log, or a command of the books."""

    time_us: int
    source: str
    line: bytes = b""
    command: "Command | None" = None
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """One command of the books as the API takes it; `fact`: (class, activity, document)."""

    method: str
    path: str
    body: dict[str, Any]
    fact: tuple[int, int, str] = (0, 0, "")
    who: dict[str, str] = field(default_factory=dict)


def line(time_us: int, source: str, record: dict[str, Any], mark: Mark | None = None) -> Row:
    """Make a row of a JSON record."""
    return Row(time_us, source, orjson.dumps(record), None, mark)
