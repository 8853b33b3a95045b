"""Hold the HTTP requests of a connection that wait for their answers, in the order they came."""

from typing import Final

from pipelines.network.protocols import http
from pipelines.network.protocols.http import HttpHead
from pipelines.network.sightings import HTTP, Ends, Sighting, http_fields, sighting

MOST: Final = 64


class Asked:
    """At most MOST of them, and how many bytes they hold."""

    __slots__ = ("_waiting", "held_bytes")

    def __init__(self) -> None:
        """Begin with none."""
        self._waiting: list[tuple[int, Ends, HttpHead]] = []
        self.held_bytes = 0

    def __len__(self) -> int:
        """Give how many wait."""
        return len(self._waiting)

    @property
    def first(self) -> tuple[int, Ends, HttpHead]:
        """Give the one that is answered next: when, between whom, what."""
        return self._waiting[0]

    def add(self, time_ns: int, ends: Ends, head: HttpHead, found: list[Sighting]) -> None:
        """Let one wait; the oldest of too many goes without an answer."""
        if len(self._waiting) >= MOST:
            found.append(self.answered(None))
        self._waiting.append((time_ns, ends, head))
        self.held_bytes += http.held_bytes(head)

    def answered(self, status: int | None) -> Sighting:
        """Let the oldest go, with its answer's status."""
        time_ns, ends, head = self._waiting.pop(0)
        self.held_bytes -= http.held_bytes(head)
        return sighting(HTTP, time_ns, ends, http_fields(head, status))
