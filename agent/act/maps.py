"""Take a process' memory map as evidence: its regions and the files behind them, no content."""

import functools
import os
from contextlib import ExitStack
from typing import Final

from agent.act import Host, Refuses, Told, _evidence, _processes
from agent.collect.linux import _proc

KIND: Final = "maps"
MOST_BYTES: Final = 4 << 20


def plan(arguments: Told, _host: Host) -> Told:
    """Say which process it is."""
    with ExitStack() as stack:
        named = _processes.hold(str(arguments.get("process")), stack)
        return {"processes": _processes.said([named.pid])}


def do(id: str, arguments: Told, host: Host) -> Told:
    """Copy the map; it counts only if it was this process to the end."""
    with ExitStack() as stack:
        named = _processes.hold(str(arguments.get("process")), stack)
        detail: Told = {"processes": _processes.said([named.pid])}
        source = f"/proc/{named.pid}/maps"
        try:
            handle = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as wrong:
            raise Refuses(f"{source}: {wrong.strerror}") from None
        stack.callback(os.close, handle)
        read = functools.partial(os.read, handle)
        told = _evidence.keep(id, source, MOST_BYTES, read, detail, host)
        seen = _proc.read(named.pid)
        if seen is None or seen.start_ticks != named.start_ticks:
            (host.folder / _evidence.FOLDER / id).unlink(missing_ok=True)
            raise Refuses("the process ended meanwhile")
        return told
