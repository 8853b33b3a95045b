"""Read Zeek logs as JSON lines (`LogAscii::use_json=T`, or json-streaming-logs with `_path`).

The log kind is `_path`, or, where a file names none, told by the fields. Kinds without a map of
their own are base events with every field under `unmapped.*`.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl

from pipelines.parsers import Parsed
from pipelines.parsers._json import decode, split
from pipelines.parsers._zeek import guess_path, normalise

FORMAT: Final = "zeek_json"
LINES: Final = True


def matches(head: bytes) -> float:
    """Say 0.95 for JSON that has Zeek's `ts` beside `uid` or `id.orig_h`.

    >>> matches(b'{"ts":1.5,"uid":"C1","id.orig_h":"10.0.0.1"}')
    0.95
    """
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n[").startswith(b"{") or b'"ts"' not in head:
        return 0.0
    if b'"id.orig_h"' in head or b'"_path"' in head:
        return 0.95
    return 0.9 if any(sign in head for sign in (b'"fuid"', b'"uid"', b'"note"')) else 0.0


def parse(chunks: Iterable[bytes]) -> Iterator[Parsed]:
    """Give events with OCSF columns beside Zeek's own fields as `unmapped.*`."""
    for records in decode(chunks):
        fields = records.fields
        path = guess_path(fields)
        if "_path" in fields.columns:
            path = pl.coalesce("_path", path)
        kinds = fields.with_columns(path.alias("_path"))["_path"]
        yield Parsed(normalise(records.position, fields, kinds, FORMAT), records.rejects)


__all__ = ["FORMAT", "matches", "parse", "split"]
