"""Hold together what blocks programs: hearing of starts, refusing them, looking for copies."""

import threading
import time
from collections import deque
from typing import Any, Final

from agent.act._copies import Known, Search
from agent.act._execs import Execs
from agent.act._programs import Programs
from agent.collect.linux import _proc

AGAIN_S: Final = 60.0
MOST_TOLD: Final = 50
"""Different programs a minute that are told of by name; the rest is counted."""
Row = dict[str, Any]


class Seen:
    """Starts that were ended or refused: the first at once, more of the same a minute later."""

    def __init__(self) -> None:
        """Know none."""
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str, str], list[float]] = {}
        self._rows: deque[Row] = deque(maxlen=MOST_TOLD)
        self._unnamed = 0

    def __call__(self, how: str, pid: int, path: str, sha256: str) -> None:
        """Hear of one."""
        seen = _proc.read(pid) if how == "refused" else None
        who = {"starter": seen.path[:300], "user": _proc.user_name(seen.uid)} if seen else {}
        with self._lock:
            held = self._counts.get((how, path, sha256))
            if held is not None:
                held[0] += 1
            elif len(self._counts) >= MOST_TOLD:
                self._unnamed += 1
            else:
                self._counts[how, path, sha256] = [0, time.monotonic() + AGAIN_S]
                self._rows.append(_row(how, path, sha256, 1, pid=pid, **who))

    def take(self) -> list[Row]:
        """Give what is to be told now."""
        now_s = time.monotonic()
        with self._lock:
            found, self._rows = list(self._rows), deque(maxlen=MOST_TOLD)
            for (how, path, sha256), (count, due_s) in list(self._counts.items()):
                if due_s > now_s:
                    continue
                del self._counts[how, path, sha256]
                if count:
                    found.append(_row(how, path, sha256, int(count)))
            if self._unnamed and not self._counts:
                found.append(_row("ended or refused", "further programs", "", self._unnamed))
                self._unnamed = 0
        return found


def _row(how: str, path: str, sha256: str, count: int, **more: object) -> Row:
    times = "" if count == 1 else f" {count} times more"
    return {
        "code": "program_blocked",
        "message": f"{path}: its start was {how}{times}"[:600],
        "program": path[:500],
        "sha256": sha256,
        "how": how,
        "count": count,
        **more,
    }


class Block:
    """What is at work while any hash is blocked; OSError where programs cannot be watched."""

    def __init__(self, spared: frozenset[int]) -> None:
        """Begin to watch; nothing is blocked yet."""
        self.seen, self._known = Seen(), Known()
        self._execs = Execs(Programs(), spared, self.seen)
        self._refusals = self._execs.refusals
        self.blocked: frozenset[str] = frozenset()
        self._search: Search | None = None
        self._since_s, self._left_out = 0.0, 0

    @property
    def is_alive(self) -> bool:
        """Answer whether it still watches and answers."""
        return self._execs.is_alive

    def be(self, blocked: frozenset[str]) -> None:
        """Block these and no others: end what runs, refuse it, begin to look for copies."""
        if blocked == self.blocked:
            return
        fresh, self.blocked = blocked - self.blocked, blocked
        self._execs.blocked = blocked
        self._refusals.keep_only(blocked)
        if not fresh:
            return
        self._execs.end_running()
        if self._search is not None:
            self._search.close()
        words = (self._refusals.sizes, self._refusals.refuse, self._known)
        self._search, self._since_s = Search(blocked, *words), time.monotonic()

    def places(self, sha256: str) -> list[str]:
        """Give the files of this hash whose starts are refused."""
        return [one.path for one in self._refusals.places() if one.sha256 == sha256]

    def news(self) -> list[Row]:
        """Give what is to be told: what was ended or refused, and what a look for copies found."""
        rows = self.seen.take()
        if fresh := self._execs.left_out - self._left_out:
            self._left_out += fresh
            text = f"{fresh} starts were not looked at as they came: too many at once"
            rows.append({"code": "blocked_unseen", "message": text, "count": fresh})
        if self._search is not None and self._search.is_over:
            looked, self._search = self._search.looked, None
            places = self._refusals.places()
            more = " (not all: there are more than is looked at)" if looked.is_cut else ""
            text = (
                f"starts of {len(places)} files are refused; {looked.files} files were looked at, "
                f"{looked.hashed} read{more}"
            )
            told = {**looked._asdict(), "refused_places": [one.path[:300] for one in places[:20]]}
            spent = {"seconds": round(time.monotonic() - self._since_s, 1)}
            rows.append({"code": "blocked_copies", "message": text, **told, **spent})
        return rows

    def close(self) -> None:
        """Block nothing any more."""
        if self._search is not None:
            self._search.close()
        self._execs.close()
