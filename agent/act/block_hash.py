"""Refuse starts of programs with a SHA-256, and end those that run already, for a time.

A copy that is not known yet is ended as it starts the first time, and refused from then on.
"""

import re
from typing import Final

from agent.act import Host, Refuses, Told, _processes, impose, left_s, minutes_of
from agent.act._block import Block
from agent.act._programs import Programs
from agent.act._spared import Spared
from agent.errors import AgentError
from agent.orders import InForce

KIND: Final = "block_hash"
MOST: Final = 1000
_HASH: Final = re.compile(r"[0-9a-f]{64}")


def plan(arguments: Told, host: Host) -> Told:
    """Say what would be ended at once; Refuses what the host and the agent need."""
    minutes, digest = minutes_of(arguments), str(arguments.get("sha256"))
    if not _HASH.fullmatch(digest):
        raise Refuses("sha256: 64 hex digits, small letters")
    if len([o for o in host.orders.held() if o.kind == KIND]) >= MOST:
        raise Refuses(f"{MOST} hashes are blocked already")
    programs = Programs()
    if digest in Spared(programs, host.own_pids()).found().values():
        raise Refuses("the host's first process, the agent or every start needs this program")
    running = programs.running()
    spared = {1, *host.own_pids()}
    if digest in {running.get(pid) for pid in spared}:
        raise Refuses("the host's first process or the agent itself is this program")
    found = [pid for pid, told in running.items() if told == digest]
    return {"sha256": digest, "minutes": minutes, "running": _processes.said(found)}


def do(id: str, arguments: Told, host: Host) -> Told:
    """Block it."""
    told = plan(arguments, host)
    until_s = host.now_s() + told["minutes"] * 60
    impose(InForce(id, KIND, until_s, {"sha256": told["sha256"]}), host, put)
    block = host.running.get(KIND)
    places = block.places(told["sha256"]) if isinstance(block, Block) else []
    note = (
        "starts of these files are refused; copies are looked for, and one that is not known "
        "yet is ended as it starts"
    )
    refused = {"refused_places": len(places), "places": [one[:300] for one in places[:20]]}
    return {**told, **refused, "note": note}


def put(held: list[InForce], host: Host) -> None:
    """Watch for what is in force; without any the watch ends."""
    blocked = frozenset(str(one.detail["sha256"]) for one in held if left_s(one, host) > 0)
    block = host.running.get(KIND)
    if isinstance(block, Block):
        for row in block.news():
            host.news.append(row)
        if not blocked or not block.is_alive:
            block.close()
            del host.running[KIND]
            block = None
    if not blocked:
        return
    if not isinstance(block, Block):
        try:
            block = host.running[KIND] = Block(frozenset({1, *host.own_pids()}))
        except OSError as wrong:
            raise AgentError(f"programs cannot be watched: {wrong}") from None
    block.be(blocked)


def undo(_one: InForce, host: Host) -> Told:
    """Let it start again."""
    left = [o for o in host.orders.held() if o.kind == KIND]
    put(left, host)
    return {"still_blocked": [o.detail["sha256"] for o in left]}


def says(arguments: Told, one: InForce) -> bool:
    """Answer whether the order's arguments are what is noted as in force."""
    return arguments.get("sha256") == one.detail.get("sha256")
