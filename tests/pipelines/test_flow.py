"""The flow on a ledger in memory: cuts, repeats, tenants, poison, stalls, rewinds."""

from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from pipelines.dead_letter import TOPIC
from pipelines.decode import MOST_LETTERS, Run
from pipelines.detecting import MOST_BAD
from pipelines.letters import letters
from pipelines.parsers import Reject
from pipelines.runners import loop
from pipelines.running import Flow
from storage.errors import InvalidBatch, PluginError, Unavailable
from storage.log import Record
from storage.log.memory import MemoryLog
from storage.outcome import Outcome, dead_letter_message
from storage.schema import Context, EventBatch, Finding, State
from storage.settings import Settings
from tests.pipelines.memory import (
    META,
    T0_US,
    MemoryLedger,
    burst,
    detect,
    fill,
    house,
    parse_json,
    raw_record,
    record,
)

Rows = list[tuple[int, str, object]]
ROWS = st.lists(
    st.tuples(st.integers(-40_000, -39_000), st.sampled_from(["h1", "h2"]), st.integers(0, 9)),
    min_size=1,
    max_size=60,
)


def memory_log(partitions: int = 4) -> MemoryLog:
    return MemoryLog(partitions, lambda: T0_US)


def run(
    log: MemoryLog, ledger: MemoryLedger, batch_rows: int = 8192, poll_rows: int = 4096
) -> Flow:
    flow = Flow(house(batch_rows=batch_rows), Settings(), log, ledger, poll_rows=poll_rows)
    loop.run(flow, once=True)
    return flow


def cut_into_messages(rows: Rows, sizes: list[int], tenant: str, source: str) -> list[Record]:
    records, first, i = [], 0, 0
    while first < len(rows):
        size = sizes[i % len(sizes)]
        records.append(record(rows[first : first + size], first, tenant, source))
        first, i = first + size, i + 1
    return records


SIZES = st.lists(st.integers(1, 20), min_size=1, max_size=5)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ROWS, ROWS, SIZES, st.integers(1, 50), st.integers(1, 9))
def test_any_cutting_of_the_stream_gives_the_same(
    one: Rows, two: Rows, sizes: list[int], batch_rows: int, poll_rows: int
) -> None:
    def result(sizes: list[int], batch_rows: int, poll_rows: int) -> MemoryLedger:
        log, ledger = memory_log(), MemoryLedger()
        for tenant, rows in (("acme", one), ("globex", two)):
            fill(log, cut_into_messages(rows, sizes, tenant, "s1"))
        run(log, ledger, batch_rows, poll_rows)
        return ledger

    whole, cut = result([1000], 8192, 4096), result(sizes, batch_rows, poll_rows)
    assert_frame_equal(cut.events(), whole.events())
    assert cut.window_counts() == whole.window_counts()
    assert cut.findings == whole.findings


def test_two_tenants_mixed_are_each_alone_put_together() -> None:
    rows: Rows = [(-40_000 + 7 * i, f"h{i % 2}", i) for i in range(60)]
    mixed = MemoryLedger()
    log = memory_log(1)
    for i in range(0, 60, 6):
        fill(log, [record(rows[i : i + 6], i, tenant) for tenant in ("acme", "globex")])
    run(log, mixed, batch_rows=16)
    for tenant in ("acme", "globex"):
        log, alone = memory_log(1), MemoryLedger()
        fill(log, [record(rows, 0, tenant)])
        run(log, alone)
        own = mixed.events().filter(pl.col("tenant_id") == tenant)
        assert_frame_equal(own, alone.events())
        assert {f for f in mixed.findings.values() if f.tenant_id == tenant} == set(
            alone.findings.values()
        )
        assert [r for r in mixed.window_counts() if r[0] == tenant] == alone.window_counts()


def test_records_sent_twice_are_read_once() -> None:
    log, ledger = memory_log(), MemoryLedger()
    rows: Rows = [(-40_000 + i, "h1", i) for i in range(30)]
    fill(log, [record(rows[:20], 0), record(rows[:20], 0), record(rows[10:], 10)])
    run(log, ledger, poll_rows=1)
    fill(log, [record(rows, 0)])
    run(log, ledger)
    assert ledger.events()["position"].to_list() == list(range(30))


