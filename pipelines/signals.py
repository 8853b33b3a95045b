"""Read topic `signals`, the claims of the first flow, as the events of the second."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from typing import Final

import orjson
import polars as pl

from pipelines.parsers import Reject
from storage.errors import InvalidInput
from storage.log import Message
from storage.outcome import Mark, finding_of, mark_of
from storage.schema import MAX_BATCH_ROWS, EventBatch, Finding
from storage.schema.columns import TIME
from storage.schema.finding import ENDS_NAME, ENDS_PAIR
from storage.wire import HEADER, MARK, check_schema

TOPIC: Final = "signals"
FLOW: Final = "signals"
FORMAT: Final = "signal"
CLASS: Final = 2004
_MARKS: Final = MARK.partition(".")[0] + "."
_TEXTS: Final = (
    *("tenant_id", "event_id", "source", "metadata.log_format", "metadata.product.name"),
    *("finding_info.uid", "finding_info.title", "raw_data"),
    *("unmapped.detector", "unmapped.entities", "unmapped.fields"),
)
_SEVERITY: Final = {"informational": 1, "low": 2, "medium": 3, "high": 4, "critical": 5}


def addressed(message: Message) -> Message:
    """Give a message of the topic with the headers that a step reads: its place is its position."""
    headers = {
        "tenant": message.headers.get("tenant", ""),
        "source": f"{TOPIC}/{message.partition}",
        "position": str(message.offset),
        "format": FORMAT,
        "name": TOPIC,
    }
    if HEADER in message.headers:
        headers[HEADER] = message.headers[HEADER]
    # As a line, so that messages which follow on each other are read as one run.
    return replace(message, headers=headers, value=message.value + b"\n")


def mark(message: Message) -> Mark | None:
    """Give the mark that an addressed message is; None for a claim, or a mark of another tenant."""
    if not message.headers.get(HEADER, MARK).startswith(_MARKS):
        return None
    found = mark_of(message.value)
    return found if found and found.tenant_id == message.headers["tenant"] else None


def parse_signals(run: Sequence[Message]) -> Iterator[tuple[EventBatch, list[Reject]]]:
    """Read the messages of one run; InvalidInput if one is no claim of its tenant."""
    first = run[0]
    check_schema(first.headers)
    check_schema(first.headers, "finding")
    claims = [finding_of(message.value) for message in run]
    if any(claim.tenant_id != first.headers["tenant"] for claim in claims):
        raise InvalidInput("claim is another tenant's than its message")
    frame = frame_of(claims, first.appended_at_us, int(first.headers["position"]))
    frame = frame.with_columns(pl.lit(first.headers["source"]).alias("source"))
    for piece in frame.iter_slices(MAX_BATCH_ROWS):
        yield EventBatch.of(piece), []


def frame_of(claims: Sequence[Finding], arrived_us: int, first_position: int = 0) -> pl.DataFrame:
    """Give claims as rows of class 2004: time = the claim's, `event_id` = its id.

    `unmapped.entities`: what it is about and then its links, `unmapped.fields`: its fields, as
    pairs parted by `ENDS_NAME` and `ENDS_PAIR`; `raw_data`: the claim without reasons, as JSON.
    """
    size = len(claims)
    severities = [_SEVERITY.get(c.level, 0) for c in claims]
    return pl.DataFrame(
        {
            "tenant_id": [c.tenant_id for c in claims],
            "event_id": [c.finding_id for c in claims],
            "time": pl.Series([c.time_us for c in claims], dtype=pl.Int64).cast(TIME),
            "ingested_at": pl.Series([arrived_us] * size, dtype=pl.Int64).cast(TIME),
            "source": [TOPIC] * size,
            "position": pl.Series(range(first_position, first_position + size), dtype=pl.Int64),
            "is_late": pl.Series([False] * size, dtype=pl.Boolean),
            "is_time_clamped": pl.Series([False] * size, dtype=pl.Boolean),
            "category_uid": pl.Series([2] * size, dtype=pl.Int32),
            "class_uid": pl.Series([CLASS] * size, dtype=pl.Int32),
            "activity_id": pl.Series([1] * size, dtype=pl.Int32),
            "type_uid": pl.Series([CLASS * 100 + 1] * size, dtype=pl.Int64),
            "severity_id": pl.Series(severities, dtype=pl.Int32),
            "metadata.log_format": [FORMAT] * size,
            "metadata.product.name": ["inopsio"] * size,
            "finding_info.uid": [c.rule_id for c in claims],
            "finding_info.title": [c.title for c in claims],
            "unmapped.detector": [c.detector for c in claims],
            "unmapped.entities": [_joined(((c.entity_type, c.entity), *c.links)) for c in claims],
            "unmapped.fields": [_joined(c.fields) for c in claims],
            "raw_data": [_told(c) for c in claims],
        },
        schema_overrides=dict.fromkeys(_TEXTS, pl.String),
    )


def _joined(pairs: Sequence[tuple[str, str]]) -> str:
    text = ENDS_PAIR.join([f"{name}{ENDS_NAME}{said}" for name, said in pairs])
    if text.count(ENDS_NAME) == len(pairs) and text.count(ENDS_PAIR) < max(len(pairs), 1):
        return text
    clean = [(_one_line(name), _one_line(said)) for name, said in pairs]
    return ENDS_PAIR.join([f"{name}{ENDS_NAME}{said}" for name, said in clean])


def _one_line(text: str) -> str:
    return text.replace(ENDS_NAME, " ").replace(ENDS_PAIR, " ")


def _told(claim: Finding) -> str:
    return orjson.dumps({name: getattr(claim, name) for name in _HELD}).decode()


_HELD: Final = tuple(one.name for one in fields(Finding) if one.name not in {"reasons", "kind"})
