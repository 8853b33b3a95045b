"""Do one step of the flow: messages and what was known before, to all that they leave behind.

A pure function: no log, no database, no file, no clock. Cutting the same stream into other steps
gives the same events, findings and window counts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any, Final

import polars as pl

from pipelines.decode import Decoded, Parse, decode_runs, letter_in, parse_run
from pipelines.detecting import Detected, States, fold, meta_of
from pipelines.shards import changed_shards
from pipelines.together import decode_all
from pipelines.watermark import Watermarks
from pipelines.windows import add_counts, count_windows
from storage.log import Message
from storage.outcome import DeadLetter, Mark, Outcome, PartitionStep
from storage.schema import ENVELOPE, Context, EventBatch, Finding

_ENVELOPE: Final = {column.name: column.dtype for column in ENVELOPE}

FLOW_CLOCK: Final = ("flow", 0)
"""Key under which the flow keeps its announced watermark among the state."""


@dataclass(frozen=True, slots=True)
class House:
    """What a step may use besides its input; the same for the whole run."""

    flow: str
    topic: str
    batch_rows: int
    window_s: int
    detectors: Mapping[str, ModuleType]
    context: Context
    parse: Parse
    keeps_events: bool = True
    """False: what is read is kept elsewhere already; only findings and state are left behind."""
    address: Callable[[Message], Message] | None = None
    """Gives a topic's messages the headers of the front door, where it has not put them."""
    mark: Callable[[Message], Mark | None] | None = None
    """Knows the messages that are no events but say how far the flow before had read."""
    tenant_rules: Callable[[], Mapping[str, Any]] | None = None
    """Gives the tenants' own rules of this moment; another object when something changed."""
    indicators: Callable[[], Mapping[str, Any]] | None = None
    """Gives the tenants' indicators of this moment; another object when something changed."""


@dataclass(frozen=True, slots=True)
class FlowState:
    """What the flow remembers between steps; the ledger holds all of it too.

    `offsets`: partition -> next offset; `positions`: (tenant, source) -> next record number.
    """

    watermarks: Watermarks
    offsets: Mapping[int, int]
    positions: Mapping[tuple[str, str], int]
    states: States


@dataclass(frozen=True, slots=True)
class Poll:
    """What one look at the log gave: messages in offset order per partition, and who is at its end.

    `now_s`: monotonic seconds, read before the look.
    """

    messages: tuple[Message, ...]
    caught_up: Mapping[int, bool]
    now_s: float


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of the stream in order, with the watermark after each message's last row."""

    frame: pl.DataFrame | None = None
    marks: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Skip:
    """Rows to leave out. `reasons`: event id -> reason for its dead letter; `only`: if given, the
    event ids that alone are let through (a trial; the others make no letters).
    """

    reasons: Mapping[str, str] = field(default_factory=dict)
    only: frozenset[str] | None = None


NOTHING: Final = Skip()


def step(
    house: House, before: FlowState, poll: Poll, skip: Skip = NOTHING
) -> tuple[FlowState, Outcome]:
    """Read the messages, detect, count; give the state after and the outcome to commit."""
    messages, told = _apart(house, poll.messages)
    decoded, positions = _decode_all(house, before, messages)
    decoded, skipped = _without(decoded, skip)
    marks = before.watermarks.polled(poll.caught_up, poll.now_s)
    marks, stretch = _on_time(decoded, marks, poll.now_s)
    marks = marks.muted(_unreadable(messages, decoded)).advanced(poll.now_s)
    batches = _cut(stretch, house.batch_rows, before.watermarks.flow_us, marks.flow_us)
    done = fold(house.detectors, before.states, batches, house.context, stretch.frame)
    offsets = dict(before.offsets)
    for message in poll.messages:
        offsets[message.partition] = message.offset + 1
    after = FlowState(marks, offsets, positions, done.states)
    outcome = _outcome(house, before, after, stretch, decoded, done, skipped)
    return after, replace(outcome, marks=told)


def _apart(house: House, messages: Sequence[Message]) -> tuple[Sequence[Message], tuple[Mark, ...]]:
    """Give the messages that hold events, and the marks of the others."""
    if house.mark is None:
        return messages, ()
    found = [(message, house.mark(message)) for message in messages]
    events = [message for message, mark in found if mark is None]
    return events, tuple(mark for _, mark in found if mark is not None)


def _decode_all(
    house: House, before: FlowState, messages: Sequence[Message]
) -> tuple[list[Decoded], dict[tuple[str, str], int]]:
    if house.parse is parse_run:
        return decode_all(messages, before.positions)
    positions = dict(before.positions)
    return decode_runs(messages, positions, house.parse), positions


