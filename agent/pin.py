"""Pin the house's authority in a file of root's, which the agent's account cannot change.

Who takes over the half that has the network can write in the data folder, and so could put an
authority of their own there. What the house signed counts only by the authority that is pinned.
"""

import hashlib
import hmac
import os
import ssl
import stat
from pathlib import Path
from typing import Final

from agent.errors import BadOrder

PIN: Final = Path("/etc/inopsio-agent/authority.sha256")
DATA: Final = Path("/var/lib/inopsio-agent")
_MOST: Final = 200


def pin_of(folder: Path) -> Path | None:
    """Give where the pin of this data folder is; other folders than the units' have none."""
    return PIN if folder == DATA else None


def put(pin: Path, authority: str) -> None:
    """Pin an authority (PEM) in the place of the one before; for root."""
    pin.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    pin.unlink(missing_ok=True)
    handle = os.open(pin, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o640)
    with os.fdopen(handle, "w", encoding="ascii") as out:
        # Beside what made the folder before: the group is the one that may read the folder.
        os.fchown(handle, -1, pin.parent.stat().st_gid)
        out.write(digest(authority) + "\n")


def digest(authority: str) -> str:
    """Give the SHA-256 of a certificate in PEM, as the console shows it; BadOrder if it is none."""
    try:
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(authority.strip())).hexdigest()
    except ValueError:
        raise BadOrder("the authority is no certificate") from None


def check(pin: Path | None, authority: str, owner: int = 0) -> None:
    """Pass if this authority is the pinned one, or none is pinned; BadOrder if it is another.

    A pin that others than `owner` may write is none of theirs, and nothing counts by it.
    """
    if pin is None:
        return
    try:
        handle = os.open(pin, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as wrong:
        raise BadOrder(f"{pin} cannot be read: {wrong.strerror}") from None
    with os.fdopen(handle, "rb") as file:
        for told in (os.fstat(handle), pin.parent.stat()):
            if told.st_uid != owner or told.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
                raise BadOrder(f"{pin}: others than root may write it; install again")
        pinned = file.read(_MOST).decode("ascii", "replace").strip()
    if not hmac.compare_digest(pinned.encode(), digest(authority).encode()):
        raise BadOrder("the authority is not the one that root pinned on this host")
