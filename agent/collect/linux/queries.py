"""Ask this host the policy's questions on a schedule; tell which rows came and which went.

The first answer is told as state (Collect), later ones by what differs (Log). Rows are kept between
looks, packed: 250 KB a question and 2 MB of all before that; each question has a note of its own.
"""

import base64
import hashlib
import json
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any, Final

from agent.collect import Event, Out
from agent.collect._shape import agent_event, event, now_us
from agent.collect.linux._tables import Row, answer
from agent.questions import MOST_ALL_BYTES, MOST_BYTES, Question, questions

NAME: Final = "queries"
CHANGE: Final = 5019
_LOG, _COLLECT = 1, 2
_LOOK_S: Final = 1.0
_SELDOM_S: Final = 3600.0
"""What is asked so seldom is not asked again by each start of the agent."""
_NOT_THERE: Final = (FileNotFoundError, NotADirectoryError)
Kept = dict[str, Any]
"""Of one question: `mark` of what was asked, `at_s` of the last answer, its rows `packed`, their
`sum` and `size` in bytes, `is_cut`."""
APART: Final = True
"""The note of each question has a place of its own: one that changes rewrites no other."""
_PACED: Final = 200
"""Events of one answer after which the next question waits, so that they go to the disk first."""


def watch(out: Out, stop: threading.Event, options: dict[str, Any]) -> None:
    """Ask each question when it is due, until `stop`; BadQuestion if one cannot be asked."""
    found = questions(options.get("queries", []))
    if not found and not out.notes:
        return
    known: dict[str, Kept] = {q.name: out.notes[q.name] for q in found if q.name in out.notes}
    if known.keys() != out.notes.keys():
        out.put([], dict(known))
    while found and not stop.is_set():
        for question in found:
            if not stop.is_set() and _is_due(question, known.get(question.name), time.time()):
                told = _ask(question, known, out, _most_bytes(question, found, known))
                if told > _PACED:
                    stop.wait(_LOOK_S)
        stop.wait(_LOOK_S)


def _is_due(question: Question, kept: Kept | None, now_s: float) -> bool:
    """Answer whether it is time; a clock that was set back does not keep it away."""
    if kept is None or kept["mark"] != _mark(question):
        return True
    return not 0 <= now_s - float(kept["at_s"]) < question.every_s


def _most_bytes(question: Question, all_: tuple[Question, ...], known: dict[str, Kept]) -> int:
    """Give how large its answer may be: what the others leave, and its share at least."""
    others = sum(int(k.get("size", 0)) for name, k in known.items() if name != question.name)
    return min(MOST_BYTES, max(MOST_ALL_BYTES - others, MOST_ALL_BYTES // len(all_)))


def _ask(question: Question, known: dict[str, Kept], out: Out, most_bytes: int) -> int:
    """Ask it, and hand over what is to be told; give how many events that is."""
    was, at_us = known.get(question.name), now_us()
    try:
        rows, is_cut = answer(question.asked, most_bytes)
    except _NOT_THERE:
        rows, is_cut = [], False
    except OSError as wrong:
        kept = {"mark": _mark(question), "at_s": at_us / 1e6, "failed": str(wrong)[:200]}
        if was is None or was.get("failed") != kept["failed"]:
            text = f"query {question.name}: {kept['failed']}"
            out.put([agent_event("query_failed", at_us, text, query=question.name)])
        known[question.name] = {**(was or _kept([], is_cut=True)), **kept}
        return 1
    texts = {json.dumps(row, sort_keys=True): row for row in rows}
    now: Kept = {"mark": _mark(question), "at_s": at_us / 1e6, **_kept(list(texts), is_cut=is_cut)}
    is_first = was is None or was["mark"] != now["mark"]
    events = _changes(question, None if is_first else was, texts, now)
    if was is not None and not events and not is_first and question.every_s < _SELDOM_S:
        # Nothing is written, and where nothing is new the object is the one that is on disk.
        is_same = (was["sum"], was["is_cut"]) == (now["sum"], is_cut) and "failed" not in was
        known[question.name] = was if is_same else now
        was["at_s"] = now["at_s"]
        return 0
    known[question.name] = now
    # On disk together with the events that tell of it.
    out.put(events, dict(known))
    return len(events)


def _changes(question: Question, was: Kept | None, texts: dict[str, Row], now: Kept) -> list[Event]:
    """Give what came and what went; of an answer that was cut, nobody knows what went."""
    at_us, is_cut = round(now["at_s"] * 1e6), now["is_cut"]
    if was is None:
        return [_event(question, "initial", row, is_cut, at_us) for row in texts.values()]
    if was["sum"] == now["sum"]:
        return []
    before = _texts(was)
    found = [
        _event(question, "added", row, is_cut or was["is_cut"], at_us)
        for text, row in texts.items()
        if text not in before
    ]
    if not is_cut:
        gone = (json.loads(text) for text in before if text not in texts)
        found += [_event(question, "removed", row, False, at_us) for row in gone]
    return found


def _kept(texts: list[str], *, is_cut: bool) -> Kept:
    """Pack an answer: its rows as texts, in an order of their own."""
    plain = "\n".join(sorted(texts)).encode()
    return {
        "packed": base64.b85encode(zlib.compress(plain, 6)).decode(),
        "sum": hashlib.sha256(plain).hexdigest(),
        "size": len(plain),
        "is_cut": is_cut,
    }


def _texts(was: Kept) -> dict[str, None]:
    """Give the rows of an answer that was packed."""
    plain = zlib.decompress(base64.b85decode(was["packed"])).decode()
    return dict.fromkeys(plain.split("\n") if plain else ())


def _mark(question: Question) -> str:
    """Give what is another as soon as something else is asked under the same name."""
    return hashlib.sha256(json.dumps(question.asked).encode()).hexdigest()[:16]


def _event(question: Question, change: str, row: Row, is_cut: bool, at_us: int) -> Event:
    asked = question.asked
    told = {"name": question.name, "table": asked.table, "change": change, "is_cut": is_cut}
    activity = _COLLECT if change == "initial" else _LOG
    more = {**_SHAPES[asked.table](row), "live_query": told, "row": row}
    seen = event(CHANGE, activity, at_us, more)
    seen["metadata"]["event_code"] = "query"
    return seen


def _of_process(row: Row) -> Event:
    what = {"pid": row["pid"], "uid": row["uid"], "cmd_line": row["cmd_line"]}
    return {
        "process": {**what, "file": {"path": row["program"]}},
        "actor": {"user": {"name": row["user"]}},
    }


def _of_socket(row: Row) -> Event:
    found: Event = {"connection_info": {"protocol_name": row["proto"]}}
    for name, end in (("src_endpoint", row["local"]), ("dst_endpoint", row["remote"])):
        address, _, port = str(end).rpartition(":")
        found[name] = {"ip": address, "port": int(port)}
    return {**found, "actor": {"user": {"name": row["user"]}}}


def _of_file(row: Row) -> Event:
    hashes = f"SHA256={row['sha256'].upper()}" if row.get("sha256") else None
    return {"file": {"path": row["path"], "size": row["size_bytes"], "hashes": hashes}}


_SHAPES: Final[dict[str, Callable[[Row], Event]]] = {
    "processes": _of_process,
    "sockets": _of_socket,
    "users": lambda row: {"user": {"name": row["name"], "uid": row["uid"]}},
    "packages": lambda row: {"package": {"name": row["name"], "version": row["version"]}},
    "files": _of_file,
}
