"""Keep how far each stream of an agent was taken; note what is missing or comes a second time.

An agent's numbers rise by one a row within a source. They skip only what its spool dropped, which
it tells by `events_dropped`; numbers that skip otherwise were taken away, or never sent.
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from api.auth.agents import tell_refusal
from api.desk import Desk
from business._conflict import Conflict
from storage.database.queries import execute, select
from storage.identity import new_id
from storage.tenant import Scope

MOST_AHEAD: Final = 2**31
"""Numbers that a stream may skip. A spool of 1 GiB, the default, holds about 10 million rows of 100
bytes; one of 128 GiB of rows that pack to nothing holds no more than this."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What is wrong with a batch's numbers: `kind` as in `agent_gaps`, from `first` to `next`."""

    kind: str
    first: int
    next: int

    @property
    def records(self) -> int:
        """Say how many numbers it is about."""
        return self.next - self.first


def check_ahead(desk: Desk, scope: Scope, source: str, position: int) -> None:
    """Pass, or raise Conflict for a batch whose number is beyond what any spool can have skipped.

    It would silence the stream: whatever came below it would count as a repeat. Audited.
    """
    with desk.database.app(scope) as tx:
        (row,) = select(tx, "agent_stream_next", source=source)
    expected = int(str(row["next_position"]))
    if position <= expected + MOST_AHEAD:
        return
    told: dict[str, object] = {
        "reason": "numbers too far ahead",
        "source": source,
        "expected": expected,
        "position": position,
    }
    tell_refusal(desk, scope, "agent.leap", scope.actor.name, told)
    raise Conflict(
        f"number {position} is over {MOST_AHEAD} beyond {expected}, the next of this stream; an "
        "agent's spool cannot skip so many. If this host's spool is damaged: enrol it again with a "
        "new token and an empty data folder, which gives its streams new names"
    )


def take(desk: Desk, scope: Scope, source: str, first: int, plain: bytes) -> None:
    """Move the stream past a batch that the log has, and note what is wrong with its numbers."""
    # As the agent counts: a row is a line. Each batch ends with its last row's end.
    end = first + plain.count(b"\n") + (not plain.endswith(b"\n"))
    digest = hashlib.blake2b(plain, digest_size=16).digest()
    who = {"source": source, "agent_id": scope.actor.name, "now": desk.now()}
    with desk.database.app(scope) as tx:
        held = select(tx, "agent_stream_hold", source=source)
        if not held:
            execute(tx, "agent_stream_begin", first=first, **who)
            held = select(tx, "agent_stream_hold", source=source)
        known = int(str(held[0]["next_position"]))
        last = int(str(held[0]["last_first"])), held[0]["last_digest"]
        seen = wrong_with((first, end), digest, known, last)
        if seen is not None:
            words = {"kind": seen.kind, "first": seen.first, "next": seen.next}
            id_ = new_id(desk.now_us())
            execute(tx, "agent_gap_add", gap_id=id_, records=seen.records, **words, **who)
        if end > known:
            execute(tx, "agent_stream_move", first=first, next=end, digest=digest, **who)


def wrong_with(
    span: tuple[int, int], digest: bytes, known: int, last: tuple[int, object]
) -> Seen | None:
    """Say what is wrong with a batch: its span of numbers, and the digest of its rows.

    `known`: the next number that is expected; `last`: first number and digest of the batch before.
    An agent without an answer gives its last batch again, the same; an older one it has forgotten.
    A part of the last one is what it cuts a batch into that was refused.

    >>> wrong_with((5, 9), b"b", 5, (0, b"a")) is None, wrong_with((0, 5), b"a", 5, (0, b"a"))
    (True, None)
    >>> wrong_with((7, 9), b"b", 5, (0, b"a")), wrong_with((0, 5), b"c", 5, (0, b"a")).kind
    (Seen(kind='gap', first=5, next=7), 'other')
    """
    first, end = span
    if first > known:
        return Seen("gap", known, first)
    if first < known and end <= last[0]:
        return Seen("back", first, end)
    if span == (last[0], known) and first < end and digest != last[1]:
        return Seen("other", first, end)
    return None
