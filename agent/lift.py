"""Take back all that is in force on this host: for who stands before it, without a house.

Root does this, and what is in force is noted in a file of the agent's account: the file is opened
with that account's rights, and what it says is worked off in a copy of root's own.
"""

import contextlib
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from agent.act import Host, actions
from agent.errors import AgentError
from agent.orders import InForce, Orders
from agent.system import own_account

_UNREADABLE = (AgentError, OSError, sqlite3.Error, ValueError, TypeError)


def lifted(folder: Path) -> list[str]:
    """Take back all that is in force, whoever asked for it; say what, and what not.

    Rules of the network go whatever the file says.
    """
    path, said = folder / "orders.sqlite", []
    noted: list[InForce] = []
    if os.path.lexists(path):
        try:
            with as_owner(folder), contextlib.closing(Orders(path, mends=False)) as orders:
                noted = orders.noted()
        except _UNREADABLE as wrong:
            said.append(f"what is in force could not be read: {wrong}")
    with (
        tempfile.TemporaryDirectory() as own,
        contextlib.closing(Orders(Path(own) / "orders.sqlite")) as orders,
    ):
        host = Host(folder, orders, list, frozenset, time.time)
        done = [one.id for one in noted if _undone(one, host, said)]
        for module in actions().values():
            if hasattr(module, "TABLE"):
                with contextlib.suppress(AgentError, OSError):  # without nft there are none
                    module.put([], host)
    if done:
        try:
            with as_owner(folder), contextlib.closing(Orders(path, mends=False)) as orders:
                for id_ in done:
                    orders.release(id_)
        except _UNREADABLE as wrong:
            said.append(f"it could not be noted: {wrong}")
    return said


def _undone(one: InForce, host: Host, said: list[str]) -> bool:
    try:
        actions()[one.kind].undo(one, host)
    except Exception as wrong:  # noqa: BLE001  the row is the account's: no word in it may stop root
        said.append(f"{one.kind!s:.40} {one.id!s:.40} could not be taken back: {wrong}")
        return False
    said.append(f"{one.kind} {one.id} is taken back")
    return True


@contextlib.contextmanager
def as_owner(folder: Path) -> Iterator[None]:
    """Have the folder owner's rights and no more of root's: a link there leads nowhere else."""
    told = folder.lstat()
    if own_account() != 0 or told.st_uid == 0:
        yield
        return
    groups = os.getgroups()
    os.setgroups([])
    os.setegid(told.st_gid)
    os.seteuid(told.st_uid)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)
        os.setgroups(groups)
