"""Follow the Windows event log by record number, through the system's own `wevtutil`.

The channels of `CHANNELS` that the host has; at most 500 records of each a look, oldest first. A
first look begins at the end. A record goes out as its XML says it, in the JSON layout that
evtx_dump writes and the house reads. A channel that was cleared is told, and read from its start;
one that may not be read is told once.
"""

import contextlib
import json
import re
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any, Final

from agent.collect import Look, Notes
from agent.collect._shape import agent_event
from agent.system import system_program

NAME: Final = "event_log"
EVERY_S: Final = 5.0
CHANNELS: Final = (
    "Security",
    "System",
    "Microsoft-Windows-Sysmon/Operational",
    "Microsoft-Windows-PowerShell/Operational",
    "Microsoft-Windows-Windows Defender/Operational",
    "Microsoft-Windows-TaskScheduler/Operational",
)
MOST: Final = 500
_TIMEOUT_S: Final = 30
_BYTES_MOST: Final = 64 << 20
_DEEPEST: Final = 8
_DENIED: Final = 5
_LONGEST: Final = 32 << 10
_NUMBER: Final = re.compile(r"<EventRecordID>([0-9]{1,19})</EventRecordID>")
_NO_XML: Final = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML has no place for, also written as it is in a name or a command line."""
_NAMESPACE: Final = "{http://schemas.microsoft.com/win/2004/08/events/event}"


def collect(notes: Notes, now_us: int) -> Look:
    """Give the records behind those of the last look."""
    program = system_program("wevtutil")
    if program is None:
        return Look([], notes)
    places: dict[str, int] = dict(notes.get("places", {}))
    lines: list[bytes] = []
    events = []
    refused = list(notes.get("refused", []))
    for channel in CHANNELS:
        code, text = _ask(program, channel, "/rd:true", "/c:1")
        if code == _DENIED and channel not in refused:
            refused.append(channel)
            events.append(agent_event("channel_refused", now_us, f"{channel} may not be read"))
        if code:
            continue
        newest = max((number for number, _ in _records(text)), default=None)
        is_empty = not text.strip("\ufeff\ufffd \r\n\t")
        place = places.get(channel, 0 if is_empty else newest)
        if place is None:
            continue  # a first look at a record without a number: where the end is, is not known
        if newest is not None and newest < place:
            events.append(agent_event("log_cleared", now_us, f"{channel} was cleared"))
            place = 0
        if not is_empty and newest != place:
            found, place = _behind(program, channel, place, newest)
            lines += found
        places[channel] = place
    return Look(events, {"places": places, "refused": refused}, lines, "windows_json")


def _behind(program: str, channel: str, place: int, newest: int | None) -> tuple[list[bytes], int]:
    """Give the records behind a place, and the place behind them: it moves whatever they are."""
    query = f"/q:*[System[EventRecordID>{place}]]"
    found = list(_records(_ask(program, channel, query, f"/c:{MOST}")[1]))
    if not found and newest is not None:
        return [], min(place + MOST, newest)
    return [line for _, line in found], max((number for number, _ in found), default=place)


def _ask(program: str, channel: str, *words: str) -> tuple[int, str]:
    """Give the exit code (15007: no such channel) and the records' XML, oldest first."""
    order = [] if "/rd:true" in words else ["/rd:false"]
    done = subprocess.run(
        [program, "qe", channel, *words, *order, "/f:xml", "/uni:true"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    return done.returncode, done.stdout[:_BYTES_MOST].decode("utf-16", "replace")


def _records(text: str) -> Iterator[tuple[int, bytes]]:
    """Give (number, JSON) of each Event; one that cannot be read goes as its text.

    The number is looked for first: a record that is no XML must not hold up those behind it.
    """
    end = "</Event>"
    for part in text.split(end)[:-1]:
        start = part.find("<Event ")
        found = _NUMBER.search(part, max(start, 0))
        if start < 0 or found is None:
            continue
        told = _told(_NO_XML.sub("\ufffd", part[start:]) + end)
        line = json.dumps({"Event": told}, ensure_ascii=False)
        yield int(found[1]), line.encode("utf-8", "replace")


def _told(xml: str) -> str | dict[str, Any] | None:
    if "<!" not in xml:  # so there are no entities
        with contextlib.suppress(ET.ParseError):
            return _value(ET.fromstring(xml))  # noqa: S314  see above
    number = _NUMBER.search(xml)
    system = {"EventRecordID": number[1]} if number else {}
    return {"System": system, "EventData": {"Unreadable": xml[:_LONGEST]}}


def _value(element: ET.Element, depth: int = 0) -> str | dict[str, Any] | None:
    """Give an element as evtx_dump does: attributes beside children, each `Data` by its Name."""
    told: dict[str, Any] = {"#attributes": dict(element.attrib)} if element.attrib else {}
    unnamed: list[str] = []
    for child in element if depth < _DEEPEST else ():
        name = child.tag.removeprefix(_NAMESPACE).rpartition("}")[2]
        if name == "Data" and not child.get("Name"):
            unnamed.append(child.text or "")
        elif name == "Data":
            told[child.get("Name", "")] = child.text or ""
        else:
            told[name] = _value(child, depth + 1)
    if unnamed:
        told["Data"] = {"#text": unnamed}
    text = (element.text or "").strip()
    if not told:
        return text or None
    return told | {"#text": text} if text else told
