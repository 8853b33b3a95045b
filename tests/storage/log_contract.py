"""State what every home of the event log promises; each home's test file runs it over `log`."""

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from storage.errors import InvalidInput, Unavailable
from storage.log import EventLog, Record


@dataclass
class Clock:
    """Stand still until told otherwise."""

    now_us: int = 1_000_000_000

    def __call__(self) -> int:
        return self.now_us

    def pass_s(self, seconds: int) -> None:
        self.now_us += seconds * 1_000_000

    def is_now(self, time_us: int) -> bool:
        return time_us == self.now_us


def values(log: EventLog, topic: str, partition: int) -> list[bytes]:
    """Read one partition to its end, a few at a time."""
    found: list[bytes] = []
    offset = 0
    while messages := log.read(topic, partition, offset, limit=7):
        assert [m.offset for m in messages] == list(range(offset, offset + len(messages)))
        found += [m.value for m in messages]
        offset += len(messages)
    return found


class Members:
    """Let members of group g join topic t: at no time may two own a partition."""

    def __init__(self, log: EventLog, clock: Clock) -> None:
        self._log = log
        self._clock = clock
        self._heard_us: dict[str, int] = {}
        self.owned: dict[str, list[int]] = {}

    def join(self, member: str) -> None:
        begun_us = self._clock()
        self.owned[member] = self._log.join("g", "t", member)
        self._heard_us[member] = begun_us
        for other, heard_us in self._heard_us.items():
            if self._clock() - heard_us > 14_000_000:  # owns nothing until it has joined again
                self.owned[other] = []
        held = [p for partitions in self.owned.values() for p in partitions]
        assert len(held) == len(set(held)), self.owned

    def leave(self, member: str) -> None:
        self._log.leave("g", "t", member)
        self.owned.pop(member, None)
        self._heard_us.pop(member, None)

    def share_out(self, *members: str) -> dict[str, list[int]]:
        """Join in turn until all four partitions are shared evenly; a home may take some rounds."""
        until_s = time.monotonic() + 30
        while True:
            for member in members:
                self.join(member)
            sizes = sorted(map(len, self.owned.values()))
            if sum(sizes) == 4 and sizes[-1] - sizes[0] <= 1:
                return dict(self.owned)
            assert time.monotonic() < until_s, self.owned
            time.sleep(0.02)


