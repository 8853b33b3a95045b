"""Lend a Windows: a prefix of wine, with the agent's MSI. What wine lacks is named here.

`bcryptprimitives.dll` is on every Windows and not in older wines: a library of one name stands in.
Wine ends its services with its last other process, so one is kept, from the first moment: services
that end while others begin leave it with two managers. Its manager restarts no service that failed.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from deploy.agent.windows.forwarder import TOOL
from deploy.agent.windows.msi import SERVICE
from deploy.agent.windows.tree import PROGRAM
from tests.api.agents_house import House

NEEDED = ("wine", "wixl", "msibuild", "mvn", f"{TOOL}ld")
_RANDOM = "LIBRARY bcryptprimitives.dll\nEXPORTS\n ProcessPrng = advapi32.SystemFunction036\n"
_SERVERS = ("wineserver", "/usr/lib/wine/wineserver64", "/usr/lib/wine/wineserver")


class WindowsHost:
    """One Windows, from its first start to its end."""

    def __init__(self, folder: Path) -> None:
        """Start it; that takes ten seconds."""
        self.drive = folder / "drive_c"
        self.log = self.drive / "ProgramData/Inopsio Agent/agent.log"
        self.program = self.drive / "Program Files/Inopsio Agent"
        self._folder = folder
        self._env = {
            **{k: v for k, v in os.environ.items() if not k.startswith("PROGRAM")},
            "WINEPREFIX": str(folder),
            "WINEDEBUG": "-all",
            "WINEDLLOVERRIDES": "mscoree,mshtml=",
            "DISPLAY": "",
        }
        self._keeper = subprocess.Popen(
            ["wine", "cmd"],
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until((self.drive / "windows/system32/kernel32.dll").exists, "it starts", 90)
        self._random()

    def _random(self) -> None:
        system = self.drive / "windows/system32"
        if (system / "bcryptprimitives.dll").exists():
            return
        (self._folder / "random.def").write_text(_RANDOM)
        for words in (
            ["dlltool", "-d", "random.def", "-D", "bcryptprimitives.dll", "-e", "random.exp"],
            ["ld", "-shared", "-e", "0", "-o", str(system / "bcryptprimitives.dll"), "random.exp"],
        ):
            subprocess.run([TOOL + words[0], *words[1:]], check=True, cwd=self._folder)

    def run(self, *words: str, timeout: float = 180) -> subprocess.CompletedProcess[str]:
        """Run a program of this Windows; its channels are pipes, or its Python does not begin.

        What the system starts for it may keep the pipes: its own end counts, not theirs.
        """
        with subprocess.Popen(
            ["wine", *words],
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as running:
            said: list[bytes] = []
            ear = threading.Thread(target=_hear, args=(running.stdout, said), daemon=True)
            ear.start()
            code = running.wait(timeout)
            ear.join(1)
        text = b"".join(said).decode("utf-8", "replace")
        return subprocess.CompletedProcess(words, code, text, "")

    def install(self, msi: Path, **given: str) -> str:
        """Install the MSI; give all that the installer's own log says, in full."""
        said = [f"INOPSIO_{name.upper()}={value}" for name, value in given.items()]
        done = self.run("msiexec", "/i", f"Z:{msi}", "/qn", "/l*v", "C:\\install.log", *said)
        assert done.returncode == 0, done.stdout
        return (self.drive / "install.log").read_text(errors="replace") + done.stdout

    def uninstall(self, msi: Path, *given: str) -> None:
        """Take what the MSI brought away."""
        done = self.run("msiexec", "/x", f"Z:{msi}", "/qn", *given)
        assert done.returncode == 0, done.stdout

    def agent(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the agent's command."""
        return self.run("cmd", "/c", r"C:\Program Files\Inopsio Agent\inopsio-agent.cmd", *words)

    def said(self) -> str:
        """Give what the service has told, '' if nothing yet."""
        return self.log.read_text() if self.log.exists() else ""

    def service(self, verb: str) -> str:
        """Start, stop or query the service; give what was said."""
        return self.run(*(("sc", verb) if verb == "query" else ("net", verb)), SERVICE).stdout

    def pids(self) -> list[int]:
        """Give the service's processes, as Linux counts them."""
        found = []
        for place in Path("/proc").iterdir():
            try:
                words = (place / "cmdline").read_bytes()
                if PROGRAM.encode() in words and b"service" in words:
                    environ = (place / "environ").read_bytes()
                    if f"WINEPREFIX={self._folder}\0".encode() in environ:
                        found.append(int(place.name))
            except (OSError, ValueError):
                continue
        return found

    def kill(self) -> None:
        """End the service with no word, as a crash does."""
        pids = self.pids()
        assert pids, "the service does not run"
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        until(lambda: not self.pids(), "the service is gone")

    def traces(self) -> list[str]:
        """Give what of the agent's is on the disk and in the registry."""
        files = [str(p) for p in self.drive.rglob("*") if "inopsio" in p.name.lower()]
        self.run("regedit", "/E", "C:\\all.reg", "HKEY_LOCAL_MACHINE")
        said = (self.drive / "all.reg").read_text(encoding="utf-16").splitlines()
        return files + [line for line in said if "inopsio" in line.lower()]

    def end(self) -> None:
        """Shut it down."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        server = next(found for name in _SERVERS if (found := shutil.which(name)))
        subprocess.run([server, "-k"], env=self._env, check=False)
        self._keeper.wait(20)
        shutil.rmtree(self._folder)


def _hear(pipe: IO[bytes], said: list[bytes]) -> None:
    with contextlib.suppress(OSError, ValueError):
        while piece := os.read(pipe.fileno(), 65536):
            said.append(piece)


def until(is_so: Callable[[], object], what: str, timeout_s: float = 90) -> None:
    """Wait until it is so."""
    end_s = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < end_s, f"not within {timeout_s:g} s: {what}"
        time.sleep(0.2)


def arrived(house: House) -> list[dict[str, Any]]:
    """Give every event that the house has taken."""
    return [json.loads(row) for _, _, rows in taken(house) for row in rows]


def taken(house: House) -> list[tuple[str, int, list[bytes]]]:
    """Give what the house has taken, as it came: source, number of the first row, rows."""
    found = []
    for partition in range(2):
        for message in house.log.read("raw.events", partition, 0, 100_000):
            said = message.headers
            found.append((said["source"], int(said["position"]), message.value.splitlines()))
    return found


def gaps(house: House) -> list[str]:
    """Name each source whose rows are not all there, or came again as others.

    A batch whose answer was lost comes twice; the pipelines know it by its number.
    """
    wrong, known = [], dict[str, dict[int, bytes]]()
    for source, first, rows in taken(house):
        held = known.setdefault(source, {})
        for number, row in enumerate(rows, first):
            if held.setdefault(number, row) != row:
                wrong.append(f"{source}: {number} came twice and is not the same")
    for source, held in known.items():
        if sorted(held) != list(range(len(held))):
            wrong.append(f"{source}: {len(held)} rows of {max(held) + 1}")
    return wrong
