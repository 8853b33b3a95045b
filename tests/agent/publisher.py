"""Publish releases for tests: a key, packages, announcements, and all the wrong ones too."""

import base64
import hashlib
import io
import json
import subprocess
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from agent.place import ANNOUNCED, PACKAGE, READY
from agent.update import Host, update

NOW_S = 1_800_000_000
SYSTEM = "linux-x86_64"
RUNS = "#!/bin/sh\necho inopsio-agent {}\n"


def packed(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """Pack members as they are told."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:xz") as package:
        for info, content in members:
            package.addfile(info, io.BytesIO(content))
    return out.getvalue()


Member = tuple[tarfile.TarInfo, bytes]


def member(name: str, content: bytes = b"", mode: int = 0o644, **more: object) -> Member:
    """Give one member of a package."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(content), mode
    for word, value in more.items():
        setattr(info, word, value)
    return info, content


def package(version: str) -> bytes:
    """Give a package whose program says that it is this version."""
    program = RUNS.format(version).encode()
    return packed([member("./inopsio-agent", program, 0o755), member("./_internal/x", b"x")])


@dataclass(slots=True)
class Publisher:
    """Who signs releases."""

    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    @property
    def public(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    def announce(self, version: str, content: bytes, **more: object) -> bytes:
        """Give the announcement of a package; `more` overrides what it says."""
        said: dict[str, object] = {
            "serial": 1,
            "version": version,
            "ring": "all",
            "percentage": 100,
            "not_before_s": NOW_S - 60,
            "not_after_s": NOW_S + 86_400,
        }
        of_package: dict[str, object] = {
            "name": f"inopsio-agent_{version}.tar.xz",
            "sha256": hashlib.sha256(content).hexdigest(),
            "size": len(content),
        }
        of_package |= {k: more.pop(k) for k in list(more) if k in of_package}
        text = json.dumps({**said, **more, "packages": {SYSTEM: of_package}})
        signature = self.key.sign(b"inopsio/agent-release\x1f" + text.encode())
        return envelope(text, signature)


def envelope(text: str, signature: bytes) -> bytes:
    return json.dumps({"signed": text, "signature": base64.b64encode(signature).decode()}).encode()


@dataclass(slots=True)
class Site:
    """A host whose 0.1.0 runs and that knows a publisher. `ill`: versions that do not do well."""

    folder: Path
    publisher: Publisher = field(default_factory=Publisher)
    ring: str = "all"
    now_s: float = NOW_S
    ill: set[str] = field(default_factory=set)
    silent_s: float = 0.0
    """So long after a restart the server takes nothing."""
    began_s: float = 0.0
    restarts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.place / "versions" / "0.1.0").mkdir(parents=True)
        for link in ("current", "good"):
            (self.place / link).symlink_to("versions/0.1.0")
        (self.place / "release.pub").write_bytes(self.publisher.public)
        (self.folder / "data" / "update").mkdir(parents=True)
        (self.folder / "kept").mkdir()

    @property
    def place(self) -> Path:
        return self.folder / "opt"

    @property
    def update_folder(self) -> Path:
        return self.folder / "data" / "update"

    @property
    def runs(self) -> str:
        return (self.place / "current").readlink().name

    def result(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "kept" / "result.json").read_bytes())
        return found

    def fetched(self, announced: bytes, content: bytes) -> None:
        """Put what was fetched where the updater finds it."""
        (self.update_folder / ANNOUNCED).write_bytes(announced)
        (self.update_folder / PACKAGE).write_bytes(content)
        (self.update_folder / READY).touch()

    def offer(self, version: str, **more: object) -> str:
        """Announce and fetch a good package; let the updater run; give the outcome."""
        content = package(version)
        self.fetched(self.publisher.announce(version, content, **more), content)
        return self.update()

    def update(self) -> str:
        return update(self.host())

    def host(self) -> Host:
        return Host(
            place=self.place,
            kept=self.folder / "kept",
            data=self.folder / "data",
            ring=self.ring,
            agent_id="agent-1",
            system=SYSTEM,
            restart=self._restart,
            health=self._health,
            now_s=lambda: self.now_s,
            wait=self._wait,
        )

    def _restart(self) -> None:
        self.restarts.append(self.runs)
        self.began_s = self.now_s

    def _wait(self, pause_s: float) -> None:
        self.now_s += pause_s

    def _health(self) -> dict[str, Any]:
        """Say what `status` of the version that runs would."""
        done = subprocess.run(
            [self.place / "current" / "inopsio-agent"], capture_output=True, text=True, check=True
        )
        version, at_us = done.stdout.split()[-1], int(self.now_s * 1e6)
        if version in self.ill:
            return {}
        told = {"version": version, "at_us": at_us}
        is_taken = self.now_s >= self.began_s + self.silent_s
        return {**told, "accepted": told} if is_taken else told
