"""Put a fetched version in place of the one that runs, and the old one back if it does not do well.

Runs as root, without the network, for as long as this takes. What the agent's account has fetched
is copied first and examined after: signature, version, time, ring, hash. A version lives in a
folder of its own; `current` names the one that runs, `good` the last one that was seen to do well.
"""

import contextlib
import hashlib
import json
import os
import shutil
import stat
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from agent.errors import AgentError
from agent.place import (
    ANNOUNCED,
    INCOMING,
    KEY,
    PACKAGE,
    PENDING,
    READY,
    RESULT,
    STATE,
)
from agent.release import MOST_ANNOUNCED, BadRelease, Release, is_for, parts, read
from agent.unpack import unpack
from agent.voice import tell

HEALTH_S: Final = 180.0
SENT_FACTOR: Final = 4
LOOK_S: Final = 2.0
RUN_S: Final = 60


@dataclass(frozen=True, slots=True)
class Host:
    """Where an update happens and by what means. `data`: what the agent's account writes to.

    `health`: says of the version that runs what `inopsio-agent status` says, {} if nothing.
    """

    place: Path
    kept: Path
    data: Path
    ring: str
    agent_id: str
    system: str
    restart: Callable[[], None]
    health: Callable[[], dict[str, Any]]
    now_s: Callable[[], float] = time.time
    wait: Callable[[float], None] = time.sleep
    health_s: float = HEALTH_S


