"""Bind looking for versions and putting them in place to this host: paths, account, systemd."""

import importlib
import json
import os
import shlex
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from agent.errors import AgentError
from agent.fetch import Fetcher, Shelf, keep_looking, system
from agent.place import KEPT, PLACE
from agent.settings import Settings
from agent.ship import Server
from agent.system import NO_LINK, NO_WAIT, own_account
from agent.units import RESPOND, SHIP, USER, WATCH
from agent.update import Host
from agent.voice import tell

STATUS_S: Final = 30
SHELF: Final = "/v1/agents/updates"


def start(
    data: Path,
    said: Settings,
    server: Server,
    stop: threading.Event,
    houses: Callable[[], list[tuple[str, int]]],
) -> None:
    """Look for versions in a thread until told to stop: at `update_url`, else at the house."""
    shelf = _shelf(said, server, houses)
    if shelf is None:
        return
    fetcher = Fetcher(shelf, data, said.ring, _agent_id(data))
    threading.Thread(
        target=keep_looking, args=(fetcher, stop), name="versions", daemon=True
    ).start()


def _shelf(
    said: Settings, server: Server, houses: Callable[[], list[tuple[str, int]]]
) -> Shelf | None:
    if said.update_url:
        plain = Server(said.update_url, ca_file=said.ca)  # refuses clear text but to this machine
        return Shelf(plain.url.rstrip("/"), plain.context)
    if server.identity is None:
        return None
    url = server.url.rstrip("/") + SHELF
    return Shelf(url, server.context, server.identity.headers(), True, houses)


def _agent_id(data: Path) -> str:
    """Give whose lot it is. The file is the agent account's own: no link in it is followed."""
    try:
        handle = os.open(data / "identity.json", os.O_RDONLY | NO_LINK | NO_WAIT)
        with os.fdopen(handle, "rb") as held:
            return str(json.loads(held.read(65536))["agent_id"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def host(data: Path, ring: str, restart: str | None, health_s: float) -> Host:
    """Give the means of this host; AgentError unless root asks."""
    if own_account() != 0:
        raise AgentError("update needs root: it puts programs in place")
    orders = [["systemctl", "restart", WATCH, SHIP], ["systemctl", "try-restart", RESPOND]]
    if restart:
        orders = [shlex.split(restart)]
    if shutil.which(orders[0][0]) is None:
        raise AgentError(f"{orders[0][0]} is not there; give --restart")

    def again() -> None:
        for words in orders:
            done = subprocess.run(words, check=False, capture_output=True, text=True, timeout=120)
            if done.returncode:
                raise AgentError(f"{words[0]}: {done.stderr.strip()[-200:]}")

    return Host(
        place=PLACE,
        kept=KEPT,
        data=data,
        ring=ring,
        agent_id=_agent_id(data),
        system=system(),
        restart=again,
        health=lambda: _status(data),
        health_s=health_s,
    )


def _status(data: Path) -> dict[str, Any]:
    """Ask as the agent's account: its spool is not for root to open."""
    program = PLACE / "current" / "inopsio-agent"
    words = [str(program), "--data", str(data), "status"]
    try:
        account = importlib.import_module("pwd").getpwnam(USER)  # there is none on Windows
        done = subprocess.run(
            words,
            check=False,
            capture_output=True,
            timeout=STATUS_S,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=[],
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
            cwd="/",
        )
        found = json.loads(done.stdout)
    except (KeyError, OSError, ValueError, subprocess.SubprocessError) as wrong:
        tell(f"status: {wrong}")
        return {}
    return found if isinstance(found, dict) else {}
