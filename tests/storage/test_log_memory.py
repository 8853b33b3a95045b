from collections.abc import Callable, Iterator

import pytest

from storage.log import EventLog
from storage.log.memory import MemoryLog
from tests.storage.log_contract import Clock, SetClockContract


class TestMemoryLog(SetClockContract):
    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def make_log(self, clock: Clock) -> Callable[[], EventLog]:
        return lambda: MemoryLog(partitions=4, now_us=clock)

    @pytest.fixture
    def log(self, make_log: Callable[[], EventLog]) -> Iterator[EventLog]:
        log = make_log()
        yield log
        log.close()
