"""Name what the watchers of protocols tell: one sighting is one row."""

from collections.abc import Mapping
from typing import Final, NamedTuple

from pipelines.network.addresses import text
from pipelines.network.community_id import community_id
from pipelines.network.internet import TCP, UDP
from pipelines.network.protocols.http import HttpHead
from pipelines.network.protocols.industrial import Function

TLS: Final = "tls"
HTTP: Final = "http"
DHCP: Final = "dhcp"
ARP: Final = "arp"
SSH: Final = "ssh"
OT: Final = "ot"
KINDS: Final = (TLS, HTTP, DHCP, ARP, SSH, OT)

Value = str | int | bool | None


class Ends(NamedTuple):
    """Hold where a message came from and went to; packed addresses."""

    src: bytes
    src_port: int
    dst: bytes
    dst_port: int

    def turned(self) -> "Ends":
        """Give the other direction."""
        return Ends(self.dst, self.dst_port, self.src, self.src_port)


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


def sighting(
    kind: str, time_ns: int, ends: Ends, proto: str, fields: Mapping[str, Value]
) -> Sighting:
    """Make a row, addresses written as text."""
    src, src_port, dst, dst_port = ends
    uid = community_id(src, dst, TCP if proto == "tcp" else UDP, src_port, dst_port)
    return Sighting(kind, time_ns, text(src), src_port, text(dst), dst_port, proto, uid, fields)


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
