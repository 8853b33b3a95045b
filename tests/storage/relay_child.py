"""Relay the outbox in a process of its own that kills itself right after an append.

Arguments: after which append (0: never), file of the embedded log, or address and prefix on Kafka.
The database comes by INOPSIO_DATABASE_URL.
"""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from storage.database import Database
from storage.log import EventLog, Record
from storage.log.kafka import open_kafka
from storage.log.sqlite import SqliteLog
from storage.outbox import relay
from storage.settings import Settings


def opened(*place: str) -> EventLog:
    if len(place) == 1:
        return SqliteLog(Path(place[0]), partitions=2)
    url, prefix = place
    return open_kafka(Settings(log_url=url, kafka_prefix=prefix, partitions=2))


def main(die_after: int, *place: str) -> None:
    with closing(opened(*place)) as log:
        append, done = log.append, 0

        def dying(topic: str, records: Sequence[Record]) -> list[tuple[int, int]]:
            nonlocal done
            places = append(topic, records)
            done += 1
            if done == die_after:
                os.kill(os.getpid(), signal.SIGKILL)
            return places

        log.append = dying  # type: ignore[method-assign]  # the window between two writes
        database = Database.open(Settings.read())
        is_first = True
        while relay(database.writer, log, 20, is_after_break=is_first):
            is_first = False
        database.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
