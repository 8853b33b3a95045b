"""See every process start and end, as the kernel tells it, with what is needed to judge it.

The first source that this kernel and these rights allow: eBPF (command line in the event), else the
proc connector with /proc read at once. What is missed is an event too: `kernel_overrun` with its
interval (also while nobody listened), `execs_without_command_line` with a count.
"""

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final

from agent.collect import Event, Notes, Out
from agent.collect._shape import agent_event, now_us
from agent.collect.linux._bpfexec import BpfExecs
from agent.collect.linux._gap import gap, heard
from agent.collect.linux._kernel import Exec, Exit, Missed, Source
from agent.collect.linux._procconn import ProcConnector
from agent.collect.linux._table import Table

NAME: Final = "processes"
NOTE_EVERY_S: Final = 60.0
SOURCES: Final[dict[str, Callable[[], Source]]] = {
    "bpf": BpfExecs,
    "procconn": ProcConnector,
}


def watch(out: Out, stop: threading.Event, options: dict[str, Any]) -> None:
    """Tell starts and ends until told to stop. Option `sources`: which to try, in order."""
    source, tried = open_source(options.get("sources", SOURCES))
    try:
        text = f"processes are seen by {source.name}" + (f"; not by {tried}" if tried else "")
        opened = agent_event("source_opened", now_us(), text, collector=NAME)
        out.put([opened, *gap(out.notes, NAME, now_us())])
        _follow(source, Table(set(out.notes.get("told", []))), out, stop)
    finally:
        source.close()


def open_source(names: Iterable[str] = tuple(SOURCES)) -> tuple[Source, str]:
    """Open the first that can be had; say why those before it could not. OSError if none can."""
    tried: list[str] = []
    for name in names:
        try:
            return SOURCES[name](), "; ".join(tried)
        except (OSError, ValueError) as wrong:
            tried.append(f"{name} ({wrong})")
        except KeyError:
            tried.append(f"{name} (unknown)")
    raise OSError(f"no source of process events: {'; '.join(tried)}")


def _follow(source: Source, table: Table, out: Out, stop: threading.Event) -> None:
    out.put(table.scan(now_us()), _notes(table))
    noted_s = time.monotonic()
    while not stop.is_set():
        events: list[Event] = []
        for seen in source.read(1.0):
            if isinstance(seen, Exec):
                events.append(table.started(seen, source.name))
            elif isinstance(seen, Exit):
                ended = table.ended(seen)
                if ended is not None:
                    events.append(ended)
            else:
                events += [_overrun(seen, source.name), *table.scan(now_us())]
        if table.is_behind:
            events += table.scan(now_us())
        if time.monotonic() - noted_s > NOTE_EVERY_S:
            noted_s = time.monotonic()
            events += [*table.scan(now_us()), *_without_command(table, source.name)]
            out.put(events, _notes(table))
        elif events:
            out.put(events)
        if source.pause_s and events:
            stop.wait(source.pause_s)
    out.put(_without_command(table, source.name), _notes(table))


def _notes(table: Table) -> Notes:
    return {"told": table.told(), **heard(now_us())}


def _overrun(seen: Missed, name: str) -> Event:
    text = f"the kernel had no room for process events ({name}); what runs was looked up since"
    more = {"start_time_us": seen.from_us, "end_time_us": seen.to_us, "collector": NAME}
    if seen.count is not None:
        more["record_count"] = seen.count
    return agent_event("kernel_overrun", seen.to_us, text, **more)


def _without_command(table: Table, name: str) -> list[Event]:
    count, table.without_command = table.without_command, 0
    if not count:
        return []
    text = f"{count} programs had ended before their command line could be read ({name})"
    more = {"record_count": count, "collector": NAME}
    return [agent_event("execs_without_command_line", now_us(), text, **more)]
