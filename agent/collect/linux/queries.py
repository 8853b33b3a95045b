"""Ask this host the policy's questions on a schedule; tell which rows came and which went.

The first answer is told as state (Collect), later ones by what differs (Log). Rows are kept between
looks: 250 KB a question at most.
"""

import hashlib
import json
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from agent.collect import Event, Out
from agent.collect._shape import agent_event, event, now_us
from agent.collect.linux._tables import Row, answer
from agent.questions import Question, questions

NAME: Final = "queries"
CHANGE: Final = 5019
_LOG, _COLLECT = 1, 2
_LOOK_S: Final = 1.0
_SELDOM_S: Final = 3600.0
"""What is asked so seldom is not asked again by each start of the agent."""
_NOT_THERE: Final = (FileNotFoundError, NotADirectoryError)
Kept = dict[str, Any]
"""Of one question: `mark` of what was asked, `at_s` of the last answer, `rows`, `is_cut`."""


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
                _ask(question, known, out)
        stop.wait(_LOOK_S)


def _is_due(question: Question, kept: Kept | None, now_s: float) -> bool:
    """Answer whether it is time; a clock that was set back does not keep it away."""
    if kept is None or kept["mark"] != _mark(question):
        return True
    return not 0 <= now_s - float(kept["at_s"]) < question.every_s


def _ask(question: Question, known: dict[str, Kept], out: Out) -> None:
    was, at_us = known.get(question.name), now_us()
    try:
        rows, is_cut = answer(question.asked)
    except _NOT_THERE:
        rows, is_cut = [], False
    except OSError as wrong:
        kept = {"mark": _mark(question), "at_s": at_us / 1e6, "failed": str(wrong)[:200]}
        if was is None or was.get("failed") != kept["failed"]:
            text = f"query {question.name}: {kept['failed']}"
            out.put([agent_event("query_failed", at_us, text, query=question.name)])
        known[question.name] = {**(was or {"rows": [], "is_cut": True}), **kept}
        return
    is_first = was is None or was["mark"] != _mark(question)
    events = _changes(question, None if is_first else was, rows, is_cut, at_us)
    known[question.name] = {
        "mark": _mark(question), "at_s": at_us / 1e6, "rows": rows, "is_cut": is_cut,
    }  # fmt: skip
    # On disk together with the events that tell of it; nothing new is written seldom.
    if events or is_first or question.every_s >= _SELDOM_S:
        out.put(events, dict(known))


def _changes(
    question: Question, was: Kept | None, rows: list[Row], is_cut: bool, at_us: int
) -> list[Event]:
    """Give what came and what went; of an answer that was cut, nobody knows what went."""
    if was is None:
        return [_event(question, "initial", row, is_cut, at_us) for row in rows]
    before, after = _by_text(was["rows"]), _by_text(rows)
    found = [
        _event(question, "added", row, is_cut or was["is_cut"], at_us)
        for text, row in after.items()
        if text not in before
    ]
    if not is_cut:
        gone = (row for text, row in before.items() if text not in after)
        found += [_event(question, "removed", row, False, at_us) for row in gone]
    return found


def _by_text(rows: list[Row]) -> dict[str, Row]:
    return {json.dumps(row, sort_keys=True): row for row in rows}


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
