"""Stop a process and all that it started; undo lets them go on."""

import signal
from contextlib import ExitStack
from typing import Final

from agent.act import MOST_MINUTES, Host, Refuses, Told, _processes, kill, lasting
from agent.orders import InForce

KIND: Final = "suspend"


def plan(arguments: Told, host: Host) -> Told:
    """Say which processes would stop."""
    return kill.plan(arguments, host)


def do(id: str, arguments: Told, host: Host) -> Told:
    """Stop them; a day later at the latest they go on."""
    with ExitStack() as stack:
        root = _processes.hold(str(arguments.get("process")), stack)
        until_s = host.now_s() + MOST_MINUTES * 60
        is_tree = bool(arguments.get("tree", True))

        def note(found: list[_processes.Named]) -> None:
            # On disk before any is stopped: undo knows them although we end meanwhile.
            uids = [one.uid for one in found]
            one = InForce(id, KIND, until_s, {"processes": uids})
            host.orders.hold(lasting(one, host))

        try:
            found = _processes.stopped(root, host.own_pids(), stack, is_tree=is_tree, note=note)
        except BaseException:
            host.orders.release(id)
            raise
        told = _processes.said([one.pid for one in found])
    return {"processes": told, "count": len(found)}


def put(_held: list[InForce], _host: Host) -> None:
    """Leave it: what is stopped stays so without us."""


def undo(one: InForce, _host: Host) -> Told:
    """Let them go on, each only if it is still the one that was stopped."""
    count = 0
    with ExitStack() as stack:
        # Children first: a parent that goes on at once may wait for them.
        for uid in reversed(one.detail.get("processes", [])):
            try:
                count += _processes.send(_processes.hold(uid, stack), signal.SIGCONT)
            except Refuses:
                continue
    return {"count": count}
