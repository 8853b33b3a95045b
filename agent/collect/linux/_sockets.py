"""Know the sockets that were told of, packed: a busy host has a hundred thousand.

A socket costs some 300 bytes. At most 100,000 are known, of one account 80,000: whoever opens more
hides no other account's. What is over it is told as it ends, as what is shorter than a look.
"""

import base64
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from agent.collect import Event
from agent.collect.linux._sockdiag import (
    CLOSED,
    COOKIE,
    ESTABLISHED,
    HERE_PORT,
    INODE,
    LISTEN,
    SIZE,
    STATE,
    THERE_PORT,
    UID,
    Raw,
)

MOST: Final = 100_000
MOST_OF_ONE: Final = 80_000
MOST_A_LOOK: Final = 10_000
"""New ones told in one look; the others wait for the next one."""
_CLOSING: Final = frozenset({4, 5, 8, 9, 11})
_EPHEMERAL: Final = 32768
_TCP, _UDP = b"\x06", b"\x11"
_NO_PORT, _NO_INODE = bytes(2), bytes(4)
Ports = set[tuple[str, bytes]]


@dataclass(slots=True)
class Held:
    """One socket: as the kernel said it when it was told, which way, and whose."""

    proto: str
    body: bytes
    is_inbound: bool
    owner: Event | None = None


class Sockets:
    """Those that live, by the kernel's own name."""

    def __init__(self, noted: str = "") -> None:
        """Begin with what a run before has noted."""
        self._live = dict(_unpacked(noted))
        self._of: Counter[bytes] = Counter(one.body[UID] for one in self._live.values())
        self.over = 0
        """How many the last look saw for which there was no room."""
        self.waiting = 0
        """How many the last look left for the next one."""

    def __len__(self) -> int:
        """Give how many are known."""
        return len(self._live)

    def noted(self) -> str:
        """Give all in few letters, for the notes."""
        return _packed(self._live.items())

    def is_known(self, raw: Raw) -> bool:
        """Answer whether it was told of."""
        return key_of(raw) in self._live

    def keep(self, raw: Raw, held: Held) -> None:
        """Know it from now on."""
        self._live[key_of(raw)] = held
        self._of[held.body[UID]] += 1

    def compare(self, now: Iterable[Raw]) -> tuple[list[Raw], list[Held], Ports]:
        """Give what is new and what is gone, and where something listens.

        Of what is new no more than there is room for, and than a look may tell.
        """
        before, self._live = self._live, {}
        ports: Ports = set()
        new: list[Raw] = []
        self.over = self.waiting = 0
        claimed: Counter[bytes] = Counter()
        live = self._live
        for raw in now:
            # Most of a busy host's were known before, and are open: nothing else is asked of them.
            proto, body = raw
            key = (_TCP if proto == "tcp" else _UDP) + body[THERE_PORT] + body[COOKIE]
            if body[STATE] == ESTABLISHED and key in before:
                live[key] = before.pop(key)
                continue
            is_listening = listens(raw)
            if is_listening:
                ports.add((raw[0], raw[1][HERE_PORT]))
            elif not _counts(raw):
                continue
            if key in before:
                live[key] = before.pop(key)
            elif key not in live:
                self._take(raw, new, claimed, len(before))
        for one in before.values():
            self._of[one.body[UID]] -= 1
        self._of = +self._of
        return new, list(before.values()), ports

    def _take(self, raw: Raw, new: list[Raw], claimed: Counter[bytes], others: int) -> None:
        uid = raw[1][UID]
        if (
            len(self._live) + others + len(new) >= MOST
            or self._of[uid] + claimed[uid] >= MOST_OF_ONE
        ):
            self.over += 1
        elif len(new) >= MOST_A_LOOK:
            self.waiting += 1
        else:
            claimed[uid] += 1
            new.append((raw[0], raw[1][:SIZE]))


def key_of(raw: Raw) -> bytes:
    """Give what names the socket while the host is up; a UDP socket that turns is another one."""
    body = raw[1]
    return (_TCP if raw[0] == "tcp" else _UDP) + body[THERE_PORT] + body[COOKIE]


def listens(raw: Raw) -> bool:
    """Answer whether somebody waits at it for others."""
    proto, body = raw
    if proto == "tcp":
        return body[STATE] == LISTEN
    if body[STATE] != CLOSED or body[THERE_PORT] != _NO_PORT:
        return False
    return int.from_bytes(body[HERE_PORT], "big") < _EPHEMERAL


def _counts(raw: Raw) -> bool:
    """Answer whether it leads somewhere; one that its process has closed is the kernel's only."""
    body = raw[1]
    if body[STATE] in _CLOSING and body[INODE] == _NO_INODE:
        return False
    return body[THERE_PORT] != _NO_PORT


def _packed(live: Iterable[tuple[bytes, Held]]) -> str:
    text = b"".join(
        key[:1] + bytes([one.is_inbound]) + one.body[:40] + one.body[COOKIE] + one.body[UID]
        for key, one in live
    )
    return base64.b85encode(zlib.compress(text, 1)).decode()


_NOTED: Final = 54


def _unpacked(noted: str) -> Iterator[tuple[bytes, Held]]:
    try:
        text = zlib.decompress(base64.b85decode(noted)) if noted else b""
    except (ValueError, zlib.error):
        return  # what closed meanwhile is not told then
    for at in range(0, len(text) - len(text) % _NOTED, _NOTED):
        one = text[at : at + _NOTED]
        proto = "tcp" if one[:1] == _TCP else "udp"
        body = one[2:42] + bytes(4) + one[42:50] + bytes(12) + one[50:54] + bytes(4)
        yield key_of((proto, body)), Held(proto, body, bool(one[1]))
