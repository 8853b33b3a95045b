from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.network import flow_table
from pipelines.network.flow_rows import flow_rows
from pipelines.network.flow_table import ACK, FIN, RST, SYN, FlowTable
from pipelines.network.headers import Headers
from pipelines.network.packets import PacketBlock

A, B = (0x0A000001, 40_000), (0x0A000002, 443)
Packet = tuple[float, tuple[int, int], tuple[int, int], int, int]
"""Time in seconds, sender, receiver, TCP flags (or -1 for UDP), sequence number; 100 bytes each."""


def as_block(packets: Sequence[Packet]) -> tuple[PacketBlock, Headers]:
    times, sources, targets, flags, sequences = zip(*packets, strict=True)
    size = len(packets)
    nothing = np.zeros(size, np.int64)
    block = PacketBlock(
        octets=bytes(64),
        start=nothing,
        captured=nothing,
        wire=nothing + 100,
        time_ns=np.array([round(t * 1e9) for t in times], np.int64),
        link=nothing,
    )
    headers = Headers.empty(size)
    headers.version += 4
    headers.protocol += np.where(np.array(flags) < 0, 17, 6)
    headers.src_low += np.array([s for s, _ in sources], np.uint64)
    headers.dst_low += np.array([s for s, _ in targets], np.uint64)
    headers.src_port += np.array([p for _, p in sources], np.int64)
    headers.dst_port += np.array([p for _, p in targets], np.int64)
    headers.tcp_flags += np.maximum(np.array(flags, np.int64), 0)
    headers.sequence += np.array(sequences, np.int64)
    return block, headers


def flows(packets: Sequence[Packet], block_size: int = 1_000) -> pl.DataFrame:
    def parts() -> Iterator[pl.DataFrame]:
        table = FlowTable()
        for at in range(0, len(packets), block_size):
            yield flow_rows(table.add(*as_block(packets[at : at + block_size])))
        yield flow_rows(table.close())

    return pl.concat(parts()).sort("start_ns", "src_ip", "src_port", "dst_ip", "dst_port", "end_ns")


HANDSHAKE: list[Packet] = [(0, A, B, SYN, 1), (1, B, A, SYN | ACK, 9), (2, A, B, ACK, 2)]


@pytest.mark.parametrize(
    ("packets", "opener", "counts", "state"),
    [
        (HANDSHAKE, A, (2, 1), "established"),
        ([*HANDSHAKE, (3, B, A, FIN | ACK, 10), (4, A, B, FIN | ACK, 2)], A, (3, 2), "closed"),
        ([*HANDSHAKE, (3, B, A, RST, 10)], A, (2, 2), "reset"),
        ([(0, A, B, SYN, 1), (1, B, A, RST | ACK, 0)], A, (1, 1), "refused"),
        ([(0, A, B, SYN, 1), (1, A, B, SYN, 1)], A, (2, 0), "new"),
        ([(0, B, A, SYN | ACK, 9), (1, A, B, ACK, 2)], A, (1, 1), "established"),
        ([(0, B, A, SYN | ACK, 9), (1, A, B, SYN, 1)], A, (1, 1), "established"),
        ([(0, B, A, ACK, 9), (1, A, B, ACK, 2)], B, (1, 1), "established"),
        ([(0, B, A, -1, 0)], B, (1, 0), "new"),
        ([(0, B, A, -1, 0), (1, A, B, -1, 0)], B, (1, 1), "established"),
    ],
)
def test_opener_counts_and_state(
    packets: list[Packet], opener: tuple[int, int], counts: tuple[int, int], state: str
) -> None:
    (row,) = flows(packets).to_dicts()
    assert (row["src_ip"], row["src_port"]) == (f"10.0.0.{opener[0] & 0xFF}", opener[1])
    assert (row["packets_out"], row["packets_in"], row["state"]) == (*counts, state)
    assert (row["bytes_out"], row["bytes_in"]) == (counts[0] * 100, counts[1] * 100)


@pytest.mark.parametrize(
    ("again", "count"),
    [
        ((3, A, B, SYN, 1), 1),  # the same SYN, sent again
        ((3, A, B, SYN, 77), 2),  # another connection between the same ends
        ((3, A, B, SYN | FIN, 77), 1),  # a probe that opens nothing
        ((3_700, A, B, ACK, 2), 2),  # after the time-out
        ((3_500, A, B, ACK, 2), 1),
    ],
)
def test_new_handshake_or_long_silence_begins_another_flow(again: Packet, count: int) -> None:
    assert len(flows([*HANDSHAKE, again])) == count
    assert len(flows([*HANDSHAKE, again], block_size=1)) == count


