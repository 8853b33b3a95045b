"""Follow the systemd journal: what programs say of sign-ins and rights, in the words of syslog.

Where there is an auth.log it is followed instead: the journal would tell all of it twice. Option
`always` follows the journal all the same, `matches` are its fields (default: facilities auth and
authpriv), for example `["_SYSTEMD_UNIT=nginx.service"]`; an empty list is the whole journal.
"""

import datetime as dt
import json
import subprocess
import threading
from pathlib import Path
from typing import Any, Final

from agent.collect import Out
from agent.settings import AUTH_LOGS

NAME: Final = "journal"
MATCHES: Final = ("SYSLOG_FACILITY=4", "+", "SYSLOG_FACILITY=10")
FIELDS: Final = "PRIORITY,SYSLOG_FACILITY,SYSLOG_IDENTIFIER,SYSLOG_PID,_PID,_HOSTNAME,_COMM,MESSAGE"
PROGRAMS: Final = ("/usr/bin/journalctl", "/bin/journalctl")
_TEXT_MOST: Final = 8192


def watch(out: Out, stop: threading.Event, options: dict[str, Any]) -> None:
    """Hand over lines until told to stop; after a restart go on behind the last one kept."""
    program = next((p for p in PROGRAMS if Path(p).exists()), None)
    if program is None or (any(p.exists() for p in AUTH_LOGS) and not options.get("always")):
        return
    cursor = out.notes.get("cursor")
    start = [f"--after-cursor={cursor}"] if cursor else ["--lines=0"]
    words = [program, "--follow", "--output=json", f"--output-fields={FIELDS}", *start]
    child = subprocess.Popen(
        [*words, *options.get("matches", MATCHES)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    threading.Thread(target=_end_with, args=(child, stop), daemon=True).start()
    assert child.stdout is not None  # noqa: S101  a pipe was asked for
    with child.stdout:
        for raw in child.stdout:
            record = json.loads(raw)
            out.put([], {"cursor": record["__CURSOR"]}, [line_of(record)])
    if not stop.is_set():
        raise OSError(f"journalctl ended with {child.wait()}")


def _end_with(child: "subprocess.Popen[bytes]", stop: threading.Event) -> None:
    while child.poll() is None:
        if stop.wait(1.0):
            child.terminate()
            child.wait()


def line_of(record: dict[str, Any]) -> bytes:
    r"""Give a journal record as a line of RFC 5424.

    >>> line_of({"PRIORITY": "6", "SYSLOG_FACILITY": "10", "SYSLOG_IDENTIFIER": "sshd",
    ...     "_PID": "7", "_HOSTNAME": "web", "MESSAGE": "a\nb", "__REALTIME_TIMESTAMP": "1000000"})
    b'<86>1 1970-01-01T00:00:01.000000+00:00 web sshd 7 - - a b'
    """
    priority = 8 * _number(record.get("SYSLOG_FACILITY"), 3) + _number(record.get("PRIORITY"), 6)
    at_s = _number(record.get("__REALTIME_TIMESTAMP"), 0) / 1e6
    moment = dt.datetime.fromtimestamp(at_s, dt.UTC).isoformat(timespec="microseconds")
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


def _number(text: object, otherwise: int) -> int:
    try:
        return int(str(text))
    except ValueError:
        return otherwise
