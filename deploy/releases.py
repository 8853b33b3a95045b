"""Announce versions of the agent: a signed text and packages, in the folder agents look into."""

import base64
import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from api.agent_updates import ANNOUNCED, HOUSE, announced, serial_in
from storage.database import Database
from storage.database.queries import execute, select
from storage.errors import InvalidInput, NotFound
from storage.tenant import Scope

RINGS: Final = ("canary", "early", "all")
MOST_DAYS: Final = 90
_BEFORE: Final = b"inopsio/agent-release\x1f"
_PACKAGE: Final = re.compile(r"inopsio-agent_(\d+(?:\.\d+){1,3})_([a-z0-9]+-[a-z0-9_]+)\.tar\.xz")


@dataclass(frozen=True, slots=True)
class Wave:
    """Who gets it: a ring and those before it, of the ring itself a share; between two times."""

    ring: str
    percentage: int
    not_before_s: int
    not_after_s: int


def publish(folder: Path, packages: Iterable[Path], key: Path, wave: Wave, now_s: int) -> str:
    """Put packages of one version and their announcement into the folder; give the version.

    InvalidInput for packages, a key or a wave that agents would refuse. The announcement comes
    last and whole: an agent that looks meanwhile sees the one before.
    """
    _check(wave)
    signer = _key(key)
    version, said = _packages(packages)
    # Later announcements have higher numbers, wherever they are made.
    place = folder / ANNOUNCED
    serial = max(now_s, (serial_in(place.read_bytes()) if place.exists() else 0) + 1)
    text = json.dumps(
        {
            "serial": serial,
            "version": version,
            "ring": wave.ring,
            "percentage": wave.percentage,
            "not_before_s": wave.not_before_s,
            "not_after_s": wave.not_after_s,
            "packages": {system: row for system, (row, _) in said.items()},
        }
    )
    signature = base64.b64encode(signer.sign(_BEFORE + text.encode())).decode()
    folder.mkdir(parents=True, exist_ok=True, mode=0o755)
    for row, source in said.values():
        target = folder / str(row["name"])
        if not target.exists() or not target.samefile(source):
            _put(target, source)
    draft = folder / f".{ANNOUNCED}"
    draft.write_text(json.dumps({"signed": text, "signature": signature}), encoding="utf-8")
    draft.replace(folder / ANNOUNCED)
    return version


def _check(wave: Wave) -> None:
    if wave.ring not in RINGS:
        raise InvalidInput(f"the ring is one of {', '.join(RINGS)}")
    if not 0 <= wave.percentage <= 100:
        raise InvalidInput("the percentage is a whole number from 0 to 100")
    if not 0 < wave.not_after_s - wave.not_before_s <= MOST_DAYS * 86_400:
        raise InvalidInput(f"an announcement holds {MOST_DAYS} days at most")


def _key(path: Path) -> Ed25519PrivateKey:
    try:
        found = load_pem_private_key(path.read_bytes(), None)
    except (OSError, ValueError, TypeError) as wrong:
        raise InvalidInput(f"{path} is no private key (PEM, no passphrase): {wrong}") from None
    if not isinstance(found, Ed25519PrivateKey):
        raise InvalidInput(f"{path} is no Ed25519 key: openssl genpkey -algorithm ed25519")
    return found


def _packages(paths: Iterable[Path]) -> tuple[str, dict[str, tuple[dict[str, object], Path]]]:
    versions, found = set[str](), dict[str, tuple[dict[str, object], Path]]()
    for path in paths:
        named = _PACKAGE.fullmatch(path.name)
        if named is None or not path.is_file():
            raise InvalidInput(f"{path} is no inopsio-agent_VERSION_SYSTEM.tar.xz")
        with path.open("rb") as held:
            digest = hashlib.file_digest(held, "sha256").hexdigest()
            row = {"name": path.name, "sha256": digest, "size": held.tell()}
        versions.add(named[1])
        found[named[2]] = row, path
    if len(versions) != 1:
        raise InvalidInput("give packages of one version")
    return versions.pop(), found


def _put(target: Path, source: Path) -> None:
    draft = target.with_name(f".{target.name}")
    shutil.copyfile(source, draft)
    draft.replace(target)


def stop(database: Database, data: Path, reason: str) -> int:
    """Stop what is announced, for every tenant; give its serial. NotFound if nothing is."""
    content = announced(data)
    if content is None:
        raise NotFound("nothing is announced")
    serial = serial_in(content)
    with database.owner() as tx:
        execute(tx, "agent_release_stop", serial=serial, origin=HOUSE, reason=reason[:300])
    return serial


def standing(database: Database, scope: Scope, data: Path) -> dict[str, Any]:
    """Give what is announced, where it is stopped, and how updates of the tenant ended."""
    content = announced(data)
    said = json.loads(json.loads(content)["signed"]) if content else {}
    with database.owner() as tx:
        stops = select(tx, "agent_release_stops_of", serial=int(said.get("serial", 0)))
    with database.app(scope) as tx:
        rows = select(tx, "agent_updates_by_outcome")
    return {"announced": said, "stops": stops, "outcomes": rows}
