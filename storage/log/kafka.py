"""Keep the log in Apache Kafka: the same promises, over many machines.

An idempotent producer that waits for all replicas, explicit partitions (`partition_of`, as in every
home), reads by place, Kafka's own groups for `join` and `commit`. No transactions: what must happen
once is recognised by its ids and source positions.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer

from storage.errors import Unavailable
from storage.log import Message, Record
from storage.log.cluster import Cluster, cluster_of
from storage.log.kafka_groups import KafkaGroups
from storage.log.kafka_reader import KafkaReader
from storage.log.kafka_topics import TOPIC_SETTINGS, KafkaTopics
from storage.log.partition import check_read, check_records, check_topic, partition_of
from storage.settings import Settings

LAYOUT: Final = "1"
"""Of what a message holds, in a header of each: an older program refuses a newer message."""
_LAYOUT_HEADER: Final = "inopsio-layout"


def open_kafka(settings: Settings) -> "KafkaLog":
    """Give the log that the settings name; InvalidInput if they do not fit together."""
    return KafkaLog(
        cluster_of(settings),
        settings.partitions,
        settings.kafka_replicas,
        is_maker=settings.kafka_create == "on",
    )


class _Call:
    """One `append`: counts its answers."""

    def __init__(self, size: int) -> None:
        self.places: list[tuple[int, int]] = [(-1, -1)] * size
        self.error: Any = None
        self.done = threading.Event()
        self._missing = size

    def answered(self, at: int, error: Any, message: Any) -> None:  # noqa: ANN401  the client's
        """Take one answer; all of a producer's come in one thread, its `KafkaLog._serve`."""
        if error is None and message.offset() is None:
            # "Written before", says the broker, and cannot say where: not to be relied on.
            error = KafkaError(KafkaError.DUPLICATE_SEQUENCE_NUMBER)
        if error is not None:
            self.error = self.error or error
        else:
            self.places[at] = (message.partition(), message.offset())
        self._missing -= 1
        if not self._missing:
            self.done.set()


