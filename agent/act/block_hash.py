"""End programs with a SHA-256 as they start, and those that run already, for a time.

Not kept from starting: see `_execs`. Scripts are their interpreter's programs and are not found.
"""

import re
import sys
from typing import Final

from agent.act import Host, Refuses, Told, _execs, _processes, impose, left_s, minutes_of
from agent.errors import AgentError
from agent.orders import InForce

KIND: Final = "block_hash"
MOST: Final = 1000
_HASH: Final = re.compile(r"[0-9a-f]{64}")


def plan(arguments: Told, host: Host) -> Told:
    """Say what would be ended at once; Refuses the host's and the agent's own programs."""
    minutes, digest = minutes_of(arguments), str(arguments.get("sha256"))
    if not _HASH.fullmatch(digest):
        raise Refuses("sha256: 64 hex digits, small letters")
    if len([o for o in host.orders.held() if o.kind == KIND]) >= MOST:
        raise Refuses(f"{MOST} hashes are blocked already")
    running = _execs.Programs().running()
    spared = {1, *host.own_pids()}
    own = {running.get(pid) for pid in spared} | _own_program()
    if digest in own:
        raise Refuses("the host's first process or the agent itself is this program")
    found = [pid for pid, told in running.items() if told == digest]
    return {"sha256": digest, "minutes": minutes, "running": _processes.said(found)}


def _own_program() -> set[str]:
    with open(sys.executable, "rb") as file:  # noqa: PTH123  a handle is needed
        return {_execs.Programs().of(file.fileno())[1]}


def do(id: str, arguments: Told, host: Host) -> Told:
    """Block it."""
    told = plan(arguments, host)
    until_s = host.now_s() + told["minutes"] * 60
    impose(InForce(id, KIND, until_s, {"sha256": told["sha256"]}), host, put)
    return {**told, "note": "a program is ended as it starts, not kept from starting"}


def put(held: list[InForce], host: Host) -> None:
    """Watch for what is in force; without any the watch ends."""
    blocked = frozenset(str(one.detail["sha256"]) for one in held if left_s(one, host) > 0)
    watch = host.running.get(KIND)
    if isinstance(watch, _execs.Execs) and not watch.is_alive:
        watch.close()
        del host.running[KIND]
        watch = None
    if not blocked:
        if isinstance(watch, _execs.Execs):
            watch.close()
            del host.running[KIND]
        return
    if not isinstance(watch, _execs.Execs):
        spared = frozenset({1, *host.own_pids()})
        try:
            watch = host.running[KIND] = _execs.Execs(_execs.Programs(), spared)
        except OSError as wrong:
            raise AgentError(f"programs cannot be watched: {wrong}") from None
    if watch.blocked != blocked:
        watch.blocked = blocked
        watch.end_running()


def undo(_one: InForce, host: Host) -> Told:
    """Let it start again."""
    left = [o for o in host.orders.held() if o.kind == KIND]
    put(left, host)
    return {"still_blocked": [o.detail["sha256"] for o in left]}


def says(arguments: Told, one: InForce) -> bool:
    """Answer whether the order's arguments are what is noted as in force."""
    return arguments.get("sha256") == one.detail.get("sha256")
