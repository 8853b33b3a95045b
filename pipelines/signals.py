"""Read topic `signals`, the claims of the first flow, as the events of the second."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Final

import msgspec
import polars as pl

from pipelines.parsers import Reject
from storage.errors import InvalidInput
from storage.log import Message
from storage.outcome import Mark, mark_of
from storage.schema import MAX_BATCH_ROWS, EventBatch, Finding
from storage.schema.columns import TIME
from storage.schema.finding import ENDS_NAME, ENDS_PAIR, Level
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


class Told(msgspec.Struct, frozen=True, gc=False):
    """A claim as the second flow needs it: a Finding without its reasons and kind."""

    finding_id: str
    tenant_id: str
    detector: str
    detector_version: str
    rule_id: str
    title: str
    level: Level
    time_us: int
    entity_type: str
    entity: str
    event_ids: tuple[str, ...]
    event_count: int = 1
    attack: tuple[str, ...] = ()
    links: tuple[tuple[str, str], ...] = ()
    parts: tuple[str, ...] = ()
    fields: tuple[tuple[str, str], ...] = ()


class _Message(msgspec.Struct, gc=False):
    data: Told


_READ: Final = msgspec.json.Decoder(_Message)
_TELL: Final = msgspec.json.Encoder()


def told_of(value: bytes) -> Told:
    """Read a claim from its message; InvalidInput if it is none."""
    try:
        return _READ.decode(value).data
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        raise InvalidInput(f"message is not a finding: {e}") from e


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
    check_schema(first.headers, "finding")
    claims = [told_of(message.value) for message in run]
    if any(claim.tenant_id != first.headers["tenant"] for claim in claims):
        raise InvalidInput("claim is another tenant's than its message")
    frame = frame_of(claims, first.appended_at_us, int(first.headers["position"]))
    frame = frame.with_columns(pl.lit(first.headers["source"]).alias("source"))
    for piece in frame.iter_slices(MAX_BATCH_ROWS):
        yield EventBatch.of(piece), []


def frame_of(
    claims: Iterable[Told | Finding], arrived_us: int, first_position: int = 0
) -> pl.DataFrame:
    """Give claims as rows of class 2004: time = the claim's, `event_id` = its id.

    `unmapped.entities`: what it is about and then its links, `unmapped.fields`: its fields, as
    pairs parted by `ENDS_NAME` and `ENDS_PAIR`; `raw_data`: the claim without reasons, as JSON.
    """
    told = [claim if isinstance(claim, Told) else _plain(claim) for claim in claims]
    size = len(told)

    def same(value: str | int, dtype: pl.DataType) -> pl.Series:
        return pl.repeat(value, size, dtype=dtype, eager=True)

    return pl.DataFrame(
        {
            "tenant_id": [c.tenant_id for c in told],
            "event_id": [c.finding_id for c in told],
            "time": pl.Series([c.time_us for c in told], dtype=pl.Int64).cast(TIME),
            "ingested_at": same(arrived_us, pl.Int64()).cast(TIME),
            "source": same(TOPIC, pl.String()),
            "position": pl.Series(range(first_position, first_position + size), dtype=pl.Int64),
            "is_late": same(False, pl.Boolean()),
            "is_time_clamped": same(False, pl.Boolean()),
            "category_uid": same(2, pl.Int32()),
            "class_uid": same(CLASS, pl.Int32()),
            "activity_id": same(1, pl.Int32()),
            "type_uid": same(CLASS * 100 + 1, pl.Int64()),
            "severity_id": pl.Series([_SEVERITY.get(c.level, 0) for c in told], dtype=pl.Int32),
            "metadata.log_format": same(FORMAT, pl.String()),
            "metadata.product.name": same("inopsio", pl.String()),
            "finding_info.uid": [c.rule_id for c in told],
            "finding_info.title": [c.title for c in told],
            "unmapped.detector": [c.detector for c in told],
            "unmapped.entities": [_joined(((c.entity_type, c.entity), *c.links)) for c in told],
            "unmapped.fields": [_joined(c.fields) for c in told],
            "raw_data": [_TELL.encode(c).decode() for c in told],
        },
        schema_overrides=dict.fromkeys(_TEXTS, pl.String),
    )


def _plain(claim: Finding) -> Told:
    return msgspec.convert(claim, Told, from_attributes=True)


def _joined(pairs: Sequence[tuple[str, str]]) -> str:
    text = ENDS_PAIR.join(map(ENDS_NAME.join, pairs))
    if text.count(ENDS_NAME) == len(pairs) and text.count(ENDS_PAIR) < max(len(pairs), 1):
        return text
    clean = [(_one_line(name), _one_line(said)) for name, said in pairs]
    return ENDS_PAIR.join(map(ENDS_NAME.join, clean))


def _one_line(text: str) -> str:
    return text.replace(ENDS_NAME, " ").replace(ENDS_PAIR, " ")
