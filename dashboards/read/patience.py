"""Wait for a slow read no longer than a page may: the history can have thousands of files."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

from storage.errors import Unavailable

AT_ONCE_S: Final = 1.5
"""How long a page may wait for what it can be shown without."""
LATER_S: Final = 15.0
"""How long a panel that loads by itself may wait."""
MOST_WAITING: Final = 8
_ROOM: Final = threading.BoundedSemaphore(MOST_WAITING)
T = TypeVar("T")


def within(seconds: float, read: Callable[[], T]) -> T:
    """Give what `read` gives; Unavailable when it takes longer than `seconds`.

    A read that takes longer ends by itself, in a thread of its own; of such there are at most
    `MOST_WAITING`, and the next is refused at once.

    >>> within(5.0, lambda: 7)
    7
    """
    if not _ROOM.acquire(blocking=False):
        raise Unavailable("The history is busy with other questions; try again in a moment.")
    alone = ThreadPoolExecutor(1, "history")
    answer = alone.submit(read)
    answer.add_done_callback(lambda _: _ROOM.release())
    alone.shutdown(wait=False)
    try:
        return answer.result(seconds)
    except TimeoutError:
        if answer.done():
            raise
        said = f"The history did not answer within {seconds:g} s; try again in a moment."
        raise Unavailable(said) from None