def update(host: Host) -> str:
    """Do what waits to be done; give the outcome, which `result.json` tells too, with the reason.

    `updated`, or `rolled_back`; `failed`: the package was right, but could not be put in place;
    `refused`: it was not right, or not for this host; `none`: nothing waited.
    """
    told = _told(host)
    try:
        source = os.open(host.data / "update", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        source = -1
    try:
        unfinished = told.get(PENDING)
        if unfinished and not _is_past(host, unfinished):
            return _judge(host, told, unfinished)  # the machine stopped in the midst of it
        if told.pop(PENDING, None):
            _write(host.kept / STATE, told)
        return _taken(host, told, source) if source >= 0 else "none"
    finally:
        if source >= 0:
            _clear(source, host.now_s())
            os.close(source)


def _is_past(host: Host, pending: dict[str, Any]) -> bool:
    """Answer whether what runs is newer: it was installed by other means meanwhile."""
    return parts(str(pending["version"])) < parts(_named(host))


def _clear(source: int, now_s: float) -> None:
    """Take away what starts this program, whatever it is: a folder is put aside."""
    try:
        os.unlink(READY, dir_fd=source)
    except FileNotFoundError:
        return
    except OSError:
        with contextlib.suppress(OSError):
            aside = f"{READY}.{int(now_s * 1000)}"
            os.rename(READY, aside, src_dir_fd=source, dst_dir_fd=source)


def _taken(host: Host, told: dict[str, Any], source: int) -> str:
    """Take what was fetched. Its folder is another account's, which may change it at any moment:

    it is opened once, links in it are not followed, and what is examined is a copy of root's.
    """
    incoming = host.kept / INCOMING
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir(parents=True, mode=0o700)
    told = {**told, "announced": ""}
    try:
        _copy(source, ANNOUNCED, incoming, MOST_ANNOUNCED)
        announced = (incoming / ANNOUNCED).read_bytes()
        told["announced"] = hashlib.sha256(announced).hexdigest()
        release = _examined(host, told, announced)
        _copy(source, PACKAGE, incoming, release.size)
        _compare(release, incoming / PACKAGE)
    except FileNotFoundError:
        shutil.rmtree(incoming)
        return "none"
    except (BadRelease, OSError) as no:
        shutil.rmtree(incoming)
        _leave(host, told, "refused", "", str(no))
        return "refused"
    told["serial"] = release.serial
    pending = {"version": release.version, "serial": release.serial, "before": _named(host)}
    try:
        _place(host, release, incoming / PACKAGE)
        told[PENDING] = pending
        _write(host.kept / STATE, told)
    except BadRelease as no:
        _leave(
            host,
            _with_failed(told, release.version, release.serial),
            "failed",
            release.version,
            str(no),
        )
        return "failed"
    finally:
        shutil.rmtree(incoming)
    return _judge(host, told, pending)


def _judge(host: Host, told: dict[str, Any], pending: dict[str, Any]) -> str:
    """Let the new version run; keep it if it does well, else put the old one back."""
    version, before = str(pending["version"]), str(pending["before"])
    _point(host, "current", version)
    began_s = host.now_s()
    reason = _begun(host) or _wait_for(host, version, began_s)
    if not reason:
        _point(host, "good", version)
        _leave(host, told, "updated", version, f"{before} was replaced")
        _sweep(host, {version, before})
        return "updated"
    _point(host, "current", before)
    again = _begun(host)
    why = f"{reason}; {before} runs again" + (f" ({again})" if again else "")
    _leave(host, _with_failed(told, version, pending["serial"]), "rolled_back", version, why)
    _sweep(host, {before})
    return "rolled_back"


def _with_failed(told: dict[str, Any], version: str, serial: int) -> dict[str, Any]:
    return {**told, "failed": {**told.get("failed", {}), version: serial}}


def _begun(host: Host) -> str:
    try:
        host.restart()
    except (AgentError, OSError, subprocess.SubprocessError) as wrong:
        return f"it could not be started: {wrong}"
    return ""


def _wait_for(host: Host, version: str, began_s: float) -> str:
    """Give '' once the version has looked and has had a batch accepted, else what is missing.

    A server may be away for a while without any fault of the version: that has longer.
    """
    missing, most_s = "it said nothing", host.health_s
    while host.now_s() - began_s < most_s:
        said = host.health()
        looked = said.get("version") == version and said.get("at_us", 0) / 1e6 >= began_s
        taken = said.get("accepted", {})
        sent = taken.get("version") == version and taken.get("at_us", 0) / 1e6 >= began_s
        if looked and sent:
            return ""
        missing = "the server took no batch of it" if looked else "it did not look at this host"
        most_s = host.health_s * (SENT_FACTOR if looked else 1)
        host.wait(LOOK_S)
    return f"{missing} within {most_s:g} s"


def _told(host: Host) -> dict[str, Any]:
    try:
        found = json.loads((host.kept / STATE).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _copy(source: int, name: str, to: Path, most: int) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    handle = os.open(name, flags, dir_fd=source)
    with os.fdopen(handle, "rb") as held, (to / name).open("wb") as out:
        if not stat.S_ISREG(os.fstat(held.fileno()).st_mode):
            raise BadRelease(f"{name} is no file")
        left = most + 1
        while left and (chunk := held.read(min(left, 1 << 20))):
            out.write(chunk)
            left -= len(chunk)
    if not left:
        raise BadRelease(f"{name} is larger than announced")


def _examined(host: Host, told: dict[str, Any], announced: bytes) -> Release:
    """Give the release if it may be installed here; BadRelease says why not."""
    try:
        key = (host.place / KEY).read_bytes()
    except OSError:
        raise BadRelease("this host has no key of releases; install with --release-key") from None
    release = read(announced, key, host.system, host.now_s())
    version, highest = parts(release.version), parts(str(told.get("highest", "0.0")))
    if version <= parts(_named(host)) or version < highest:
        raise BadRelease(f"{release.version} is not newer than what was here")
    if release.serial < int(told.get("serial", 0)):
        raise BadRelease("this announcement is older than one that was seen")
    if told.get("failed", {}).get(release.version, -1) >= release.serial:
        raise BadRelease(f"{release.version} did not do well here")
    if not is_for(release, host.ring, host.agent_id):
        raise BadRelease(f"{release.version} is not for this host yet")
    return release


def _compare(release: Release, packed: Path) -> None:
    with packed.open("rb") as held:
        digest = hashlib.file_digest(held, "sha256").hexdigest()
        size = held.tell()
    if size != release.size or digest != release.sha256:
        raise BadRelease("the package is not the one that was announced")


def _place(host: Host, release: Release, packed: Path) -> None:
    """Put the version into its folder, whole or not at all; it must say that it is this one."""
    versions = host.place / "versions"
    draft, target = versions / ".new", versions / release.version
    for old in (draft, target):
        shutil.rmtree(old, ignore_errors=True)
    try:
        unpack(packed, draft)
        program = draft / "inopsio-agent"
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=RUN_S, check=False
        )
        if done.returncode or done.stdout.split()[-1:] != [release.version]:
            said = (done.stdout + done.stderr)[-200:].strip()
            raise BadRelease(f"the package does not run as {release.version}: {said!r}")
        os.sync()
        draft.rename(target)
    except (OSError, subprocess.SubprocessError) as wrong:
        raise BadRelease(f"the package cannot be put in place: {wrong}") from wrong
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _named(host: Host) -> str:
    """Give the version that runs; AgentError where versions are not kept this way."""
    try:
        return (host.place / "current").readlink().name
    except OSError as wrong:
        raise AgentError(f"{host.place} is not the agent's own package: {wrong}") from wrong


def _point(host: Host, link: str, version: str) -> None:
    draft = host.place / f"{link}.new"
    draft.unlink(missing_ok=True)
    draft.symlink_to(Path("versions", version))
    draft.replace(host.place / link)


def _leave(host: Host, told: dict[str, Any], outcome: str, version: str, why: str) -> None:
    """Remember how it ended, and leave word of it."""
    tell(f"update: {outcome} {version}: {why}")
    told = {name: value for name, value in told.items() if name != PENDING}
    if outcome == "updated":
        told["highest"] = version
    row = {"outcome": outcome, "version": version, "reason": why}
    row |= {"serial": told.get("serial", 0), "announced": told.get("announced", "")}
    # Before it stops being pending: who watches the program sees no moment that is neither.
    _write(host.kept / RESULT, {**row, "at_us": int(host.now_s() * 1e6)})
    _write(host.kept / STATE, told)


def _write(path: Path, content: dict[str, Any]) -> None:
    draft = path.with_suffix(".draft")
    with draft.open("w", encoding="utf-8") as out:
        json.dump(content, out)
        out.flush()
        os.fsync(out.fileno())
    draft.chmod(0o644)
    draft.replace(path)


def _sweep(host: Host, keep: set[str]) -> None:
    """Take away the versions that nobody goes back to."""
    for one in (host.place / "versions").iterdir():
        if one.name not in keep:
            shutil.rmtree(one, ignore_errors=True)
