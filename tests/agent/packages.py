"""Make the agent's packages once for all tests, and newer versions of them, good and ill."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.agent.clean_root import CACHE
from tests.agent.publisher import Publisher
from tests.shared import ROOT

DATA = "var/lib/inopsio-agent"
ILL = '#!/bin/sh\n[ "$1" != --version ] || exec echo inopsio-agent {}\nsleep 1; exit 1\n'
_FROM = ("agent", "deploy/agent")


@dataclass(frozen=True, slots=True)
class Made:
    """The packages, made once."""

    deb: Path
    tar: Path


def packages() -> Made:
    """Give the packages of this source; the first time it takes a minute. Others wait for it."""
    given = os.environ.get("INOPSIO_AGENT_PACKAGES")
    return _found(Path(given)) if given else _made(CACHE / "agent-packages")


def _found(folder: Path) -> Made:
    (deb,), (tar,) = folder.glob("*.deb"), folder.glob("*.tar.xz")
    return Made(deb, tar)


def _made(place: Path) -> Made:
    place.mkdir(parents=True, exist_ok=True)
    with (place / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        out = place / _source()
        if not out.exists():
            draft = place / "draft"
            for old in (p for p in place.iterdir() if p.is_dir()):
                shutil.rmtree(old)
            words = [str(ROOT / "deploy/agent/package.sh"), str(draft), "deb", "tar"]
            env = {**os.environ, "PYTHON": sys.executable, "LEVEL": "-0"}
            subprocess.run(words, check=True, env=env, timeout=280, stdout=subprocess.DEVNULL)
            draft.rename(out)
        return _found(out)


def _source() -> str:
    """Give a mark of all that a package is made of."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(p for folder in _FROM for p in (ROOT / folder).rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    digest.update((ROOT / "pyproject.toml").read_bytes())
    return digest.hexdigest()[:16]


def repacked(made: Made, folder: Path, newer: str, program: str = "") -> bytes:
    """Give the package as a newer version: its own program, or one that is ill."""
    with tarfile.open(made.tar) as package:
        package.extractall(folder, filter="tar")
    (folder / "_internal/agent/version.txt").write_text(newer)
    if program:
        (folder / "inopsio-agent").write_text(program)
    words = ["tar", "-C", str(folder), "--format=ustar", "-cf", "-", "."]
    plain = subprocess.run(words, check=True, capture_output=True).stdout
    return subprocess.run(["xz", "-0"], input=plain, check=True, capture_output=True).stdout


def offer(root: Path, publisher: Publisher, newer: str, serial: int, content: bytes) -> None:
    """Put an announced version where the agent puts what it fetched."""
    now_s = int(time.time())
    said = publisher.announce(
        newer, content, serial=serial, not_before_s=now_s - 60, not_after_s=now_s + 3600
    )
    place = root / DATA / "update"
    place.mkdir(exist_ok=True)
    for name, what in (("package", content), ("release.json", said), ("ready", b"")):
        (place / name).write_bytes(what)
