"""Hold processes by what they are: boot, pid and start time, through a handle of the kernel's.

A pid alone says nothing: by the time it is used it may be another process. A handle (pidfd) is
opened first and the start time read afterwards: if it is the one that was named, the handle is too.
"""

import os
import re
import signal
from collections.abc import Callable
from contextlib import ExitStack
from typing import Final, NamedTuple

from agent.act import Refuses
from agent.collect.linux import _proc

MOST: Final = 500
ROUNDS: Final = 10
_UID: Final = re.compile(r"([0-9a-f]{8})-([1-9][0-9]{0,9})-([0-9]{1,20})")
_KERNEL: Final = 2
"""kthreadd: what it started has no program."""


class Named(NamedTuple):
    """A process as it was named, with the kernel's handle on it."""

    pid: int
    start_ticks: int
    handle: int
    ppid: int = 0

    @property
    def uid(self) -> str:
        """Give its name for good."""
        return f"{_proc.boot_mark()}-{self.pid}-{self.start_ticks}"


def parts(uid: str) -> tuple[int, int]:
    """Read pid and start time out of a `process.uid`; Refuses another boot's."""
    found = _UID.fullmatch(uid)
    if found is None:
        raise Refuses("process: boot, pid and start time, as `process.uid` has them")
    if found[1] != _proc.boot_mark():
        raise Refuses("the process is of another boot: it is over")
    return int(found[2]), int(found[3])


def hold(uid: str, stack: ExitStack) -> Named:
    """Give the process and a handle on it, closed with the stack; Refuses if it has gone."""
    pid, start = parts(uid)
    named = _opened(pid, stack)
    if named is None or named.start_ticks != start:
        raise Refuses("the process has gone; its pid may be another's by now")
    return named


def _opened(pid: int, stack: ExitStack) -> Named | None:
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return None
    stack.callback(os.close, handle)
    seen = _proc.read(pid)
    return None if seen is None else Named(pid, seen.start_ticks, handle, seen.ppid)


def check_not_ours(pids: set[int], own: frozenset[int]) -> None:
    """Pass unless the host's first process, the kernel's or the agent itself is among them."""
    for pid in sorted(pids):
        if pid in {1, _KERNEL}:
            raise Refuses("the host's first process and the kernel's own are left alone")
        seen = _proc.read(pid)
        if seen is not None and seen.ppid == _KERNEL:
            raise Refuses("the kernel's own processes are left alone")
    if pids & own:
        raise Refuses("the agent itself is among these processes")


def children() -> dict[int, list[int]]:
    """Give the children of every process."""
    found: dict[int, list[int]] = {}
    for pid in _proc.pids():
        seen = _proc.read(pid)
        if seen is not None:
            found.setdefault(seen.ppid, []).append(pid)
    return found


def below(root: int) -> list[int]:
    """Give a process and all that it started and that is still below it, parents first."""
    known, tree = children(), [root]
    for pid in tree:
        if len(tree) > MOST:
            raise Refuses(f"over {MOST} processes are below it")
        tree += known.get(pid, [])
    return tree


def stopped(
    root: Named,
    own: frozenset[int],
    stack: ExitStack,
    *,
    is_tree: bool,
    note: Callable[[list[Named]], None] = lambda _held: None,
) -> list[Named]:
    """Stop a process and what it started, so that none starts another meanwhile; give them.

    Refuses before anything is stopped where one of them must be left alone; what was stopped goes
    on if one turns up later. `note` is told each before it is stopped, with those before it.
    """
    check_not_ours({root.pid}, own)  # first: it is the clearer word where there are too many below
    if is_tree:
        check_not_ours(set(below(root.pid)), own)
    held = [root]
    try:
        note(held)
        send(root, signal.SIGSTOP)
        for _ in range(ROUNDS if is_tree else 0):
            known = {one.pid for one in held}
            fresh = [pid for pid in below(root.pid) if pid not in known]
            if not fresh:
                break
            check_not_ours(set(fresh), own)
            found = _children_of(held, fresh, stack)
            check_not_ours({one.pid for one in found}, own)
            note([*held, *found])
            for one in found:
                held.append(one)
                send(one, signal.SIGSTOP)
    except BaseException:
        for one in held:
            send(one, signal.SIGCONT)
        raise
    return held


def _children_of(held: list[Named], fresh: list[int], stack: ExitStack) -> list[Named]:
    """Open these, parents first; what is no child of one that is held is another by now."""
    found: list[Named] = []
    for pid in fresh:
        named = _opened(pid, stack)
        if named is not None and named.ppid in {one.pid for one in (*held, *found)}:
            found.append(named)
    return found


def send(one: Named, number: signal.Signals) -> bool:
    """Send a signal to the very process that was named; False if it has ended."""
    try:
        signal.pidfd_send_signal(one.handle, number)
    except ProcessLookupError:
        return False
    return True


def said(pids: list[int]) -> list[dict[str, object]]:
    """Describe processes for people: what would be or was acted on."""
    found = []
    for pid in pids[:100]:
        seen = _proc.read(pid)
        if seen is not None:
            found.append(
                {
                    "pid": pid,
                    "uid": seen.uid_text,
                    "program": seen.path[:300],
                    "cmd_line": (seen.cmd_line or "")[:300],
                    "user": _proc.user_name(seen.uid),
                }
            )
    return found
