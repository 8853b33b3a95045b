"""Kill the broker itself: what was acknowledged is there, once, and the log goes on by itself."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from storage.errors import Unavailable
from storage.log import Record
from storage.log.cluster import cluster_of
from storage.log.kafka import KafkaLog
from storage.settings import Settings
from tests.services import SCRIPTS, address_of, folder_of
from tests.storage.log_contract import values

pytestmark = pytest.mark.slow


class Broker:
    """A broker of the test's own, from the binaries of `make services`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._env = os.environ | {"INOPSIO_SERVICES_DIR": str(folder), "KAFKA_HEAP": "256m"}

    def tell(self, word: str) -> str:
        # To a file: a pipe would stay open as long as the broker that inherits it.
        with (self._folder / "said").open("w+") as said:
            subprocess.run(
                [SCRIPTS / "kafka.sh", word], env=self._env, stdout=said, stderr=said, check=True
            )
            said.seek(0)
            return said.read()

    def url(self) -> str:
        return self.tell("env").strip().rpartition("=")[2]

    def kill(self) -> None:
        os.kill(int((self._folder / "kafka" / "pid").read_text()), signal.SIGKILL)


@pytest.fixture
def broker() -> Iterator[Broker]:
    address_of("kafka")
    folder = Path(tempfile.mkdtemp(prefix="inopsio-kafka-"))
    (folder / "kafka").mkdir()
    (folder / "kafka" / "lib").symlink_to(folder_of("kafka").resolve() / "lib")
    mine = Broker(folder)
    mine.tell("start")
    yield mine
    mine.tell("stop")
    shutil.rmtree(folder)


def test_acknowledged_records_survive_a_killed_broker_once(broker: Broker) -> None:
    stop = threading.Event()
    acknowledged: list[str] = []
    failed: list[str] = []
    with closing(KafkaLog(cluster_of(Settings(log_url=broker.url())), 4)) as log:

        def work() -> None:
            n = 0
            while not stop.is_set():
                names = [f"{n}-{i}" for i in range(5)]
                n += 1
                try:
                    log.append("t", [Record(name.encode(), name.encode()) for name in names])
                    acknowledged.extend(names)
                except Unavailable as away:
                    failed.extend([*names, str(away)])

        worker = threading.Thread(target=work)
        worker.start()
        try:
            _until(lambda: len(acknowledged) > 500)
            broker.kill()
            time.sleep(1)
            before = len(acknowledged)
            broker.tell("start")
            _until(lambda: len(acknowledged) > before + 500)
        finally:
            stop.set()
            worker.join()
        kept = [value.decode() for p in range(4) for value in values(log, "t", p)]
        assert set(acknowledged) <= set(kept)
        assert len(kept) == len(set(kept))
        assert set(kept) - set(acknowledged) <= set(failed)
        assert log.join("g", "t", "a") == [0, 1, 2, 3]


def _until(is_so: Callable[[], bool], wait_s: float = 90) -> None:
    until_s = time.monotonic() + wait_s
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.05)
