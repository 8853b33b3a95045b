"""See watched files change: who, what, hashes before and after; also while the agent was off."""

import glob
import os
import threading
import time
from typing import Any, Final

from agent.collect import Event, Out
from agent.collect._shape import agent_event, event, now_us, shown
from agent.collect.linux import _proc
from agent.collect.linux._baseline import (
    GID,
    HASH,
    MODE,
    MOST_FILES,
    SIZE,
    UID,
    File,
    differs,
    look,
    walk,
)
from agent.collect.linux._proc import Process
from agent.collect.linux._recent import RECENT
from agent.collect.linux._settling import RESTS, Settling
from agent.collect.linux._touched import (
    CREATED,
    MOVED_TO,
    OVERFLOW,
    WRITTEN,
    Ear,
    Touched,
    open_ear,
)

NAME: Final = "file_integrity"
PATHS: Final = (
    "/etc", "/boot", "/usr/local/bin", "/usr/local/sbin", "/var/spool/cron", "/root/.ssh",
    "/home/*/.ssh", "/root/.bashrc", "/root/.profile", "/lib/systemd/system",
)  # fmt: skip
NOTE_EVERY_S: Final = 30.0
GATHER_S: Final = 0.2
_CREATE, _UPDATE, _DELETE, _ATTRIBUTES = 1, 3, 4, 6


def watch(out: Out, stop: threading.Event, options: dict[str, Any]) -> None:
    """Tell changes until told to stop. Options: `paths` (globs), `by` (interfaces to try)."""
    ear, tried = open_ear(list(options.get("by", ["fanotify", "inotify"])))
    guard = Guard(ear, dict(out.notes.get("files", {})), "files" in out.notes)
    try:
        events = guard.begin(list(options.get("paths", PATHS)))
        text = f"{len(guard.files)} files are watched by {ear.name}"
        text += f"; not by {tried}" if tried else ""
        out.put([agent_event("source_opened", now_us(), text, collector=NAME), *events])
        out.put([], {"files": guard.files})
        noted_s, is_changed = time.monotonic(), False
        while not stop.is_set():
            touched, events = ear.read(1.0), list[Event]()
            if touched:
                found = {t.pid: _proc.read(t.pid) for t in touched if t.pid}
                # An editor writes, renames and sets rights in one go: one event is enough.
                stop.wait(GATHER_S)
                touched += ear.read(0)
                whos = {t.pid: _who(t.pid, found.get(t.pid)) for t in touched if t.pid}
                events = guard.touched(touched, whos)
            events += guard.settled()
            if events:
                out.put(events)
                is_changed = True
            if is_changed and time.monotonic() - noted_s > NOTE_EVERY_S:
                out.put([], {"files": dict(guard.files)})
                noted_s, is_changed = time.monotonic(), False
        out.put([], {"files": guard.files})
    finally:
        ear.close()


def _who(pid: int, process: Process | None) -> Event:
    """Describe who did it: as read at once, as it is, or as it was before it ended."""
    process = process or _proc.read(pid) or RECENT.get(pid)
    if process is None:
        return {"process": {"pid": pid}}
    user = {"name": _proc.user_name(process.uid), "uid": str(process.uid)}
    path = shown(process.path) or None
    what = {"pid": pid, "file": {"path": path}, "cmd_line": process.cmd_line}
    return {"process": what, "user": user}


