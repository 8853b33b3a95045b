"""Lend a clean Debian below a folder, and run things in it as if it were a machine.

Made once by mmdebstrap from the system's own package sources, kept in `.services/`.
"""

import hashlib
import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.shared import ROOT

CACHE = ROOT / ".services"
SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
ITS_OWN = ("proc", "sys", "dev", "tmp", "run", "var/lib/dpkg", "var/log", "var/cache")
"""Where the system itself writes."""
KEPT_BEHIND = frozenset({"etc/passwd-", "etc/group-", "etc/shadow-", "etc/gshadow-"})
"""What useradd keeps of the files before."""


def needed(*programs: str, as_root: bool = True) -> None:
    """Skip where a program is missing or we are not root; where CI=true a missing one fails."""
    if as_root and os.geteuid() != 0:
        pytest.skip("a clean root is for root")
    missing = [name for name in programs if shutil.which(name) is None]
    if missing and os.environ.get("CI") == "true":
        pytest.fail(f"{', '.join(missing)} is missing; .ci/run installs it")
    if missing:
        pytest.skip(f"{', '.join(missing)} is missing")


def unpacked(folder: Path, name: str, variant: str, packages: str) -> Path:
    """Give a fresh system below the folder; the first time it takes half a minute."""
    told = dict(
        line.split("=", 1)
        for line in Path("/etc/os-release").read_text().splitlines()
        if "=" in line
    )
    suite = told["VERSION_CODENAME"].strip('"')
    packed = CACHE / f"{name}-{suite}.tar"
    if not packed.exists():
        CACHE.mkdir(exist_ok=True)
        draft = packed.with_suffix(".draft.tar")
        sources = next(str(p) for p in SOURCES if p.exists() and suite in p.read_text())
        words = ["mmdebstrap", "--quiet", f"--variant={variant}", f"--include={packages}", suite]
        subprocess.run([*words, str(draft), sources], check=True, timeout=280)
        draft.replace(packed)
    root = folder / "root"
    root.mkdir()
    subprocess.run(["tar", "-C", root, "-xf", packed], check=True)
    (root / "etc/machine-id").write_text(hashlib.sha256(str(root).encode()).hexdigest()[:32] + "\n")
    return root


def clean_root(folder: Path) -> Path:
    """Give a fresh system without a first process: some thirty packages."""
    needed("mmdebstrap", "unshare", "dpkg")
    return unpacked(folder, "clean-root", "essential", "passwd")


def run(root: Path, *words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run a command in the root, with processes of its own: all of them end with it."""
    inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL"]
    inside += ["sh", "-c", 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"', str(root)]
    return subprocess.run(
        [*inside, *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root"},
    )


def files(root: Path) -> dict[str, str]:
    """Give what lies in the root: name to kind, rights, owner and content."""
    found = {}
    for place, folders, names in os.walk(root):
        here = os.path.relpath(place, root)
        folders[:] = [f for f in folders if os.path.normpath(f"{here}/{f}") not in ITS_OWN]
        for name in (*folders, *names):
            path = Path(place, name)
            told = path.lstat()
            content = ""
            if stat.S_ISLNK(told.st_mode):
                content = str(path.readlink())
            elif stat.S_ISREG(told.st_mode):
                content = hashlib.sha256(path.read_bytes()).hexdigest()
            relative = os.path.normpath(f"{here}/{name}")
            if relative not in KEPT_BEHIND:
                found[relative] = f"{told.st_mode:o} {told.st_uid}:{told.st_gid} {content}"
    return found


_THROW_AWAY = """\
set -e
mount -t tmpfs tmpfs "$0" && mkdir "$0/up" "$0/work" "$0/all"
mount -t overlay overlay -o "lowerdir=/,upperdir=$0/up,workdir=$0/work" "$0/all"
mount -t proc proc "$0/all/proc" && mount --rbind /dev "$0/all/dev"
mount -t tmpfs tmpfs "$0/all/run"
rm -rf "$0/all/opt/inopsio-agent" "$0/all/etc/inopsio-agent" "$0/all/var/lib/inopsio-agent"
exec chroot "$0/all" sh -ec "$1"
"""


def throw_away(folder: Path, script: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script in this very system, whose changes are forgotten at its end."""
    inside = ["unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "sh", "-c"]
    return subprocess.run(
        [*inside, _THROW_AWAY, str(folder), script],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/root", **env},
    )
