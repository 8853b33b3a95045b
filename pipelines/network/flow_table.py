"""Fold packets into bidirectional flows, a block at a time, with bounded memory.

Flows are a structure of arrays. A block's packets are turned into the same columns (a packet is a
flow of one packet), joined with the open flows they touch, sorted by key, cut where a flow ends
(silence longer than its time-out, or a new TCP handshake) and added up. A 64-bit mix of the key
sorts quickly; the real key columns are compared as well, so a forged collision costs time, never
truth. State: at most MAX_OPEN flows of some 130 bytes; beyond that an eighth of them, the longest
silent, are closed early and counted.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from pipelines.network.flows import Flows, OpenFlows
from pipelines.network.headers import Headers
from pipelines.network.internet import TCP
from pipelines.network.packets import Bools, Int64s, PacketBlock, UInt64s

MAX_OPEN: Final = 262_144
_TIDY_AT: Final = 16_384
TCP_TIMEOUT_S: Final = 3_600
OTHER_TIMEOUT_S: Final = 600
LINGER_S: Final = 5
"""Live: how long after its end a TCP connection waits for stragglers."""
LIVE_TCP_S: Final = 300
LIVE_OTHER_S: Final = 60
LONGEST_S: Final = 1_800

FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
OPENING: Final = 256
"""Flag bit of the table's own: a SYN without ACK was seen from this side."""
ACCEPTING: Final = 512
"""Flag bit of the table's own: a SYN with ACK was seen from this side."""

_NO_SYN: Final = -1
_ROUNDS: Final = 16
_PLACES: Final = np.uint64(1 << 18)
_KEY: Final = ("a_high", "a_low", "b_high", "b_low", "ends")
_SUMS: Final = ("a_packets", "b_packets", "a_bytes", "b_bytes")
_MIX: Final = tuple(
    np.uint64(n)
    for n in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93)
)


class FlowTable:
    """Keep the open flows of one capture; `add` a block, then `close` at its end.

    `cut`: how many flows were closed early for want of room; what follows of them counts as others.
    """

    def __init__(self) -> None:
        """Begin with no flow open."""
        self._open = OpenFlows()
        self._now_ns = 0
        self.cut = 0

    def __len__(self) -> int:
        return len(self._open)

    def add(self, block: PacketBlock, headers: Headers) -> Flows:
        """Fold a block in and give the flows that ended."""
        rows = np.flatnonzero(headers.version)
        if not len(rows):
            return Flows.none()
        packets = _as_flows(block, headers, rows)
        self._now_ns = max(self._now_ns, int(packets.last_ns.max()))
        held = self._open.rows
        touched = np.flatnonzero(_may_be_among(held.mix, packets.mix))
        merged, is_last = _fold(held.take(touched).joined(packets))
        # Each key is open once, so there are at least as many that stay as were touched.
        self._open.put(touched, merged.take(is_last))
        return merged.take(~is_last).joined(self._tidied())

    def end_silent(self, now_ns: int) -> Flows:
        """Give the flows of a live capture that are over, or silent as of now.

        A flow that goes on for LONGEST_S is given so far; what follows counts as another one.
        """
        flows = self._open.rows
        is_tcp = flows.protocol == TCP
        either, both = flows.a_flags | flows.b_flags, flows.a_flags & flows.b_flags
        is_over = is_tcp & (((both & FIN) != 0) | ((either & RST) != 0))
        wait_s = np.where(is_over, LINGER_S, np.where(is_tcp, LIVE_TCP_S, LIVE_OTHER_S))
        gone = now_ns - flows.last_ns > wait_s * 1_000_000_000
        gone |= now_ns - flows.first_ns > LONGEST_S * 1_000_000_000
        return self._open.take_out(gone)

    def close(self) -> Flows:
        """Give the flows that are still open, and forget them."""
        rest, self._open = self._open.rows, OpenFlows()
        return rest

    def _tidied(self) -> Flows:
        """Close the flows past their time-out, and the longest silent beyond the bound."""
        if len(self._open) <= _TIDY_AT:
            return Flows.none()
        flows = self._open.rows
        gone = self._now_ns - flows.last_ns > _timeout_ns(flows.protocol)
        over = len(flows) - int(gone.sum()) - MAX_OPEN
        if over > 0:
            over += MAX_OPEN // 8  # so that it is not done anew with each block
            self.cut += over
            waiting = np.where(gone, np.iinfo(np.int64).max, flows.last_ns)
            gone[np.argpartition(waiting, over)[:over]] = True
        return self._open.take_out(gone)


