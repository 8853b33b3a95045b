"""Know a Kafka cluster's topics: how many partitions, where they end, make them, trim them."""

import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec

from storage.errors import Unavailable
from storage.log.cluster import Cluster, code_of

TOPIC_SETTINGS: Final[Mapping[str, str]] = {
    "max.message.bytes": "18000000",
    "message.timestamp.type": "LogAppendTime",
    # The keeper trims what is read and old; Kafka's own seven days would drop what is unread.
    "retention.ms": "-1",
    "retention.bytes": "-1",
    "cleanup.policy": "delete",
}
_COUNT_KEPT_S: Final = 30.0
_ENDS_KEPT_S: Final = 0.05


class KafkaTopics:
    """Answer questions about topics, by the house's names. Many threads may ask at once."""

    def __init__(self, cluster: Cluster, partitions: int, replicas: int, is_maker: bool) -> None:
        """Keep what a new topic is made with; nothing is connected before something is asked."""
        self._cluster = cluster
        self._partitions = partitions
        self._replicas = replicas
        self._is_maker = is_maker
        self.admin = AdminClient(dict(cluster.client))
        self._counts: dict[str, tuple[float, int]] = {}
        self._ends: dict[str, tuple[float, dict[int, int]]] = {}
        self._making = threading.Lock()
        self._limit = {"request_timeout": cluster.wait_s}

    def count(self, topic: str) -> int | None:
        """Give the number of partitions, None if the topic is not there. Kept for 30 s."""
        at_s, count = self._counts.get(topic, (0.0, 0))
        if count and time.monotonic() - at_s < _COUNT_KEPT_S:
            return count
        name = self._cluster.name(topic)

        def ask() -> int:
            asked = self.admin.describe_topics(TopicCollection([name]), **self._limit)
            return len(_result(asked[name]).partitions)

        try:
            found = self._cluster.patiently(f"topic {name}", ask)
        except Unavailable as error:
            if code_of(error) == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise
        self._counts[topic] = (time.monotonic(), found)
        return found

    def or_default(self, topic: str) -> int:
        """Give the number of partitions that the topic has or would have."""
        return self.count(topic) or self._partitions

    def ensured(self, topic: str) -> int:
        """Give the number of partitions; a topic that is not there is made.

        Unavailable with the command that an administrator must run if it may not be.
        """
        count = self.count(topic)
        if count is not None:
            return count
        with self._making:
            if self._is_maker and self.count(topic) is None:
                self._make(topic)
            until = time.monotonic() + self._cluster.wait_s
            while (count := self.count(topic)) is None and self._is_maker:
                if time.monotonic() > until:
                    break
                time.sleep(0.05)
        if count is None:
            raise Unavailable(self._how_to_make(topic))
        return count

    def ends(self, topic: str) -> dict[int, int]:
        """Give partition -> next offset, at most 50 ms old; empty for a topic that is not there."""
        at_s, kept = self._ends.get(topic, (0.0, {}))
        if time.monotonic() - at_s < _ENDS_KEPT_S:
            return kept
        asked_s = time.monotonic()
        count = self.count(topic)
        ends = self._offsets([(topic, p) for p in range(count or 0)], OffsetSpec.latest())
        kept = {p: offset for (_, p), offset in ends.items()}
        self._ends[topic] = (asked_s, kept)
        return kept

    def moved(self, topic: str) -> None:
        """Forget what is known of the topic's ends: something was appended."""
        self._ends.pop(topic, None)

    def first(self, topic: str, partition: int) -> int:
        """Give the offset of the first message that is left."""
        if partition >= (self.count(topic) or 0):
            return 0
        return self._offsets([(topic, partition)], OffsetSpec.earliest())[topic, partition]

    def appended(self) -> dict[str, int]:
        """Give topic -> number of partitions of the topics that were ever appended to."""
        with self._cluster.explained("topics"):
            seen = self.admin.list_topics(timeout=self._cluster.wait_s).topics
        counts = {
            own: len(topic.partitions)
            for name, topic in sorted(seen.items())
            if (own := self._cluster.own(name)) and topic.error is None
        }
        places = [(topic, p) for topic, count in counts.items() for p in range(count)]
        used = {
            topic for (topic, _), end in self._offsets(places, OffsetSpec.latest()).items() if end
        }
        return {topic: count for topic, count in counts.items() if topic in used}

    def trim(self, topic: str, partition: int, before: int) -> int:
        """Forget messages before the offset; give how many went."""
        first = self.first(topic, partition)
        last = min(before, self.ends(topic).get(partition, 0))
        if last <= first:
            return 0
        place = TopicPartition(self._cluster.name(topic), partition, last)

        def ask() -> None:
            for answer in self.admin.delete_records([place], **self._limit).values():
                _result(answer)

        self._cluster.patiently(f"trim of topic {place.topic}", ask)
        return last - first

    def _offsets(
        self, places: Iterable[tuple[str, int]], spec: OffsetSpec
    ) -> dict[tuple[str, int], int]:
        asked = {TopicPartition(self._cluster.name(topic), p): (topic, p) for topic, p in places}
        if not asked:
            return {}

        def ask() -> dict[tuple[str, int], int]:
            answers = self.admin.list_offsets(dict.fromkeys(asked, spec), **self._limit)
            try:
                return {asked[place]: _result(answer).offset for place, answer in answers.items()}
            except KafkaException:
                # The client keeps who led before a broker went; this makes it look again.
                self.admin.list_topics(timeout=self._cluster.wait_s)
                raise

        return self._cluster.patiently("offsets", ask)

    def _make(self, topic: str) -> None:
        name = self._cluster.name(topic)
        new = NewTopic(name, self._partitions, self._replicas, config=dict(TOPIC_SETTINGS))
        try:
            self._cluster.patiently(
                f"making topic {name}",
                lambda: _result(self.admin.create_topics([new], **self._limit)[name]),
            )
        except Unavailable as error:
            refusals = (
                KafkaError.TOPIC_AUTHORIZATION_FAILED,
                KafkaError.CLUSTER_AUTHORIZATION_FAILED,
                KafkaError.POLICY_VIOLATION,
            )
            if code_of(error) in refusals:
                raise Unavailable(self._how_to_make(topic)) from error
            if code_of(error) != KafkaError.TOPIC_ALREADY_EXISTS:
                raise

    def _how_to_make(self, topic: str) -> str:
        given = " ".join(f"--config {name}={value}" for name, value in TOPIC_SETTINGS.items())
        return (
            f"event log {self._cluster.servers} has no topic '{self._cluster.name(topic)}', and it "
            "may not be made from here; an administrator must run: kafka-topics.sh --create "
            f"--topic {self._cluster.name(topic)} --partitions {self._partitions} {given}"
        )


def _result(answer: "Future[Any]") -> Any:  # noqa: ANN401  the client's answers have no types
    """Wait for the client's answer; it ends by the time limit of its request."""
    return answer.result()
