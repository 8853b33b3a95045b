"""Look, keep, send: the agent's loop."""

import hashlib
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from agent.collect import Look, Notes, Out, collectors, options_of
from agent.collect._shape import agent_event, now_us
from agent.deliver import Sends, deliver
from agent.follow import follow
from agent.keep import keep, keep_losses
from agent.spool import Spool
from agent.system import told_by
from agent.voice import tell, trouble
from agent.watchdog import Pulse

LOG_EVERY_S: Final = 1.0
ROUND_S: Final = 0.5
"""One commit a round holds all that was seen in it."""
FINISH_S: Final = 5.0
AGAIN_S: Final = 30.0
"""A watcher that failed is started again after so long."""
WATCHER_HUNG_S: Final = 900.0
"""The longest that a watcher may need: a first look at 20,000 files on a slow disk."""
TELL_AGAIN_S: Final = 600.0
"""A look that fails as it did before is told once in so long."""
MACHINE_ID: Final = Path("/etc/machine-id")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a task saw, ready for the spool: events, or lines of a log."""

    look: Look
    stream: str = ""
    written_as: str = ""
    lines: list[bytes] = field(default_factory=list)
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to look at, and how often (seconds)."""

    name: str
    every_s: float
    look: Callable[[int], Seen]


@dataclass(slots=True)
class Watcher:
    """One thing that is watched as it happens."""

    name: str
    module: ModuleType
    options: dict[str, Any]
    out: Out
    stop: Pulse = field(default_factory=Pulse)
    thread: threading.Thread | None = None
    kept: Notes = field(default_factory=dict)
    """Notes that are on disk, where each has a place of its own (`APART`)."""

    def is_same(self, other: "Watcher") -> bool:
        """Answer whether the other one would watch the same in the same way."""
        return (self.name, self.options) == (other.name, other.options)


def agent_id(spool: Spool, machine_id: Path = MACHINE_ID) -> str:
    """Give this agent's lasting identity; made once, kept in the spool.

    A spool that finds itself on another machine (a cloned image) gets an identity of its own: two
    hosts with one identity would have their events taken for repeats.
    """
    said = told_by(machine_id)
    machine = hashlib.sha256(said).hexdigest()[:32] if said else ""
    known, was = spool.note("agent_id", None), spool.note("machine", machine)
    if known is None or was != machine:
        known = uuid.uuid4().hex
        spool.set_note("agent_id", known)
    spool.set_note("machine", machine)
    return str(known)


def tasks(
    spool: Spool, logs: list[tuple[Path, str]], settings: Mapping[str, Any] | None = None
) -> list[Task]:
    """Give a task for every collector that looks in turn, and one for every log file."""
    found = [
        Task(name, _every_s(module, settings or {}), partial(_collect, spool, name, module))
        for name, module in _wanted(settings or {}).items()
        if not hasattr(module, "watch")
    ]
    return found + [
        Task(f"log:{path}", LOG_EVERY_S, partial(_read_log, spool, path, written_as))
        for path, written_as in logs
    ]


def _every_s(module: ModuleType, settings: Mapping[str, Any]) -> float:
    asked = options_of(settings, module.NAME).get("every_s", module.EVERY_S)
    return max(1.0, float(asked))


def watchers(spool: Spool, settings: Mapping[str, Any]) -> list[Watcher]:
    """Give a watcher for every collector that is told by the kernel."""
    return [
        _watcher(spool, name, module, options_of(settings, name))
        for name, module in _wanted(settings).items()
        if hasattr(module, "watch")
    ]


def _watcher(spool: Spool, name: str, module: ModuleType, options: dict[str, Any]) -> Watcher:
    notes = spool.note(name, {})
    if hasattr(module, "APART"):
        keys = notes if isinstance(notes, list) else []
        notes = {key: spool.note(f"{name}:{key}", {}) for key in keys}
    return Watcher(name, module, options, Out(notes), kept=dict(notes))


def _places(one: Watcher, notes: Notes) -> Notes:
    """Give what of a watcher's notes is to be written, each under the name of its place."""
    if not notes or not hasattr(one.module, "APART"):
        return {one.name: notes} if notes else {}
    found = {f"{one.name}:{k}": v for k, v in notes.items() if one.kept.get(k) is not v}
    if notes.keys() != one.kept.keys():
        found |= {f"{one.name}:{k}": None for k in one.kept.keys() - notes.keys()}
        found[one.name] = sorted(notes)
    return found


def _wanted(settings: Mapping[str, Any]) -> dict[str, ModuleType]:
    off = set(settings.get("off", ()))
    return {name: module for name, module in collectors().items() if name not in off}