def test_syn_after_a_reset_begins_another_flow_even_with_its_old_number() -> None:
    packets: list[Packet] = [(0, A, B, SYN, 1), (1, B, A, RST, 0), (2, A, B, SYN, 1)]
    assert flows(packets)["state"].to_list() == ["refused", "new"]
    assert flows(packets, 1)["state"].to_list() == ["refused", "new"]


hosts = st.tuples(st.sampled_from([1, 2, 3]), st.sampled_from([7, 8]))
kinds = st.sampled_from([SYN, SYN | ACK, ACK, ACK | FIN, RST, SYN | FIN, -1])
packets = st.tuples(st.integers(0, 9_000).map(float), hosts, hosts, kinds, st.sampled_from([1, 5]))


@given(st.lists(packets, min_size=1, max_size=40), st.integers(1, 40))
@settings(max_examples=200, deadline=None)
def test_cutting_the_capture_into_other_blocks_gives_the_same_flows(
    found: list[Packet], block_size: int
) -> None:
    whole, parts = flows(found), flows(found, block_size)
    assert whole.sort(whole.columns).equals(parts.sort(parts.columns))
    assert sum((whole["packets_out"] + whole["packets_in"]).to_list()) == len(found)


def test_keys_that_share_their_mix_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    # The real mix cannot be made to collide at will, so it is replaced by the worst one.
    monkeypatch.setattr(flow_table, "_mix", lambda *columns: np.zeros_like(columns[0]))
    other = 0x0A000003, 1
    found: list[Packet] = [(0, A, B, -1, 0), (1, other, B, -1, 0), (2, B, A, -1, 0)]
    assert flows(found, 2)["packets_out"].to_list() == [1, 1]


def test_open_flows_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flow_table, "MAX_OPEN", 10)
    monkeypatch.setattr(flow_table, "_TIDY_AT", 10)
    table = FlowTable()
    ended = table.add(*as_block([(t, (t, 1), B, -1, 0) for t in range(30)]))
    assert (len(table), len(ended), table.cut) == (9, 21, 21)
    assert ended.first_ns.max() < table.close().first_ns.min()


def test_silence_counts_from_the_latest_packet_also_where_times_go_back() -> None:
    found: list[Packet] = [(t, A, B, SYN, 1) for t in (1, 0, 3_601)]
    assert len(flows(found)) == len(flows(found, 1)) == 1


def test_silence_ends_a_flow_also_for_a_syn_that_comes_late_with_an_old_time() -> None:
    found: list[Packet] = [(0, A, B, SYN, 1), (0, A, B, SYN, 1), (3_601, A, B, SYN | ACK, 1)]
    found.append((0, A, B, SYN, 1))
    assert len(flows(found)) == len(flows(found, 1))


@pytest.mark.parametrize(
    ("packets", "silent_s"),
    [
        ([*HANDSHAKE, (3, A, B, FIN | ACK, 2), (4, B, A, FIN | ACK, 10)], flow_table.LINGER_S),
        ([*HANDSHAKE, (3, A, B, RST, 2)], flow_table.LINGER_S),
        (HANDSHAKE, flow_table.LIVE_TCP_S),
        ([(0, A, B, -1, 0)], flow_table.LIVE_OTHER_S),
    ],
)
def test_a_live_flow_is_given_once_it_is_over_or_silent_for_long(
    packets: list[Packet], silent_s: int
) -> None:
    table, last_ns = FlowTable(), round(packets[-1][0] * 1e9)
    assert not len(table.add(*as_block(packets)))
    assert len(table.end_silent(last_ns + silent_s * 10**9)) == 0
    assert len(table.end_silent(last_ns + silent_s * 10**9 + 1)) == 1
    assert len(table.close()) == 0


def test_a_live_flow_that_never_ends_is_given_in_parts() -> None:
    table, end_ns = FlowTable(), (flow_table.LONGEST_S + 1) * 10**9
    table.add(*as_block([(float(t), A, B, -1, 0) for t in range(0, flow_table.LONGEST_S, 10)]))
    assert table.end_silent(end_ns).a_packets.tolist() == [flow_table.LONGEST_S // 10]