class KafkaLog:
    """Keep topics on a cluster. Open it in the process that uses it, never before a fork.

    `partitions`, `replicas`, `is_maker`: of a topic that is made by its first append, and whether
    it may be. `linger_ms`: longest wait for others to share one request; without it,
    what comes while a request is under way goes with the next. A cluster that does not
    answer for its `wait_s` is Unavailable (and what was appended then may be there or not).
    """

    def __init__(
        self,
        cluster: Cluster,
        partitions: int = 8,
        replicas: int = -1,
        *,
        is_maker: bool = True,
        linger_ms: float = 0,
    ) -> None:
        """Make the clients; they connect when they are used."""
        self._cluster = cluster
        self._wait_s = cluster.wait_s
        self._is_closed = threading.Event()
        self._config = {
            **cluster.client,
            "enable.idempotence": True,
            "acks": "all",
            # A partition that knows nothing of the producer takes any first sequence number. With
            # two requests under way, one refused while the partition was being made came again
            # after the other, was taken for a repeat, and librdkafka told it as written: lost.
            "max.in.flight": 1,
            "compression.type": "zstd",
            "compression.level": 1,
            "linger.ms": linger_ms,
            "message.max.bytes": int(TOPIC_SETTINGS["max.message.bytes"]),
            "message.timeout.ms": int(cluster.wait_s * 1000),
            "queue.buffering.max.messages": 1_000_000,
            "queue.buffering.max.kbytes": 256 << 10,
        }
        self._topics = KafkaTopics(cluster, partitions, replicas, is_maker)
        self._reader = KafkaReader(cluster)
        self._groups = KafkaGroups(cluster, self._topics.admin)
        self._sending = threading.Lock()
        self._producer = Producer(self._config)
        self._server = threading.Thread(target=self._serve, name="kafka-answers", daemon=True)
        self._server.start()

    def append(self, topic: str, records: Sequence[Record]) -> list[tuple[int, int]]:
        """Make the records durable on all replicas in sync; give (partition, offset) for each.

        InvalidInput if a record is too large (then none is kept). Unavailable if the cluster does
        not confirm all in time: a part of them may be there.
        """
        check_records(topic, records)
        self._check_open()
        if not records:
            return []
        count = self._topics.ensured(topic)
        name = self._cluster.name(topic)
        with self._cluster.explained(f"topic {name}"):
            places = self._written(name, records, count)
        self._topics.moved(topic)
        return places

    def read(
        self, topic: str, partition: int, offset: int, limit: int = 1000, max_bytes: int = 8 << 20
    ) -> list[Message]:
        """Give what lies at and after the offset, or after what was trimmed."""
        check_read(offset, limit, max_bytes)
        self._check_open()
        found = self._reader.read(
            self._cluster.name(topic),
            partition,
            offset,
            limit,
            max_bytes,
            lambda: self._topics.first(topic, partition),
            lambda: self._topics.ends(topic).get(partition, 0),
        )
        return [_message(topic, message) for message in found]

    def end(self, topic: str, partition: int) -> int:
        """Give the offset that the next record will get."""
        self._check_open()
        return self._topics.ends(topic).get(partition, 0)

    def topics(self) -> Mapping[str, int]:
        """Give topic -> number of partitions, for topics that were ever appended to."""
        self._check_open()
        return self._topics.appended()

    def partitions(self, topic: str) -> int:
        """Give the number of partitions the topic has or would have."""
        self._check_open()
        return self._topics.or_default(topic)

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Keep the group's next offset to read, durably; the topic is made if it is not there.

        Unavailable while others read in the group and this process does not.
        """
        check_topic(topic)
        self._check_open()
        self._topics.ensured(topic)
        self._groups.commit(group, topic, partition, offset)

    def committed(self, group: str, topic: str, partition: int) -> int:
        """Give the group's next offset to read, 0 if it never committed."""
        self._check_open()
        if partition >= (self._topics.count(topic) or 0):
            return 0
        return self._groups.committed(group, topic, partition)

    def join(self, group: str, topic: str, member: str) -> list[int]:
        """Say that the member lives; give the partitions it owns now.

        What is taken from a member goes to the others after its next `join`, as Kafka shares out in
        two steps; a newcomer may get its part some joins later.
        """
        check_topic(topic)
        self._check_open()
        self._topics.ensured(topic)
        return self._groups.join(group, topic, member)

    def leave(self, group: str, topic: str, member: str) -> None:
        """Give the member's partitions back to the group."""
        self._check_open()
        self._groups.leave(group, topic, member)

    def trim(self, topic: str, partition: int, before: int) -> int:
        """Forget messages before the offset; give how many went."""
        self._check_open()
        return self._topics.trim(topic, partition, before)

    def close(self) -> None:
        """Send what is being sent, leave all groups, let go; later calls are Unavailable."""
        if self._is_closed.is_set():
            return
        with self._sending, suppress(KafkaException):  # each append heard of its own records
            self._producer.flush(self._wait_s)
        self._is_closed.set()
        self._server.join()
        self._groups.close()
        self._reader.close()

    def _written(self, name: str, records: Sequence[Record], count: int) -> list[tuple[int, int]]:
        """Send them to the topic of that name, await the answers; KafkaException by the first."""
        call = _Call(len(records))
        until_s = time.monotonic() + self._wait_s
        with self._sending:  # so that one call's records lie together
            producer = self._producer
            try:
                for at, record in enumerate(records):
                    self._send(producer, name, record, count, partial(call.answered, at), until_s)
            except KafkaException:  # it has told its last error already and takes nothing more
                self._producer = Producer(self._config)
                raise
        # The client answers by then for each, well or badly.
        if not call.done.wait(self._wait_s + 10):
            raise Unavailable(f"event log {self._cluster.servers}: topic {name}: no answer")
        if call.error is not None:
            if call.error.fatal():
                self._renew(producer)
            raise KafkaException(call.error)
        return call.places

    def _send(
        self,
        producer: Producer,
        name: str,
        record: Record,
        count: int,
        answered: Callable[[Any, Any], None],
        until_s: float,
    ) -> None:
        headers = [(_LAYOUT_HEADER, LAYOUT.encode())]
        headers += [(k, v.encode("utf-8", "surrogatepass")) for k, v in record.headers.items()]
        key, value = bytes(record.key), bytes(record.value)
        place = partition_of(key, count)
        while True:
            try:
                producer.produce(name, value, key, place, on_delivery=answered, headers=headers)
                return
            except BufferError:
                if time.monotonic() > until_s:
                    raise Unavailable(
                        f"event log {self._cluster.servers}: too much waits to be sent; is it slow?"
                    ) from None
                time.sleep(0.01)

    def _serve(self) -> None:
        """Hand the producer's answers to those who wait; renew tokens, hear of trouble."""
        while not self._is_closed.is_set():
            # The client tells its last error here too, once, to whoever polls: whoever appends
            # hears it in the answer, and this must go on for the producer that comes after.
            with suppress(KafkaException):
                self._producer.poll(0.2)
                self._topics.admin.poll(0)

    def _renew(self, failed: Producer) -> None:
        """Begin again with a new producer after an error that the client says is its last."""
        with self._sending:
            if self._producer is failed:
                self._producer = Producer(self._config)

    def _check_open(self) -> None:
        if self._is_closed.is_set():
            raise Unavailable("the event log is closed; open it anew")


def _message(topic: str, message: Any) -> Message:  # noqa: ANN401  the client's type has no hints
    told = message.headers() or ()
    try:
        headers = {k: v.decode() for k, v in told}
    except (UnicodeDecodeError, AttributeError):  # half a surrogate pair, or a header without value
        headers = {k: (v or b"").decode("utf-8", "surrogatepass") for k, v in told}
    layout = headers.pop(_LAYOUT_HEADER, LAYOUT)
    if layout != LAYOUT:
        raise Unavailable(
            f"topic {topic}, partition {message.partition()}, offset {message.offset()} has layout "
            f"{layout}, this version knows {LAYOUT}; use the newer version"
        )
    return Message(
        topic,
        message.partition(),
        message.offset(),
        message.key() or b"",
        message.value() or b"",
        headers,
        max(message.timestamp()[1], 0) * 1000,
    )
