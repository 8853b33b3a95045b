"""Read the event log: bounded looks at all partitions of a topic, from given offsets on."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pipelines.dead_letter import RAW_TOPIC
from pipelines.sources import Chunk
from storage.log import EventLog, Message
from storage.log.open import open_log
from storage.settings import Settings

NAME: Final = "event-log"

POLL_ROWS: Final = 16_384
"""Most messages taken in one look."""
POLL_BYTES: Final = 32 << 20
"""About how many bytes are taken in one look: what a step holds of the raw stream."""
_PAUSE_S: Final = 0.1


class EventLogReader:
    """Look at the partitions in turn; remembers where the next look begins."""

    def __init__(
        self,
        log: EventLog,
        topic: str,
        offsets: Mapping[int, int],
        rows: int = POLL_ROWS,
        size_bytes: int = POLL_BYTES,
        only: Sequence[int] | None = None,
    ) -> None:
        """Begin at `offsets` (partition -> next offset; 0 for those not named).

        `only`: the partitions to read; all if not given.
        """
        self._only = only
        self._log = log
        self._topic = topic
        self._offsets = dict(offsets)
        self._rows = rows
        self._size_bytes = size_bytes
        self._turn = 0

    def look(self, most: int | None = None) -> tuple[tuple[Message, ...], dict[int, bool]]:
        """Give the next messages, and for every partition whether nothing was left in it.

        At most `rows` messages, or `most`, and about `size_bytes`; the partition that is first
        changes with each look, so that a full one cannot starve the others. Unavailable if the log
        is down.
        """
        every = range(self._log.partitions(self._topic)) if self._only is None else self._only
        count = len(every)
        found: list[Message] = []
        at_end: dict[int, bool] = {}
        rows, size = most or self._rows, self._size_bytes
        for i in range(count):
            partition = every[(self._turn + i) % count]
            if rows <= 0 or size <= 0:
                at_end[partition] = False
                continue
            messages = self._log.read(
                self._topic, partition, self._offsets.get(partition, 0), rows, size
            )
            at_end[partition] = not messages
            rows -= len(messages)
            size -= sum(len(message.value) for message in messages)
            found.extend(messages)
        for message in found:
            self._offsets[message.partition] = message.offset + 1
        self._turn = (self._turn + 1) % max(count, 1)
        return tuple(found), at_end


class EventLogSource:
    """Give the raw topic as chunks, partition names being the resume keys; waits for more."""

    def __init__(self, log: EventLog, topic: str = RAW_TOPIC, pause_s: float = _PAUSE_S) -> None:
        """Keep the log; nothing is read before `chunks`."""
        self._log = log
        self._topic = topic
        self._pause_s = pause_s

    def chunks(self, resume: Mapping[str, int]) -> Iterator[Chunk]:
        """Give chunks after the resume points (partition number as text -> next offset)."""
        offsets = {int(partition): offset for partition, offset in resume.items()}
        reader = EventLogReader(self._log, self._topic, offsets)
        while True:
            messages, _ = reader.look()
            yield from (_chunk(message) for message in messages)
            if not messages:
                time.sleep(self._pause_s)

    def close(self) -> None:
        """Close the log."""
        self._log.close()


def _chunk(message: Message) -> Chunk:
    headers = message.headers
    return Chunk(
        source=str(message.partition),
        position=int(headers.get("position", "0")),
        format=headers.get("format", ""),
        name=headers.get("name", ""),
        value=message.value,
        offset=message.offset + 1,
    )


def open(settings: Settings) -> EventLogSource:  # noqa: A001  the plug-in contract's name
    """Open the log of the settings as a source."""
    return EventLogSource(open_log(settings))
