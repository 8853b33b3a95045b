"""Write flows out as rows: who opened, addresses as text, state in a word, community-id."""

from typing import Final

import numpy as np
import polars as pl

from pipelines.network.addresses import packed, texts
from pipelines.network.community_id import community_ids
from pipelines.network.flow_table import ACCEPTING, FIN, OPENING, RST
from pipelines.network.flows import Flows
from pipelines.network.internet import TCP
from pipelines.network.names import protocol_names
from pipelines.network.packets import Bools, Int64s

NEW: Final = "new"
ESTABLISHED: Final = "established"
CLOSED: Final = "closed"
RESET: Final = "reset"
REFUSED: Final = "refused"


def flow_rows(flows: Flows) -> pl.DataFrame:
    """Give flows as a frame sorted by start, seen from the opener (src) to the other end (dst).

    Columns: src_ip, src_port, dst_ip, dst_port, proto, packets_out, packets_in, bytes_out,
    bytes_in, start_ns, end_ns, state, community_id. The opener is the sender of the SYN, else
    the receiver of the SYN's answer, else the sender of the first packet. Ports: of ICMP its type
    and the answering type (or the code), of protocols without ports 0.
    """
    flows = flows.take(np.argsort(flows.first_ns, kind="stable"))
    by_a = _opened_by_a(flows)
    version, protocol = flows.version, flows.protocol
    a_port = ((flows.ends >> np.uint64(16)) & np.uint64(0xFFFF)).astype(np.int64)
    b_port = (flows.ends & np.uint64(0xFFFF)).astype(np.int64)
    src = _pick(by_a, flows.a_high, flows.b_high), _pick(by_a, flows.a_low, flows.b_low)
    dst = _pick(by_a, flows.b_high, flows.a_high), _pick(by_a, flows.b_low, flows.a_low)
    src_port, dst_port = np.where(by_a, a_port, b_port), np.where(by_a, b_port, a_port)
    return pl.DataFrame(
        {
            "src_ip": texts(packed(version, *src)),
            "src_port": src_port,
            "dst_ip": texts(packed(version, *dst)),
            "dst_port": dst_port,
            "proto": protocol_names(protocol.tolist()),
            "packets_out": np.where(by_a, flows.a_packets, flows.b_packets),
            "packets_in": np.where(by_a, flows.b_packets, flows.a_packets),
            "bytes_out": np.where(by_a, flows.a_bytes, flows.b_bytes),
            "bytes_in": np.where(by_a, flows.b_bytes, flows.a_bytes),
            "start_ns": flows.first_ns,
            "end_ns": flows.last_ns,
            "state": _states(flows, by_a),
            "community_id": community_ids(version, src, dst, protocol, src_port, dst_port),
        },
        schema_overrides={"src_ip": pl.String, "dst_ip": pl.String, "proto": pl.String,
                          "state": pl.String, "community_id": pl.String},
    )  # fmt: skip


def _pick(
    choice: Bools, one: np.typing.NDArray[np.uint64], other: np.typing.NDArray[np.uint64]
) -> np.typing.NDArray[np.uint64]:
    return np.where(choice, one, other)


def _opened_by_a(flows: Flows) -> Bools:
    a_syn, b_syn = (flows.a_flags & OPENING) != 0, (flows.b_flags & OPENING) != 0
    a_answers, b_answers = (flows.a_flags & ACCEPTING) != 0, (flows.b_flags & ACCEPTING) != 0
    first = flows.a_first == 1
    # Both or neither opened: then the one whose peer answered a SYN; else the first to speak.
    by_answer = np.where(a_answers == b_answers, first, b_answers)
    chosen: Bools = np.where(a_syn == b_syn, by_answer, a_syn)
    return chosen


def _states(flows: Flows, by_a: Bools) -> list[str]:
    """Name each flow's state; for other protocols than TCP: answered or not."""
    out = np.where(by_a, flows.a_flags, flows.b_flags)
    back = np.where(by_a, flows.b_flags, flows.a_flags)
    tcp = flows.protocol == TCP
    both = (flows.a_packets > 0) & (flows.b_packets > 0)
    asked, accepted = (out & OPENING) != 0, (back & ACCEPTING) != 0
    reset = ((out | back) & RST) != 0
    refused = asked & ~accepted & ((back & RST) != 0)
    finished = (out & back & FIN) != 0
    # A connection whose beginning was not captured counts as established once both have spoken.
    standing = np.where(asked, accepted, both)
    choices: list[tuple[Bools, str]] = [
        (tcp & refused, REFUSED),
        # What comes behind both ends only clears away: a reset counts before them.
        (tcp & finished, CLOSED),
        (tcp & reset, RESET),
        (np.where(tcp, standing, both), ESTABLISHED),
    ]
    words: Int64s = np.select([c for c, _ in choices], list(range(4)), 4)
    names = [word for _, word in choices] + [NEW]
    return [names[i] for i in words.tolist()]
