"""Read NDJSON in OCSF: the schema's own names; what it does not know stays under `unmapped.`."""

from collections.abc import Iterable, Iterator
from typing import Final

import polars as pl

from pipelines.parsers import Parsed
from pipelines.parsers._json import Records, decode, split
from pipelines.parsers._time import parse_times
from storage.schema import CLASSES, UNMAPPED, column_named

FORMAT: Final = "ocsf_json"
LINES: Final = True
# Set by the house, never from data: a sender must not name its own tenant or event id.
_OURS: Final = frozenset(
    {
        "tenant_id",
        "event_id",
        "ingested_at",
        "source",
        "position",
        "is_late",
        "is_time_clamped",
        "category_uid",
        "type_uid",
        "metadata.log_format",
    }
)
_CLASSES: Final = {c.class_uid: c.class_uid for c in CLASSES}
_TIMES: Final = ("time", "time_dt", "start_time", "end_time")
_TEXT: Final = pl.String()


def matches(head: bytes) -> float:
    """Say 0.9 for JSON that names OCSF classes.

    >>> matches(b'{"class_uid":1007,"time":1}')
    0.9
    """
    if not head.lstrip(b"\xef\xbb\xbf \t\r\n[").startswith(b"{"):
        return 0.0
    return 0.9 if b'"class_uid"' in head else 0.0


def parse(chunks: Iterable[bytes]) -> Iterator[Parsed]:
    """Give events with the schema's columns; a value of the wrong type stays as text."""
    for records in decode(chunks):
        yield Parsed(_events(records), records.rejects)


def _events(records: Records) -> pl.DataFrame:
    fields = records.fields
    times = [fields.get_column(n) for n in _TIMES if n in fields.columns]
    out = [records.position, parse_times(times, fields.height)]
    rest: dict[str, pl.Series] = {}
    for field in fields:
        name = field.name
        known = None if name in _OURS else column_named(name)
        if name == "time":
            continue
        if known is None:
            rest[name if name.startswith(UNMAPPED) else UNMAPPED + name] = field
        elif known.dtype == _TEXT:
            out.append(field)
        else:
            typed = field.cast(known.dtype, strict=False)
            if name == "class_uid":
                # The lake has a folder a class: a sender must not make any number of them.
                typed = typed.replace_strict(_CLASSES, default=None, return_dtype=known.dtype)
            out.append(typed)
            if typed.null_count() > field.null_count():
                rest[UNMAPPED + name] = (
                    field.to_frame().select(pl.when(typed.is_null()).then(name)).to_series()
                )
    if "device.os.type" in fields.columns:
        out = [s for s in out if s.name != "device.os.name"] + [_system(fields)]
    return pl.DataFrame(out + [field.alias(name) for name, field in rest.items()])


def _system(fields: pl.DataFrame) -> pl.Series:
    """Name the operating system so that its family is heard in it: `Ubuntu (Linux)`."""
    kind = pl.col("device.os.type")
    name = pl.col("device.os.name") if "device.os.name" in fields.columns else kind
    said = name.str.to_lowercase().str.contains(kind.str.to_lowercase(), literal=True)
    both = pl.concat_str(name, pl.lit(" ("), kind, pl.lit(")"))
    text = pl.when(said).then(name).otherwise(pl.coalesce(both, kind, name))
    return fields.select(text.alias("device.os.name")).to_series()


__all__ = ["FORMAT", "matches", "parse", "split"]
