"""Share partitions in Kafka's consumer groups, and keep a group's offsets.

A member never fetches: it says that it lives, hears what it owns (cooperative rebalance), commits.
What Kafka takes from it, it gives up within its own next `join`, never while its owner is at work.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import (
    OFFSET_INVALID,
    Consumer,
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient

from storage.log.cluster import Cluster
from storage.log.partition import LEASE_US

_LEASE_S: Final = LEASE_US / 1_000_000
_MARGIN_S: Final = 1.0
_SESSION_MS: Final = 10_000
_HEARTBEAT_MS: Final = 500
_SETTLE_S: Final = 2.0
"""Longest wait for the group's first answer; it comes when all others have heard of the change."""
_MOMENT_S: Final = 0.05


class _Member:
    """One member of one group: its consumer, and what it owns of each topic."""

    def __init__(self, cluster: Cluster, group: str) -> None:
        self._cluster = cluster
        self._group = group
        self.turn = threading.Lock()
        self.topics: set[str] = set()
        self._owned: dict[str, set[int]] = {}
        self._committed: dict[tuple[str, int], int] = {}
        self._is_settled = False
        self._heard_s = time.monotonic()
        self._consumer = self._newcomer()

    def owned(self, topic: str) -> list[int]:
        """Subscribe if that is new, hear what the group says, give what is owned now."""
        now_s = time.monotonic()
        wait_s = _MOMENT_S
        if now_s - self._heard_s > _LEASE_S - _MARGIN_S and self.topics:
            self._begin_anew()
            wait_s = _SETTLE_S
        if topic not in self.topics:
            self._subscribe(self.topics | {topic})
            wait_s = _SETTLE_S
        self._heard_s = now_s
        self._hear(0)
        while not self._is_settled and time.monotonic() < now_s + wait_s:
            self._hear(_MOMENT_S)
        return sorted(self._owned.get(topic, ()))

    def leave(self, topic: str) -> bool:
        """Give the topic's partitions up; True if the member has none left and is gone."""
        if self.topics == {topic}:
            self.close()
            return True
        if topic in self.topics:
            self._subscribe(self.topics - {topic})
            self._owned.pop(topic, None)
        return False

    def commit(self, topic: str, partition: int, offset: int) -> None:
        """Keep the offset, durably."""
        place = TopicPartition(self._cluster.name(topic), partition, offset)
        self._committed.pop((topic, partition), None)
        for answer in self._consumer.commit(offsets=[place], asynchronous=False) or ():
            if answer.error is not None:
                raise KafkaException(answer.error)
        if partition in self._owned.get(topic, ()):
            self._committed[topic, partition] = offset

    def committed(self, topic: str, partition: int) -> int:
        """Give the kept offset; that of an owned partition is asked for once: who else moves it?"""
        kept = self._committed.get((topic, partition))
        if kept is None:
            place = TopicPartition(self._cluster.name(topic), partition)
            (answer,) = self._consumer.committed([place], timeout=self._cluster.wait_s)
            if answer.error is not None:
                raise KafkaException(answer.error)
            kept = max(answer.offset, 0)
            if partition in self._owned.get(topic, ()):
                self._committed[topic, partition] = kept
        return kept

    def close(self) -> None:
        """Leave the group."""
        self.topics = set()
        self._owned.clear()
        self._committed.clear()
        self._consumer.close()

    def _newcomer(self) -> Consumer:
        return Consumer(
            {
                **self._cluster.client,
                "group.id": self._cluster.name(self._group),
                "partition.assignment.strategy": "cooperative-sticky",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "session.timeout.ms": _SESSION_MS,
                "heartbeat.interval.ms": _HEARTBEAT_MS,
                "max.poll.interval.ms": int(_LEASE_S * 1000),
            }
        )

    def _begin_anew(self) -> None:
        """Join as a newcomer: after so long a silence the group has gone on, or is about to."""
        topics = self.topics
        self.close()
        self._consumer = self._newcomer()
        self._subscribe(topics)

    def _subscribe(self, topics: set[str]) -> None:
        self._is_settled = False
        self._consumer.subscribe(
            [self._cluster.name(topic) for topic in sorted(topics)],
            on_assign=self._on_assign,
            on_revoke=self._on_revoke,
            on_lost=self._on_lost,
        )
        self.topics = topics

    def _hear(self, wait_s: float) -> None:
        message = self._consumer.poll(wait_s)
        error = message.error() if message is not None else None
        if error is None:
            return
        if error.code() != KafkaError._MAX_POLL_EXCEEDED:
            raise KafkaException(error)
        self._begin_anew()

    def _on_assign(self, consumer: Any, places: Sequence[Any]) -> None:  # noqa: ANN401  see below
        for place in places:
            place.offset = 0  # it is not fetched from: no need to ask where it was left
            self._owned.setdefault(self._own(place), set()).add(place.partition)
        consumer.incremental_assign(places)
        consumer.pause(places)
        self._committed.clear()
        self._is_settled = True

    def _on_revoke(self, consumer: Any, places: Sequence[Any]) -> None:  # noqa: ANN401  see below
        for place in places:
            self._owned.get(self._own(place), set()).discard(place.partition)
        self._committed.clear()
        consumer.incremental_unassign(places)

    def _on_lost(self, consumer: Any, places: Sequence[Any]) -> None:  # noqa: ANN401  the client's types
        self._on_revoke(consumer, places)
        self._is_settled = False

    def _own(self, place: TopicPartition) -> str:
        return self._cluster.own(place.topic) or place.topic


