"""Bound the bytes of request bodies held at once, and what one tenant may take of them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from storage.errors import Overloaded

MOST_BYTES: Final = 256 << 20
MOST_BYTES_OF_ONE: Final = 128 << 20


class Room:
    """Lend room for bodies; who finds none is told to come back in a second."""

    def __init__(self, most: int = MOST_BYTES, most_of_one: int = MOST_BYTES_OF_ONE) -> None:
        """Begin empty. `most_of_one`: of one tenant, so that none can shut out the others."""
        self._most = most
        self._most_of_one = most_of_one
        self._held: dict[str, int] = {}
        self._lock = threading.Lock()

    @contextmanager
    def held(self, tenant_id: str, size_bytes: int) -> Iterator[None]:
        """Hold room while the body is worked on; Overloaded if there is none."""
        with self._lock:
            mine = self._held.get(tenant_id, 0)
            total = sum(self._held.values())
            if mine + size_bytes > self._most_of_one or total + size_bytes > self._most:
                raise Overloaded("too much is being sent at once; send again", retry_after_s=1)
            self._held[tenant_id] = mine + size_bytes
        try:
            yield
        finally:
            with self._lock:
                left = self._held[tenant_id] - size_bytes
                if left:
                    self._held[tenant_id] = left
                else:
                    del self._held[tenant_id]
