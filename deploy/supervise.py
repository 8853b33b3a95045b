"""Keep the house's processes alive: start them, restart what dies, stop all in order.

Each child holds the reading end of a pipe whose other end only the supervisor has. When the
supervisor is gone, however it went, the pipe closes and the child ends itself in good order.
"""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final

import structlog

from storage.restarts import STEADY_S, recent

log = structlog.get_logger()

STOP_WAIT_S: Final = 15.0
FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
"""Of a process that did not live for STEADY_S; one that did starts again after the first."""
LOG_BYTES: Final = 32 << 20
"""A log is moved to NAME.log.1 at this size: two such files a process are the most there can be."""
_LOOK_AT_LOGS_S: Final = 10.0
_PIPE: Final = "INOPSIO_SUPERVISOR_PIPE"


@dataclass(slots=True)
class _Child:
    name: str
    process: subprocess.Popen[bytes]
    started_s: float
    pause_s: float = FIRST_PAUSE_S
    due_s: float | None = None
    deaths_at: list[float] = field(default_factory=list)


class Supervisor:
    """Run `inopsio run NAME` for each name, each writing to `logs/NAME.log` in the data folder."""

    def __init__(
        self, names: Sequence[str], data_dir: Path, environment: Mapping[str, str]
    ) -> None:
        """Prepare; nothing starts yet."""
        self._names = tuple(names)
        self._logs = data_dir / "logs"
        self._environment = {**os.environ, **environment}
        self._children: dict[str, _Child] = {}
        self._looked_s = 0.0
        self._pipe, self._held = os.pipe()

    def start(self) -> None:
        """Start every process."""
        self._logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name in self._names:
            self._children[name] = _Child(name, self._spawn(name), time.monotonic())

    def _spawn(self, name: str) -> subprocess.Popen[bytes]:
        with self._open_log(name) as out:
            return subprocess.Popen(
                [sys.executable, "-m", "deploy", "run", name],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**self._environment, _PIPE: str(self._pipe)},
                pass_fds=(self._pipe,),
                start_new_session=True,
            )

    def _open_log(self, name: str) -> IO[bytes]:
        path = self._logs / f"{name}.log"
        bound(path)
        return path.open("ab")

    def tend(self) -> list[str]:
        """Restart what died and is due; give the names that died since the last look."""
        died = []
        now = time.monotonic()
        for child in self._children.values():
            if child.due_s is not None:
                if now >= child.due_s:
                    child.process, child.started_s = self._spawn(child.name), now
                    child.due_s = None
                continue
            code = child.process.poll()
            if code is None:
                continue
            died.append(child.name)
            at = time.time()
            child.deaths_at = [*recent(child.deaths_at, at), at]
            steady = now - child.started_s > STEADY_S
            child.pause_s = FIRST_PAUSE_S if steady else min(child.pause_s * 2, LONGEST_PAUSE_S)
            child.due_s = now + child.pause_s
            log.warning("process_died", name=child.name, code=code, again_in_s=child.pause_s)
        if now - self._looked_s > _LOOK_AT_LOGS_S:
            self._looked_s = now
            for name in self._names:
                bound(self._logs / f"{name}.log")
        return died

    def pids(self) -> dict[str, int]:
        """Give name -> process id of those that live."""
        return {n: c.process.pid for n, c in self._children.items() if c.process.poll() is None}

    def deaths(self) -> dict[str, list[float]]:
        """Give name -> when it died lately, UTC seconds since 1970."""
        return {name: child.deaths_at for name, child in self._children.items() if child.deaths_at}

    def stop(self) -> None:
        """Ask all to end, wait, then end what did not."""
        alive = [c.process for c in self._children.values() if c.process.poll() is None]
        for process in alive:
            process.send_signal(signal.SIGTERM)
        until = time.monotonic() + STOP_WAIT_S
        for process in alive:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.warning("process_killed", pid=process.pid, waited_s=STOP_WAIT_S)
                process.kill()
                process.wait()


def bound(path: Path, most_bytes: int = LOG_BYTES) -> None:
    """Move a log that grew over the bound aside; its writer, who appends, goes on at the start.

    On a disk too full for that it stays as it is.
    """
    try:
        if path.exists() and path.stat().st_size > most_bytes:
            shutil.copyfile(path, path.with_suffix(".log.1"))
            os.truncate(path, 0)
    except OSError as full:
        log.warning("log_not_moved", path=str(path), reason=str(full))


def end_with_supervisor() -> None:
    """Send this process SIGTERM when its supervisor is gone; without a supervisor do nothing."""
    given = os.environ.pop(_PIPE, "")
    if given.isdecimal():
        threading.Thread(
            target=_end_after, args=(int(given),), name="end-with-supervisor", daemon=True
        ).start()


def _end_after(pipe: int) -> None:
    os.read(pipe, 1)
    os.kill(os.getpid(), signal.SIGTERM)