def _may_be_among(mixes: UInt64s, others: UInt64s) -> Bools:
    """Tell which mixes may be among the others: some too many, which costs only a little time."""
    table = np.zeros(_PLACES, np.bool_)
    table[others % _PLACES] = True
    may_be: Bools = table[mixes % _PLACES]
    return may_be


def _timeout_ns(protocol: Int64s) -> Int64s:
    return np.where(protocol == TCP, TCP_TIMEOUT_S, OTHER_TIMEOUT_S) * 1_000_000_000


def _as_flows(block: PacketBlock, headers: Headers, rows: Int64s) -> Flows:
    """Turn packets into flows of one packet each, in the order of the capture."""
    src_high, src_low = headers.src_high[rows], headers.src_low[rows]
    dst_high, dst_low = headers.dst_high[rows], headers.dst_low[rows]
    src_port, dst_port = headers.src_port[rows], headers.dst_port[rows]
    protocol, version = headers.protocol[rows], headers.version[rows]
    from_a = _is_lower(src_high, src_low, src_port, dst_high, dst_low, dst_port)
    ports = np.where(from_a, (src_port << 16) | dst_port, (dst_port << 16) | src_port)
    ends = ((version << 40) | (protocol << 32) | ports).astype(np.uint64)
    a_high, b_high = np.where(from_a, src_high, dst_high), np.where(from_a, dst_high, src_high)
    a_low, b_low = np.where(from_a, src_low, dst_low), np.where(from_a, dst_low, src_low)
    flags = headers.tcp_flags[rows]
    handshake = flags & (SYN | ACK)
    # A SYN with FIN or RST is a probe: it opens nothing.
    opening = ((flags & (SYN | ACK | FIN | RST)) == SYN) & (protocol == TCP)
    flags = flags | np.where(opening, OPENING, 0)
    flags |= np.where(handshake == (SYN | ACK), ACCEPTING, 0)
    wire, time_ns = block.wire[rows], block.time_ns[rows]
    side = from_a.astype(np.int64)
    other = 1 - side
    return Flows(
        mix=_mix(a_high, a_low, b_high, b_low, ends),
        a_high=a_high,
        a_low=a_low,
        b_high=b_high,
        b_low=b_low,
        ends=ends,
        first_ns=time_ns,
        last_ns=time_ns,
        a_packets=side,
        b_packets=other,
        a_bytes=wire * side,
        b_bytes=wire * other,
        a_flags=flags * side,
        b_flags=flags * other,
        a_first=side,
        syn_side=np.where(opening, side, _NO_SYN),
        syn_sequence=headers.sequence[rows],
    )


def _is_lower(
    a_high: UInt64s, a_low: UInt64s, a_port: Int64s, b_high: UInt64s, b_low: UInt64s, b_port: Int64s
) -> Bools:
    same_high, same_low = a_high == b_high, a_low == b_low
    low = np.where(same_low, a_port <= b_port, a_low < b_low)
    return np.where(same_high, low, a_high < b_high)


def _mix(
    a_high: UInt64s, a_low: UInt64s, b_high: UInt64s, b_low: UInt64s, ends: UInt64s
) -> UInt64s:
    mixed = (a_high ^ (b_low * _MIX[0])) * _MIX[1]
    mixed ^= (mixed >> np.uint64(29)) ^ (a_low * _MIX[2]) ^ (b_high * _MIX[3])
    mixed = (mixed ^ ends * _MIX[0]) * _MIX[1]
    return mixed ^ (mixed >> np.uint64(32))


