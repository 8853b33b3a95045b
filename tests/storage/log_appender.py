"""Append numbered records in a process of its own and print each acknowledgement.

Arguments: file of the log, name of this appender, how many calls, records a call; for a log
on Kafka its address and prefix too (then there is no file).
"""

import sys
from pathlib import Path

from storage.log import EventLog, Record
from storage.log.kafka import open_kafka
from storage.log.sqlite import SqliteLog
from storage.settings import Settings


def on_kafka(url: str, prefix: str) -> EventLog:
    return open_kafka(Settings(log_url=url, kafka_prefix=prefix, partitions=4))


def main(path: str, name: str, calls: int, size: int, url: str = "", prefix: str = "") -> None:
    log = on_kafka(url, prefix) if url else SqliteLog(Path(path), partitions=4)
    for n in range(0, calls * size, size):
        names = [f"{name}-{n + i}" for i in range(size)]
        log.append("t", [Record(text.encode(), text.encode()) for text in names])
        sys.stdout.write("".join(f"{text}\n" for text in names))
        sys.stdout.flush()
    log.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), *sys.argv[5:])
