"""Lend a machine whose first process is systemd: a Debian in systemd-nspawn, cabled to a far end.

Made once by mmdebstrap, kept in `.services/`. Its first process has all rights that it has on a
host of its own, and its own network, processes, mounts and name; the kernel is this machine's, so
kernel events (eBPF) tell of other processes too, by numbers that mean nothing inside. Where this
machine has control groups of version 1, MemoryMax, CPUQuota and TasksMax are not in force inside.
"""

import contextlib
import ctypes
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.agent.clean_root import needed, unpacked

PACKAGES: Final = "systemd,systemd-sysv,dbus,nftables,iproute2,passwd"
HOUSE, STRANGER, OWN = "198.51.100.1", "203.0.113.9", "198.51.100.2"
_NEWNET: Final = 0x40000000
_ENV: Final = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
    "TERM": "dumb",
}
_NSPAWN: Final = (
    *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--console=pipe"),
    *("--capability=all", "--system-call-filter=@known", "--link-journal=no", "--timezone=off"),
    *("--resolv-conf=off", "--rlimit=RLIMIT_NOFILE=65536", "--no-new-privileges=no"),
)


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine that runs. `far`: a process in the far end's network; `init`: its first process."""

    root: Path
    init: int
    far: int

    def run(
        self, *words: str, given: str = "", timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in it, as root."""
        return subprocess.run(
            ["nsenter", "-t", str(self.init), "-a", "--", *words],
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env=_ENV,
        )

    def done(self, *words: str, given: str = "", timeout: float = 60) -> str:
        """Run a command that must succeed; give what it said."""
        found = self.run(*words, given=given, timeout=timeout)
        assert found.returncode == 0, f"{words}: {found.stdout[-900:]}{found.stderr[-900:]}"
        return found.stdout

    def show(self, unit: str, *names: str) -> list[str]:
        """Give properties of a unit, as systemd says them."""
        words = [f"--property={name}" for name in names]
        said = dict(
            line.partition("=")[::2]
            for line in self.done("systemctl", "show", unit, *words).splitlines()
        )
        return [said[name] for name in names]

    def main_pid(self, unit: str) -> int:
        """Give the unit's process as the machine counts, 0 if it has none."""
        return int(self.show(unit, "MainPID")[0])

    def listen(self, address: str, port: int = 0) -> socket.socket:
        """Give a socket that listens at the far end, though this process is not there."""
        made: list[socket.socket] = []

        def there() -> None:  # a thread has a network of its own; the process keeps its own
            with Path(f"/proc/{self.far}/ns/net").open("rb") as place:
                if ctypes.CDLL(None, use_errno=True).setns(place.fileno(), _NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
            made.append(socket.create_server((address, port)))

        thread = threading.Thread(target=there)
        thread.start()
        thread.join()
        return made[0]

    def reaches(self, address: str, port: int) -> bool:
        """Answer whether a connection from the machine to the far end comes about."""
        word = f"exec 3<>/dev/tcp/{address}/{port}"
        return self.run("timeout", "0.7", "bash", "-c", word).returncode == 0


def soon(asked: Callable[[], object], within_s: float = 40.0, pause_s: float = 0.1) -> bool:
    """Answer whether it becomes true within so many seconds."""
    end_s = time.monotonic() + within_s
    while not asked():
        if time.monotonic() > end_s:
            return False
        time.sleep(pause_s)
    return True


@contextlib.contextmanager
def machine(folder: Path, lent: Mapping[str, Path] | None = None) -> Iterator[Machine]:
    """Start a machine below the folder; it ends with this. `lent`: folders that it may read."""
    needed("systemd-nspawn", "mmdebstrap", "ip", "nsenter", "unshare")
    root = unpacked(folder, "systemd-root", "minbase", PACKAGES)
    (root / "etc/hostname").write_text("ws-1\n")
    with contextlib.ExitStack() as stack:
        near, far = _network(stack), _network(stack)
        _cable(near, far)
        words = [*_NSPAWN, "-D", str(root), f"--network-namespace-path=/proc/{near}/ns/net"]
        words += [f"--bind-ro={here}:{there}" for there, here in (lent or {}).items()]
        groups = _control_groups(stack)
        join = "".join(f"echo $$ > '{group}/cgroup.procs'; " for group in groups)
        boot = stack.enter_context((folder / "boot.log").open("wb"))
        host = subprocess.Popen(
            ["sh", "-c", f'{join}exec "$@"', "sh", *words],
            stdin=subprocess.DEVNULL,
            stdout=boot,
            stderr=boot,
            start_new_session=True,
        )
        stack.callback(_end, host)
        assert soon(lambda: _child(host.pid)), (folder / "boot.log").read_text()
        made = Machine(root, _child(host.pid), far)
        up = made.run("systemctl", "is-system-running", "--wait")
        assert soon(lambda: _is_up(made), 30), up.stdout + up.stderr
        yield made


def _is_up(made: Machine) -> bool:
    return made.run("systemctl", "is-system-running").stdout.strip() == "running"


def _child(pid: int) -> int:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(found[0]) if found else 0


def _end(host: subprocess.Popen[bytes]) -> None:
    """End the machine with all that runs in it: its first process is killed."""
    if (init := _child(host.pid)) and host.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(init, 9)
    try:
        host.wait(10)
    except subprocess.TimeoutExpired:
        host.kill()
        host.wait()


def _control_groups(stack: contextlib.ExitStack) -> list[Path]:
    """Make control groups of the machine's own: two machines do not end each other's processes."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    own = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    made = []
    for number, name, path in own:
        for words in mounts:
            is_two = number == "0" and words[words.index("-") + 1] == "cgroup2"
            if is_two or (name == "name=systemd" and name in words[-1]):
                place = Path(words[4], path.lstrip("/"), f"inopsio-machine-{os.getpid()}")
                place.mkdir(exist_ok=True)
                stack.callback(_remove, place)
                made.append(place)
                break
    return made


def _remove(group: Path) -> None:
    for place, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):  # something in it has not ended yet
            Path(place).rmdir()


def _network(stack: contextlib.ExitStack) -> int:
    """Make a network of its own, held by a process; give the process."""
    held = subprocess.Popen(["unshare", "--net", "sleep", "600"])
    stack.callback(held.wait)
    stack.callback(held.kill)
    own = Path("/proc/self/ns/net").readlink()
    assert soon(lambda: Path(f"/proc/{held.pid}/ns/net").readlink() != own)
    return held.pid


def _cable(near: int, far: int) -> None:
    """Join two networks: the far one has the house's address and a stranger's."""
    _ip(near, "link", "add", "host0", "type", "veth", "peer", "name", "far", "netns", str(far))
    for words in (
        ("addr", "add", f"{OWN}/24", "dev", "host0"),
        ("link", "set", "host0", "up"),
        ("link", "set", "lo", "up"),
        ("route", "add", "default", "via", HOUSE),
    ):
        _ip(near, *words)
    for words in (
        ("addr", "add", f"{HOUSE}/24", "dev", "far"),
        ("addr", "add", f"{STRANGER}/32", "dev", "far"),
        ("link", "set", "far", "up"),
    ):
        _ip(far, *words)


def _ip(network: int, *words: str) -> None:
    subprocess.run(["nsenter", "-t", str(network), "-n", "ip", *words], check=True)
