"""Remember across deaths of the process what it was reading, to find the message that ends it.

Three deaths at the same place: what was being read then is read again one message at a time. Three
more at one message: that message is refused. An orderly end, or an error told, is no death.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson
import structlog

from storage.log import Message

log = structlog.get_logger()
FILE: Final = "pipelines.attempt"
"""Name in the data folder."""
MOST: Final = 3
"""Deaths at one place before it is read message by message, and of one message before it goes."""


@dataclass(slots=True)
class _Try:
    first: int
    end: int
    count: int


class Attempts:
    """Hold what is being read, by partition, also in a file; without a path it remembers nothing.

    The file is replaced as a whole but not synced: a death of the process does not lose it.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Read what the last process left; what cannot be read is as if it had left nothing."""
        self._path = path
        self._tries: dict[int, _Try] = {}
        self._until: dict[int, int] = {}
        self._begun: set[int] = set()
        if path is not None and path.is_file():
            self._restore(path)

    def _restore(self, path: Path) -> None:
        try:
            left = orjson.loads(path.read_bytes())
            tries = {int(p): _Try(*(int(n) for n in found)) for p, found in left["tries"].items()}
            until = {int(p): int(end) for p, end in left["until"].items()}
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            log.warning("attempts_unreadable", path=path.name)
            return
        stuck = {p: one.end for p, one in tries.items() if one.count >= MOST and p not in until}
        # Deaths with others do not count against a message that is read alone from now on.
        self._tries = {p: one for p, one in tries.items() if p not in stuck}
        self._until = until | stuck
        if self._until:
            log.warning("reading_one_by_one", until=self._until)

    @property
    def is_careful(self) -> bool:
        """Answer whether messages are to be read one at a time, each committed before the next."""
        return bool(self._until)

    def begin(self, messages: Iterable[Message]) -> int:
        """Note that these are being read; give how often the process ended at a single one.

        0 for several, which are to be tried one at a time first.
        """
        if self._path is None:
            return 0
        read = list(messages)
        for message in read:
            p, offset = message.partition, message.offset
            one = self._tries.get(p)
            if p in self._begun and one is not None:
                one.end = max(one.end, offset + 1)
                continue
            self._begun.add(p)
            is_same = one is not None and one.first == offset
            if is_same and self.is_careful:
                is_same = one is not None and one.end == offset + 1
            deaths = one.count if one is not None and is_same else 0
            self._tries[p] = _Try(offset, offset + 1, deaths + 1)
        if read:
            self._write()
        if len(read) != 1:
            return 0
        one = self._tries[read[0].partition]
        is_single = one.first == read[0].offset and one.end == one.first + 1
        return one.count - 1 if is_single else 0

    def committed(self, offsets: Mapping[int, int]) -> None:
        """Forget what was read up to these next offsets."""
        if self._path is None or not (self._tries or self._until):
            return
        for p, offset in offsets.items():
            one = self._tries.get(p)
            if one is not None and offset > one.first:
                del self._tries[p]
                self._begun.discard(p)
                if one.end > offset:
                    self._tries[p] = _Try(offset, one.end, 1)
                    self._begun.add(p)
            if offset >= self._until.get(p, offset + 1):
                del self._until[p]
        self._write()

    def broken_off(self) -> None:
        """Take back what was begun: it was given up in good order, so it was no death."""
        for p in self._begun & self._tries.keys():
            self._tries[p].count -= 1
        if self._begun:
            self._begun.clear()
            self._tries = {p: one for p, one in self._tries.items() if one.count}
            self._write()

    def _write(self) -> None:
        if self._path is None:
            return
        try:
            if not self._tries and not self._until:
                self._path.unlink(missing_ok=True)
                return
            tries = {str(p): [one.first, one.end, one.count] for p, one in self._tries.items()}
            until = {str(p): end for p, end in self._until.items()}
            fresh = self._path.with_suffix(".new")
            fresh.write_bytes(orjson.dumps({"tries": tries, "until": until}))
            fresh.replace(self._path)
        except OSError as error:
            log.warning("attempts_not_written", reason=str(error))
