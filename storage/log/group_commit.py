"""Gather what several threads want written into one transaction, so that one sync serves all."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from storage.errors import InopsioError, Unavailable

Home = TypeVar("Home")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class Waiting(Generic[Home]):
    """Hold one thread's work; the run fills `result`, or `error` if nothing was written."""

    work: Callable[[Home], Any]
    result: Any = None
    error: InopsioError | None = None
    is_done: bool = False


class GroupCommit(Generic[Home]):
    """Let the first thread that comes write for all who wait; no thread of its own.

    `run` does all works in one transaction, or sets each one's `error`. A lone caller never waits.
    Where the last group shows that others are at it too, the leader lingers at most `linger_s`,
    and only until as many have come as were there the last time.
    """

    def __init__(self, run: Callable[[Sequence[Waiting[Home]]], None], linger_s: float) -> None:
        """Begin with nobody waiting."""
        self._run = run
        self._linger_s = linger_s
        self._state = threading.Condition()
        self._queue: list[Waiting[Home]] = []
        self._is_led = False
        self._is_closed = False
        self._expected = 1

    def write(self, work: Callable[[Home], Result]) -> Result:
        """Do the work within the next transaction; return when that is durable.

        Unavailable (or what `run` set) when it was not written.
        """
        waiting: Waiting[Home] = Waiting(work)
        group = self._enter(waiting)
        if group:
            self._lead(group)
        if waiting.error is not None:
            raise type(waiting.error)(str(waiting.error)) from waiting.error
        return cast("Result", waiting.result)

    def close(self) -> None:
        """Take no more work; return when all that came before is written."""
        with self._state:
            self._is_closed = True
            self._state.wait_for(lambda: not self._is_led and not self._queue)

    def _enter(self, waiting: Waiting[Home]) -> list[Waiting[Home]]:
        """Wait for an answer, or for the lead: then give the group to write."""
        with self._state:
            if self._is_closed:
                raise Unavailable("the event log is closed; open it anew")
            self._queue.append(waiting)
            if self._is_led and len(self._queue) >= self._expected:
                self._state.notify_all()
            self._state.wait_for(lambda: waiting.is_done or not self._is_led)
            if waiting.is_done:
                return []
            self._is_led = True
            if len(self._queue) < self._expected:
                self._state.wait_for(lambda: len(self._queue) >= self._expected, self._linger_s)
            group, self._queue = self._queue, []
            return group

    def _lead(self, group: list[Waiting[Home]]) -> None:
        is_answered = False
        try:
            self._run(group)
            is_answered = True
        finally:
            with self._state:
                for waiting in group:
                    if not is_answered:
                        waiting.error = Unavailable("the write was interrupted; try again")
                    waiting.is_done = True
                self._expected = len(group) + len(self._queue)
                self._is_led = False
                self._state.notify_all()