def _fold(rows: Flows) -> tuple[Flows, Bools]:
    """Add rows of equal key up; give the flows, and which are the last of their key."""
    # The row's number in place of the mix's low bits: then a plain sort, which is the quickest,
    # keeps the order of equal mixes.
    bits = np.uint64(len(rows).bit_length())
    numbered = np.sort((rows.mix >> bits << bits) | np.arange(len(rows), dtype=np.uint64))
    order = (numbered & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    rows = rows.take(order)
    new_mix = (numbered[1:] >> bits) != (numbered[:-1] >> bits)
    new_key = _differs(rows)
    if (new_key & ~new_mix).any():  # two keys with one mix lie interleaved: sort by the key itself
        rows = rows.take(np.lexsort([getattr(rows, name) for name in _KEY]))
        new_key = _differs(rows)
    group_starts = np.concatenate(([True], new_key))
    starts = group_starts | _ends_before(rows, group_starts)
    flows = _added_up(rows, np.flatnonzero(starts))
    is_last = np.append(group_starts[starts][1:], True)
    return flows, is_last


def _differs(rows: Flows) -> Bools:
    differs = np.zeros(max(len(rows) - 1, 0), np.bool_)
    for name in _KEY:
        column = getattr(rows, name)
        differs |= column[1:] != column[:-1]
    return differs


def _ends_before(rows: Flows, group_starts: Bools) -> Bools:
    """Tell at which rows a new flow of the same key begins: after silence, or by a new SYN.

    What counts for a row is its own flow, and where that begins is what is asked: the first guess
    is mended until it stands, which takes a second look where ends were used anew.
    """
    silent = _is_silent(rows, rows.last_ns) & ~group_starts
    goes_back = bool(silent.any() and (rows.last_ns[1:] < rows.last_ns[:-1]).any())
    syn = np.flatnonzero((rows.syn_side != _NO_SYN) & ~group_starts)
    cut = silent
    for _ in range(_ROUNDS):
        again = silent.copy()
        if goes_back:  # silence counts from the flow's latest packet, not from the last to come
            again &= _is_silent(rows, _latest(rows.last_ns, group_starts | cut))
        if len(syn):
            again[syn] |= _reopens(rows, syn, group_starts | cut)
        if (again == cut).all():
            break
        cut = again
    return cut


def _is_silent(rows: Flows, latest_ns: Int64s) -> Bools:
    """Tell which rows come longer than the time-out behind the latest of the row before."""
    silent = np.zeros(len(rows), np.bool_)
    silent[1:] = rows.first_ns[1:] - latest_ns[:-1] > _timeout_ns(rows.protocol[1:])
    return silent


def _latest(values: Int64s, starts: Bools) -> Int64s:
    """Give at each row the greatest value since the last start."""
    order = np.argsort(values, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    before = np.cumsum(starts) * len(values)
    latest: Int64s = values[order[np.maximum.accumulate(before + rank) - before]]
    return latest


def _reopens(rows: Flows, syn: Int64s, starts: Bools) -> Bools:
    """Tell which SYNs open another connection between the same ends, and are not sent again.

    A SYN does so when its side has spoken before (other than by the same SYN), or when the
    connection was finished or reset in between. No row of `syn` is the first of its key.
    """
    begins = np.flatnonzero(starts)
    since = begins[np.searchsorted(begins, syn, "left") - 1]  # where the flow before it begins
    with_syn = np.flatnonzero(rows.syn_side != _NO_SYN)
    before = with_syn[np.maximum(np.searchsorted(with_syn, syn, "left") - 1, 0)]
    side = rows.syn_side[syn]
    same_side = (before >= since) & (before < syn) & (rows.syn_side[before] == side)
    is_other = rows.syn_sequence[before] != rows.syn_sequence[syn]
    ended = _any_between(((rows.a_flags | rows.b_flags) & (FIN | RST)) != 0, since, syn)
    spoke_a = _any_between(rows.a_packets > 0, since, syn)
    spoke_b = _any_between(rows.b_packets > 0, since, syn)
    return ended | np.where(same_side, is_other, np.where(side == 1, spoke_a, spoke_b))


def _any_between(mask: Bools, since: Int64s, until: Int64s) -> Bools:
    """Tell whether `mask` holds in any row from `since` up to, not including, `until`."""
    before = np.concatenate(([0], np.cumsum(mask)))
    return np.asarray(before[until] > before[since])


def _added_up(rows: Flows, starts: Int64s) -> Flows:
    columns: dict[str, NDArray[np.int64] | NDArray[np.uint64]] = {
        name: getattr(rows, name)[starts] for name in ("mix", *_KEY, "a_first")
    }
    for name in _SUMS:
        columns[name] = np.add.reduceat(getattr(rows, name), starts)
    for name in ("a_flags", "b_flags"):
        columns[name] = np.bitwise_or.reduceat(getattr(rows, name), starts)
    columns["first_ns"] = np.minimum.reduceat(rows.first_ns, starts)
    columns["last_ns"] = np.maximum.reduceat(rows.last_ns, starts)
    at = np.where(rows.syn_side != _NO_SYN, np.arange(len(rows)), -1)
    latest = np.maximum.reduceat(at, starts)
    columns["syn_side"] = np.where(latest < 0, _NO_SYN, rows.syn_side[latest])
    columns["syn_sequence"] = rows.syn_sequence[latest]
    return Flows(**columns)  # type: ignore[arg-type]  # one dtype a column, as the fields say
