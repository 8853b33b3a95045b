"""Hold what was told against the published schemas, more strictly than readers do."""

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

import jsonschema

from deploy.schemas import told
from storage.wire.documents import documents


@functools.cache
def _validators() -> dict[str, Any]:
    found = {}
    for name, document in documents(told()).items():
        if name not in {"raw", "events"}:
            kind = jsonschema.Draft202012Validator
            kind.check_schema(document)
            found[name] = kind(_closed(document), format_checker=kind.FORMAT_CHECKER)
    return found


def _closed(document: dict[str, Any]) -> dict[str, Any]:
    """Let pass only what the schema names, so that nothing is told that is not published."""
    data = document["properties"]["data"] | {"additionalProperties": False}
    properties = document["properties"] | {"data": data}
    return document | {"properties": properties, "additionalProperties": False}


def faults(topic: str, headers: Mapping[str, str], value: bytes) -> list[str]:
    """Say where a message is not what its header `schema` promises; empty if it is, or has none."""
    name, _, version = headers.get("schema", "").partition("/")
    validator = _validators().get(name)
    if validator is None:
        return [f"{topic}: schema '{name}' is not published"] * (name not in {"", "raw", "events"})
    wanted = str(validator.schema["$id"]).rpartition(":")[2]
    wrong = [f"{topic}: version {version}, published is {wanted}"] * (version != wanted)
    found = validator.iter_errors(json.loads(value))
    return wrong + [f"{topic}: {'.'.join(map(str, e.path))}: {e.message[:300]}" for e in found]


def faults_of(rows: Iterable[tuple[str, Mapping[str, str], bytes]]) -> list[str]:
    """Say what is wrong with the rows of an outbox."""
    return [line for topic, headers, value in rows for line in faults(topic, headers, bytes(value))]