class Guard:
    """The files as they were last seen; `is_known`: whether a run before has seen them."""

    def __init__(self, ear: Ear, files: dict[str, File], is_known: bool) -> None:
        """Begin with what was known."""
        self._ear, self.files, self._is_known = ear, files, is_known
        self._roots: list[str] = []
        self._settling = Settling()
        self._is_overrun, self._rests_s = False, 0.0
        self._is_cut = False

    def begin(self, patterns: list[str]) -> list[Event]:
        """Watch all folders, then compare with what was known; the first run only learns."""
        found = {p for pattern in patterns for p in glob.glob(pattern)}  # noqa: PTH207  bytes as they are
        self._roots = sorted(found, key=lambda p: (_is_others(p), p))
        return self._scan(self._roots, is_told=self._is_known)

    def _scan(self, roots: list[str], is_told: bool) -> list[Event]:
        events: list[Event] = []
        seen, count = set[str](), 0
        for path, is_folder in walk(roots, MOST_FILES):
            count += 1
            if is_folder or path in roots:
                self._add(path if is_folder else os.path.dirname(path), events)  # noqa: PTH120  bytes as they are
            if not is_folder:
                seen.add(path)
                told = self._compare(path, None)
                events += told if is_told else []
        if count >= MOST_FILES:
            self._is_cut = True
            where = ", ".join(roots)[:200]
            text = f"over {MOST_FILES} files and folders in {where}; some are not watched"
            events.append(agent_event("source_limited", now_us(), text, collector=NAME))
        for path in [p for p in self.files if p not in seen and _is_below(p, roots)]:
            events += self._compare(path, None)
        return events

    def _add(self, folder: str, events: list[Event]) -> None:
        try:
            self._ear.add(folder)
        except OSError as wrong:
            text = f"{folder} cannot be watched: {wrong}"
            events.append(agent_event("source_limited", now_us(), text, collector=NAME))

    def touched(self, touched: list[Touched], whos: dict[int, Event]) -> list[Event]:
        """Look at what was touched; each file once, with the last who touched it."""
        events: list[Event] = []
        if any(t.mask & OVERFLOW for t in touched) and not self._is_overrun:
            text = "the kernel had no room for changes of files; all are compared with what was"
            events.append(agent_event("kernel_overrun", now_us(), text, collector=NAME))
            self._is_overrun = True
        masks: dict[str, int] = {}
        for one in touched:
            masks[one.path] = masks.get(one.path, 0) | one.mask
        for path, pid in {t.path: t.pid for t in touched if t.path}.items():
            if not _is_below(path, self._roots):
                continue
            if os.path.isdir(path) and not os.path.islink(path):  # noqa: PTH112, PTH114  bytes as they are
                events += self._scan([path], is_told=True)
            else:
                events += self._changed(path, masks[path], whos.get(pid))
        return events

    def _changed(self, path: str, mask: int, who: Event | None) -> list[Event]:
        is_there, now_s = os.path.lexists(path), time.monotonic()
        if is_there and self._settling.put(path, mask, who, now_s, is_open=mask == WRITTEN):
            return []
        events = self._look(path, mask, who)
        if not is_there:
            self._ear.forget(path)
            for below in [p for p in self.files if p.startswith(path + "/")]:
                events += self._compare(below, who)
        return events

    def settled(self) -> list[Event]:
        """Look at what had to wait: files that are written to, all after an overrun."""
        now_s, events = time.monotonic(), list[Event]()
        if self._is_overrun and now_s >= self._rests_s:
            self._is_overrun = False
            events += self._scan(self._roots, is_told=True)
            # Who fills the queue again and again gets no more of the processor than this.
            self._rests_s = now_s + RESTS * (time.monotonic() - now_s)
        for path, mask, who in self._settling.ready(now_s):
            events += self._look(path, mask, who)
        return events

    def _look(self, path: str, mask: int, who: Event | None) -> list[Event]:
        began_s = time.monotonic()
        events = self._compare(path, who, is_new=bool(mask & (CREATED | MOVED_TO)))
        ended_s = time.monotonic()
        self._settling.looked(path, ended_s - began_s, ended_s)
        return events

    def _compare(self, path: str, who: Event | None, is_new: bool = True) -> list[Event]:
        """Tell how the file differs from what it was.

        `is_new`: whether one that is not known was just made; over the bound nobody else knows.
        """
        before, is_full = self.files.get(path), len(self.files) >= MOST_FILES
        is_new = is_new or not (is_full or self._is_cut)
        after = look(path, before)
        if after is None:
            self.files.pop(path, None)
        elif before is not None or not is_full:
            self.files[path] = after
        if before is None and after is None:
            return []
        if before is None or after is None:
            made = _CREATE if is_new else _UPDATE
            return [_event(made if before is None else _DELETE, path, before, after, who)]
        kind = differs(before, after)
        if not kind:
            return []
        return [_event(_UPDATE if kind == "content" else _ATTRIBUTES, path, before, after, who)]


def _is_others(path: str) -> bool:
    """Answer whether it is not root's: who owns it could fill it, so it comes last."""
    try:
        return os.stat(path).st_uid != 0  # noqa: PTH116  bytes as they are
    except OSError:
        return True


def _is_below(path: str, roots: list[str]) -> bool:
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)


def _event(
    activity: int, path: str, before: File | None, after: File | None, who: Event | None
) -> Event:
    path = shown(path)
    file: Event = {"path": path, "name": os.path.basename(path)}  # noqa: PTH119  a text now
    more: Event = {"file": file}
    if after is not None:
        file |= {"hashes": after[HASH] or None, "size": after[SIZE]}
    for word, was in (("before", before), ("after", after)):
        if was is not None:
            more[f"hash_{word}"] = was[HASH] or None
            more[f"rights_{word}"] = f"{was[MODE] & 0o7777:04o} {was[UID]}:{was[GID]}"
    if who is not None:
        more["actor"] = who
    return event(1001, activity, now_us(), more)