def _collect(spool: Spool, name: str, module: ModuleType, at_us: int) -> Seen:
    seen: Look = module.collect(spool.note(name, {}), at_us)
    return Seen(Look(seen.events, {name: seen.notes}), f"log:{name}", seen.written_as, seen.lines)


def _read_log(spool: Spool, path: Path, written_as: str, at_us: int) -> Seen:
    stream = f"log:{path}"
    lost = list[str]()
    lines, place = follow(path, spool.note(stream, {}), lost.append)
    events = [agent_event("log_not_read", at_us, text, file=str(path)) for text in lost]
    is_news = bool(lines or lost)
    return Seen(Look(events, {stream: place} if is_news else {}), stream, written_as, lines)


def look_once(spool: Spool, found: list[Task], at_us: int) -> int:
    """Run every task; give how many events were kept. A failing one does not stop the rest."""
    seen = [_looked(task, at_us) for task in found]
    for task, one in zip(found, seen, strict=True):
        if one.failed:
            tell(f"collector {task.name} failed: {one.failed}")
    return _keep_all(spool, seen, []) if seen else 0


def _looked(task: Task, at_us: int) -> Seen:
    try:
        return task.look(at_us)
    except Exception as wrong:  # noqa: BLE001  the agent's loop: one collector must not silence the others
        failed = trouble(3)
        return Seen(Look([_failed(task.name, wrong)]), failed=failed)


def _failed(name: str, wrong: Exception) -> dict[str, Any]:
    why = f"{type(wrong).__name__}: {wrong}"[:300]
    return agent_event("collector_failed", now_us(), f"collector {name}: {why}", collector=name)


def _keep_all(spool: Spool, seen: list[Seen], watched: list[tuple[Watcher, Look]]) -> int:
    """Keep all that was seen in one commit; give how many rows."""
    kept = 0
    with spool.together():
        for one in seen:
            if one.lines:
                kept += spool.append(one.stream, one.written_as, one.lines)
            kept += keep(spool, one.look.events, _changed(spool, one.look.notes))
        for watcher, look in watched:
            if look.lines:
                kept += spool.append(f"log:{watcher.name}", look.written_as, look.lines)
            kept += keep(spool, look.events, _places(watcher, look.notes))
        keep_losses(spool, now_us())
    for watcher, look in watched:
        watcher.kept = look.notes or watcher.kept
    return kept


def _changed(spool: Spool, notes: Notes) -> Notes:
    return {name: value for name, value in notes.items() if spool.note(name, None) != value}