def test_bad_record_goes_to_the_dead_letter_and_the_rest_goes_on() -> None:
    log, ledger = memory_log(), MemoryLedger()
    fill(log, [raw_record(b'{"t":1,"h":"h1","n":1}\nnonsense\n{"t":2,"h":"h1","n":2}', 5)])
    run(log, ledger)
    assert ledger.events()["position"].to_list() == [5, 7]
    (letter,) = ledger.letters
    assert (letter.tenant_id, letter.source, letter.position, letter.raw) == (
        "acme",
        "s1",
        6,
        b"nonsense",
    )


def test_unreadable_message_takes_none_of_its_neighbours_along() -> None:
    def strict(run: Run) -> Iterator[tuple[EventBatch, list[Reject]]]:
        if any(b"broken" in message.value for message in run):
            raise InvalidBatch("no such bytes")
        yield from parse_json(run)

    log, ledger = memory_log(1), MemoryLedger()
    big = b"broken" + b"x" * (1 << 17) + b"\n"
    around = [record([(i, "h1", i)], i) for i in range(5)]
    fill(log, [*around[:2], raw_record(big, 2), *around[3:]])
    loop.run(Flow(replace(house(), parse=strict), Settings(), log, ledger), once=True)
    assert ledger.events()["position"].to_list() == [0, 1, 3, 4]
    (letter,) = ledger.letters
    assert (letter.position, letter.raw) == (2, big[: 64 << 10])
    assert letter.reason == f"no such bytes (bytes cut at 64 KiB of {len(big)})"


def test_message_without_headers_goes_to_the_dead_letter() -> None:
    log, ledger = memory_log(), MemoryLedger()
    fill(log, [Record(b"k", b"x", {"tenant": "acme"}), record([(0, "h1", 1)], 0)])
    run(log, ledger)
    assert [letter.reason for letter in ledger.letters] == [
        "message has no header 'source'; the front door sets it"
    ]
    assert ledger.events().height == 1


