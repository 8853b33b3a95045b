"""Read function codes of industrial protocols: Modbus/TCP, DNP3, S7comm, EtherNet/IP with CIP.

Sources: Modbus Messaging on TCP/IP 1.0b, IEEE 1815 (DNP3), RFC 1006 and 905 (TPKT, COTP) with
S7comm as Wireshark documents it, ODVA's CIP volumes 1 and 2. Each `cut_*` gives the messages that
are whole and what is left; bytes that cannot begin a message are dropped.
"""

from collections.abc import Callable
from functools import lru_cache
from struct import Struct
from typing import Final, NamedTuple

MAX_LEFT: Final = 65_560
"""No message of these protocols is longer, so no more is ever kept waiting."""
MAX_TOLD: Final = 16
"""Calls of one segment that are told one by one; behind them only what none before it said."""
MAX_NEW: Final = 16
"""So many reads, and as many writes, are told of those behind them."""
MAX_KNOWN: Final = 4_096
"""Calls that are held to be given again: the same ones are made all day."""
MODBUS_PORT, S7_PORT, DNP3_PORT, ENIP_PORT = 502, 102, 20_000, 44_818


class Function(NamedTuple):
    """Hold one function call or its answer.

    `function`: its name, else its number; `is_write`: it changes the controller's values,
    program or state; `unit`: unit, outstation or service place, as the protocol has it;
    `failure`: the protocol's number for why a call failed (Modbus: its exception).
    """

    protocol: str
    code: int
    function: str
    is_request: bool
    is_write: bool
    unit: int | None
    failure: int | None


Cut = tuple[list[Function], bytes]
_modbus_head: Final = Struct(">HHBB").unpack_from
_call: Final = lru_cache(maxsize=MAX_KNOWN)(Function)


def told_of(calls: list[Function]) -> tuple[list[Function], int]:
    """Give what is told of a segment's calls, and how many are left out.

    A write behind a hundred reads is told as well as the first read.
    """
    if len(calls) <= MAX_TOLD:
        return calls, 0
    first = calls[:MAX_TOLD]
    fresh = [call for call in dict.fromkeys(calls[MAX_TOLD:]) if call not in first]
    reads = [call for call in fresh if not call.is_write][:MAX_NEW]
    writes = [call for call in fresh if call.is_write][:MAX_NEW]
    told = [*first, *reads, *writes]
    return told, len(calls) - len(told)


_MODBUS: Final = {
    1: "read coils", 2: "read discrete inputs", 3: "read holding registers",
    4: "read input registers", 5: "write single coil", 6: "write single register",
    7: "read exception status", 8: "diagnostics", 11: "get event counter", 12: "get event log",
    15: "write multiple coils", 16: "write multiple registers", 17: "report server id",
    20: "read file record", 21: "write file record", 22: "mask write register",
    23: "read/write multiple registers", 24: "read fifo queue", 43: "encapsulated interface",
    90: "unity programming",
}  # fmt: skip
_MODBUS_WRITES: Final = frozenset((5, 6, 15, 16, 21, 22, 23, 90))

_DNP3: Final = {
    0: "confirm", 1: "read", 2: "write", 3: "select", 4: "operate", 5: "direct operate",
    6: "direct operate no response", 7: "immediate freeze", 8: "immediate freeze no response",
    9: "freeze clear", 13: "cold restart", 14: "warm restart", 15: "initialize data",
    16: "initialize application", 17: "start application", 18: "stop application",
    19: "save configuration", 20: "enable unsolicited", 21: "disable unsolicited",
    22: "assign class", 23: "delay measurement", 24: "record current time", 25: "open file",
    26: "close file", 27: "delete file", 28: "get file information", 29: "authenticate file",
    30: "abort file", 129: "response", 130: "unsolicited response",
}  # fmt: skip
_DNP3_WRITES: Final = frozenset((2, 3, 4, 5, 6, 13, 14, 15, 16, 17, 18, 19, 21, 27))

