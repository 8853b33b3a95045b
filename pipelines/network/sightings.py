"""Name what the watchers of protocols tell: one sighting is one row."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from pipelines.network.addresses import text
from pipelines.network.community_id import community_id
from pipelines.network.headers import Headers
from pipelines.network.internet import TCP
from pipelines.network.protocols.http import HttpHead
from pipelines.network.protocols.industrial import Function

TLS: Final = "tls"
HTTP: Final = "http"
HTTP2: Final = "http2"
"""Apart from HTTP, as tshark and Zeek have it: who compares counts with theirs compares alike."""
DHCP: Final = "dhcp"
DHCP6: Final = "dhcp6"
ARP: Final = "arp"
SSH: Final = "ssh"
OT: Final = "ot"
FILES: Final = "files"
MAX_ENDS: Final = 2_048
KINDS: Final = (TLS, HTTP, HTTP2, DHCP, DHCP6, ARP, SSH, OT)
"""What is looked for if nothing else is said: FILES only on demand, it follows every body."""

Value = str | int | bool | None


class Ends(NamedTuple):
    """Hold where a message came from and went to, as text, and the flow's community-id."""

    src_ip: str
    src_port: int
    dst_ip: str
    dst_port: int
    proto: str
    community_id: str | None

    def turned(self) -> "Ends":
        """Give the other direction."""
        src_ip, src_port, dst_ip, dst_port, proto, uid = self
        return Ends(dst_ip, dst_port, src_ip, src_port, proto, uid)


def ends_of(headers: Headers, row: int, protocol: int) -> Ends:
    """Give the ends of one packet of TCP or UDP."""
    h = headers
    columns = (
        h.version, h.src_high, h.src_low, h.src_port, h.dst_high, h.dst_low, h.dst_port,
    )  # fmt: skip
    return ends_between(protocol, *(int(column[row]) for column in columns))


@lru_cache(maxsize=MAX_ENDS)
def ends_between(
    protocol: int,
    version: int,
    src_high: int,
    src_low: int,
    src_port: int,
    dst_high: int,
    dst_low: int,
    dst_port: int,
) -> Ends:
    """Give the ends of a message of TCP or UDP; addresses as numbers.

    The latest MAX_ENDS are kept: a flow's messages come close together.
    """
    size = 4 if version == 4 else 16
    src = (src_high << 64 | src_low).to_bytes(16, "big")[-size:]
    dst = (dst_high << 64 | dst_low).to_bytes(16, "big")[-size:]
    uid = community_id(src, dst, protocol, src_port, dst_port)
    name = "tcp" if protocol == TCP else "udp"
    return Ends(text(src), src_port, text(dst), dst_port, name, uid)


class Sighting(NamedTuple):
    """Hold one row: `fields` are those of its `kind`, see docs/reference/flows.md."""

    kind: str
    time_ns: int
    src_ip: str
    src_port: int
    dst_ip: str
    dst_port: int
    proto: str
    community_id: str | None
    fields: Mapping[str, Value]


def sighting(kind: str, time_ns: int, ends: Ends, fields: Mapping[str, Value]) -> Sighting:
    """Make a row."""
    return Sighting(kind, time_ns, *ends, fields)


def http_fields(asked: HttpHead | None, status: int | None) -> dict[str, Value]:
    """Give the fields of a request and its answer, either of which may not have been seen."""
    return {
        "method": asked.method if asked else None,
        "host": asked.host if asked else None,
        "uri": asked.uri if asked else None,
        "status": status,
        "user_agent": asked.user_agent if asked else None,
    }


def function_fields(call: Function) -> dict[str, Value]:
    """Give the fields of an industrial function call or answer."""
    return {
        "protocol": call.protocol,
        "function": call.function,
        "code": call.code,
        "is_request": call.is_request,
        "is_write": call.is_write,
        "unit": call.unit,
        "failure": call.failure,
    }
