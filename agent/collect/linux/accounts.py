"""See local accounts and groups change: new ones, gone ones, passwords, shells, members."""

import hashlib
from pathlib import Path
from typing import Final

from agent.collect import Event, Look, Notes
from agent.collect._shape import event
from agent.collect.linux._states import States, changes

NAME: Final = "accounts"
EVERY_S: Final = 10.0
PASSWD: Final = Path("/etc/passwd")
SHADOW: Final = Path("/etc/shadow")
GROUP: Final = Path("/etc/group")
_CREATE, _PASSWORD, _DELETE, _OTHER = 1, 3, 6, 99
_GROUP_DELETE, _GROUP_CREATE, _ADD_USER, _REMOVE_USER = 5, 6, 3, 4


def collect(notes: Notes, now_us: int) -> Look:
    """Give what changed since the last look; the first one only learns.

    Of a password the day of its change is read, and 32 bits that tell one entry from another;
    neither it nor its hash is kept or sent.
    """
    stamps = [_stamp(path) for path in (PASSWD, SHADOW, GROUP)]
    if stamps == notes.get("stamps"):
        return Look([], notes)
    known, passwords, groups = users(), _passwords(), _groups()
    kept: Notes = {"stamps": stamps, "users": known, "entries": passwords, "groups": groups}
    if "users" not in notes:
        return Look([], kept)
    events = [_user(*change, now_us) for change in changes(notes["users"], known)]
    for name, was, now in changes(notes.get("entries", passwords), passwords):
        if was is not None and now is not None:
            events.append(event(3001, _PASSWORD, now_us, {"user": {"name": name}}))
    for change in changes(notes["groups"], groups):
        events += _group(*change, now_us)
    return Look(events, kept)


def _stamp(path: Path) -> list[int]:
    try:
        told = path.stat()
    except OSError:
        return []
    return [told.st_mtime_ns, told.st_size, told.st_ino]


def _lines(path: Path, fields: int) -> list[list[str]]:
    try:
        text = path.read_text(encoding="utf-8", errors="backslashreplace")
    except OSError:
        return []
    rows = [line.split(":") for line in text.splitlines() if not line.startswith("#")]
    return [row for row in rows if len(row) >= fields]


def users() -> States:
    """Give `uid:gid:home:shell` of each local account."""
    return {row[0]: f"{row[2]}:{row[3]}:{row[5]}:{row[6]}" for row in _lines(PASSWD, 7)}


def _passwords() -> States:
    """Give the day of the last change, and a mark of the entry: it may change twice on a day.

    The mark is 32 bits of a hash over the salted hash: too few to find a password by.
    """
    marks = ((r[0], r[2], hashlib.sha256(r[1].encode()).hexdigest()[:8]) for r in _lines(SHADOW, 3))
    return {name: f"{day} {mark}" for name, day, mark in marks}


def _groups() -> States:
    return {row[0]: ",".join(sorted(filter(None, row[3].split(",")))) for row in _lines(GROUP, 4)}


def _user(name: str, was: str | None, now: str | None, now_us: int) -> Event:
    activity = _CREATE if was is None else _DELETE if now is None else _OTHER
    uid, _, home, shell = (now or was or ":::").split(":", 3)
    more: Event = {"user": {"name": name, "uid": uid}, "home": home, "shell": shell}
    if was is not None and now is not None:
        more |= {"account_before": was, "account_after": now}
    return event(3001, activity, now_us, more)


def _group(name: str, was: str | None, now: str | None, now_us: int) -> list[Event]:
    group = {"group": {"name": name}}
    events = []
    if was is None or now is None:
        activity = _GROUP_CREATE if was is None else _GROUP_DELETE
        events.append(event(3006, activity, now_us, dict(group)))
    before, after = ({m for m in (said or "").split(",") if m} for said in (was, now))
    for activity, members in ((_ADD_USER, after - before), (_REMOVE_USER, before - after)):
        for member in sorted(members):
            events.append(event(3006, activity, now_us, group | {"user": {"name": member}}))  # noqa: PERF401  two loops deep
    return events