_S7_FUNCTIONS: Final = {
    0x00: "cpu services", 0x04: "read variable", 0x05: "write variable", 0x1A: "request download",
    0x1B: "download block", 0x1C: "download ended", 0x1D: "start upload", 0x1E: "upload",
    0x1F: "end upload", 0x28: "program invocation", 0x29: "stop controller",
    0xF0: "setup communication",
}  # fmt: skip
_S7_WRITES: Final = frozenset((0x05, 0x1A, 0x1B, 0x1C, 0x28, 0x29))

_ENIP: Final = {
    0x0000: "nop", 0x0004: "list services", 0x0063: "list identity", 0x0064: "list interfaces",
    0x0065: "register session", 0x0066: "unregister session", 0x006F: "send rr data",
    0x0070: "send unit data", 0x0072: "indicate status", 0x0073: "cancel",
}  # fmt: skip
_CIP: Final = {
    0x01: "get attributes all", 0x02: "set attributes all", 0x03: "get attribute list",
    0x04: "set attribute list", 0x05: "reset", 0x06: "start", 0x07: "stop", 0x08: "create",
    0x09: "delete", 0x0A: "multiple service packet", 0x0D: "apply attributes",
    0x0E: "get attribute single", 0x10: "set attribute single", 0x4B: "execute pccc",
    0x4C: "read tag", 0x4D: "write tag", 0x4E: "forward close", 0x52: "unconnected send",
    0x53: "write tag fragmented", 0x54: "forward open", 0x5B: "large forward open",
}  # fmt: skip
_CIP_WRITES: Final = frozenset((0x02, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0D, 0x10, 0x4D, 0x53))
_MULTIPLE, _MOST_SERVICES = 0x0A, 64


def cut_modbus(data: bytes, *, from_server: bool) -> Cut:
    """Cut Modbus/TCP: transaction, protocol 0, length, unit, function."""
    found: list[Function] = []
    at, last = 0, len(data) - 8
    while at <= last:
        protocol, size, unit, raw = _modbus_head(data, at + 2)
        if protocol or not 2 <= size <= 260:
            return found, b""
        end = at + 6 + size
        if end > len(data):
            break
        failure = None
        if from_server and raw & 0x80:
            failure = data[at + 8] if size >= 3 else 0
        found.append(_modbus_call(raw & 0x7F, unit, failure, from_server))
        at = end
    return found, data[at:]


@lru_cache(maxsize=MAX_KNOWN)
def _modbus_call(code: int, unit: int, failure: int | None, from_server: bool) -> Function:
    is_write = code in _MODBUS_WRITES and not from_server
    name = _MODBUS.get(code, str(code))
    return Function("modbus", code, name, not from_server, is_write, unit, failure)


def cut_dnp3(data: bytes, *, from_server: bool) -> Cut:
    """Cut DNP3 link frames; the first fragment of an application message has the function."""
    del from_server  # the function itself tells requests from responses
    found: list[Function] = []
    at = 0
    while len(data) - at >= 10:
        if data[at : at + 2] != b"\x05\x64":
            return found, b""
        told = data[at + 2] - 5
        if told < 0:
            return found, b""
        size = 10 + told + (told + 15) // 16 * 2
        if len(data) - at < size:
            break
        control = data[at + 3] & 0x4F
        # User data (3 confirmed, 4 not) from a primary station, first fragment of its transport.
        if control in (0x43, 0x44) and told >= 3 and data[at + 10] & 0x40:
            code = data[at + 12]
            is_request = code < 129
            unit = int.from_bytes(data[at + 4 : at + 6], "little")
            name = _DNP3.get(code, str(code))
            found.append(_call("dnp3", code, name, is_request, code in _DNP3_WRITES, unit, None))
        at += size
    return found, data[at:]


def cut_s7(data: bytes, *, from_server: bool) -> Cut:
    """Cut TPKT and COTP to S7comm's role and function."""
    found: list[Function] = []
    at = 0
    while len(data) - at >= 4:
        size = int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at] != 3 or size < 7:
            return found, b""
        if len(data) - at < size:
            break
        told = _s7(data[at + 4 : at + size], from_server=from_server)
        if told:
            found.append(told)
        at += size
    return found, data[at:]


