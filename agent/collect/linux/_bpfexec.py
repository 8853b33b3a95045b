"""Hear of processes by two small programs in the kernel: the command line is in the event.

On `sched_process_exec` the arguments are copied out of the new program's memory before it runs its
first instruction: however short it lives, none is missed. Offsets come from the running kernel's
own description. Needs CAP_BPF and CAP_PERFMON (or root), a kernel of 5.8 or newer with BTF.
"""

import os
import struct
import time
from typing import Final

from agent.collect.linux import _bpf as b
from agent.collect.linux._btf import kernel_offsets
from agent.collect.linux._kernel import Exec, Exit, KernelEvent, Missed
from agent.collect.linux._proc import ARGS_MOST, TICK_US, boot_us
from agent.collect.linux._ring import Ring

CALLED_MOST: Final = 256
_RING: Final = 1 << 20
_MOST: Final = 4000
_EXEC, _EXIT = 1, 2
_WANTED: Final = (
    ("task_struct", "real_parent"),
    ("task_struct", "tgid"),
    ("task_struct", "loginuid"),
    ("task_struct", "start_boottime"),
    ("task_struct", "exit_code"),
    ("task_struct", "mm"),
    ("mm_struct", "arg_start"),
    ("mm_struct", "arg_end"),
    ("linux_binprm", "filename"),
    ("linux_binprm", "file"),
    ("file", "f_inode"),
    ("inode", "i_ino"),
    ("inode", "i_sb"),
    ("super_block", "s_dev"),
)
_OPTIONAL: Final = frozenset({("task_struct", "loginuid")})
_HEAD: Final = struct.Struct("=IIQQQIIQQQI4x")
"""kind, -, pid and tgid, uid and gid, boot ns, ppid, login uid, start ns, inode, length, device."""
_CALLED_AT: Final = _HEAD.size
_ARGS_AT: Final = _CALLED_AT + CALLED_MOST
_SCRATCH: Final = _ARGS_AT + ARGS_MOST
_EXIT_RECORD: Final = struct.Struct("=QQQI4x")

Offsets = dict[tuple[str, str], int]


def _peek(place: int, size: int, source: int, offset: int, to: int = 10) -> list[b.Step]:
    """`*(to + place) = *(source + offset)`, out of the kernel's memory."""
    return [
        b.move(1, to),
        b.add(1, place),
        b.put(2, size),
        b.move(3, source),
        b.add(3, offset),
        b.call(b.READ_KERNEL),
    ]


def _exec_program(scratch: int, ring: int, lost: int, at: Offsets) -> list[b.Step]:
    def task(field: str) -> int:
        return at["task_struct", field]

    steps: list[b.Step] = [
        b.move(6, 1),
        b.store_value(10, -8, 0),
        b.move(2, 10),
        b.add(2, -8),
        b.the_map(1, scratch),
        b.call(b.MAP_LOOKUP_ELEM),
        b.if_equal(0, 0, "end"),
        b.move(7, 0),
        b.store_value(7, 0, _EXEC),
        b.call(b.PID_TGID),
        b.store(7, 8, 0),
        b.call(b.UID_GID),
        b.store(7, 16, 0),
        b.call(b.BOOT_NS),
        b.store(7, 24, 0),
        b.load(8, 6, 0),
        *_peek(-16, 8, 8, task("real_parent")),
        b.load(9, 10, -16),
        *_peek(32, 4, 9, task("tgid"), to=7),
        *_peek(40, 8, 8, task("start_boottime"), to=7),
    ]
    if ("task_struct", "loginuid") in at:
        steps += _peek(36, 4, 8, task("loginuid"), to=7)
    else:
        steps += [b.put(1, -1), b.store_32(7, 36, 1)]
    steps += _program_steps(at)
    steps += _argument_steps(at)
    steps += [
        b.the_map(1, ring),
        b.move(2, 7),
        b.move(3, 9),
        b.add(3, _ARGS_AT),
        b.put(4, 0),
        b.call(b.RINGBUF_OUTPUT),
        *_count_lost(lost),
    ]
    return steps


def _program_steps(at: Offsets) -> list[b.Step]:
    """Say which program it is: as it was called, its inode and device."""
    return [
        b.load(9, 6, 16),  # the linux_binprm
        *_peek(-16, 8, 9, at["linux_binprm", "filename"]),
        b.move(1, 7),
        b.add(1, _CALLED_AT),
        b.put(2, CALLED_MOST),
        b.load(3, 10, -16),
        b.call(b.READ_KERNEL_STR),
        *_peek(-16, 8, 9, at["linux_binprm", "file"]),
        b.load(9, 10, -16),
        *_peek(-16, 8, 9, at["file", "f_inode"]),
        b.load(9, 10, -16),
        *_peek(48, 8, 9, at["inode", "i_ino"], to=7),
        *_peek(-16, 8, 9, at["inode", "i_sb"]),
        b.load(9, 10, -16),
        *_peek(64, 4, 9, at["super_block", "s_dev"], to=7),
    ]