class Loop:
    """The looking half: tasks in turn, watchers in threads, one commit a round."""

    def __init__(
        self,
        spool: Spool,
        logs: list[tuple[Path, str]],
        settings: Mapping[str, Any],
        stop: threading.Event,
    ) -> None:
        """Find what is to be looked at; nothing is looked at yet."""
        self._spool, self._stop, self._logs = spool, stop, logs
        self._ending: list[Watcher] = []
        self._tasks = tasks(spool, logs, settings)
        self._watchers = watchers(spool, settings)
        self._due = dict.fromkeys((t.name for t in self._tasks), 0.0)
        self._told: dict[str, tuple[str, float]] = {}
        self.slower = 1.0
        """Factor on every pause; over 1 while the agent is over its share of the processor."""
        self.rounds = 0

    def start(self) -> None:
        """Start the watchers; they run until `finish`."""
        for one in self._watchers:
            self._begin(one)

    def _begin(self, one: Watcher) -> None:
        one.thread = threading.Thread(target=self._watch, args=(one,), name=one.name, daemon=True)
        one.thread.start()

    def apply(self, settings: Mapping[str, Any]) -> None:
        """Look by other settings from now on; a watcher that stays as it is runs on."""
        wanted = watchers(self._spool, settings)
        kept = [old for old in self._watchers if any(old.is_same(new) for new in wanted)]
        gone = [old for old in self._watchers if old not in kept]
        for old in gone:
            old.stop.set()
        end_s = time.monotonic() + FINISH_S
        for old in gone:
            if old.thread is not None:
                old.thread.join(max(0.0, end_s - time.monotonic()))
        # What they still hold is kept with the next round, before their successors' first.
        self._watchers, self._ending = kept, [*self._ending, *gone]
        self.round()
        self._ending = [old for old in self._ending if old.thread and old.thread.is_alive()]
        # Their notes are on disk now: the successors go on from there.
        fresh = [w for w in watchers(self._spool, settings) if not any(map(w.is_same, kept))]
        self._watchers = kept + fresh
        for one in fresh:
            self._begin(one)
        self._tasks = tasks(self._spool, self._logs, settings)
        self._due = {t.name: self._due.get(t.name, 0.0) for t in self._tasks}

    def finish(self) -> None:
        """Let the watchers hand over what they hold."""
        end_s = time.monotonic() + FINISH_S
        for one in self._watchers:
            one.stop.set()
        for one in self._watchers:
            if one.thread is not None:
                one.thread.join(max(0.0, end_s - time.monotonic()))

    def _watch(self, one: Watcher) -> None:
        while not self._stop.is_set() and not one.stop.is_set():
            try:
                one.module.watch(one.out, one.stop, one.options)
                return
            except Exception as wrong:  # noqa: BLE001  the agent's loop: one watcher must not silence the others
                tell(f"collector {one.name} failed: {trouble(3)}")
                one.out.put([_failed(one.name, wrong)])
                one.stop.wait(AGAIN_S)

    def hung(self) -> str:
        """Name a watcher that has not come round for a quarter of an hour, '' if all have."""
        over_s = time.monotonic() - WATCHER_HUNG_S
        alive = (o for o in self._watchers if o.thread and o.thread.is_alive())
        return next((o.name for o in alive if o.stop.at_s < over_s), "")

    def _fresh(self, name: str, seen: Seen) -> Seen | None:
        """Leave out a failure that was told already: a log is looked at every second."""
        failed = seen.failed
        if not failed:
            self._told.pop(name, None)
            return seen
        was, told_s = self._told.get(name, ("", 0.0))
        if was == failed and time.monotonic() - told_s < TELL_AGAIN_S:
            return None
        self._told[name] = failed, time.monotonic()
        tell(f"collector {name} failed: {failed}")
        return seen

    def round(self) -> int:
        """Look at what is due, take what the watchers saw, keep all; give how many rows."""
        now_s = time.monotonic()
        seen = []
        for task in self._tasks:
            if now_s >= self._due[task.name]:
                found = self._fresh(task.name, _looked(task, now_us()))
                self._due[task.name] = now_s + task.every_s * self.slower
                if found is not None and (found.lines or found.look.events or found.look.notes):
                    seen.append(found)
        taken = [(one, one.out.take()) for one in (*self._ending, *self._watchers)]
        watched = [(one, _with_lost(one.name, *got)) for one, got in taken if _is_news(*got)]
        self.rounds += 1
        try:
            return _keep_all(self._spool, seen, watched) if seen or watched else 0
        except Exception:
            for one, got in taken:
                one.out.put_back(*got)
            raise


def _is_news(look: Look, lost: int, fresh: bool) -> bool:
    return bool(look.events or look.lines) or lost > 0 or fresh


def _with_lost(name: str, look: Look, lost: int, fresh: bool) -> Look:
    events = look.events
    if lost:
        text = f"{lost} events of {name} found no room in memory"
        events = [*events, agent_event("events_dropped", now_us(), text, record_count=lost)]
    return Look(events, look.notes if fresh else {}, look.lines, look.written_as)


def run(
    spool: Spool,
    sender: Sends | None,
    logs: list[tuple[Path, str]],
    stop: threading.Event,
    settings: Mapping[str, Any] | None = None,
    each_round: Callable[[Loop], None] = lambda _: None,
) -> None:
    """Look, and ship if there is a sender, until told to stop; what waits stays on disk."""
    shipper = None
    if sender is not None:
        shipper = threading.Thread(target=run_shipper, args=(spool, sender, stop), daemon=True)
        shipper.start()
    loop = Loop(spool, logs, settings or {}, stop)
    loop.start()
    while not stop.is_set():
        began_s = time.monotonic()
        _guarded_round(loop, stop)
        each_round(loop)
        stop.wait(max(0.02, ROUND_S - (time.monotonic() - began_s)))
    end(loop, stop)
    if shipper is not None:
        shipper.join(5)


def end(loop: Loop, stop: threading.Event) -> None:
    """Let the watchers say their last words, and keep them."""
    loop.finish()
    _guarded_round(loop, stop)


def _guarded_round(loop: Loop, stop: threading.Event) -> None:
    try:
        loop.round()
    except Exception:  # noqa: BLE001  the agent's loop: a full disk must not silence it for good
        tell(f"what was seen could not be kept: {trouble(3)}")
        stop.wait(1.0)


def run_shipper(spool: Spool, sender: Sends, stop: threading.Event) -> None:
    """Ship until told to stop."""
    deliver(spool, sender, stop, stop.wait)
