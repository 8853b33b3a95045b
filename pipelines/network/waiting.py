"""Hold what waits for more of its bytes: so many, of so many bytes; the oldest go first."""

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from pipelines.network.sightings import Ends


class Holds(Protocol):
    """Say how many bytes of memory one takes."""

    @property
    def held_bytes(self) -> int:
        """Give them; quickly, since it is asked with every packet."""
        ...


T = TypeVar("T", bound=Holds)


class Waiting(Generic[T]):
    """Hold connections by their client's ends; `held_bytes`: of all of them."""

    def __init__(self, most: int, most_bytes: int) -> None:
        """Begin with none."""
        self._most, self._most_bytes = most, most_bytes
        self._held: dict[Ends, tuple[T, int]] = {}
        self.held_bytes = 0

    def __len__(self) -> int:
        """Give how many wait."""
        return len(self._held)

    def of(self, ends: Ends) -> T | None:
        """Give the connection of these ends, in whichever direction."""
        told = self._held.get(ends) or self._held.get(ends.turned())
        return told[0] if told else None

    def keep(self, client: Ends, one: T) -> Iterator[T]:
        """Hold one, or count anew what it holds; give those for which there is no room."""
        _, before = self._held.get(client, (None, 0))
        now = one.held_bytes
        self._held[client] = one, now
        self.held_bytes += now - before
        while len(self._held) > self._most or self.held_bytes > self._most_bytes:
            gone, size = self._held.pop(next(iter(self._held)))
            self.held_bytes -= size
            yield gone

    def close(self) -> Iterator[T]:
        """Give all, and forget them."""
        held, self._held, self.held_bytes = self._held, {}, 0
        for one, _ in held.values():
            yield one