def _without(decoded: list[Decoded], skip: Skip) -> tuple[list[Decoded], list[DeadLetter]]:
    if skip.only is not None:
        kept = pl.col("event_id").is_in(list(skip.only))
        return [
            replace(one, frame=one.frame.filter(kept)) if one.frame is not None else one
            for one in decoded
        ], []
    if not skip.reasons:
        return decoded, []
    bad = pl.col("event_id").is_in(list(skip.reasons))
    rest: list[Decoded] = []
    letters: list[DeadLetter] = []
    for one in decoded:
        if one.frame is None:
            rest.append(one)
            continue
        out = one.frame.filter(bad).select("tenant_id", "source", "position", "event_id").rows()
        told = [letter_in(one, row[:3], skip.reasons[row[3]]) for row in out]
        letters += [letter for letter in told if letter is not None]
        rest.append(replace(one, frame=one.frame.filter(~bad)) if out else one)
    return rest, letters


def _unreadable(messages: Sequence[Message], decoded: list[Decoded]) -> set[int]:
    """Give the partitions that gave messages, but no event, not even a repeated one."""
    read = {one.run[0].partition for one in decoded if one.frame is not None}
    return {message.partition for message in messages} - read


def _on_time(decoded: list[Decoded], marks: Watermarks, now_s: float) -> tuple[Watermarks, Stretch]:
    frames: list[pl.DataFrame] = []
    ends: list[tuple[int, int]] = []
    rows = 0
    for one in decoded:
        if one.frame is None or not one.frame.height:
            continue
        time_us, arrived_us = (one.frame[c].dt.epoch("us") for c in ("time", "ingested_at"))
        marks, late = marks.read(one.run[0].partition, time_us, arrived_us)
        frames.append(one.frame.with_columns(late))
        rows += one.frame.height
        marks = marks.advanced(now_s)
        ends.append((rows, marks.flow_us))
    # In one piece: everything after this gathers rows, and would look for the piece of each.
    whole = pl.concat(frames, how="diagonal", rechunk=True) if frames else None
    return marks, Stretch(whole, tuple(ends))


def _cut(
    stretch: Stretch, batch_rows: int, before_us: int, after_us: int
) -> list[tuple[EventBatch, int]]:
    """Cut into batches, each with the watermark that the messages ended in it allow.

    Without rows there is still an empty batch if the watermark moved: windows close on it.
    """
    if stretch.frame is None:
        return [(_no_events(), after_us)] if after_us != before_us else []
    batches: list[tuple[EventBatch, int]] = []
    for first in range(0, stretch.frame.height, batch_rows):
        piece = stretch.frame.slice(first, batch_rows)
        ended = [mark for end, mark in stretch.marks if end <= first + piece.height]
        batches.append((EventBatch.of(piece), ended[-1] if ended else before_us))
    batches[-1] = (batches[-1][0], after_us)
    return batches


def _no_events() -> EventBatch:
    return EventBatch(pl.DataFrame(schema=_ENVELOPE))


def _outcome(
    house: House,
    before: FlowState,
    after: FlowState,
    stretch: Stretch,
    decoded: list[Decoded],
    done: Detected,
    skipped: list[DeadLetter],
) -> Outcome:
    kept = house.keeps_events
    batches = (EventBatch(stretch.frame),) if kept and stretch.frame is not None else ()
    state: dict[tuple[str, int], bytes] = {}
    for module in house.detectors.values():
        meta = meta_of(module)
        state |= changed_shards(meta, before.states[meta.name], after.states[meta.name])
    if after.watermarks.flow_us != before.watermarks.flow_us:
        state[FLOW_CLOCK] = after.watermarks.flow_us.to_bytes(8, "little", signed=True)
    letters = [letter for one in decoded for letter in one.letters]
    return Outcome(
        flow=house.flow,
        # Every partition, moved or not: the state belongs to all of them, so another process that
        # moved any makes this step void.
        steps=tuple(
            PartitionStep(house.topic, p, before.offsets.get(p, 0), end, after.watermarks.stored(p))
            for p, end in sorted(after.offsets.items())
        ),
        batches=batches,
        findings=_once(done.findings),
        window_counts=_counted(batches, house.window_s),
        state=state,
        sources=tuple(progress for one in decoded for progress in one.progress if kept),
        dead_letters=tuple(
            # Without a format a letter is not driven again: nothing else reads what is not kept.
            letter if kept else replace(letter, log_format="")
            for letter in (*letters, *skipped, *_poisoned(decoded, done))
        ),
        left_out=done.left_out,
    )


def _once(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Give each finding as it came first, in order of time: the second flow reads them so."""
    first: dict[str, Finding] = {}
    for finding in findings:
        first.setdefault(finding.finding_id, finding)
    return tuple(sorted(first.values(), key=lambda finding: finding.time_us))


def _counted(batches: Sequence[EventBatch], window_s: int) -> pl.DataFrame | None:
    if not batches:
        return None
    return add_counts([count_windows(batch.frame, window_s) for batch in batches])


def _poisoned(decoded: list[Decoded], done: Detected) -> list[DeadLetter]:
    letters: list[DeadLetter] = []
    reasons: dict[tuple[str, str, int], str] = {}
    for row, reason in done.poison:
        place = row.select("tenant_id", "source", "position").row(0)
        reasons[place] = f"{reasons[place]}; {reason}" if place in reasons else reason
    for place, reason in reasons.items():
        found = (letter_in(one, place, reason) for one in decoded)
        letters += [letter for letter in found if letter is not None][:1]
    return letters
