"""Take the packets of one flow apart with scapy, for an analyst's eyes; loaded only when asked."""

from collections.abc import Iterator
from typing import Final

import numpy as np
from scapy.layers.inet import IP
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.layers.ppi import PPI
from scapy.packet import Packet, Raw

from pipelines.network.community_id import community_ids
from pipelines.network.headers import read_headers
from pipelines.network.packets import PacketBlock
from pipelines.network.tunnels import LAYERS

MOST_BYTES: Final = 4_096
"""Of one packet: scapy's cost grows with every field."""
_LINKS: Final[dict[int, type[Packet]]] = {1: Ether, 192: PPI, 228: IP, 229: IPv6}
_BARE: Final = (12, 14, 101)


def explained(
    blocks: Iterator[PacketBlock], flow: str, packets: int
) -> Iterator[tuple[int, int, str]]:
    """Give (number in the capture, time in ns, text) of the first packets of a flow.

    `flow`: its community-id; both directions count, and what ends between the same ends is the
    same. Whatever the packets hold, a text comes back: what scapy cannot read stays bytes.
    """
    number = 0
    for block in blocks:
        headers = read_headers(block, LAYERS)
        rows = np.flatnonzero(headers.version)
        h = headers
        names = community_ids(
            h.version[rows], (h.src_high[rows], h.src_low[rows]),
            (h.dst_high[rows], h.dst_low[rows]), h.protocol[rows], h.src_port[rows],
            h.dst_port[rows],
        )  # fmt: skip
        for row, name in zip(rows.tolist(), names, strict=True):
            if name == flow and packets > 0:
                packets -= 1
                yield number + row + 1, int(block.time_ns[row]), _text(block, row)
        number += len(block)
        if packets <= 0:
            return


def _text(block: PacketBlock, row: int) -> str:
    start = int(block.start[row])
    data = block.octets[start : start + min(int(block.captured[row]), MOST_BYTES)]
    link = int(block.link[row])
    layer = _LINKS.get(link)
    if layer is None and link in _BARE and data:
        layer = IPv6 if data[0] >> 4 == 6 else IP
    # scapy keeps to bytes what a layer refuses, unless it is told to debug.
    return str((layer or Raw)(data).show(dump=True))
