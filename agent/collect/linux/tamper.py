"""See the agent itself being changed: program, units, settings, keys, spool, being switched off.

What an update of its own changes is told by the updater. Who did it is told by `file_integrity`,
which watches the folders of settings and units; here is what must not be overlooked.
"""

import contextlib
import json
import os
import stat
from pathlib import Path
from typing import Any, Final

from agent.collect import Event, Look, Notes
from agent.collect._shape import agent_event
from agent.collect.linux._hashes import hash_file
from agent.units import units

NAME: Final = "tamper"
EVERY_S: Final = 10.0
ROOT: Final = Path("/")
PROGRAM: Final = "opt/inopsio-agent"
DATA: Final = "var/lib/inopsio-agent"
SETTINGS: Final = "etc/inopsio-agent"
UNIT_FOLDERS: Final = ("lib/systemd/system", "etc/systemd/system")
_WANTS: Final = "etc/systemd/system/multi-user.target.wants"
_KEPT: Final = "var/lib/inopsio-agent-update"
"""Root's, where the updater keeps what it is at; as `agent.update` calls it."""
LONGEST_S: Final = 1200.0
"""An update that takes longer is none: its unit is ended after 900 s."""
AFTER_S: Final = 30.0
"""Old versions are taken away just after an update has ended."""
_OWN: Final = ("identity.pem", "authority.pem", "identity.json")
_RENEWED: Final = ("identity.pem", "identity.json")
"""A renewal changes these; whom the host trusts it does not."""
MOST: Final = 2000
Seen = list[Any]
"""[inode, changed ns, size, rights and owner, hash]: a list, because it is kept as JSON."""
_TIME, _SIZE, _RIGHTS, _HASH = 1, 2, 3, 4


def collect(notes: Notes, now_us: int, root: Path = ROOT) -> Look:
    """Give an event for each part of the agent that changed; the first look only learns."""
    before: dict[str, Seen] = notes.get("files", {})
    now = {place: _look(root / place, before.get(place)) for place in _places(root)}
    found = {place: seen for place, seen in now.items() if seen is not None}
    updated = _updated(root)
    if "files" in notes and _is_updating(root, now_us / 1e6):
        # What is half done is not judged: the program stays as it was known until it has ended.
        found = {k: v for k, v in found.items() if not k.startswith(PROGRAM)}
        found |= {k: v for k, v in before.items() if k.startswith(PROGRAM)}
        updated = notes.get("updated", "")
    kept: Notes = {"files": found, "updated": updated}
    if "files" not in notes:
        return Look([], kept)
    # A version that was put in place, or a certificate that was renewed, changes many at once.
    is_update = updated != notes.get("updated", "")
    is_renewal = found.get(f"{DATA}/identity.json") != before.get(f"{DATA}/identity.json")
    events = [
        _event(place, before.get(place), found.get(place), now_us)
        for place in sorted(before.keys() | found.keys())
        if _is_told(place, before.get(place), found.get(place), is_update, is_renewal)
    ]
    return Look(events, kept)


def _places(root: Path) -> list[str]:
    found = [f"{DATA}/{name}" for name in (*_OWN, "spool.sqlite")]
    for folder in UNIT_FOLDERS:
        for name in units(""):
            found += [f"{folder}/{name}", *_below(root, f"{folder}/{name}.d")]
    found += [f"{_WANTS}/{name}" for name in units("")]
    found += [f"{PROGRAM}/{name}" for name in ("release.pub", "current", "good")]
    found += [*_below(root, SETTINGS), *_below(root, f"{PROGRAM}/versions")]
    return found[:MOST]


def _below(root: Path, folder: str) -> list[str]:
    found = []
    for place, _, names in os.walk(root / folder):
        found += [os.path.relpath(os.path.join(place, name), root) for name in names]  # noqa: PTH118  many
        if len(found) > MOST:
            break
    return found


def _look(path: Path, before: Seen | None) -> Seen | None:
    """Look at a file; its content is read only where its inode says that it may be another."""
    try:
        told = path.lstat()
    except OSError:
        return None
    rights = f"{told.st_mode & 0o7777:04o} {told.st_uid}:{told.st_gid}"
    if path.name == "spool.sqlite":  # it changes all the time: which file it is counts
        return [told.st_ino, 0, 0, rights, ""]
    seen: Seen = [told.st_ino, told.st_ctime_ns, told.st_size, rights, ""]
    if before is not None and seen[:_HASH] == before[:_HASH]:
        return [*seen[:_HASH], before[_HASH]]
    if stat.S_ISLNK(told.st_mode):
        return [*seen[:_HASH], f"LINK={path.readlink()}"]
    return [*seen[:_HASH], hash_file(str(path)) if stat.S_ISREG(told.st_mode) else "no file"]


def _is_told(
    place: str, before: Seen | None, after: Seen | None, is_update: bool, is_renewal: bool
) -> bool:
    if place == f"{DATA}/authority.pem" and before and after:
        return before[_RIGHTS:] != after[_RIGHTS:]  # a renewal writes the same again
    if _essence(before) == _essence(after):
        return False
    if place.startswith(PROGRAM) and is_update:
        return False
    is_papers = place.startswith(DATA) and place.rpartition("/")[2] in _RENEWED
    return not (is_papers and is_renewal and after is not None)


def _essence(seen: Seen | None) -> Seen | None:
    """Give what counts: not the time alone, and of the spool which file it is."""
    return seen and ([seen[0], *seen[_RIGHTS:]] if not seen[_TIME] else seen[_SIZE:])


def _is_updating(root: Path, now_s: float) -> bool:
    """Answer whether an update goes on or has just ended; what was left behind says nothing."""
    marks = [("incoming", LONGEST_S), ("result.json", AFTER_S)]
    if "pending" in _said(root, "state.json"):
        marks.append(("state.json", LONGEST_S))
    for name, most_s in marks:
        with contextlib.suppress(OSError):
            if 0 <= now_s - (root / _KEPT / name).lstat().st_mtime < most_s:
                return True
    return False


def _said(root: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads((root / _KEPT / name).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _updated(root: Path) -> str:
    return str(_said(root, "result.json").get("at_us", ""))


def _event(place: str, before: Seen | None, after: Seen | None, now_us: int) -> Event:
    what = "removed" if after is None else "added" if before is None else "changed"
    code = "agent_tampered"
    if place.startswith(_WANTS) and after is None:
        what, code = "switched off", "agent_disabled"
    more: dict[str, object] = {"file": {"path": f"/{place}"}, "change": what}
    for word, seen in (("before", before), ("after", after)):
        if seen is not None:
            more |= {f"hash_{word}": seen[_HASH] or None, f"rights_{word}": seen[_RIGHTS]}
    return agent_event(code, now_us, f"a part of the agent was {what}: /{place}", **more)