def raises_on(number: str) -> ModuleType:
    module = burst()

    def picky(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
        if (batch.frame["unmapped.n"] == number).any() if len(batch) else False:
            raise ZeroDivisionError("no such number")
        return detect(state, batch, context)

    module.detect = picky  # type: ignore[attr-defined]  # made up on the spot
    return module


def test_row_that_makes_a_detector_raise_is_told_and_kept() -> None:
    log, ledger = memory_log(), MemoryLedger()
    fill(log, [record([(-40_000 + i, "h1", i) for i in range(100)], 0)])
    home = house({META.name: raises_on("42")})
    loop.run(Flow(home, Settings(), log, ledger), once=True)
    (letter,) = ledger.letters
    assert (letter.position, letter.raw) == (42, b'{"t":-39958,"h":"h1","n":42}')
    assert letter.reason == (
        "event is kept; detector 'burst' raised ZeroDivisionError: no such number"
    )
    assert ledger.events().height == 100
    assert sum(int(str(row[-1])) for row in ledger.window_counts()) == 100
    (kept,) = letters(letters_log(ledger))
    assert (kept.again, kept.hindrance) == (None, "its event is kept")


def test_detector_that_raises_without_end_is_left_out_of_one_tenants_rows_alone() -> None:
    tried: list[int] = []
    module, log, ledger = burst(), memory_log(1), MemoryLedger()

    def picky(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
        tried.append(len(batch))
        if (batch.frame["tenant_id"] == "acme").any():
            raise ZeroDivisionError("not acme")
        return detect(state, batch, context)

    module.detect = picky  # type: ignore[attr-defined]  # made up on the spot
    told: list[Outcome] = []
    ledger.refuse = told.append
    rows: Rows = [(-40_000 + i // 2, "h1", i) for i in range(1000)]
    for tenant in ("acme", "globex"):
        fill(log, [record(rows, 0, tenant)])
    fill(log, [record([(-39_000, "h1", 1)], 1000, "globex")])
    loop.run(Flow(house({META.name: module}), Settings(), log, ledger), once=True)
    assert ledger.events().height == 2001
    assert [outcome.left_out for outcome in told] == [{META.name: 1000 - MOST_BAD}]
    assert len(ledger.letters) == MOST_BAD
    assert len(tried) < 300


def test_detector_that_raises_on_everything_hides_nothing() -> None:
    module, log, ledger = burst(), memory_log(1), MemoryLedger()

    def broken(state: State, batch: EventBatch, context: Context) -> tuple[State, list[Finding]]:
        raise ZeroDivisionError("always")

    module.detect = broken  # type: ignore[attr-defined]  # made up on the spot
    fill(log, [record([(-40_000 + i, "h1", i) for i in range(500)], 0)])
    loop.run(Flow(house({META.name: module}), Settings(), log, ledger), once=True)
    assert ledger.events().height == 500
    assert len(ledger.letters) == MOST_BAD


def letters_log(ledger: MemoryLedger) -> MemoryLog:
    log = memory_log(1)
    log.append(TOPIC, [Record(b"k", dead_letter_message(letter)) for letter in ledger.letters])
    return log


def test_row_that_makes_a_sink_raise_is_alone_in_the_dead_letter() -> None:
    def refuse(outcome: Outcome) -> None:
        for batch in outcome.batches:
            if (batch.frame["unmapped.n"] == "42").any():
                raise ValueError("the table has no 42")

    log, ledger = memory_log(), MemoryLedger(refuse=refuse)
    fill(
        log,
        [record([(-40_000 + i, "h1", i) for i in range(j, j + 20)], j) for j in range(0, 100, 20)],
    )
    run(log, ledger)
    assert [(letter.position, letter.reason) for letter in ledger.letters] == [
        (42, "ValueError: the table has no 42")
    ]
    assert ledger.events().height == 99
    assert ledger.offsets[max(ledger.offsets, key=lambda p: ledger.offsets[p][0])][0] == 5


def test_step_that_always_raises_ends_with_whole_messages_in_the_dead_letter() -> None:
    def refuse(outcome: Outcome) -> None:
        if sum(len(batch) for batch in outcome.batches) > 1:
            raise ValueError("one at a time")

    log, ledger = memory_log(), MemoryLedger(refuse=refuse)
    fill(log, [record([(0, "h1", 1)], 0), record([(1, "h1", 1), (2, "h1", 2)], 1)])
    run(log, ledger)
    assert ledger.events()["position"].to_list() == [0]
    assert [letter.position for letter in ledger.letters] == [1]


def test_message_whose_origin_cannot_be_written_is_put_aside_without_it() -> None:
    def refuse(outcome: Outcome) -> None:
        if any(source.source == "bad" for source in outcome.sources):
            raise ValueError("no such source")

    log, ledger = memory_log(1), MemoryLedger(refuse=refuse)
    fill(log, [record([(0, "h1", 1)], 0, source="bad"), record([(1, "h1", 1)], 0)])
    run(log, ledger)
    assert [(letter.source, letter.position) for letter in ledger.letters] == [("", 0)]
    assert ledger.events()["source"].to_list() == ["s1"]


def test_ledger_that_refuses_everything_ends_the_flow_and_moves_nothing() -> None:
    def refuse(outcome: Outcome) -> None:
        raise ValueError("read only")

    log, ledger = memory_log(1), MemoryLedger(refuse=refuse)
    fill(log, [record([(0, "h1", 1)], 0)])
    with pytest.raises(PluginError, match="cannot even be put aside: ValueError: read only"):
        run(log, ledger)
    assert not ledger.offsets


def test_garbage_without_end_makes_few_letters_and_is_counted() -> None:
    log, ledger = memory_log(1), MemoryLedger()
    told: list[Outcome] = []
    ledger.refuse = told.append
    fill(log, [raw_record(b"x\n" * 3000, 0), record([(1, "h1", 1)], 3000)])
    run(log, ledger)
    assert len(ledger.letters) == MOST_LETTERS + 1
    assert ledger.letters[-1].reason.startswith("2000 records refused here and after")
    assert sum(source.rejected for outcome in told for source in outcome.sources) == 3000
    assert ledger.events()["position"].to_list() == [3000]


def test_world_that_is_down_is_waited_out_and_nothing_is_lost() -> None:
    failures = [Unavailable("down"), Unavailable("still down")]

    def refuse(outcome: Outcome) -> None:
        if failures:
            raise failures.pop()

    log, ledger = memory_log(), MemoryLedger(refuse=refuse)
    fill(log, [record([(0, "h1", 1)], 0)])
    run(log, ledger)
    assert ledger.events().height == 1
    assert not ledger.letters


def test_log_begun_anew_is_read_from_its_start() -> None:
    old, new, ledger = memory_log(1), memory_log(1), MemoryLedger()
    fill(old, [record([(i, "h1", i)], i) for i in range(9)])
    run(old, ledger)
    fill(new, [record([(8, "h1", 8)], 8), record([(9, "h1", 9)], 9)])
    run(new, ledger)
    assert ledger.events()["position"].to_list() == list(range(10))
    assert ledger.offsets[0][0] == 2


def test_worker_that_was_overtaken_goes_back_to_the_ledger() -> None:
    log, ledger = memory_log(1), MemoryLedger()
    fill(log, [record([(-40_000 + i, "h1", i)], i) for i in range(10)])
    slow = Flow(house(), Settings(), log, ledger, poll_rows=4)
    work = slow.poll()
    assert work is not None
    run(log, ledger)  # another worker reads everything meanwhile
    slow.commit(slow.process(work))
    loop.run(slow, once=True)
    assert ledger.events()["position"].to_list() == list(range(10))


def test_stall_of_five_minutes_makes_no_ordered_event_late() -> None:
    now_s = [0.0]
    log, ledger = memory_log(2), MemoryLedger()
    flow = Flow(house(), Settings(), log, ledger, monotonic_s=lambda: now_s[0], poll_rows=3)

    def tell(second: int) -> None:
        for source in ("s1", "s2", "s3"):
            fill(log, [record([(-40_000 + second, "h1", second)], second, source=source)])

    for second in range(600):
        tell(second)
        now_s[0] += 1
        if 120 <= second < 420:
            continue  # the process stands still; the world goes on
        work = flow.poll()
        if work is not None:
            flow.commit(flow.process(work))
    loop.run(flow, once=True)
    assert ledger.events().height == 1800
    assert ledger.events()["is_late"].sum() == 0


def test_garbage_without_end_in_one_partition_does_not_stop_time_for_ever() -> None:
    now_s = [0.0]
    log, ledger = memory_log(2), MemoryLedger()
    flow = Flow(house(), Settings(), log, ledger, monotonic_s=lambda: now_s[0])
    for second in range(60):
        fill(log, [record([(-40_000 + 10 * second, "h1", 1)] * 3, 3 * second, source="s1")])
        fill(log, [raw_record(b"garbage", second, source="s4")])
        assert all(log.end("raw.events", p) for p in range(2))
        work = flow.poll()
        assert work is not None
        flow.commit(flow.process(work))
        now_s[0] += 1
    assert ledger.findings
    assert ledger.events()["is_late"].sum() == 0


def test_fast_clock_of_one_tenant_makes_no_row_of_another_late() -> None:
    log, ledger = memory_log(1), MemoryLedger()
    for i in range(9):
        fill(log, [record([(240 + i, "h1", i)], i, "acme"), record([(i - 9, "h", i)], i, "bolt")])
    run(log, ledger, poll_rows=1)
    assert ledger.events()["is_late"].sum() == 0


def test_windows_close_when_everything_is_caught_up_and_idle() -> None:
    now_s = [0.0]
    log, ledger = memory_log(2), MemoryLedger()
    fill(log, [record([(-600, "h1", 1)] * 3 + [(-480, "h1", 1)], 0, source="s1")])
    fill(log, [record([(-1200, "h2", 1)], 0, source="s4")])
    flow = Flow(house(), Settings(), log, ledger, monotonic_s=lambda: now_s[0])
    loop.run(flow, once=True)
    assert not ledger.findings
    now_s[0] += 31
    loop.run(flow, once=True)
    assert [f.entity for f in ledger.findings.values()] == ["h1"]
