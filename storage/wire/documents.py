"""Write the published schemas as JSON Schema, from the types that the code itself uses."""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import polars as pl

from storage.outcome import DeadLetter, Mark
from storage.schema import COLUMNS, ENVELOPE, Finding
from storage.schema.classes import class_named
from storage.schema.columns import Column, column_named
from storage.wire import DEAD_LETTER, EVENTS, FINDING, FIRST, MARK, RAW

Document = dict[str, Any]
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_ALWAYS: Final = ("time", "class_uid", "activity_id", "metadata.product.name", "document.uid")
_JSON: Final[Mapping[Any, Document]] = {
    pl.String: {"type": "string"},
    pl.Int32: {"type": "integer"},
    pl.Int64: {"type": "integer"},
    pl.Float64: {"type": "number"},
    pl.Boolean: {"type": "boolean"},
}


@dataclass(frozen=True, slots=True)
class Told:
    """Say what facts a business module puts on one topic.

    `class_name` and `activities` as in `storage.schema.classes`; `columns`: the schema's columns
    that it fills besides those of every fact; `fields`: names of its own with their JSON type,
    which the events flow knows as `unmapped.<name>`; `always`: those of both that no fact lacks;
    `version`: raised when a message changes (the major one when readers must change).
    """

    topic: str
    class_name: str
    activities: tuple[str, ...]
    columns: tuple[str, ...] = ()
    fields: Mapping[str, str] | None = None
    always: tuple[str, ...] = ()
    version: str = FIRST

    @property
    def schema(self) -> str:
        """Give what header `schema` says."""
        return f"{self.topic}/{self.version}"


def raw_document() -> Document:
    """Give the schema of a raw message's headers; its value is what the source sent."""
    word: Document = {"type": "string", "minLength": 1}
    return {
        "$schema": DIALECT,
        "$id": _id(RAW),
        "title": "Headers of a message whose value is what a source sent, as it sent it",
        "type": "object",
        "properties": {
            "tenant": word | {"description": "whose it is, from the authenticated sender"},
            "source": word | {"maxLength": 500, "description": "stable id of the origin"},
            "position": {
                "type": "string",
                "pattern": "^[0-9]+$",
                "description": "number of the first record in the value, within the source",
            },
            "format": word | {"description": "parser that reads it; auto: found by content"},
            "name": {"type": "string", "description": "file or listener, for people"},
            "trace_id": {"type": "string", "description": "of the request that brought it"},
        },
        "required": ["tenant", "source", "position", "format"],
    }


def finding_document() -> Document:
    """Give the schema of a claim: topics `findings` and `signals`."""
    return _event(FINDING, "inopsio.finding", "A claim of a detector", _of_type(Finding))


def mark_document() -> Document:
    """Give the schema of a mark among the claims of topic `signals`."""
    title = "How far a source was read when all was told"
    return _event(MARK, "inopsio.mark", title, _of_type(Mark))


def dead_letter_document() -> Document:
    """Give the schema of a refused record."""
    title = "A refused record, where it lay and why"
    return _event(DEAD_LETTER, "inopsio.dead_letter", title, _of_type(DeadLetter))


def fact_document(told: Told) -> Document:
    """Give the schema of the facts of one topic."""
    kind = class_named(told.class_name)
    ids = {name: number for number, name in kind.activities.items()}
    known = ("metadata.product.name", "actor.user.name")
    common = (*known, "device.uid", "src_endpoint.ip", "document.uid")
    properties: Document = {}
    properties["time"] = {"type": "integer", "description": "when it happened, us UTC"}
    properties["class_uid"] = {"const": kind.class_uid, "description": f"class {kind.name}"}
    properties["activity_id"] = {"enum": sorted(ids[name] for name in told.activities)}
    properties |= {name: _column(name) for name in (*common, *told.columns)}
    properties |= {name: {"type": dtype} for name, dtype in (told.fields or {}).items()}
    data: Document = {
        "type": "object",
        "properties": properties,
        "required": [*_ALWAYS, *told.always],
    }
    types = [f"inopsio.{told.topic}.{name.lower().replace(' ', '_')}" for name in told.activities]
    title = f"Facts of topic {told.topic}"
    return _event(told.schema, sorted(types), title, data, {"time": _DATE_TIME})


def events_document() -> Document:
    """Give the schema of a row of an Arrow batch: topics `events.<tenant>`."""
    wanted = {column.name for column in ENVELOPE}
    properties = {c.name: _arrow(c) for c in COLUMNS}
    return {
        "$schema": DIALECT,
        "$id": _id(EVENTS),
        "title": "A row of a batch of normalised events (Arrow IPC stream, zstd)",
        "description": _ROW,
        "type": "object",
        "properties": properties,
        "patternProperties": {r"^unmapped\.": {"type": "string", "x-arrow": "large_string"}},
        "required": [name for name in properties if name in wanted],
    }


_ROW: Final = (
    "A null, or a column that is not there: the event has no such attribute. The required columns "
    "are always there; tenant_id, event_id, time and class_uid are never null."
)
_DATE_TIME: Final[Document] = {"type": "string", "format": "date-time"}


def _event(
    schema: str, kind: str | list[str], title: str, data: Document, more: Document | None = None
) -> Document:
    definitions = data.pop("$defs", None)
    whole: Document = {
        "$schema": DIALECT,
        "$id": _id(schema),
        "title": title,
        "type": "object",
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "format": "uuid"},
            "type": {"const": kind} if isinstance(kind, str) else {"enum": kind},
            "source": {"type": "string"},
            "subject": {"type": "string"},
            **(more or {}),
            "tenantid": {"type": "string"},
            "datacontenttype": {"const": "application/json"},
            "data": data,
        },
    }
    whole["required"] = list(whole["properties"])
    if definitions:
        whole["$defs"] = definitions
    return whole


def _id(schema: str) -> str:
    return f"urn:inopsio:schema:{schema.replace('/', ':')}"


def _of_type(kind: type) -> Document:
    _, parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    own = parts.pop(kind.__name__)
    whole = _shown(own)
    if parts:
        whole["$defs"] = {name: _shown(part) for name, part in parts.items()}
    return whole


def _shown(part: Document) -> Document:
    told = {"description": inspect.cleandoc(part.get("description", ""))}
    return {name: value for name, value in part.items() if name != "title"} | told


def _column(name: str) -> Document:
    column = column_named(name)
    assert column is not None, name  # noqa: S101  a module names a column that the schema lacks
    return {**_JSON[type(column.dtype)], "description": _meaning(column)}


def _arrow(column: Column) -> Document:
    is_time = isinstance(column.dtype, pl.Datetime)
    arrow = "timestamp[us, tz=UTC]" if is_time else _ARROW[type(column.dtype)]
    shape = {"type": "integer"} if is_time else dict(_JSON[type(column.dtype)])
    return {**shape, "x-arrow": arrow, "description": _meaning(column)}


_ARROW: Final[Mapping[Any, str]] = {
    pl.String: "large_string",
    pl.Int32: "int32",
    pl.Int64: "int64",
    pl.Float64: "double",
    pl.Boolean: "bool",
}


def _meaning(column: Column) -> str:
    return f"{column.meaning}; {column.unit}" if column.unit else column.meaning


def documents(facts: Iterable[Told] = ()) -> dict[str, Document]:
    """Give schema name -> document, of everything that is published."""
    found = {
        "raw": raw_document(),
        "finding": finding_document(),
        "mark": mark_document(),
        "dead-letter": dead_letter_document(),
        "events": events_document(),
    }
    return found | {told.topic: fact_document(told) for told in facts}
