"""Read Windows and Sysmon events as JSON, as the common shippers export them.

Known layouts: flat (nxlog, the OTRF data sets, Zircolite), winlogbeat and Elastic Agent
(`winlog.event_data.*`), Wazuh and fluent (`win.eventdata.*`), rendered XML (`Event.System`,
`Event.EventData`, as evtx_dump and Hayabusa's input have it).
"""

from collections.abc import Iterable, Iterator
from typing import Final

from pipelines.parsers import Parsed
from pipelines.parsers._json import decode, split
from pipelines.parsers._windows import normalise

FORMAT: Final = "windows_json"
LINES: Final = True

_SIGNS: Final = (
    (b'"Event"', b'"System"', b'"EventID"'),
    (b'"winlog"', b'"event_id"'),
    (b'"winlog"', b'"channel"'),
    (b'"winlog.event_id"',),
    (b'"win"', b'"system"', b'"eventID"'),
    (b'"EventID"', b'"Channel"'),
    (b'"EventID"', b'"SourceName"'),
    (b'"EventID"', b'"Provider_Name"'),
)


def matches(head: bytes) -> float:
    """Say 0.95 for JSON whose first record has the marks of one of the layouts.

    >>> matches(b'{"EventID":1,"Channel":"Security"}')
    0.95
    """
    text = head.replace(b"\x00", b"") if head[:2] in (b"\xff\xfe", b"\xfe\xff") else head
    if not text.lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n[").startswith(b"{"):
        return 0.0
    return 0.95 if any(all(word in text for word in sign) for sign in _SIGNS) else 0.0


def parse(chunks: Iterable[bytes]) -> Iterator[Parsed]:
    """Give events with OCSF columns beside the source's own fields as `unmapped.*`."""
    for records in decode(chunks):
        yield Parsed(normalise(records), records.rejects)


__all__ = ["FORMAT", "matches", "parse", "split"]
