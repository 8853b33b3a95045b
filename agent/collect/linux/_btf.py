"""Find where fields lie in the running kernel's structures, in the description it carries (BTF).

Source: Documentation/bpf/btf.rst of the kernel.
"""

import struct
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Final

VMLINUX: Final = Path("/sys/kernel/btf/vmlinux")
_MAGIC: Final = 0xEB9F
_STRUCT, _UNION = 4, 5
_MODIFIERS: Final = frozenset({8, 9, 10, 11, 18})
"""Typedef, volatile, const, restrict, type tag: another type under another name."""
_FIXED: Final = {1: 4, 3: 12, 14: 4, 17: 4}
_EACH: Final = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}
_DEEPEST: Final = 6


class Layout:
    """The kernel's types; ValueError if the description cannot be read."""

    def __init__(self, data: bytes) -> None:
        """Walk once over all types."""
        magic, _version, _flags, head, type_at, type_size, text_at, _ = struct.unpack_from(
            "=HBBIIIII", data
        )
        if magic != _MAGIC:
            raise ValueError("not a BTF description")
        self._data = data
        self._text = head + text_at
        self._places = array("I", [0])
        place, end = head + type_at, head + type_at + type_size
        info_of = struct.Struct("=I").unpack_from
        while place < end:
            self._places.append(place)
            (info,) = info_of(data, place + 4)
            kind, count = (info >> 24) & 0x1F, info & 0xFFFF
            place += 12 + _FIXED.get(kind, 0) + _EACH.get(kind, 0) * count

    def offsets(self, wanted: Iterable[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """Give the byte offset of each (structure, field) that the kernel has."""
        pairs = set(wanted)
        names = {name.encode(): name for name, _ in pairs}
        found: dict[tuple[str, str], int] = {}
        for place in self._places[1:]:
            name_at, info = struct.unpack_from("=II", self._data, place)
            if (info >> 24) & 0x1F != _STRUCT or not info & 0xFFFF:
                continue
            structure = names.get(self._name(name_at)) if name_at else None
            if structure is None:
                continue
            for field, offset in self._fields(place, 0, 0).items():
                if (structure, field) in pairs:
                    found.setdefault((structure, field), offset)
        return found

    def _name(self, at: int) -> bytes:
        start = self._text + at
        return self._data[start : self._data.index(b"\0", start)]

    def _fields(self, place: int, base: int, depth: int) -> dict[str, int]:
        """Give the fields of a structure, those of nameless parts too."""
        found: dict[str, int] = {}
        (info,) = struct.unpack_from("=I", self._data, place + 4)
        for n in range(info & 0xFFFF):
            name_at, kind, bits = struct.unpack_from("=III", self._data, place + 12 + 12 * n)
            offset = base + ((bits & 0xFFFFFF) if info >> 31 else bits) // 8
            if name_at:
                found[self._name(name_at).decode("ascii", "replace")] = offset
            elif depth < _DEEPEST:
                inner = self._bare(kind)
                if inner:
                    found |= self._fields(inner, offset, depth + 1)
        return found

    def _bare(self, kind: int) -> int:
        """Give the place of a structure or union behind its other names; 0 for anything else."""
        for _ in range(_DEEPEST):
            place = self._places[kind]
            info, target = struct.unpack_from("=II", self._data, place + 4)
            number = (info >> 24) & 0x1F
            if number in {_STRUCT, _UNION}:
                return place
            if number not in _MODIFIERS:
                return 0
            kind = target
        return 0


def kernel_offsets(
    wanted: Iterable[tuple[str, str]], path: Path = VMLINUX
) -> dict[tuple[str, str], int]:
    """Read the running kernel's description; OSError if it has none."""
    return Layout(path.read_bytes()).offsets(wanted)
