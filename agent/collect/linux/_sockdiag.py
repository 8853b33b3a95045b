"""Ask the kernel for its sockets by netlink (sock_diag): one request, no reading of /proc/net."""

import os
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from agent.collect._shape import now_us

_SOCK_DIAG: Final = 4
_BY_FAMILY, _DONE, _ERROR = 20, 3, 2
_DUMP: Final = 0x301
ESTABLISHED, CLOSED, LISTEN = 1, 7, 10
_ALL_BUT_DONE: Final = 0xFFFFFFFF & ~(1 << 6 | 1 << 7 | 1 << 12 | 1 << 3)
"""Not TIME_WAIT, CLOSE, NEW_SYN_RECV, SYN_RECV: nobody holds them."""
_UDP_STATES: Final = 0xFFFFFFFF
_MESSAGE: Final = struct.Struct("=BBBB2s2s16s16sI8sIIIII")
_HEAD: Final = struct.Struct("=IHHII")
_BEGIN: Final = struct.Struct("=IH")
_GROUPS: Final = (1, 3)
"""Ends of TCP sockets, IPv4 and IPv6."""
_ADD_MEMBERSHIP: Final = 1
_SO_RCVBUFFORCE, _BUFFER = 33, 8 << 20
_SOL_NETLINK: Final = 270
PROTOCOLS: Final = {"tcp": socket.IPPROTO_TCP, "udp": socket.IPPROTO_UDP}
STATES: Final = {
    1: "ESTABLISHED", 2: "SYN_SENT", 3: "SYN_RECV", 4: "FIN_WAIT1", 5: "FIN_WAIT2",
    6: "TIME_WAIT", 7: "CLOSE", 8: "CLOSE_WAIT", 9: "LAST_ACK", 10: "LISTEN", 11: "CLOSING",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sock:
    """One socket: this host's end and the other one."""

    proto: str
    state: int
    here: str
    here_port: int
    there: str
    there_port: int
    uid: int
    inode: int
    cookie: bytes
    """The kernel's own name for it, never given twice while it is up."""


Raw = tuple[str, bytes]
"""Protocol, and inet_diag_msg as the kernel gives it; what a host keeps is cut out of it."""
STATE: Final = 1
HERE_PORT, THERE_PORT, COOKIE = slice(4, 6), slice(6, 8), slice(44, 52)
MOST_ENDINGS: Final = 2000
UID, INODE, SIZE = slice(64, 68), slice(68, 72), 72


def sockets() -> Iterator[Sock]:
    """Give all TCP and UDP sockets that somebody holds."""
    return (sock_of(proto, body) for proto, body in raw_sockets())


def raw_sockets() -> Iterator[Raw]:
    """Give them as the kernel's own words: a host may hold hundreds of thousands."""
    with socket.socket(
        socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG
    ) as link:
        link.settimeout(5)
        for proto, number in PROTOCOLS.items():
            for family in (socket.AF_INET, socket.AF_INET6):
                states = _ALL_BUT_DONE if proto == "tcp" else _UDP_STATES
                request = struct.pack("=BBBBI48x", family, number, 0, 0, states)
                size = _HEAD.size + len(request)
                link.send(_HEAD.pack(size, _BY_FAMILY, _DUMP, 1, 0) + request)
                yield from _answers(link, proto)


def _answers(link: socket.socket, proto: str) -> Iterator[Raw]:
    head, least = _BEGIN.unpack_from, _HEAD.size
    while True:
        data, at = link.recv(1 << 16), 0
        while at + least <= len(data):
            size, kind = head(data, at)
            if kind == _BY_FAMILY and size > least:
                yield proto, data[at + least : at + size]
            elif kind == _ERROR:
                code = -struct.unpack_from("=i", data, at + least)[0]
                raise OSError(code, f"sock_diag: {os.strerror(code)}")
            elif kind == _DONE or size < least:
                return
            at += (size + 3) & ~3


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    at = 0
    while at + _HEAD.size <= len(data):
        size, kind, _, _, _ = _HEAD.unpack_from(data, at)
        if size < _HEAD.size:
            return
        yield kind, data[at + _HEAD.size : at + size]
        at += (size + 3) & ~3


def sock_of(proto: str, body: bytes) -> Sock:
    """Read what the kernel said of a socket."""
    (family, state, _, _, sport, dport, src, dst, _, cookie, _, _, _, uid, inode) = (
        _MESSAGE.unpack_from(body)
    )
    return Sock(
        proto,
        state,
        _address(family, src),
        int.from_bytes(sport, "big"),
        _address(family, dst),
        int.from_bytes(dport, "big"),
        uid,
        inode,
        cookie,
    )


def _address(family: int, raw: bytes) -> str:
    if family == socket.AF_INET:
        return socket.inet_ntop(socket.AF_INET, raw[:4])
    text = socket.inet_ntop(socket.AF_INET6, raw)
    return text.removeprefix("::ffff:") if "." in text else text


class Endings:
    """Hear of TCP sockets as they end, so that those between two looks are seen too."""

    def __init__(self) -> None:
        """Listen; OSError without CAP_NET_ADMIN."""
        kind = socket.SOCK_RAW | socket.SOCK_CLOEXEC
        self._link = socket.socket(socket.AF_NETLINK, kind, _SOCK_DIAG)
        try:
            self._link.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            self._link.bind((0, 0))
            for group in _GROUPS:
                self._link.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
            self._link.setblocking(False)
        except BaseException:
            self._link.close()
            raise
        self._heard_us = now_us()
        self.missed_since_us = 0
        """Begin of the interval in which the kernel had no room; 0 if there was none."""
        self.has_more = False

    def read(self) -> list[Raw]:
        """Give the sockets that ended since the last time; of very many a part (`has_more`)."""
        found: list[Raw] = []
        self.has_more = False
        while True:
            if len(found) >= MOST_ENDINGS:
                self.has_more = True
                return found
            try:
                data = self._link.recv(1 << 16)
            except BlockingIOError:
                self._heard_us = now_us()
                return found
            except OSError:  # ENOBUFS: the kernel had no room
                self.missed_since_us = self.missed_since_us or self._heard_us
                continue
            found += [("tcp", body) for kind, body in _messages(data) if kind == _BY_FAMILY]

    def close(self) -> None:
        """Stop hearing."""
        self._link.close()
