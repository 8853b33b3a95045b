"""Hear of processes by the netlink proc connector: any kernel, no command line in the event.

A filter in the kernel passes starts of programs and ends of whole processes only. What the kernel
had no room for comes as Missed (`ENOBUFS`).
"""

import ctypes
import errno
import os
import select
import socket
import struct
import sys
import time
from typing import Final

from agent.collect.linux._kernel import Exec, Exit, KernelEvent, Missed

NETLINK_CONNECTOR: Final = 11
_CN_IDX_PROC: Final = 1
_LISTEN, _IGNORE = 1, 2
_EXEC, _EXIT = 0x00000002, 0x80000000
_WHAT, _PID, _TGID = 36, 52, 56
"""Places in the message: 16 bytes netlink head, 20 connector head; what, cpu, time, pid, tgid."""
_BUFFER: Final = 8 << 20
_SO_RCVBUFFORCE, _SO_ATTACH_FILTER = 33, 26
_LOAD, _EQUAL, _EQUAL_X, _RETURN, _MOVE = 0x20, 0x15, 0x1D, 0x06, 0x07
_MOST: Final = 2000


def _filter() -> bytes:
    """Pass starts of programs, and ends where thread and process are the same."""

    def order(value: int) -> int:
        # The filter reads numbers in network order, the kernel wrote its own.
        return int.from_bytes(value.to_bytes(4, sys.byteorder), "big")

    steps = [
        (_LOAD, 0, 0, _WHAT),
        (_EQUAL, 5, 0, order(_EXEC)),
        (_EQUAL, 0, 5, order(_EXIT)),
        (_LOAD, 0, 0, _TGID),
        (_MOVE, 0, 0, 0),
        (_LOAD, 0, 0, _PID),
        (_EQUAL_X, 0, 1, 0),
        (_RETURN, 0, 0, 0xFFFFFFFF),
        (_RETURN, 0, 0, 0),
    ]
    return b"".join(struct.pack("=HBBI", *step) for step in steps)


class ProcConnector:
    """The socket; OSError if this process may not listen (CAP_NET_ADMIN)."""

    name: Final = "netlink proc connector"
    pause_s: float = 0.0

    def __init__(self) -> None:
        """Listen."""
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, NETLINK_CONNECTOR)
        try:
            self._prepare()
        except BaseException:
            self._socket.close()
            raise
        self._heard_us = _now_us()

    def _prepare(self) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        code = _filter()
        held = ctypes.create_string_buffer(code)
        program = struct.pack("HL", len(code) // 8, ctypes.addressof(held))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
        self._socket.bind((0, _CN_IDX_PROC))
        self._tell(_LISTEN)
        self._socket.setblocking(False)

    def _tell(self, what: int) -> None:
        body = struct.pack("=IIIIHHI", _CN_IDX_PROC, 1, 0, 0, 4, 0, what)
        head = struct.pack("=IHHII", 16 + len(body), 3, 0, 0, os.getpid())
        self._socket.send(head + body)

    def read(self, timeout_s: float) -> list[KernelEvent]:
        """Give what happened, waiting at most so long for the first."""
        if not select.select([self._socket], [], [], timeout_s)[0]:
            self._heard_us = _now_us()
            return []
        found: list[KernelEvent] = []
        offset_us = _now_us() - time.monotonic_ns() // 1000
        while len(found) < _MOST:
            try:
                data = self._socket.recv(1024)
            except BlockingIOError:
                break
            except OSError as full:
                if full.errno != errno.ENOBUFS:
                    raise
                found.append(Missed(self._heard_us, _now_us()))
                continue
            one = _event(data, offset_us)
            if one is not None:
                found.append(one)
        self._heard_us = _now_us()
        return found

    def close(self) -> None:
        """Stop hearing."""
        self._socket.close()


def _event(data: bytes, offset_us: int) -> KernelEvent | None:
    if len(data) < _TGID + 4:
        return None
    what, _cpu, at_ns, _pid, tgid = struct.unpack_from("=IIQII", data, _WHAT)
    at_us = offset_us + at_ns // 1000
    if what == _EXEC:
        return Exec(tgid, at_us)
    if what == _EXIT and len(data) >= _TGID + 8:
        return Exit(tgid, at_us, struct.unpack_from("=I", data, _TGID + 4)[0])
    return None


def _now_us() -> int:
    return time.time_ns() // 1000
