"""Find a match among the claims held for one rule and group: sliding windows, no bucket edges."""

import bisect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from detectors._correlation.claim import Claim
from detectors._correlation.rule import Correlation, Type


@dataclass(frozen=True, slots=True)
class Held:
    """A claim held for one group, in order of time: `step` is its base rule's place."""

    time_us: int
    finding_id: str
    step: int
    value: str
    claim: Claim

    def __lt__(self, other: "Held") -> bool:
        return self.place < other.place

    @property
    def place(self) -> tuple[int, str, int, str]:
        """Where it stands among the others."""
        return self.time_us, self.finding_id, self.step, self.value


Fired = Sequence[tuple[int, int]]
"""Times (UTC µs) of the first and last parts of this group's earlier matches."""
_LONGEST_PAUSE_US: Final = 600 * 1_000_000
_Find = Callable[[Correlation, Sequence[Held], Held, Fired], list[Held]]


def find(rule: Correlation, held: Sequence[Held], new: Held, fired: Fired) -> list[Held]:
    """Give the parts of a match that `new` completes, in order of time; none if there is none.

    `held`: sorted, with `new` in it. A match whose first part lies within `timespan` of an earlier
    match's is the same story, told already. Cost: about |held| x steps.
    """
    return _FINDERS[rule.type](rule, held, new, fired)


def find_again(rule: Correlation, held: Sequence[Held], new: Held, fired: Fired) -> list[Held]:
    """Give the parts of a sequence that is told already, but goes on: it ends anew with `new`.

    Another correlation may count its own time from that end. None within a twentieth of the
    timespan (10 minutes at most) of an end that was told.
    """
    if not rule.type.startswith("temporal"):
        return []
    parts = _FINDERS[rule.type](rule, held, new, ())
    pause_us = min(rule.timespan_us // 20, _LONGEST_PAUSE_US)
    is_new = all(abs(parts[-1].time_us - end) > pause_us for _, end in fired) if parts else False
    return parts if is_new else []


def _is_told(rule: Correlation, first_us: int, fired: Fired) -> bool:
    return any(abs(first_us - told) < rule.timespan_us for told, _ in fired)


def _near(rule: Correlation, held: Sequence[Held], new: Held) -> Sequence[Held]:
    """Give what can share a window with `new`."""
    low = bisect.bisect_left(held, new.time_us - rule.timespan_us, key=lambda h: h.time_us)
    high = bisect.bisect_right(held, new.time_us + rule.timespan_us, key=lambda h: h.time_us)
    return held[low:high]


def _counted(rule: Correlation, held: Sequence[Held], new: Held, fired: Fired) -> list[Held]:
    near = _near(rule, held, new)
    values: Counter[str] = Counter()
    end = 0
    for i, first in enumerate(near):
        if first.time_us > new.time_us:
            break
        while end < len(near) and near[end].time_us <= first.time_us + rule.timespan_us:
            values[near[end].value] += 1
            end += 1
        count = end - i if rule.type == "event_count" else len(values)
        if not _is_told(rule, first.time_us, fired):
            if count >= rule.least:
                return list(near[i:end])
            if end == len(near):  # later starts only have less
                break
        values[first.value] -= 1
        if not values[first.value]:
            del values[first.value]
    return []


def _ordered(rule: Correlation, held: Sequence[Held], new: Held, fired: Fired) -> list[Held]:
    near = _near(rule, held, new)
    before = [h for h in near if h.time_us <= new.time_us]
    after = [h for h in near if h.time_us >= new.time_us]
    chain = [new]
    # The latest step before and the earliest step after give the shortest chain through `new`.
    for step in range(new.step - 1, -1, -1):
        found = _last(before, step, chain[0])
        if found is None:
            return []
        chain.insert(0, found)
    for step in range(new.step + 1, len(rule.rules)):
        found = _first(after, step, chain[-1])
        if found is None:
            return []
        chain.append(found)
    too_long = chain[-1].time_us - chain[0].time_us > rule.timespan_us
    return [] if too_long or _is_told(rule, chain[0].time_us, fired) else chain


def _last(before: Sequence[Held], step: int, then: Held) -> Held | None:
    return next((h for h in reversed(before) if h.step == step and _are_apart(h, then)), None)


def _first(after: Sequence[Held], step: int, then: Held) -> Held | None:
    return next((h for h in after if h.step == step and _are_apart(then, h)), None)


def _are_apart(earlier: Held, later: Held) -> bool:
    """Two steps are two things: at one moment they must at least be two events."""
    if earlier.time_us != later.time_us:
        return earlier.time_us < later.time_us
    ours, theirs = earlier.claim, later.claim
    return earlier.finding_id != later.finding_id and ours.event_ids[:1] != theirs.event_ids[:1]


def _together(rule: Correlation, held: Sequence[Held], new: Held, fired: Fired) -> list[Held]:
    near = _near(rule, held, new)
    starts = [i for i, h in enumerate(near) if h.time_us <= new.time_us]
    for i in reversed(starts):  # the latest start gives the shortest window
        first = near[i]
        if _is_told(rule, first.time_us, fired):
            continue
        steps = {first.step: first, new.step: new}
        for h in near[i:]:
            if h.time_us - first.time_us > rule.timespan_us:
                break
            steps.setdefault(h.step, h)
        if len(steps) >= rule.least and new.time_us - first.time_us <= rule.timespan_us:
            return sorted(steps.values())
    return []


_FINDERS: Final[Mapping[Type, _Find]] = {
    "event_count": _counted,
    "value_count": _counted,
    "temporal": _together,
    "temporal_ordered": _ordered,
}
