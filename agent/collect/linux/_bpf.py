"""Load small programs into the kernel: an assembler of the few instructions used, and bpf(2).

Source: Documentation/bpf/ of the kernel (instruction set, ring buffer), include/uapi/linux/bpf.h.
"""

import ctypes
import functools
import os
import platform
import struct
from typing import Final, NamedTuple

MAP_ARRAY, MAP_PERCPU_ARRAY, MAP_RINGBUF = 2, 6, 27
_CALL_NUMBER: Final = {"x86_64": 321, "aarch64": 280}
_MAP_CREATE, _MAP_LOOKUP, _PROG_LOAD, _RAW_TRACEPOINT_OPEN = 0, 1, 5, 17
_RAW_TRACEPOINT: Final = 17
_LOG_BYTES: Final = 1 << 16

MAP_LOOKUP_ELEM, PID_TGID, UID_GID = 1, 14, 15
READ_USER, READ_KERNEL, READ_KERNEL_STR = 112, 113, 115
BOOT_NS, RINGBUF_OUTPUT = 125, 130


class Label(NamedTuple):
    """A place in a program that jumps lead to."""

    name: str


class Jump(NamedTuple):
    """An instruction whose offset is a label."""

    code: int
    register: int
    label: str
    value: int


Step = bytes | Label | Jump


def _one(code: int, to: int, source: int, offset: int, value: int) -> bytes:
    return struct.pack("<BBhi", code, to | source << 4, offset, value)


def move(to: int, source: int) -> bytes:
    """`to = source`."""
    return _one(0xBF, to, source, 0, 0)


def put(to: int, value: int) -> bytes:
    """`to = value`."""
    return _one(0xB7, to, 0, 0, value)


def add(to: int, value: int) -> bytes:
    """`to += value`."""
    return _one(0x07, to, 0, 0, value)


def subtract(to: int, source: int) -> bytes:
    """`to -= source`."""
    return _one(0x1F, to, source, 0, 0)


def load(to: int, source: int, offset: int) -> bytes:
    """`to = *(u64 *)(source + offset)`."""
    return _one(0x79, to, source, offset, 0)


def store(to: int, offset: int, source: int) -> bytes:
    """`*(u64 *)(to + offset) = source`."""
    return _one(0x7B, to, source, offset, 0)


def store_32(to: int, offset: int, source: int) -> bytes:
    """`*(u32 *)(to + offset) = source`."""
    return _one(0x63, to, source, offset, 0)


def store_value(to: int, offset: int, value: int) -> bytes:
    """`*(u64 *)(to + offset) = value`."""
    return _one(0x7A, to, 0, offset, value)


def add_atomic(to: int, source: int) -> bytes:
    """`lock *(u64 *)to += source`."""
    return _one(0xDB, to, source, 0, 0)


def shift_right(to: int, bits: int) -> bytes:
    """`to >>= bits`."""
    return _one(0x77, to, 0, 0, bits)


def low_half(to: int, source: int) -> bytes:
    """`to = (u32)source`."""
    return _one(0xBC, to, source, 0, 0)


def call(helper: int) -> bytes:
    """Call a function of the kernel: arguments in 1 to 5, the answer in 0."""
    return _one(0x85, 0, 0, 0, helper)


def the_map(to: int, handle: int) -> bytes:
    """`to = the map`."""
    return struct.pack("<BBhiBBhi", 0x18, to | 1 << 4, 0, handle, 0, 0, 0, 0)


def if_equal(register: int, value: int, label: str) -> Jump:
    """Go to the label if the register is `value`."""
    return Jump(0x15, register, label, value)


def if_at_most(register: int, value: int, label: str) -> Jump:
    """Go to the label if the register, without sign, is at most `value`."""
    return Jump(0xB5, register, label, value)


def if_same(register: int, other: int, label: str) -> Jump:
    """Go to the label if two registers are equal."""
    return Jump(0x1D, register | other << 4, label, 0)


LEAVE: Final = _one(0x95, 0, 0, 0, 0)


def assemble(steps: list[Step]) -> bytes:
    """Give the program's bytes, jumps resolved."""
    places: dict[str, int] = {}
    at = 0
    for step in steps:
        if isinstance(step, Label):
            places[step.name] = at
        else:
            at += len(step) // 8 if isinstance(step, bytes) else 1
    code = bytearray()
    for step in steps:
        if isinstance(step, bytes):
            code += step
        elif isinstance(step, Jump):
            offset = places[step.label] - len(code) // 8 - 1
            code += struct.pack("<BBhi", step.code, step.register, offset, step.value)
    return bytes(code)


@functools.cache
def _call_number() -> int:
    number = _CALL_NUMBER.get(platform.machine())
    if number is None:
        raise OSError(f"bpf(2) is not known on {platform.machine()}")
    return number


@functools.cache
def _library() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _bpf(command: int, attributes: bytes) -> int:
    number = _call_number()
    held = ctypes.create_string_buffer(attributes.ljust(128, b"\0"), 128)
    answer = _library().syscall(number, command, held, 128)
    if answer < 0:
        wrong = ctypes.get_errno()
        raise OSError(wrong, f"bpf({command}): {os.strerror(wrong)}")
    return int(answer)


def make_map(kind: int, key: int, value: int, entries: int) -> int:
    """Make a map; OSError if this process may not (CAP_BPF, or a memlock limit on old kernels)."""
    return _bpf(_MAP_CREATE, struct.pack("<IIIII", kind, key, value, entries, 0))


def look_up(handle: int, key: int) -> int:
    """Give the number that an array of u64 holds under the key."""
    at, value = ctypes.c_uint32(key), ctypes.c_uint64(0)
    where = struct.pack("<IIQQQ", handle, 0, ctypes.addressof(at), ctypes.addressof(value), 0)
    _bpf(_MAP_LOOKUP, where)
    return value.value


def load_program(code: bytes) -> int:
    """Load a program for raw tracepoints; OSError with the verifier's last words."""
    held, licence = ctypes.create_string_buffer(code), ctypes.create_string_buffer(b"GPL")
    said = ctypes.create_string_buffer(_LOG_BYTES)

    def attributes(level: int) -> bytes:
        log = (level, _LOG_BYTES, ctypes.addressof(said)) if level else (0, 0, 0)
        begin = (_RAW_TRACEPOINT, len(code) // 8, ctypes.addressof(held), ctypes.addressof(licence))
        return struct.pack("<IIQQIIQ", *begin, *log)

    try:
        return _bpf(_PROG_LOAD, attributes(0))
    except OSError:
        try:
            return _bpf(_PROG_LOAD, attributes(1))
        except OSError as refused:
            words = said.value[-300:].decode("ascii", "replace").replace("\n", " | ")
            raise OSError(refused.errno, f"{refused.strerror}: {words}") from refused


def attach(program: int, tracepoint: str) -> int:
    """Attach a program; it runs until the handle is closed."""
    name = ctypes.create_string_buffer(tracepoint.encode())
    return _bpf(_RAW_TRACEPOINT_OPEN, struct.pack("<QI", ctypes.addressof(name), program))
