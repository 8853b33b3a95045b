"""Turn log messages into event columns: drop repeats, parse, put refused records aside."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import polars as pl

from pipelines.dead_letter import MAX_RAW, RAW_TOPIC, letter_of
from pipelines.formats import HEAD_BYTES, detect_format
from pipelines.parsers import Reject
from pipelines.parsing import parse_stream
from storage.errors import InvalidInput
from storage.log import Message
from storage.outcome import DeadLetter, SourceProgress
from storage.schema import EventBatch
from storage.tenant import tenant_name
from storage.wire import check_schema

Run = tuple[Message, ...]
"""Messages that are read as one stream: usually one, more where they follow on each other."""

Parse = Callable[[Run], Iterator[tuple[EventBatch, list[Reject]]]]
"""Reads one run into batches; InvalidInput if it cannot go on. See `parse_run`."""

AUTO: Final = "auto"
"""Header `format` of a sender that named none (the front door): found by content."""
_RUN_BYTES: Final = 32 << 20
MOST_LETTERS: Final = 1000
"""Refused records of one run that get letters of their own: 16 MiB of garbage may be 8 million."""
_LONGEST_SOURCE: Final = 500


def parse_run(run: Run) -> Iterator[tuple[EventBatch, list[Reject]]]:
    """Read the messages of one run by their headers.

    The house received them when the log did: a second reading gives the same events.
    """
    tenant_id, source, position = origin_of(run[0])
    return parse_stream(
        format_of(run[0]),
        [message.value for message in run],
        tenant_id=tenant_id,
        source=source,
        name=run[0].headers.get("name", ""),
        ingested_at_us=run[0].appended_at_us,
        first_position=position,
    )


def format_of(message: Message) -> str:
    """Give the format of the message, found by content where its sender named none."""
    log_format = message.headers["format"]
    if log_format != AUTO:
        return log_format
    return detect_format(message.value[:HEAD_BYTES], message.headers.get("name", ""))


@dataclass(frozen=True, slots=True)
class Decoded:
    """One run as columns, or several read together (`pipelines.together`), of one partition.

    `frame` is None where nothing in it could be read; `progress`: one each origin.

    `is_broken_off`: the parser could not go on, so one letter stands for all that followed.
    """

    run: Run
    frame: pl.DataFrame | None
    letters: tuple[DeadLetter, ...]
    progress: tuple[SourceProgress, ...]
    is_broken_off: bool = False


def runs_of(messages: Iterable[Message]) -> list[Run]:
    """Put messages together that are consecutive lines of one source, received at one time.

    Wide events cost a parser about 10 ms a call: measured, 300 rows a call take three times the CPU
    of 8,000. What a message says does not depend on how it is put together here.
    """
    runs: list[list[Message]] = []
    size = 0
    for message in messages:
        size += len(message.value)
        if runs and size <= _RUN_BYTES and _follows(runs[-1][-1], message):
            runs[-1].append(message)
        else:
            runs.append([message])
            size = len(message.value)
    return [tuple(run) for run in runs]


def _follows(before: Message, after: Message) -> bool:
    if (before.partition, before.offset + 1) != (after.partition, after.offset):
        return False
    if before.appended_at_us != after.appended_at_us or not before.value.endswith(b"\n"):
        return False
    ours, theirs = dict(before.headers), dict(after.headers)
    first, second = ours.pop("position", ""), theirs.pop("position", "")
    for name in ("id", "trace_id"):  # which record, and who asked: nothing of how it is read
        ours.pop(name, None)
        theirs.pop(name, None)
    if ours != theirs or not (first.isdecimal() and second.isdecimal()):
        return False
    # One record a line and nothing but records: no heading lines, no binary chunks.
    lines = before.value.count(b"\n")
    return lines == int(second) - int(first) and b"\x00" not in before.value[:4096]


def decode_runs(
    messages: Iterable[Message], known: dict[tuple[str, str], int], parse: Parse
) -> list[Decoded]:
    """Read run by run; `known`, how far each origin was read, is moved on."""
    decoded: list[Decoded] = []
    for run in runs_of(messages):
        try:
            pair = origin_of(run[0])[:2]
        except InvalidInput:
            pair = ("", "")
        for one in decode_each(run, known.get(pair, 0), parse):
            for progress in one.progress:
                known[pair] = max(known.get(pair, 0), progress.next_position)
            decoded.append(one)
    return decoded


def decode_each(run: Run, next_position: int, parse: Parse) -> list[Decoded]:
    """Read one run as `decode` does; message by message where one of them cannot be read.

    What is refused then is that message, not those that came with it.
    """
    whole = decode(run, next_position, parse)
    if len(run) == 1 or not whole.is_broken_off:
        return [whole]
    each: list[Decoded] = []
    for message in run:
        each.append(decode((message,), next_position, parse))
        ends = (progress.next_position for progress in each[-1].progress)
        next_position = max(next_position, *ends, 0)
    return each


def decode(run: Run, next_position: int, parse: Parse) -> Decoded:
    """Read one run whose origin has been read up to `next_position`.

    Records before that are repeats and vanish. What cannot be read becomes letters.
    """
    try:
        first = origin_of(run[0])[2]
    except InvalidInput as error:
        letter = letter_of(run[0], run[0].offset, str(error), run[0].value)
        return Decoded(run, None, (letter,), ())
    frames: list[pl.DataFrame] = []
    letters = Letters(run[0])
    end = first
    is_broken_off = False
    try:
        for batch, rejects in parse(run):
            for reject in rejects:
                end = max(end, reject.position + 1)
                if reject.position >= next_position:
                    letters.add(reject)
            if len(batch):
                end = max(end, _last(batch.frame) + 1)
                frames.append(batch.frame)
    except InvalidInput as error:
        if end >= next_position:
            letters.add(Reject(end, str(error), _rest_of(run, end - first)))
        end += 1
        is_broken_off = True
    frame = pl.concat(frames, how="diagonal") if len(frames) > 1 else next(iter(frames), None)
    if frame is not None and next_position > first:
        frame = frame.filter(pl.col("position") >= next_position)
    progress = _progress(run, frame, letters, end)
    return Decoded(run, frame, letters.written(), (progress,), is_broken_off)


@dataclass(slots=True)
class Letters:
    """Gather refused records; those beyond `MOST_LETTERS` into one letter: how many they were, and
    the bytes of the first ones.
    """

    message: Message
    own: list[DeadLetter] = field(default_factory=list)
    more: int = 0
    first: Reject | None = None
    raw: bytearray = field(default_factory=bytearray)
    size: int = 0

    @property
    def count(self) -> int:
        """How many records were refused."""
        return len(self.own) + self.more

    @property
    def last_reason(self) -> str | None:
        """Why the last one with a letter of its own was."""
        last = self.own[-1] if self.own else None
        return f"record {last.position}: {last.reason}" if last else None

    def add(self, reject: Reject) -> None:
        """Take one more."""
        if len(self.own) < MOST_LETTERS:
            self.own.append(letter_of(self.message, reject.position, reject.reason, reject.raw))
            return
        self.first = self.first or reject
        self.more += 1
        self.size += len(reject.raw) + 1
        if len(self.raw) < MAX_RAW:
            self.raw += reject.raw + b"\n"

    def written(self) -> tuple[DeadLetter, ...]:
        """Give the letters."""
        if self.first is None:
            return tuple(self.own)
        reason = f"{self.more} records refused here and after; the first: {self.first.reason}"
        more = letter_of(self.message, self.first.position, reason, bytes(self.raw), self.size)
        return (*self.own, more)


def _last(frame: pl.DataFrame) -> int:
    return int(frame["position"].max())  # type: ignore[arg-type]  # Int64 without nulls


def origin_of(message: Message) -> tuple[str, str, int]:
    """Give (tenant, source, first position) of a message; InvalidInput names the bad header."""
    headers = message.headers
    if message.topic == RAW_TOPIC:
        check_schema(headers, "raw")
    for name in ("tenant", "source", "position", "format"):
        if not headers.get(name):
            raise InvalidInput(f"message has no header '{name}'; the front door sets it")
    try:
        position = int(headers["position"])
    except ValueError:
        position = -1
    if not 0 <= position < 2**62:
        raise InvalidInput(f"header 'position' is {headers['position'][:40]!r}, not a number")
    source = headers["source"]
    if len(source) > _LONGEST_SOURCE or "\x00" in source or not _is_utf8(source):
        raise InvalidInput(
            f"header 'source' {source[:40]!r} is not {_LONGEST_SOURCE} characters of UTF-8 at most"
        )
    return tenant_name(headers["tenant"]), headers["source"], position


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _progress(run: Run, frame: pl.DataFrame | None, letters: Letters, end: int) -> SourceProgress:
    tenant_id, source, _ = origin_of(run[0])
    return SourceProgress(
        tenant_id=tenant_id,
        source=source,
        name=run[0].headers.get("name", source),
        log_format=run[0].headers["format"],
        next_position=end,
        events=frame.height if frame is not None else 0,
        rejected=letters.count,
        last_reason=letters.last_reason,
    )


def _rest_of(run: Run, records: int) -> bytes:
    """Give what follows the records already read, so that driving it again doubles none of them."""
    value = b"".join(message.value for message in run)
    if not records:
        return value
    lines = [line for line in value.splitlines(keepends=True) if line.strip()]
    return b"".join(lines[records:])


def letter_in(one: Decoded, row: tuple[str, str, int], reason: str) -> DeadLetter | None:
    """Make the letter of one record that was read; None if it is not of this run.

    `row`: tenant, source and position.
    """
    tenant_id, source, position = row
    run = tuple(m for m in one.run if origin_of(m)[:2] == (tenant_id, source))
    if not run or one.frame is None:
        return None
    mine = (pl.col("tenant_id") == tenant_id) & (pl.col("source") == source)
    read = one.frame.filter(mine).get_column("position").to_list()
    if position not in read:
        return None
    letters = (x.position for x in one.letters if (x.tenant_id, x.source) == (tenant_id, source))
    starts = [origin_of(message)[2] for message in run]
    at = max(i for i, start in enumerate(starts) if start <= position or i == 0)
    raw = _raw_of(run, at, position, [*read, *letters])
    return letter_of(run[at], position, reason, raw)


def _raw_of(run: Run, at: int, position: int, positions: Sequence[int]) -> bytes:
    """Give the bytes of one record, or its whole message if that is not one record a line.

    `at`: which message of the run; `positions`: of all records of the run.
    """
    start = origin_of(run[at])[2]
    before_next = origin_of(run[at + 1])[2] if at + 1 < len(run) else 2**62
    records = sum(start <= place < before_next for place in positions)
    lines = [line for line in run[at].value.splitlines() if line.strip()]
    index = position - start
    return lines[index] if len(lines) == records and index < records else run[at].value


def unknown_origins(
    messages: Iterable[Message], known: Mapping[tuple[str, str], int]
) -> list[tuple[str, str]]:
    """Give the (tenant, source) pairs of the messages of which `known` says nothing."""
    pairs: dict[tuple[str, str], None] = {}
    for message in messages:
        told = (message.headers.get("tenant", ""), message.headers.get("source", ""))
        if told in known or told in pairs:  # asked of before, so it is valid
            continue
        try:
            tenant_id, source, _ = origin_of(message)
        except InvalidInput:
            continue  # it becomes a dead letter when it is decoded
        if (tenant_id, source) not in known:
            pairs[tenant_id, source] = None
    return list(pairs)
