"""Be known to the house: the key and certificate that enrolment left on this host.

Three files in the data folder: `identity.pem` (key and certificate, 0600), `authority.pem` (whom
the agent trusts) and `identity.json` (what the certificate says). Needs the standard library only.
"""

import hashlib
import importlib
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agent.errors import AgentError
from agent.system import (
    IS_POSIX,
    NO_LINK,
    close_off,
    flush_folder,
    lock,
    own_account,
    put_in_place,
    told_by,
)

if TYPE_CHECKING:
    import ssl

MACHINE_ID: Final = Path("/etc/machine-id")
HARDWARE_ID: Final = Path("/sys/class/dmi/id/product_uuid")
_THIRD_S: Final = 7 * 86_400 / 3
"""What is left of a certificate as it becomes due, where the house's own word was not noted."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this host is to the house. `run` is this process's own, kept in memory only."""

    folder: Path
    url: str
    tenant_id: str
    agent_id: str
    machine: str
    renew_at_s: float
    not_after_s: float
    house_due_s: float = 0.0
    """When it is to be renewed by the house's clock; 0 where that was not noted."""
    run: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)

    def context(self) -> "ssl.SSLContext":
        """Give TLS 1.3 that trusts the house's authority alone and shows our certificate."""
        # By name: most of the agent's processes never speak with the network.
        made: ssl.SSLContext = importlib.import_module("agent.trust").context_of(self.folder)
        return made

    def headers(self) -> dict[str, str]:
        """Give what goes with each request: two processes with one key are told apart by it."""
        return {"Inopsio-Run": self.run}

    def is_due(self, now_s: float, skew_s: float | None = None) -> bool:
        """Answer whether the certificate is to be renewed.

        By this host's clock, or by the house's where `skew_s` (its clock less this one) is known:
        a clock that was days ahead at the enrolment and was set right since is late by itself.
        """
        house_due_s = self.house_due_s or self.not_after_s - _THIRD_S
        return now_s >= self.renew_at_s or (skew_s is not None and now_s + skew_s >= house_due_s)


def machine_hash(path: Path = MACHINE_ID) -> str:
    """Give a hash of what the file says, '' if it cannot be read: the id itself stays here."""
    told = told_by(path)
    return hashlib.sha256(b"inopsio/machine\x1f" + told).hexdigest() if told else ""


def load(folder: Path, machine_id: Path = MACHINE_ID) -> Identity | None:
    """Give the identity that lies in the folder, or None.

    AgentError if it is broken, or was made on another machine: a copied disk must enrol by itself.
    """
    try:
        told = json.loads((folder / "identity.json").read_text(encoding="utf-8"))
        if not (folder / "identity.pem").exists():
            return None
        found = Identity(
            folder,
            str(told["url"]),
            str(told["tenant_id"]),
            str(told["agent_id"]),
            str(told["machine"]),
            float(told["renew_at_s"]),
            float(told["not_after_s"]),
            float(told.get("house_due_s", 0.0)),
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise AgentError(
            f"{folder}/identity.json cannot be read: {broken!r}; enrol again"
        ) from None
    if found.machine != machine_hash(machine_id):
        raise AgentError(f"the identity in {folder} is another machine's; enrol this one")
    return found


def save(identity: Identity, authority: str, key_and_certificate: str) -> None:
    """Keep an identity so that a crash at any moment leaves the old one or the new one whole."""
    folder = identity.folder
    _private(folder)
    told = {
        "url": identity.url,
        "tenant_id": identity.tenant_id,
        "agent_id": identity.agent_id,
        "machine": identity.machine,
        "renew_at_s": identity.renew_at_s,
        "not_after_s": identity.not_after_s,
        "house_due_s": identity.house_due_s,
    }
    write_private(folder / "authority.pem", authority)
    write_private(folder / "identity.pem", key_and_certificate)
    # Last: were it older than the certificate, the agent would only renew once more.
    write_private(folder / "identity.json", json.dumps(told))


def write_private(path: Path, text: str) -> None:
    """Put a file in its place whole, mode 0600, so that a crash leaves the old or the new one."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8", newline="") as out:
        _give(handle, path.parent)
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    put_in_place(draft, path)
    flush_folder(path.parent)


def _private(folder: Path) -> None:
    """Make the folder and the one above it if needed; AgentError if others may write there."""
    is_new = not folder.exists()
    for place in (folder.parent, folder):
        place.mkdir(parents=True, exist_ok=True, mode=0o700)
    if IS_POSIX and folder.stat().st_mode & 0o022:
        raise AgentError(f"others may write in {folder}: chmod 700 it, or take another --data")
    close_off(folder, is_new=is_new)


def _give(handle: int, folder: Path) -> None:
    """Let a new file belong to whom the folder belongs: root enrols, the agent's account runs."""
    if own_account() == 0:
        owner = folder.stat()
        os.fchown(handle, owner.st_uid, owner.st_gid)


def alone(folder: Path) -> int:
    """Hold the folder for this process's life; AgentError if another agent works in it.

    Two with one key would be taken for a theft of it.
    """
    _private(folder)
    try:
        handle = os.open(folder / "agent.lock", os.O_RDWR | os.O_CREAT | NO_LINK, 0o600)
    except OSError as wrong:
        raise AgentError(f"{folder} cannot be used: {wrong}") from wrong
    try:
        _give(handle, folder)
        lock(handle)
    except OSError:
        os.close(handle)
        raise AgentError(f"an agent works in {folder} already; stop it first") from None
    return handle
