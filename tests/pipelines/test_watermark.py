"""Event time: lateness follows from the stream's prefix, idleness only from being caught up."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipelines.watermark import NEVER, Watermarks, mark_late, restored

MINUTE_US = 60_000_000


def us(*minutes: float) -> pl.Series:
    return pl.Series("time", [int(m * MINUTE_US) for m in minutes], dtype=pl.Int64)


def marks(idle_s: float = 30) -> Watermarks:
    return Watermarks(lateness_us=MINUTE_US, idle_s=idle_s)


def test_flow_watermark_is_the_slowest_partitions_time_less_the_lateness() -> None:
    w, _ = marks().read(0, us(10))
    w, _ = w.read(1, us(7))
    assert w.advanced(0).flow_us == 6 * MINUTE_US


def test_watermark_never_goes_back() -> None:
    w, _ = marks().read(0, us(10))
    w = w.advanced(0)
    w, _ = w.read(1, us(3))
    assert w.advanced(0).flow_us == 9 * MINUTE_US


def test_partition_not_read_yet_holds_the_watermark_back() -> None:
    w, _ = marks().polled({0: False, 1: False}, 0).read(0, us(10))
    assert w.advanced(0).flow_us == NEVER
    assert w.polled({0: True, 1: True}, 0).advanced(0).flow_us == 9 * MINUTE_US


def test_idle_partition_stops_holding_back_after_idle_s() -> None:
    w, _ = marks().read(0, us(10))
    w, _ = w.read(1, us(7))
    w = w.polled({0: False, 1: True}, 100)
    assert w.advanced(129.9).flow_us == 6 * MINUTE_US
    assert w.advanced(130).flow_us == 9 * MINUTE_US


def test_time_spent_with_a_backlog_is_not_idle_time() -> None:
    w, _ = marks().read(0, us(10))
    w, _ = w.read(1, us(7))
    w = w.polled({0: True, 1: True}, 0)
    w = w.polled({0: False, 1: False}, 300)  # after a stall of 5 minutes there is a backlog
    assert w.advanced(300).flow_us == 6 * MINUTE_US


def test_ordered_events_after_idleness_are_not_late() -> None:
    w, _ = marks().read(0, us(10))
    w = w.polled({0: True}, 0).advanced(1000)
    assert w.read(0, us(10.5, 11))[1].to_list() == [False, False]


def test_event_behind_the_announced_watermark_is_late_in_any_partition() -> None:
    w, _ = marks().read(0, us(10))
    w, late = w.advanced(0).read(1, us(8.9, 9))
    assert late.to_list() == [True, False]


@given(st.lists(st.integers(1, 300), max_size=40), st.integers(0, 40), st.integers(0, 20))
def test_cutting_the_stream_changes_no_rows_lateness(
    times: list[int], cut: int, lateness: int
) -> None:
    whole = mark_late(pl.Series(times, dtype=pl.Int64), NEVER, NEVER, lateness).to_list()
    head, tail = pl.Series(times[:cut], dtype=pl.Int64), pl.Series(times[cut:], dtype=pl.Int64)
    w = Watermarks(lateness, 30)
    w, first = w.read(0, head)
    _, second = w.read(0, tail)
    assert first.to_list() + second.to_list() == whole


def test_stored_watermarks_come_back() -> None:
    w, _ = marks().read(3, us(10))
    again = restored({3: w.stored(3), 4: NEVER}, 5, 60, 30)
    assert again.seen_us == {3: 10 * MINUTE_US}
    assert again.flow_us == 5


def test_partition_of_garbage_alone_holds_back_for_idle_s_of_reading_only() -> None:
    w, _ = marks().polled({0: False, 1: False}, 0).read(0, us(10))
    for second in range(1, 31):
        assert w.advanced(second).flow_us == NEVER
        w = w.polled({0: False, 1: False}, second).muted([1])
    w = w.advanced(30)
    assert w.flow_us == 9 * MINUTE_US
    w, late = w.read(1, us(7))  # it speaks again, and holds back again
    assert late.to_list() == [True]
    assert not w.mute_s


def test_stall_after_garbage_is_not_reading_time() -> None:
    w, _ = marks().polled({0: False, 1: False}, 0).read(0, us(10))
    w = w.polled({0: False, 1: False}, 300).muted([1])
    assert w.advanced(300).flow_us == NEVER


def test_fast_clock_moves_the_watermark_to_the_arrival_at_most() -> None:
    w, late = marks().read(0, us(15, 10, 8.9), us(10, 10, 10))
    assert late.to_list() == [False, False, True]
    assert w.advanced(0).flow_us == 9 * MINUTE_US