class KafkaGroups:
    """Hold this process's members of all groups."""

    def __init__(self, cluster: Cluster, admin: AdminClient) -> None:
        """Begin with no members."""
        self._cluster = cluster
        self._admin = admin
        self._limit = {"request_timeout": cluster.wait_s}
        self._members: dict[tuple[str, str], _Member] = {}
        self._guard = threading.Lock()

    def join(self, group: str, topic: str, member: str) -> list[int]:
        """Say that the member lives; give what it owns until its next join."""
        with self._guard:
            found = self._members.get((group, member))
            if found is None:
                found = self._members[group, member] = _Member(self._cluster, group)
        with found.turn, self._cluster.explained(f"group {group}"):
            return found.owned(topic)

    def leave(self, group: str, topic: str, member: str) -> None:
        """Give the member's partitions of the topic back."""
        found = self._members.get((group, member))
        if found is None:
            return
        with found.turn, self._cluster.explained(f"group {group}"):
            if found.leave(topic):
                self._members.pop((group, member), None)

    def commit(self, group: str, topic: str, partition: int, offset: int) -> None:
        """Keep the group's next offset; Unavailable if others read in the group and we do not."""
        member = self._one_of(group, topic)
        if member is not None:
            with member.turn:
                return self._cluster.patiently(
                    f"group {group}", lambda: member.commit(topic, partition, offset)
                )
        asked = self._asked(group, topic, partition, offset)
        self._answer(group, lambda: self._admin.alter_consumer_group_offsets(asked, **self._limit))
        return None

    def committed(self, group: str, topic: str, partition: int) -> int:
        """Give the group's next offset, 0 if it never committed."""
        member = self._one_of(group, topic)
        if member is not None:
            with member.turn:
                return self._cluster.patiently(
                    f"group {group}", lambda: member.committed(topic, partition)
                )
        asked = self._asked(group, topic, partition, OFFSET_INVALID)
        return max(
            self._answer(
                group, lambda: self._admin.list_consumer_group_offsets(asked, **self._limit)
            ),
            0,
        )

    def close(self) -> None:
        """Leave all groups."""
        with self._guard:
            members, self._members = list(self._members.values()), {}
        for member in members:
            with member.turn:
                member.close()

    def _one_of(self, group: str, topic: str) -> _Member | None:
        with self._guard:
            for (name, _), member in self._members.items():
                if name == group and topic in member.topics:
                    return member
        return None

    def _asked(
        self, group: str, topic: str, partition: int, offset: int
    ) -> list[ConsumerGroupTopicPartitions]:
        place = TopicPartition(self._cluster.name(topic), partition, offset)
        return [ConsumerGroupTopicPartitions(self._cluster.name(group), [place])]

    def _answer(self, group: str, ask: Callable[[], dict[str, Any]]) -> int:
        """Ask the group's coordinator about one place; give its offset."""

        def answer() -> int:
            (told,) = ask().values()
            (place,) = told.result().topic_partitions
            if place.error is not None:
                raise KafkaException(place.error)
            return int(place.offset)

        return self._cluster.patiently(f"group {group}", answer)