def _s7(cotp: bytes, *, from_server: bool) -> Function | None:
    head = cotp[0] + 1 if cotp else 0
    body = cotp[head:]
    if len(cotp) < 3 or cotp[1] != 0xF0 or len(body) < 10 or body[0] != 0x32:
        return None
    role = body[1]
    if role not in (1, 2, 3, 7):
        return None
    start = 12 if role in (2, 3) else 10
    failure = int.from_bytes(body[10:12], "big") if role in (2, 3) else 0
    if role == 7:
        # User data (SZL, blocks, clock): its group is the lower half of the type and group byte.
        group = body[15] & 0x0F if len(body) > 15 else 0
        return _call(
            "s7comm", 0x100 | group, f"user data {group}", not from_server, False, None, None
        )
    code = body[start] if len(body) > start and int.from_bytes(body[6:8], "big") else 0
    name = _S7_FUNCTIONS.get(code, f"0x{code:02x}")
    is_write = role == 1 and code in _S7_WRITES
    return _call("s7comm", code, name, role == 1, is_write, None, failure or None)


def cut_enip(data: bytes, *, from_server: bool) -> Cut:
    """Cut EtherNet/IP's encapsulation, and of CIP in it each service."""
    found: list[Function] = []
    at = 0
    while len(data) - at >= 24:
        command = int.from_bytes(data[at : at + 2], "little")
        size = int.from_bytes(data[at + 2 : at + 4], "little")
        if command not in _ENIP:
            return found, b""
        if len(data) - at < 24 + size:
            break
        status = int.from_bytes(data[at + 8 : at + 12], "little") or None
        found.append(_call("enip", command, _ENIP[command], not from_server, False, None, status))
        if command in (0x6F, 0x70):
            found += _cip_items(data[at + 30 : at + 24 + size])
        at += 24 + size
    return found, data[at:]


def _cip_items(items: bytes) -> list[Function]:
    """Find the message in the common packet format: 0xB2 unconnected, 0xB1 connected."""
    at, count = 2, int.from_bytes(items[:2], "little")
    for _ in range(min(count, 8)):
        kind = int.from_bytes(items[at : at + 2], "little")
        size = int.from_bytes(items[at + 2 : at + 4], "little")
        body = items[at + 4 : at + 4 + size]
        if kind == 0xB2:
            return _cip(body, MAX_DEPTH)
        if kind == 0xB1:
            return _cip(body[2:], MAX_DEPTH)
        at += 4 + size
    return []


MAX_DEPTH: Final = 2


def _cip(body: bytes, depth: int) -> list[Function]:
    """Read one CIP service and those packed in it."""
    if len(body) < 2:
        return []
    code, is_request = body[0] & 0x7F, body[0] < 0x80
    if is_request:
        data, failure = body[2 + 2 * body[1] :], None
    else:
        data = body[4 + 2 * body[3] :] if len(body) > 3 else b""
        failure = body[2] or None if len(body) > 2 else None
    name = _CIP.get(code, f"0x{code:02x}")
    is_write = is_request and code in _CIP_WRITES
    found = [_call("cip", body[0], name, is_request, is_write, None, failure)]
    if code == _MULTIPLE and depth and len(data) >= 2:
        count = min(int.from_bytes(data[:2], "little"), _MOST_SERVICES)
        starts = [
            int.from_bytes(data[2 + 2 * i : 4 + 2 * i], "little")
            for i in range(count)
            if 4 + 2 * i <= len(data)
        ]
        for start, end in zip(starts, [*starts[1:], len(data)], strict=True):
            if end - start >= 2:
                found += _cip(data[start:end], depth - 1)
    return found


CUTTERS: Final[dict[int, Callable[..., Cut]]] = {
    MODBUS_PORT: cut_modbus,
    S7_PORT: cut_s7,
    DNP3_PORT: cut_dnp3,
    ENIP_PORT: cut_enip,
}
"""Port of the controller -> how its messages are cut out of a stream."""
