"""Put events on the spool: each by its value into one of three streams; losses are events too."""

import json
from typing import Final

from agent.collect import Event, Notes
from agent.collect._shape import agent_event
from agent.spool import HIGH, LOW, NORMAL, Spool

STREAMS: Final = {LOW: "events.low", NORMAL: "events", HIGH: "events.high"}
FILES: Final = "events.files"
"""High value too, but whoever may write to a watched folder makes them: a stream of their own."""
DROPS: Final = "drops"
"""Note of the spool: when how many rows were told as dropped, of the last day."""
_DAY_US: Final = 86_400_000_000
_MOST_DROPS: Final = 1440
_FILE_ACTIVITY: Final = 1001
FORMAT: Final = "ocsf_json"
_encode: Final = json.JSONEncoder(separators=(",", ":")).encode
_LOW: Final = frozenset({(1007, 2), (4001, 2), (5002, 1), (5002, 2)})
"""Ends of processes and connections, and states that the next inventory tells again."""
_HIGH: Final = frozenset({0, 1001, 3001, 3002, 3003, 3006})
"""What the agent says of itself, files that are watched, sign-ins and changes of accounts."""


def value_of(seen: Event) -> int:
    """Say how much an event is worth when the disk is full.

    >>> value_of({"class_uid": 1007, "activity_id": 2}), value_of({"class_uid": 3002})
    (0, 2)
    """
    kind = int(seen["class_uid"])
    if kind in _HIGH:
        return HIGH
    return LOW if (kind, seen.get("activity_id")) in _LOW else NORMAL


def keep(spool: Spool, events: list[Event], notes: Notes | None = None) -> int:
    """Append events and notes, in one commit; give how many events."""
    found: dict[tuple[str, int], list[bytes]] = {}
    for seen in events:
        row = _encode(seen).encode("utf-8", "replace")
        value = value_of(seen)
        stream = FILES if seen["class_uid"] == _FILE_ACTIVITY else STREAMS[value]
        found.setdefault((stream, value), []).append(row)
    with spool.together():
        for (stream, value), rows in found.items():
            spool.append(stream, FORMAT, rows, value=value)
        if notes:
            spool.append(STREAMS[NORMAL], FORMAT, [], notes)
    return len(events)


def keep_losses(spool: Spool, now_us: int) -> None:
    """Tell as events what the spool had to drop since the last time."""
    with spool.together():
        losses = spool.losses()
        if losses:
            rows = sum(loss.rows for loss in losses)
            spool.set_note(DROPS, [*_of_last_day(spool, now_us), [now_us, rows]][-_MOST_DROPS:])
        keep(
            spool,
            [
                agent_event(
                    "events_dropped",
                    now_us,
                    f"{loss.rows} rows of {loss.stream} were dropped from number {loss.first} on: "
                    f"{loss.why}",
                    record_count=loss.rows,
                    stream=loss.stream,
                    first=loss.first,
                    why=loss.why,
                )
                for loss in losses
            ],
        )


def _of_last_day(spool: Spool, now_us: int) -> list[list[int]]:
    return [one for one in spool.note(DROPS, []) if abs(now_us - one[0]) < _DAY_US]


def dropped_lately(spool: Spool, now_us: int) -> int:
    """Give how many rows were told as dropped in the last day."""
    return sum(rows for _, rows in _of_last_day(spool, now_us))
