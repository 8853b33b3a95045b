"""Give a root caller's server an unprivileged account, and just enough way to its files."""

import os
import pwd
import shutil
import stat
import struct
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypedDict

import structlog

from storage.errors import Unavailable

USER: Final = "inopsio"
_ACL: Final = "system.posix_acl_access"
_NOBODY: Final = 0xFFFFFFFF
_log = structlog.get_logger()


class ProcessAccount(TypedDict, total=False):
    """The words of `subprocess` that change the account."""

    user: int
    group: int
    extra_groups: list[int]


@dataclass(frozen=True, slots=True)
class Account:
    """Say as whom the server runs."""

    uid: int
    gid: int

    def as_process(self) -> ProcessAccount:
        """Give the `subprocess` words that switch to this account; none if we are it already."""
        if os.geteuid() != 0:
            return {}
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def server_account() -> Account:
    """Give the account for a new server: ourselves, or for root the system user `inopsio`.

    PostgreSQL refuses to run as root, so that user is made if it is absent (and logged).
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    try:
        entry = pwd.getpwnam(USER)
    except KeyError:
        entry = _make_user()
    return Account(entry.pw_uid, entry.pw_gid)


def account_of(folder: Path) -> Account:
    """Give the account that owns the folder."""
    found = folder.stat()
    return Account(found.st_uid, found.st_gid)


def let_through(place: Path, account: Account) -> None:
    """Let the account walk to `place`: an access entry of its own where a folder bars it.

    Only the right to pass is given, only to this account; the folders stay closed to all others.
    """
    if os.geteuid() != 0:
        return
    for folder in place.resolve().parents:
        found = folder.stat()
        owner = found.st_uid == account.uid and found.st_mode & stat.S_IXUSR
        if owner or found.st_mode & stat.S_IXOTH:
            continue
        try:
            os.setxattr(folder, _ACL, _with_pass(_acl_of(folder, found.st_mode), account.uid))
        except OSError as e:
            raise Unavailable(
                f"system user '{USER}' cannot enter {folder}; set INOPSIO_DATA_DIR to a folder "
                f"such as /var/lib/inopsio, or run: chmod o+x {folder}"
            ) from e


def _make_user() -> pwd.struct_passwd:
    program = shutil.which("useradd") or "/usr/sbin/useradd"
    words = [program, "--system", "--no-create-home", "--home-dir", "/nonexistent"]
    result = subprocess.run(
        [*words, "--shell", "/usr/sbin/nologin", USER], capture_output=True, text=True, check=False
    )
    try:
        entry = pwd.getpwnam(USER)  # there now, by us or by a process that was quicker
    except KeyError:
        raise Unavailable(
            f"PostgreSQL does not run as root and system user '{USER}' could not be made: "
            f"{result.stderr.strip()}; make it, or start as an ordinary user"
        ) from None
    _log.info("system_user_made", user=USER, reason="PostgreSQL refuses to run as root")
    return entry


_Entry = tuple[int, int, int]  # tag, rights, id: linux/posix_acl_xattr.h
_OWNER, _USER, _GROUP_OWNER, _MASK, _OTHER = 1, 2, 4, 16, 32


def _acl_of(folder: Path, mode: int) -> list[_Entry]:
    try:
        raw = os.getxattr(folder, _ACL)
    except OSError:
        return [
            (_OWNER, mode >> 6 & 7, _NOBODY),
            (_GROUP_OWNER, mode >> 3 & 7, _NOBODY),
            (_MASK, mode >> 3 & 7, _NOBODY),
            (_OTHER, mode & 7, _NOBODY),
        ]
    return [struct.unpack_from("<HHI", raw, at) for at in range(4, len(raw), 8)]


def _with_pass(entries: list[_Entry], uid: int) -> bytes:
    """Add or widen the entry of `uid` by the right to pass, and the mask that bounds it.

    >>> _with_pass([(1, 7, 0xFFFFFFFF), (4, 0, 0xFFFFFFFF), (32, 0, 0xFFFFFFFF)], 7).hex()[24:40]
    '0200010007000000'
    """
    kept = [e for e in entries if not (e[0] == _USER and e[2] == uid) and e[0] != _MASK]
    had = next((e[1] for e in entries if e[0] == _USER and e[2] == uid), 0)
    mask = next((e[1] for e in entries if e[0] == _MASK), 0)
    kept += [(_USER, had | 1, uid), (_MASK, mask | 1, _NOBODY)]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *e) for e in sorted(kept))