def _argument_steps(at: Offsets) -> list[b.Step]:
    """Copy the arguments; register 9 is how many bytes."""
    return [
        *_peek(-16, 8, 8, at["task_struct", "mm"]),
        b.load(9, 10, -16),
        *_peek(-24, 8, 9, at["mm_struct", "arg_start"]),
        *_peek(-32, 8, 9, at["mm_struct", "arg_end"]),
        b.load(9, 10, -32),
        b.load(3, 10, -24),
        b.subtract(9, 3),
        b.store(7, 56, 9),
        b.if_at_most(9, ARGS_MOST, "fits"),
        b.put(9, ARGS_MOST),
        b.Label("fits"),
        b.move(1, 7),
        b.add(1, _ARGS_AT),
        b.move(2, 9),
        b.call(b.READ_USER),
        b.if_equal(0, 0, "read"),
        b.put(9, 0),
        b.Label("read"),
    ]


def _exit_program(ring: int, lost: int, at: Offsets) -> list[b.Step]:
    return [
        b.move(6, 1),
        b.call(b.PID_TGID),
        b.low_half(8, 0),
        b.store(10, -24, 0),
        b.shift_right(0, 32),
        b.if_same(0, 8, "whole"),
        b.put(0, 0),
        b.LEAVE,
        b.Label("whole"),
        b.store_value(10, -32, _EXIT),
        b.call(b.BOOT_NS),
        b.store(10, -16, 0),
        b.store_value(10, -8, 0),
        b.load(8, 6, 0),
        *_peek(-8, 4, 8, at["task_struct", "exit_code"]),
        b.the_map(1, ring),
        b.move(2, 10),
        b.add(2, -32),
        b.put(3, 32),
        b.put(4, 0),
        b.call(b.RINGBUF_OUTPUT),
        *_count_lost(lost),
    ]


def _count_lost(lost: int) -> list[b.Step]:
    """If the ring had no room, count it; then end."""
    return [
        b.if_equal(0, 0, "end"),
        b.store_value(10, -8, 0),
        b.move(2, 10),
        b.add(2, -8),
        b.the_map(1, lost),
        b.call(b.MAP_LOOKUP_ELEM),
        b.if_equal(0, 0, "end"),
        b.put(1, 1),
        b.add_atomic(0, 1),
        b.Label("end"),
        b.put(0, 0),
        b.LEAVE,
    ]


class BpfExecs:
    """The two programs and their ring; OSError or ValueError where the kernel refuses them."""

    name: Final = "eBPF"
    pause_s: float = 0.05

    def __init__(self) -> None:
        """Load and attach."""
        at = kernel_offsets(_WANTED)
        missing = set(_WANTED) - set(at) - _OPTIONAL
        if missing:
            raise ValueError(f"this kernel has no {sorted(missing)}")
        self._handles: list[int] = []
        try:
            self._load(at)
        except BaseException:
            self.close()
            raise
        self._seen_lost = 0
        self._heard_us = time.time_ns() // 1000

    def _load(self, at: Offsets) -> None:
        def held(handle: int) -> int:
            self._handles.append(handle)
            return handle

        ring = held(b.make_map(b.MAP_RINGBUF, 0, 0, _RING))
        self._lost = held(b.make_map(b.MAP_ARRAY, 4, 8, 1))
        scratch = held(b.make_map(b.MAP_PERCPU_ARRAY, 4, (_SCRATCH + 7) & ~7, 1))
        self._ring = Ring(ring, _RING)
        for steps, tracepoint in (
            (_exec_program(scratch, ring, self._lost, at), "sched_process_exec"),
            (_exit_program(ring, self._lost, at), "sched_process_exit"),
        ):
            program = held(b.load_program(b.assemble(steps)))
            held(b.attach(program, tracepoint))

    def read(self, timeout_s: float) -> list[KernelEvent]:
        """Give what happened, waiting at most so long for the first."""
        found: list[KernelEvent] = []
        if self._ring.wait(timeout_s):
            offset_us = boot_us()
            found = [_event(record, offset_us) for record in self._ring.read(_MOST)]
        now_us = time.time_ns() // 1000
        lost = b.look_up(self._lost, 0)
        if lost > self._seen_lost:
            found.append(Missed(self._heard_us, now_us, lost - self._seen_lost))
            self._seen_lost = lost
        self._heard_us = now_us
        return found

    def close(self) -> None:
        """Detach: closing the handles ends the programs."""
        for handle in self._handles:
            os.close(handle)
        self._handles = []
        if hasattr(self, "_ring"):
            self._ring.close()


def _event(record: bytes, offset_us: int) -> KernelEvent:
    if len(record) == _EXIT_RECORD.size:
        _kind, pid_tgid, at_ns, code = _EXIT_RECORD.unpack(record)
        return Exit(pid_tgid >> 32, offset_us + at_ns // 1000, code)
    (_kind, _, pid_tgid, uid_gid, at_ns, ppid, login_uid, start_ns, inode, length, device) = (
        _HEAD.unpack_from(record)
    )
    called = record[_CALLED_AT:_ARGS_AT].split(b"\0", 1)[0]
    return Exec(
        pid=pid_tgid >> 32,
        time_us=offset_us + at_ns // 1000,
        ppid=ppid,
        start_ticks=start_ns // 1000 // TICK_US,
        argv=record[_ARGS_AT:] or None,
        argv_bytes=length,
        uid=uid_gid & 0xFFFFFFFF,
        login_uid=login_uid,
        called=called.decode("utf-8", "backslashreplace"),
        inode=(os.makedev(device >> 20, device & 0xFFFFF), inode),
    )
