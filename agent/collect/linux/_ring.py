"""Read the kernel's ring buffer (BPF_MAP_TYPE_RINGBUF): memory shared, no copy by the kernel."""

import mmap
import select
import struct
from typing import Final

_BUSY, _DISCARD = 1 << 31, 1 << 30
_HEAD: Final = 8
_U64: Final = struct.Struct("=Q")
_U32: Final = struct.Struct("=I")


class Ring:
    """Read records in order; `size` is that of the map, a power of two."""

    def __init__(self, handle: int, size: int) -> None:
        """Map the buffer into this process."""
        page = mmap.PAGESIZE
        self._size = size
        self._ours = mmap.mmap(handle, page, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        self._theirs = mmap.mmap(
            handle, page + 2 * size, mmap.MAP_SHARED, mmap.PROT_READ, offset=page
        )
        self._data = page
        self._poll = select.poll()
        self._poll.register(handle, select.POLLIN)

    def wait(self, timeout_s: float) -> bool:
        """Wait until there is something."""
        return bool(self._poll.poll(timeout_s * 1000))

    def read(self, most: int) -> list[bytes]:
        """Give the records that are there."""
        found: list[bytes] = []
        (at,) = _U64.unpack_from(self._ours)
        (end,) = _U64.unpack_from(self._theirs)
        while at < end and len(found) < most:
            place = self._data + (at & (self._size - 1))
            (size,) = _U32.unpack_from(self._theirs, place)
            if size & _BUSY:
                break
            length = size & ~_DISCARD
            if not size & _DISCARD:
                found.append(self._theirs[place + _HEAD : place + _HEAD + length])
            at += (length + _HEAD + 7) & ~7
        _U64.pack_into(self._ours, 0, at)
        return found

    def close(self) -> None:
        """Give the memory back."""
        self._ours.close()
        self._theirs.close()
