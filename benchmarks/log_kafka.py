"""Measure the log on Kafka against its bare client, in one run on one broker.

Run: `make services`, `eval "$(deploy/local/services.sh env)"`, then
`.venv/bin/python -m benchmarks.log_kafka [--messages N]`. Records of 400 bytes in batches of 1,
100 and 1,000, each durable before the next (the same settings), then a read forward from the start
by 1,000. Ratio = the log's messages a CPU second of this process : the bare client's.
"""

import argparse
import os
import time
import uuid
from collections.abc import Callable
from contextlib import closing

from confluent_kafka import Consumer, Producer, TopicPartition

from storage.log import Record
from storage.log.cluster import cluster_of
from storage.log.kafka import KafkaLog
from storage.log.partition import partition_of
from storage.settings import Settings

_VALUES = [os.urandom(400) for _ in range(1000)]
_KEYS = [f"acme/host-{n}".encode() for n in range(1000)]
_PARTITIONS = 8


def _measured(act: Callable[[], int]) -> tuple[float, float]:
    """Give messages a second, by the wall and by this process's CPU."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    done = act()
    return done / (time.perf_counter() - wall_s), done / (time.process_time() - cpu_s)


def _by_log(log: KafkaLog, size: int, count: int) -> int:
    for _ in range(0, count, size):
        log.append("t", [Record(_KEYS[i], _VALUES[i]) for i in range(size)])
    return count


def _by_client(producer: Producer, topic: str, size: int, count: int) -> int:
    for _ in range(0, count, size):
        for i in range(size):
            place = partition_of(_KEYS[i], _PARTITIONS)
            producer.produce(topic, _VALUES[i], _KEYS[i], place)
        producer.flush()
    return count


def _read_by_log(log: KafkaLog) -> int:
    done = 0
    for partition in range(_PARTITIONS):
        offset = 0
        while found := log.read("t", partition, offset, 1000):
            offset = found[-1].offset + 1
            done += len(found)
    return done


def _read_by_client(client: dict[str, object], topic: str, count: int) -> int:
    consumer = Consumer({**client, "group.id": "bench", "enable.auto.commit": False})
    consumer.assign([TopicPartition(topic, p, 0) for p in range(_PARTITIONS)])
    done = 0
    while done < count:
        done += len([m.value() for m in consumer.consume(1000, 1) if m.error() is None])
    consumer.close()
    return done


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--url", default=os.environ.get("INOPSIO_LOG_URL", ""))
    given = parser.parse_args()
    if not given.url:
        print("INOPSIO_LOG_URL names no Kafka: make services; eval its env. Nothing measured.")
        return
    settings = Settings(log_url=given.url, kafka_prefix=f"bench-{uuid.uuid4().hex[:8]}.")
    cluster = cluster_of(settings)
    with closing(KafkaLog(cluster, _PARTITIONS)) as log:
        producer = Producer(dict(log._config))
        log.append("t", [Record(key, b"") for key in _KEYS])
        log.append("bare", [Record(key, b"") for key in _KEYS])
        written = 1000
        for size, count in ((1, 1000), (100, given.messages // 4), (1000, given.messages)):
            ours = _measured(lambda s=size, c=count: _by_log(log, s, c))  # type: ignore[misc]
            bare = _measured(
                lambda s=size, c=count: _by_client(producer, cluster.name("bare"), s, c)  # type: ignore[misc]
            )
            written += count
            _show(f"append by {size}", ours, bare)
        ours = _measured(lambda: _read_by_log(log))
        bare = _measured(
            lambda: _read_by_client(dict(cluster.client), cluster.name("bare"), written)
        )
        _show("read by 1000", ours, bare)


def _show(what: str, ours: tuple[float, float], bare: tuple[float, float]) -> None:
    print(
        f"{what:15} log {ours[0]:9,.0f}/s {ours[1]:9,.0f}/CPU-s   "
        f"client {bare[0]:9,.0f}/s {bare[1]:9,.0f}/CPU-s   ratio by CPU {ours[1] / bare[1]:.2f}, "
        f"by the wall {ours[0] / bare[0]:.2f}"
    )


if __name__ == "__main__":
    main()
