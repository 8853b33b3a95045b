"""A house under test: its processes, each started again when it dies, its servers, its feeder.

The processes are started as an orchestrator starts them, `inopsio run NAME`; settings come from the
environment. What the house holds is fed by the front door only.
"""

import contextlib
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Final

import httpx
import psutil

from deploy.cli import run as run_command
from tests.faults.feeder import Answers, answers
from tests.faults.servers import Embedded, Service, kill, send
from tests.faults.stream import TENANTS
from tests.shared import ROOT

NAMES: Final = ("api", "business", "pipelines")
READY_S: Final = 240.0
FEEDER: Final = "producer"


@dataclass(slots=True)
class _Process:
    words: list[str]
    popen: subprocess.Popen[bytes]
    started_s: float
    starts: int = 1
    is_wanted: bool = True


@dataclass(slots=True)
class House:
    """Hold it between `up` and `down`."""

    data: Path
    desk: Path
    """Folder of the feeder: what it does must not hang on the house's disk."""
    port: int
    environment: dict[str, str]
    database: Embedded | Service
    broker: Service | None = None
    extra: dict[str, dict[str, str]] = field(default_factory=dict)
    """Name of a process -> further variables for it alone."""
    tokens: dict[str, dict[str, str]] = field(default_factory=dict)
    _processes: dict[str, _Process] = field(default_factory=dict)
    _guard: threading.Lock = field(default_factory=threading.Lock)
    _end: threading.Event = field(default_factory=threading.Event)
    _keeper: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Give the front door's address."""
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        """Start all, make tenants and tokens, wait until the door says that it is ready."""
        self.database.start()
        if self.broker is not None:
            self.broker.start()
        (self.data / "logs").mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            self._launch(name, [sys.executable, "-m", "deploy", "run", name])
        self._keeper = threading.Thread(target=self._keep, daemon=True)
        self._keeper.start()
        for tenant in TENANTS:
            self.call("tenant", "create", tenant)
            for role in ("ingest", "integration", "viewer"):
                words = ("token", "create", role, "--tenant", tenant, "--role", role)
                self.tokens.setdefault(tenant, {})[role] = self.call(*words)[0]["token"]
        self.until_ready()

    def down(self) -> None:
        """End all, whatever state it is in."""
        self._end.set()
        if self._keeper is not None:
            self._keeper.join()
        for one in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                one.popen.send_signal(signal.SIGCONT)
                one.popen.send_signal(signal.SIGTERM)
        for one in self._processes.values():
            try:
                one.popen.wait(30)
            except subprocess.TimeoutExpired:
                one.popen.kill()
                one.popen.wait()
        self.database.stop()
        if self.broker is not None:
            self.broker.stop()

    def call(self, *words: str) -> list[dict[str, Any]]:
        """Run a command of the command line in this process; give its rows."""
        out = io.TextIOWrapper(io.BytesIO())
        with as_environment(self.environment), contextlib.redirect_stdout(out):
            assert run_command([*words, "--json", "--data", str(self.data)]) == 0, words
        out.seek(0)
        return [json.loads(line) for line in out]

    def feed(self, seed: int, per_s: float = 0, until: int | None = None) -> None:
        """Start the feeder; without `until` it goes on until `stop_feeding`."""
        said = {
            "url": self.url,
            "tokens": self.tokens,
            "seed": seed,
            "per_s": per_s,
            "until": until,
            "began_s": time.time(),
        }
        (self.desk / "feed.json").write_text(json.dumps(said))
        self._launch(FEEDER, [sys.executable, "-m", "tests.faults.feeder", str(self.desk)])

    def stop_feeding(self, wait_s: float = 240) -> Answers:
        """Let the feeder end what it is at; give what the door said."""
        (self.desk / "stop").touch()
        return self.fed(wait_s)

    def fed(self, wait_s: float = 600) -> Answers:
        """Wait for the feeder's end."""
        one = self._processes[FEEDER]
        until_s = time.monotonic() + wait_s
        while one.popen.poll() != 0:
            assert time.monotonic() < until_s, f"the feeder does not end: {answers(self.desk)}"
            time.sleep(0.05)
        return answers(self.desk)

    def answers(self) -> Answers:
        """Give what the door said so far."""
        return answers(self.desk)

    def is_feeder_behind(self, seconds: float = 5) -> bool:
        """Answer whether the feeder has not yet sent what was due so long ago."""
        said = json.loads((self.desk / "feed.json").read_text())
        due = (time.time() - seconds - said["began_s"]) * said["per_s"]
        return bool(self.answers().kept < due)

    def pid(self, name: str) -> int:
        """Give the process id of a process or server."""
        if name == "database":
            return self.database.pid()
        if name == "broker":
            assert self.broker is not None
            return self.broker.pid()
        return self._processes[name].popen.pid

    def kill(self, name: str) -> None:
        """Kill -9; a process is started again by the keeper, a server by this call."""
        if name in {"database", "broker"}:
            kill(self.pid(name))
            server = self.database if name == "database" else self.broker
            assert server is not None
            server.start()
            return
        with self._guard:
            one = self._processes[name]
            one.popen.kill()
            one.popen.wait()
            self._start(one, name)

    def pause(self, name: str) -> None:
        """Stop a process without ending it."""
        send(self.pid(name), signal.SIGSTOP)

    def resume(self, name: str) -> None:
        """Let it go on."""
        send(self.pid(name), signal.SIGCONT)

    def age_s(self, name: str) -> float:
        """Say for how long a process has lived."""
        return time.monotonic() - self._processes[name].started_s

    def restarts(self) -> dict[str, int]:
        """Say how often each process was started again."""
        return {name: one.starts - 1 for name, one in self._processes.items()}

    def memory(self) -> dict[str, int]:
        """Give the resident bytes of each of the house's own processes, children included."""
        found = {}
        for name in NAMES:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(self.pid(name))
                family = (process, *process.children(recursive=True))
                found[name] = sum(one.memory_info().rss for one in family)
        return found

    def is_ready(self) -> bool:
        """Ask the front door."""
        try:
            return httpx.get(f"{self.url}/v1/health/ready", timeout=40).status_code == 200
        except httpx.TransportError:
            return False

    def until_ready(self, wait_s: float = READY_S) -> float:
        """Wait for it; give the seconds."""
        return until(self.is_ready, wait_s, "the front door is not ready")

    def status(self) -> dict[str, Any]:
        """Give what the front door says of its parts; empty if it does not answer."""
        head = {"Authorization": f"Bearer {self.tokens[TENANTS[0]]['viewer']}"}
        try:
            answer = httpx.get(f"{self.url}/v1/health/status", headers=head, timeout=40)
        except httpx.TransportError:
            return {}
        return dict(answer.json()) if answer.status_code == 200 else {}

    def _launch(self, name: str, words: list[str]) -> None:
        one = _Process(words, self._spawn(name, words), time.monotonic())
        with self._guard:
            self._processes[name] = one

    def _spawn(self, name: str, words: list[str]) -> subprocess.Popen[bytes]:
        log: IO[bytes]
        place = self.desk if name == FEEDER else self.data / "logs"
        with (place / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                words,
                cwd=ROOT,
                env=os.environ | self.environment | self.extra.get(name, {}),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _start(self, one: _Process, name: str) -> None:
        one.popen, one.started_s = self._spawn(name, one.words), time.monotonic()
        one.starts += 1

    def _keep(self) -> None:
        while not self._end.wait(0.2):
            with self._guard:
                for name, one in self._processes.items():
                    code = one.popen.poll()
                    if code is not None and not (name == FEEDER and code == 0):
                        self._start(one, name)


def until(is_so: Callable[[], object], wait_s: float, what: str) -> float:
    """Wait for something to be so; fail, saying what, if it is not in time; give the seconds."""
    began_s = time.monotonic()
    while not is_so():
        assert time.monotonic() < began_s + wait_s, f"after {wait_s:.0f} s: {what}"
        time.sleep(0.1)
    return time.monotonic() - began_s


@contextlib.contextmanager
def as_environment(more: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in more}
    os.environ.update(more)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def standing(
    home: str,
    settings: Mapping[str, str] | None = None,
    folder: Path | None = None,
    database_in: Path | None = None,
    extra: dict[str, dict[str, str]] | None = None,
) -> Iterator[House]:
    """Give a house that is up: `embedded`, or on a `cluster` of its own; all is gone afterwards.

    `settings`: further variables; `folder`: data folder, else a new one; `database_in`: folder of
    the embedded database, if it is not to lie in the data folder; `extra`: as in `House`.
    """
    place = folder or Path(tempfile.mkdtemp(prefix="inopsio-faults-"))
    place.chmod(0o711)
    desk = Path(tempfile.mkdtemp(prefix="inopsio-faults-desk-"))
    desk.chmod(0o711)  # the servers run as another user
    port = _free_ports(1)
    environment = {
        "INOPSIO_DATA_DIR": str(place),
        "INOPSIO_HTTP_PORT": str(port),
        "INOPSIO_DATABASE_URL": "",
        "INOPSIO_LOG_URL": "",
        # How long the feeder was hindered must not close windows: an uninterrupted run would not.
        "INOPSIO_IDLE_S": "3600",
        **(settings or {}),
    }
    house: House | None = None
    try:
        if home == "cluster":
            database = Service("timescaledb", desk, _free_ports(1))
            broker = Service("kafka", desk, _free_ports(3))
            database.start()
            environment["INOPSIO_DATABASE_URL"] = database.address()
            environment["INOPSIO_LOG_URL"] = f"kafka://127.0.0.1:{broker.proxy.port}"
            house = House(place, desk, port, environment, database, broker, extra or {})
        else:
            embedded = Embedded(database_in or place)
            if database_in is not None:
                environment["INOPSIO_DATABASE_URL"] = embedded.made()
            house = House(place, desk, port, environment, embedded, None, extra or {})
        house.up()
        yield house
    finally:
        if house is not None:
            house.down()
        if os.environ.get("INOPSIO_FAULTS_KEEP"):
            print("kept:", place, desk)
        else:
            shutil.rmtree(desk, ignore_errors=True)
            if folder is None:
                shutil.rmtree(place, ignore_errors=True)


def _free_ports(count: int) -> int:
    """Give the first of so many free ports in a row, for what is to come back after a kill.

    Below those that the system gives to whoever asks for any: one of them could be taken meanwhile.
    """
    dice = random.SystemRandom()
    while True:
        first = dice.randrange(21_000, 32_000)
        if all(_is_free(first + i) for i in range(count)):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
