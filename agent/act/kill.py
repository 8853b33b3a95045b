"""End a process and all that it started. There is no way back: suspend first if in doubt."""

import signal
from contextlib import ExitStack
from typing import Final

from agent.act import Host, Told, _processes

KIND: Final = "kill"


def plan(arguments: Told, host: Host) -> Told:
    """Say which processes would end."""
    with ExitStack() as stack:
        root = _processes.hold(str(arguments.get("process")), stack)
        pids = _processes.below(root.pid) if arguments.get("tree", True) else [root.pid]
        _processes.check_not_ours(set(pids), host.own_pids())
        return {"processes": _processes.said(pids), "count": len(pids)}


def do(_id: str, arguments: Told, host: Host) -> Told:
    """Stop them all, then end them all; what started none of them is not touched."""
    with ExitStack() as stack:
        root = _processes.hold(str(arguments.get("process")), stack)
        is_tree = bool(arguments.get("tree", True))
        found = _processes.stopped(root, host.own_pids(), stack, is_tree=is_tree)
        told = _processes.said([one.pid for one in found])
        ended = sum(_processes.send(one, signal.SIGKILL) for one in found)
    return {"processes": told, "count": ended}
