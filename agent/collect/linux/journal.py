"""Follow the systemd journal: what programs say of sign-ins and rights, in the words of syslog.

Where an auth.log is written it is followed instead: the journal would tell all of it twice. One
that is left over (the journal has something a minute newer) does not count. Option `always` follows
the journal all the same, `matches` are its fields (default: facilities auth and authpriv), for
example `["_SYSTEMD_UNIT=nginx.service"]`; an empty list is the whole journal.
"""

import contextlib
import datetime as dt
import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from agent.collect import Out
from agent.collect.linux._authlog import SLACK_S, is_left_over, written_s
from agent.settings import AUTH_LOGS

NAME: Final = "journal"
MATCHES: Final = ("SYSLOG_FACILITY=4", "+", "SYSLOG_FACILITY=10")
FIELDS: Final = "PRIORITY,SYSLOG_FACILITY,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_HOSTNAME,_COMM,MESSAGE"
PROGRAMS: Final = ("/usr/bin/journalctl", "/bin/journalctl")
AGAIN_S: Final = 300.0
"""How often to look whether an auth.log is still written."""
MOST_BACK_S: Final = 86400.0
MOST_RECORD: Final = 256 << 10
_END: Final = 16 << 10
_TEXT_MOST: Final = 8192
_PAIRS: Final = re.compile(rb'"([A-Z_]+)":"((?:[^"\\]|\\.){0,%d})' % _TEXT_MOST, re.DOTALL)


def watch(out: Out, stop: threading.Event, options: dict[str, Any]) -> None:
    """Hand over lines until told to stop; after a restart go on behind the last one kept."""
    program = next((p for p in PROGRAMS if Path(p).exists()), None)
    if program is None:
        return
    is_always = bool(options.get("always"))
    while not stop.is_set():
        if is_always or _is_needed(program):
            _follow(program, out, stop, options)
        else:
            stop.wait(AGAIN_S)


def _is_needed(program: str) -> bool:
    """Answer whether the journal tells what no auth.log does.

    Compared by authpriv alone: some systems write `auth` elsewhere.
    """
    if written_s(AUTH_LOGS) == 0.0:
        return True
    words = [program, "--lines=1", "--quiet", "--output=json", f"--output-fields={FIELDS}"]
    try:
        words.append("SYSLOG_FACILITY=10")
        asked = subprocess.run(words, capture_output=True, timeout=60, check=False)
    except subprocess.TimeoutExpired:
        return False
    last = record_of(asked.stdout[:MOST_RECORD])
    return is_left_over(AUTH_LOGS, _at_s(last))


def _follow(program: str, out: Out, stop: threading.Event, options: dict[str, Any]) -> None:
    words = [program, "--follow", "--all", "--output=json", f"--output-fields={FIELDS}"]
    child = subprocess.Popen(
        [*words, _start(out.notes), *options.get("matches", MATCHES)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    ended = threading.Event()
    watched = (child, stop, ended, bool(options.get("always")))
    threading.Thread(target=_end_with, args=watched, daemon=True).start()
    assert child.stdout is not None  # noqa: S101  a pipe was asked for
    with child.stdout:
        for record in records(child.stdout):
            notes = {"cursor": record["__CURSOR"], "at_s": _at_s(record)}
            out.put([], notes, [line_of(record)])
    if not stop.is_set() and not ended.is_set():
        raise OSError(f"journalctl ended with {child.wait()}")


def _start(notes: dict[str, Any]) -> str:
    """Say where to begin: behind what was handed over, or was in the auth.log; else now."""
    log_s = written_s(AUTH_LOGS)
    if notes.get("cursor") and notes.get("at_s", log_s) >= log_s:
        return f"--after-cursor={notes['cursor']}"
    if log_s:
        return f"--since=@{max(log_s + SLACK_S, time.time() - MOST_BACK_S):.0f}"
    return "--lines=0"


def _end_with(
    child: "subprocess.Popen[bytes]",
    stop: threading.Event,
    ended: threading.Event,
    is_always: bool,
) -> None:
    """End the child with the watcher, or as soon as an auth.log is written again."""
    began_s = time.time()
    while child.poll() is None:
        is_again = not is_always and written_s(AUTH_LOGS) > began_s
        if stop.wait(1.0) or is_again:
            ended.set()
            child.terminate()
            child.wait()


def records(stream: IO[bytes]) -> Iterator[dict[str, Any]]:
    """Give the records of a stream; of one that is too long what stands at its two ends."""
    while raw := stream.readline(MOST_RECORD):
        end = b""
        while not raw.endswith(b"\n") and (more := stream.readline(MOST_RECORD)):
            end = (end + more)[-_END:]
            if more.endswith(b"\n"):
                break
        record = record_of(raw + end)
        if "__CURSOR" in record:
            yield record


def record_of(raw: bytes) -> dict[str, Any]:
    """Read a record, or what can be read of it; quotes within a message are escaped."""
    try:
        found = json.loads(raw)
    except ValueError:
        found = {}
        for name, text in _PAIRS.findall(raw):
            with contextlib.suppress(ValueError):
                found.setdefault(name.decode(), json.loads(b'"' + text + b'"'))
    return found if isinstance(found, dict) else {}


def _at_s(record: dict[str, Any]) -> float:
    return _number(record.get("__REALTIME_TIMESTAMP"), 0) / 1e6


def line_of(record: dict[str, Any]) -> bytes:
    r"""Give a journal record as a line of RFC 5424.

    >>> line_of({"PRIORITY": "6", "SYSLOG_FACILITY": "10", "SYSLOG_IDENTIFIER": "sshd",
    ...     "_PID": "7", "_HOSTNAME": "web", "MESSAGE": "a\nb", "__REALTIME_TIMESTAMP": "1000000"})
    b'<86>1 1970-01-01T00:00:01.000000+00:00 web sshd 7 - - a b'
    """
    priority = 8 * _number(record.get("SYSLOG_FACILITY"), 3, 23)
    priority += _number(record.get("PRIORITY"), 6, 7)
    moment = dt.datetime.fromtimestamp(_at_s(record), dt.UTC).isoformat(timespec="microseconds")
    words = (
        record.get("_HOSTNAME") or "-",
        record.get("SYSLOG_IDENTIFIER") or record.get("_COMM") or "-",
        record.get("_PID") or record.get("SYSLOG_PID") or "-",
    )
    head = " ".join("_".join(str(word).split()) for word in words)
    text = _text(record.get("MESSAGE") or "")[:_TEXT_MOST].replace("\n", " ")
    return f"<{priority}>1 {moment} {head} - - {text}".encode("utf-8", "backslashreplace")


def _text(said: object) -> str:
    """Give a message as text: any program may write bytes that are none, or several messages."""
    if not isinstance(said, list):
        return "-" if said is None else str(said)
    if all(isinstance(n, int) and 0 <= n < 256 for n in said):
        return bytes(said).decode("utf-8", "backslashreplace")
    return " ".join(_text(one) for one in said)


def _number(text: object, otherwise: int, most: int = 1 << 53) -> int:
    """Read a number that any program may have written; one that cannot be is another one."""
    try:
        number = int(str(text))
    except ValueError:
        return otherwise
    return number if 0 <= number <= most else otherwise