class LogContract:
    """Run by a subclass with fixtures `clock` and `log` (new, empty, 4 partitions, that clock)."""

    rounds = 25
    """Examples of each property."""
    phases = tuple(Phase)

    def test_what_was_appended_is_read_back_whole(self, log: EventLog, clock: Clock) -> None:
        record = Record(b"k\x00", b"\x00\xff", {"tenant": "acme", "name": "a\udcff\u2603"})
        ((partition, offset),) = log.append("raw.x", [record])
        (message,) = log.read("raw.x", partition, 0)
        assert (offset, message.offset, message.topic) == (0, 0, "raw.x")
        assert (message.key, message.value, message.headers) == (
            record.key,
            record.value,
            record.headers,
        )
        assert message.partition == partition
        assert clock.is_now(message.appended_at_us)

    def test_a_key_keeps_its_partition_and_keys_spread(self, log: EventLog) -> None:
        first = log.append("t", [Record(f"host-{n}".encode(), b"") for n in range(100)])
        second = log.append("t", [Record(f"host-{n}".encode(), b"") for n in range(100)])
        assert [p for p, _ in first] == [p for p, _ in second]
        assert {p for p, _ in first} == {0, 1, 2, 3}

    def test_partition_of_a_key_is_the_same_in_every_home_for_ever(self, log: EventLog) -> None:
        places = log.append("t", [Record(k, b"") for k in (b"", b"a", b"acme/host-7", b"\xff")])
        assert places == [(0, 0), (3, 0), (3, 1), (0, 1)]

    def test_any_interleaving_reads_back_in_order(self, make_log: Callable[[], EventLog]) -> None:
        record = st.tuples(st.sampled_from([b"a", b"b", b"c", b"d", b"e"]), st.binary())

        @settings(max_examples=self.rounds, phases=self.phases)
        @given(calls=st.lists(st.lists(record), max_size=12))
        def check(calls: list[list[tuple[bytes, bytes]]]) -> None:
            expected: dict[int, list[bytes]] = {p: [] for p in range(4)}
            with closing(make_log()) as log:
                for call in calls:
                    places = log.append("t", [Record(key, value) for key, value in call])
                    for (p, offset), (_, value) in zip(places, call, strict=True):
                        assert offset == len(expected[p])
                        expected[p].append(value)
                assert {p: values(log, "t", p) for p in range(4)} == expected
                assert [log.end("t", p) for p in range(4)] == [len(v) for v in expected.values()]

        check()

    def test_topics_do_not_see_each_other(self, log: EventLog) -> None:
        log.append("one", [Record(b"a", b"1")])
        log.append("two", [Record(b"a", b"2")])
        assert (values(log, "one", 3), values(log, "two", 3)) == ([b"1"], [b"2"])
        assert log.topics() == {"one": 4, "two": 4}

    def test_a_new_topic_is_empty_and_looking_does_not_make_it(self, log: EventLog) -> None:
        assert (log.read("t", 0, 0), log.end("t", 0), log.partitions("t")) == ([], 0, 4)
        assert log.append("t", []) == []
        assert log.topics() == {}

    def test_read_stops_at_limit_and_at_bytes_but_gives_one(self, log: EventLog) -> None:
        log.append("t", [Record(b"a", bytes(100)) for _ in range(10)])
        assert len(log.read("t", 3, 2, limit=3)) == 3
        assert [m.offset for m in log.read("t", 3, 2, max_bytes=250)] == [2, 3]
        assert [m.offset for m in log.read("t", 3, 9, max_bytes=1)] == [9]
        assert log.read("t", 3, 10) == []
        assert log.read("t", 3, 11) == []

    def test_a_read_that_gives_nothing_for_ever_is_refused(self, log: EventLog) -> None:
        for offset, limit, size in ((-1, 1, 1), (0, 0, 1), (0, 1, 0)):
            with pytest.raises(InvalidInput, match="at least"):
                log.read("t", 0, offset, limit, size)

    def test_a_record_too_large_is_refused_and_its_call_leaves_nothing(self, log: EventLog) -> None:
        with pytest.raises(InvalidInput, match=r"record 1 .*16777217 bytes.*16777216"):
            log.append("t", [Record(b"a", b""), Record(b"a", bytes((16 << 20) + 1))])
        with pytest.raises(InvalidInput, match="key and headers"):
            log.append("t", [Record(b"a", b"", {"name": "x" * 70_000})])
        assert log.end("t", 3) == 0

    @pytest.mark.parametrize(
        "wrong", [{"key": "k"}, {"value": "v"}, {"value": None}, {"headers": {"a": 1}}]
    )
    def test_a_record_of_other_types_is_refused(self, log: EventLog, wrong: dict[str, Any]) -> None:
        with pytest.raises(InvalidInput, match="key and value are bytes, headers text"):
            log.append("t", [replace(Record(b"k", b"v"), **wrong)])

    def test_the_largest_record_fits(self, log: EventLog) -> None:
        value = bytes(16 << 20)
        log.append("t", [Record(b"a", value), Record(b"a", b"small")])
        assert [m.value for m in log.read("t", 3, 0)] == [value]

    @pytest.mark.parametrize("topic", ["", "a/b", "a b", "x" * 250, "a\n", "t\x00"])
    def test_a_topic_name_that_kafka_would_not_take_is_refused(
        self, log: EventLog, topic: str
    ) -> None:
        with pytest.raises(InvalidInput, match="topic"):
            log.append(topic, [Record(b"a", b"")])

    def test_offsets_of_groups_are_kept_apart(self, log: EventLog) -> None:
        log.commit("g", "t", 0, 5)
        log.commit("g", "t", 1, 7)
        log.commit("h", "t", 0, 9)
        log.commit("g", "t", 0, 6)
        assert [log.committed(g, "t", p) for g, p in (("g", 0), ("g", 1), ("h", 0))] == [6, 7, 9]
        assert log.committed("g", "u", 0) == 0

    def test_trimmed_messages_go_and_offsets_stay(self, log: EventLog) -> None:
        log.append("t", [Record(b"a", b"%d" % n) for n in range(10)])
        assert [log.trim("t", 3, 4), log.trim("t", 3, 4), log.trim("t", 2, 4)] == [4, 0, 0]
        assert [m.offset for m in log.read("t", 3, 0)] == [4, 5, 6, 7, 8, 9]
        assert log.trim("t", 3, 1 << 60) == 6
        assert (log.read("t", 3, 0), log.end("t", 3)) == ([], 10)
        assert log.append("t", [Record(b"a", b"next")]) == [(3, 10)]
        assert log.topics() == {"t": 4}

    def test_one_member_owns_all_and_two_share_without_overlap(
        self, log: EventLog, clock: Clock
    ) -> None:
        assert log.join("g", "t", "a") == [0, 1, 2, 3]
        assert log.join("g", "t", "b") == [], "a has not given any up yet"
        shared = Members(log, clock).share_out("a", "b")
        assert sorted(map(len, shared.values())) == [2, 2]
        assert log.join("other", "t", "b") == [0, 1, 2, 3]

    def test_a_dead_members_partitions_move_when_its_lease_ends(
        self, log: EventLog, clock: Clock
    ) -> None:
        members = Members(log, clock)
        begun = members.share_out("a", "b")
        for _ in range(2):
            clock.pass_s(7)
            assert log.join("g", "t", "b") == begun["b"]
        clock.pass_s(2)
        alone = Members(log, clock).share_out("b")
        assert alone == {"b": [0, 1, 2, 3]}, "a was silent for 16 s"
        assert log.join("g", "t", "a") == [], "and owns nothing when it comes back"

    def test_a_member_that_leaves_is_replaced_at_once(self, log: EventLog, clock: Clock) -> None:
        members = Members(log, clock)
        members.share_out("a", "b")
        members.leave("a")
        assert members.share_out("b") == {"b": [0, 1, 2, 3]}

    def test_who_is_in_a_group_moves_its_offsets(self, log: EventLog) -> None:
        log.append("t", [Record(b"a", b"")])
        owned = log.join("g", "t", "a")
        before = [log.committed("g", "t", p) for p in owned]
        for p in owned:
            log.commit("g", "t", p, p + 1)
        assert (before, [log.committed("g", "t", p) for p in owned]) == ([0] * 4, [1, 2, 3, 4])
        log.leave("g", "t", "a")
        assert [log.committed("g", "t", p) for p in owned] == [1, 2, 3, 4]

    def test_a_member_may_read_several_topics(self, log: EventLog) -> None:
        assert log.join("g", "t", "a") == [0, 1, 2, 3]
        assert log.join("g", "u", "a") == [0, 1, 2, 3]
        assert log.join("g", "t", "a") == [0, 1, 2, 3]
        log.leave("g", "u", "a")
        assert log.join("g", "t", "a") == [0, 1, 2, 3]

    def test_no_partition_ever_has_two_owners_and_none_stays_orphaned(
        self, make_log: Callable[[], EventLog], clock: Clock
    ) -> None:
        step = st.tuples(st.sampled_from("jjjl"), st.sampled_from("abcdef"))

        @settings(max_examples=self.rounds, phases=self.phases)
        @given(steps=st.lists(step, max_size=20))
        def check(steps: list[tuple[str, str]]) -> None:
            with closing(make_log()) as log:
                members = Members(log, clock)
                for step, member in [*steps, ("j", "a")]:
                    if step == "l":
                        members.leave(member)
                    else:
                        members.join(member)
                members.share_out(*sorted(members.owned))

        check()

    def test_a_closed_log_is_unavailable(self, log: EventLog) -> None:
        log.close()
        log.close()
        for use in (
            lambda: log.append("t", [Record(b"a", b"")]),
            lambda: log.read("t", 0, 0),
            lambda: log.commit("g", "t", 0, 1),
            lambda: log.join("g", "t", "m"),
        ):
            with pytest.raises(Unavailable, match="closed"):
                use()


class SetClockContract(LogContract):
    """What is promised besides where the log keeps leases itself, by a clock that can be set."""

    def test_two_members_share_within_one_round(self, log: EventLog) -> None:
        for member in "ab":
            log.join("g", "t", member)
        assert (log.join("g", "t", "a"), log.join("g", "t", "b")) == ([0, 1], [2, 3])

    def test_a_dead_member_seen_in_the_future_has_left(self, log: EventLog, clock: Clock) -> None:
        for member in "abab":
            log.join("g", "t", member)
        clock.pass_s(-3600)
        assert log.join("g", "t", "b") == [0, 1, 2, 3], "the clock was set back: a may be gone"
