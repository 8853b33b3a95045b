"""Carry what one step of a flow made, to be committed all together or not at all."""

import base64
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Final

import msgspec
import orjson
import polars as pl

from storage.errors import InvalidInput
from storage.schema import EventBatch, Finding

_RAW_MAX: Final = 64 << 10
ALL: Final = -1
"""Lane of a flow that has one state over all partitions."""
FACTS: Final = "business:"
"""How sources of business facts begin: only of these it matters who has read them."""
MARK: Final = "inopsio.mark"
"""Type of a message of topic `signals` that is no claim but a Mark."""
_IDS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "urn:inopsio:mark")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused record: whose, from where, why, and its bytes (cut at 64 KiB: `is_cut`).

    `letter_id` is derived from (tenant, source, position), so that a repeat is recognised.
    `topic`, `partition`, `offset`: the message that held it ('' and -1: not told); `schema`: what
    its header said.
    """

    letter_id: str
    tenant_id: str
    source: str
    name: str
    log_format: str
    position: int
    reason: str
    raw: bytes
    topic: str = ""
    partition: int = -1
    offset: int = -1
    trace_id: str = ""
    is_cut: bool = False
    schema: str = ""


@dataclass(frozen=True, slots=True)
class SourceProgress:
    """How far one origin was read by this step; `events` and `rejected` are this step's share."""

    tenant_id: str
    source: str
    name: str
    log_format: str
    next_position: int
    events: int
    rejected: int
    last_reason: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """Say among the claims how far the first flow had read a source when it had told all before."""

    tenant_id: str
    source: str
    next_position: int


@dataclass(frozen=True, slots=True)
class LakeFile:
    """One row of the lake's manifest. `path` is relative to the lake's root; times are UTC µs.

    `digest`: SHA-256 of the file, hex.
    """

    tenant_id: str
    path: str
    class_uid: int
    day: str
    events: int
    size_bytes: int
    first_time_us: int
    last_time_us: int
    topic: str
    partition: int
    first_offset: int
    last_offset: int
    digest: str = ""


@dataclass(frozen=True, slots=True)
class PartitionStep:
    """How a step moves one partition: committed only if the ledger still stands at `expected`."""

    topic: str
    partition: int
    expected: int
    next_offset: int
    watermark_us: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """Everything that one step of `flow` leaves behind; sinks write it inside one transaction.

    `batches`: its events, in batches of any size; `findings`: in order of time.
    `window_counts`: columns tenant_id, entity_type, entity, class_uid (Int32), window_start
    (Datetime us UTC), window_s (Int32), events (Int64: what to ADD to the stored count).
    `state`: (detector, shard) -> Arrow IPC bytes of the changed shards. `left_out`: detector ->
    events it was not shown, as it raised on too many. `marks`: those that a second flow came by.
    `lane`: whose state it is, a partition's or `ALL`; `epoch`: of the claim under which a lane is
    worked, None for `ALL`.
    """

    flow: str
    steps: tuple[PartitionStep, ...]
    batches: tuple[EventBatch, ...] = ()
    findings: tuple[Finding, ...] = ()
    window_counts: pl.DataFrame | None = None
    state: Mapping[tuple[str, int], bytes] = field(default_factory=dict)
    lake_files: tuple[LakeFile, ...] = ()
    sources: tuple[SourceProgress, ...] = ()
    dead_letters: tuple[DeadLetter, ...] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()
    lane: int = ALL
    epoch: int | None = None


def finding_message(finding: Finding) -> bytes:
    """Give a finding as the CloudEvents JSON that travels on topic `findings`."""
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": finding.finding_id,
            "type": "inopsio.finding",
            "source": f"/detectors/{finding.detector}",
            "subject": f"{finding.entity_type}:{finding.entity}",
            "tenantid": finding.tenant_id,
            "datacontenttype": "application/json",
            "data": asdict(finding),
        }
    )


class _Told(msgspec.Struct):
    data: Finding


_READ: Final = msgspec.json.Decoder(_Told)


def finding_of(value: bytes) -> Finding:
    """Read a finding from its message; InvalidInput if it is none."""
    try:
        return _READ.decode(value).data
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as e:
        raise InvalidInput(f"message is not a finding: {e}") from e


def mark_message(mark: Mark) -> tuple[str, bytes]:
    """Give a mark's id and the CloudEvents JSON that travels among the claims."""
    place = (mark.tenant_id, mark.source, str(mark.next_position))
    name = str(uuid.uuid5(_IDS, "\x1f".join(place)))
    return name, orjson.dumps(
        {
            "specversion": "1.0",
            "id": name,
            "type": MARK,
            "source": "/pipelines",
            "subject": mark.source,
            "tenantid": mark.tenant_id,
            "datacontenttype": "application/json",
            "data": asdict(mark),
        }
    )


def mark_of(value: bytes) -> Mark | None:
    """Read a mark from its message; None if it is none."""
    if MARK.encode() not in value:
        return None
    try:
        told = orjson.loads(value)
        mark = Mark(**_known(Mark, told["data"])) if told["type"] == MARK else None
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return None
    if mark is None or type(mark.next_position) is not int or type(mark.source) is not str:
        return None
    return mark


def dead_letter_message(letter: DeadLetter) -> bytes:
    """Give a dead letter as the CloudEvents JSON that travels on topic `dead-letter`."""
    raw = base64.b64encode(letter.raw[:_RAW_MAX]).decode()
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": letter.letter_id,
            "type": "inopsio.dead_letter",
            "source": "/pipelines",
            "subject": letter.name,
            "tenantid": letter.tenant_id,
            "datacontenttype": "application/json",
            "data": asdict(replace(letter, raw=b"")) | {"raw": raw},
        }
    )


def dead_letter_of(value: bytes) -> DeadLetter:
    """Read a dead letter from its message; InvalidInput if it is none."""
    try:
        data = orjson.loads(value)["data"]
        raw = base64.b64decode(data["raw"], validate=True)
        return DeadLetter(**_known(DeadLetter, data) | {"raw": raw})
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as e:
        raise InvalidInput(f"message is not a dead letter: {e}") from e


def _known(kind: type[DeadLetter | Mark], data: Mapping[str, Any]) -> dict[str, Any]:
    """Give what this version knows of the data: a newer minor version may say more."""
    names = {one.name for one in fields(kind)}
    return {name: value for name, value in data.items() if name in names}
