"""Read which program started which around a moment, from the lake, as a tree."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import polars as pl

from dashboards.read.happenings import us
from storage.database import Database
from storage.lake import Lake
from storage.tenant import Scope

NEAR: Final = timedelta(minutes=15)
MOST_NODES: Final = 80
MOST_SIBLINGS: Final = 12
_MOST_EVENTS: Final = 5000
_DEEPEST: Final = 24
_PROCESS: Final = 1007
_COLUMNS: Final = {
    "event_id": "event_id",
    "time": "time",
    "activity_id": "activity_id",
    "hostname": "device.hostname",
    "user": "actor.user.name",
    "path": "process.file.path",
    "cmd": "process.cmd_line",
    "uid": "process.uid",
    "pid": "process.pid",
    "parent_path": "process.parent_process.file.path",
    "parent_cmd": "process.parent_process.cmd_line",
    "parent_uid": "process.parent_process.uid",
    "parent_pid": "process.parent_process.pid",
}


@dataclass(slots=True)
class Process:
    """One program that ran. `time` None: it was running before; only its child tells of it."""

    key: str
    path: str = ""
    cmd: str = ""
    pid: int | None = None
    user: str = ""
    time: datetime | None = None
    is_evidence: bool = False
    left_out: int = 0
    children: list["Process"] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Give the program's file name."""
        return self.path.replace("\\", "/").rpartition("/")[2] or "unknown program"


def process_trees(
    database: Database,
    lake: Lake,
    scope: Scope,
    host: str,
    evidence: Iterable[str],
    at: datetime,
) -> list[Process]:
    """Give the trees that hold the evidence: its ancestors, their children, its descendants.

    `host`: canonical name; `evidence`: ids of events. At most `MOST_NODES` programs; [] where no
    process event is among the evidence.
    """
    scope.require("events:read")
    mine = set(evidence)
    rows = _rows(database, lake, scope, host, at)
    known: dict[str, Process] = {}
    parent: dict[str, str] = {}
    for row in rows:
        _learn(row, known, parent, mine)
    marked = [p for p in known.values() if p.is_evidence]
    roots = dict.fromkeys(_root(p.key, parent) for p in marked)
    near = {key for p in marked for key in _upward(p.key, parent)}
    for child, of in parent.items():
        known[of].children.append(known[child])
    trees = [known[key] for key in roots]
    room = [MOST_NODES]
    for tree in trees:
        _thin(tree, near, room, depth=0, is_under=False)
    return trees


def _rows(
    database: Database, lake: Lake, scope: Scope, host: str, at: datetime
) -> list[dict[str, Any]]:
    try:
        frame = lake.scan(database, scope, us(at - NEAR), us(at + NEAR), [_PROCESS])
        have = set(frame.collect_schema().names())
        if "device.hostname" not in have or not have & {"process.uid", "process.pid"}:
            return []
        here = pl.col("device.hostname").str.to_lowercase().str.split(".").list.first() == host
        starts = pl.col("activity_id") == 1
        shown = [pl.col(c).alias(n) for n, c in _COLUMNS.items() if c in have]
        wanted = frame.filter(here & starts).select(shown).sort("time", "event_id")
        return wanted.head(_MOST_EVENTS).collect().to_dicts()
    except (pl.exceptions.PolarsError, OSError):
        return []  # a file that compaction has just replaced


def _learn(
    row: dict[str, Any], known: dict[str, Process], parent: dict[str, str], mine: set[str]
) -> None:
    key = _key(row.get("uid"), row.get("pid"))
    if key is None:
        return
    if key in known and known[key].time is not None and not row.get("uid"):
        # The number was given away again: what ran before keeps its place under another key.
        key = f"{key}@{row['event_id']}"
    found = known.setdefault(key, Process(key))
    found.path = str(row.get("path") or found.path)
    found.cmd = str(row.get("cmd") or found.cmd)
    found.pid = row.get("pid") if row.get("pid") is not None else found.pid
    found.user = str(row.get("user") or "")
    found.time = row["time"]
    found.is_evidence = found.is_evidence or str(row["event_id"]) in mine
    above = _key(row.get("parent_uid"), row.get("parent_pid"))
    if above is None or above == key or key in parent or key in _upward(above, parent):
        return
    one = known.setdefault(above, Process(above))
    one.path = one.path or str(row.get("parent_path") or "")
    one.cmd = one.cmd or str(row.get("parent_cmd") or "")
    one.pid = one.pid if one.pid is not None else row.get("parent_pid")
    parent[key] = above


def _key(uid: object, pid: object) -> str | None:
    if uid:
        return str(uid).strip("{}").lower()
    return f"pid:{pid}" if pid is not None else None


def _upward(key: str, parent: dict[str, str]) -> Iterator[str]:
    for _ in range(_DEEPEST):
        yield key
        if key not in parent:
            return
        key = parent[key]


def _root(key: str, parent: dict[str, str]) -> str:
    last = key
    for above in _upward(key, parent):
        last = above
    return last


def _thin(node: Process, near: set[str], room: list[int], depth: int, *, is_under: bool) -> None:
    """Keep ancestors of the evidence, all beneath it, and a few of the others."""
    room[0] -= 1
    is_under = is_under or node.is_evidence
    kept: list[Process] = []
    others = 0
    for child in node.children:
        matters = is_under or child.key in near
        if not matters and others >= MOST_SIBLINGS:
            continue
        if room[0] <= 0 or depth >= _DEEPEST:
            break
        others += not matters
        kept.append(child)
        if matters:
            _thin(child, near, room, depth + 1, is_under=is_under)
        else:
            room[0] -= 1
            child.left_out, child.children = len(child.children), []
    node.left_out += len(node.children) - len(kept)
    node.children = kept
