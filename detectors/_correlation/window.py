"""Find a match among the claims held for one rule and group: sliding windows, no bucket edges."""

import bisect
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from detectors._correlation.claim import BETWEEN, Claim, read_claim
from detectors._correlation.measure import measure, number
from detectors._correlation.rule import Correlation, Type


@dataclass(frozen=True, slots=True)
class Held:
    """A claim held for one group, in order of time: `step` is its base rule's place.

    `text`: the claim as JSON; it is read only where a match tells it.
    """

    time_us: int
    finding_id: str
    step: int
    value: str
    text: str

    def __lt__(self, other: "Held") -> bool:
        return self.place < other.place

    @property
    def claim(self) -> Claim:
        """Read the claim."""
        return read_claim(self.text)

    @property
    def place(self) -> tuple[int, str, int, str]:
        """Where it stands among the others."""
        return self.time_us, self.finding_id, self.step, self.value


Fired = Sequence[tuple[int, int]]
"""Times (UTC µs) of the first and last parts of this group's earlier matches, rising."""
_EVER: Final = 2**63
_LONGEST_PAUSE_US: Final = 600 * 1_000_000
_Find = Callable[[Correlation, Sequence[Held], Held, Fired], list[Held]]


def find(rule: Correlation, held: Sequence[Held], new: Held, fired: Fired) -> list[Held]:
    """Give the parts of a match that `new` completes, in order of time; none if there is none.

    `held`: sorted, with `new` in it. A match whose first part lies within `timespan` of an earlier
    match's is the same story, told already. Not for what waits for its window's end: see `close`.
    Cost: about |held| x steps.
    """
    return _FINDERS[rule.type](rule, held, new, fired)


def close(
    rule: Correlation, held: Sequence[Held], watermark_us: int
) -> tuple[list[list[Held]], list[Held]]:
    """Give the parts of the windows that ended before the watermark and match; and what is left.

    A window opens with the first claim that stands in no earlier one.
    """
    found: list[list[Held]] = []
    at = 0
    while at < len(held) and held[at].time_us + rule.timespan_us < watermark_us:
        end_us = held[at].time_us + rule.timespan_us
        end = bisect.bisect_right(held, end_us, lo=at, key=lambda h: h.time_us)
        window = list(held[at:end])
        numbers = _numbers(window)
        if rule.type == "event_count":
            holds = rule.holds(len(window))
        elif rule.type == "value_count":
            holds = rule.holds(len({h.value for h in window}))
        else:
            holds = bool(numbers) and rule.holds(measure(rule, [n for _, n in numbers]))
            window = [h for h, _ in numbers]
        if holds:
            found.append(window)
        at = end
    return found, list(held[at:])


def value_of(h: Held) -> str:
    """Give the counted value of a claim in words."""
    return " / ".join(part.partition(":")[2] for part in h.value.split(BETWEEN))


def _numbers(held: Sequence[Held]) -> list[tuple[Held, float]]:
    """Give the claims whose value is a number, with it."""
    found = ((h, number(value_of(h))) for h in held)
    return [(h, n) for h, n in found if n is not None]


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


def is_told(rule: Correlation, first_us: int, fired: Fired) -> bool:
    """Answer whether a match was told whose first part lies less than a timespan from this."""
    at = bisect.bisect_left(fired, (first_us,))
    around = fired[max(at - 1, 0) : at + 1]
    return any(abs(first_us - told) < rule.timespan_us for told, _ in around)


def _is_all_told(rule: Correlation, new: Held, fired: Fired) -> bool:
    """Answer whether every window with `new` in it opens near one match that was told."""
    at = bisect.bisect_right(fired, (new.time_us - rule.timespan_us, _EVER))
    return at < len(fired) and fired[at][0] < new.time_us


def _near(rule: Correlation, held: Sequence[Held], new: Held) -> Sequence[Held]:
    """Give what can share a window with `new`."""
    if held[-1] is new and held[0].time_us >= new.time_us - rule.timespan_us:
        return held
    low = bisect.bisect_left(held, new.time_us - rule.timespan_us, key=lambda h: h.time_us)
    high = bisect.bisect_right(held, new.time_us + rule.timespan_us, key=lambda h: h.time_us)
    return held[low:high]


def _counted(rule: Correlation, held: Sequence[Held], new: Held, fired: Fired) -> list[Held]:
    if len(held) < rule.least or _is_all_told(rule, new, fired):
        return []
    near = _near(rule, held, new)
    if len(near) < rule.least:
        return []
    values: Counter[str] = Counter()
    end = 0
    for i, first in enumerate(near):
        if first.time_us > new.time_us:
            break
        while end < len(near) and near[end].time_us <= first.time_us + rule.timespan_us:
            values[near[end].value] += 1
            end += 1
        count = end - i if rule.type == "event_count" else len(values)
        if count >= rule.least:
            if not is_told(rule, first.time_us, fired):
                return list(near[i:end])
        elif end == len(near):  # later starts only have less
            break
        values[first.value] -= 1
        if not values[first.value]:
            del values[first.value]
    return []


def _measured(rule: Correlation, held: Sequence[Held], new: Held, fired: Fired) -> list[Held]:
    """Look at the timespan up to each claim that has `new` within it, `new` itself first."""
    numbers = _numbers(_near(rule, held, new))
    times = [h.time_us for h, _ in numbers]
    for end_us in dict.fromkeys(t for t in times if t >= new.time_us):
        low = bisect.bisect_left(times, end_us - rule.timespan_us)
        high = bisect.bisect_right(times, end_us)
        window = numbers[low:high]
        if rule.holds(measure(rule, [n for _, n in window])):
            parts = [h for h, _ in window]
            if not is_told(rule, parts[0].time_us, fired):
                return parts
    return []


def _ordered(rule: Correlation, held: Sequence[Held], new: Held, fired: Fired) -> list[Held]:
    near = _near(rule, held, new)
    before = [h for h in near if h.time_us <= new.time_us]
    after = [h for h in near if h.time_us >= new.time_us]
    for clause in _clauses(rule, new):
        chain = _chain(clause, before, after, new)
        is_short = chain and chain[-1].time_us - chain[0].time_us <= rule.timespan_us
        if is_short and not is_told(rule, chain[0].time_us, fired):
            return chain
    return []


def _clauses(rule: Correlation, new: Held) -> list[tuple[int, ...]]:
    """Give the sets of steps of which one must be complete, as far as `new` can complete them."""
    return [c for c in rule.clauses or (tuple(range(len(rule.rules))),) if new.step in c]


def _chain(
    clause: Sequence[int], before: Sequence[Held], after: Sequence[Held], new: Held
) -> list[Held]:
    """Give the shortest chain through `new`: the latest step before, the earliest step after."""
    chain = [new]
    at = clause.index(new.step)
    for step in reversed(clause[:at]):
        found = _last(before, step, chain[0])
        if found is None:
            return []
        chain.insert(0, found)
    for step in clause[at + 1 :]:
        found = _first(after, step, chain[-1])
        if found is None:
            return []
        chain.append(found)
    return chain


def _last(before: Sequence[Held], step: int, then: Held) -> Held | None:
    return next((h for h in reversed(before) if h.step == step and are_apart(h, then)), None)


def _first(after: Sequence[Held], step: int, then: Held) -> Held | None:
    return next((h for h in after if h.step == step and are_apart(then, h)), None)


def are_apart(earlier: Held, later: Held) -> bool:
    """Two steps are two things: at one moment they must at least be two events."""
    if earlier.time_us != later.time_us:
        return earlier.time_us < later.time_us
    ours, theirs = earlier.claim, later.claim
    return earlier.finding_id != later.finding_id and ours.event_ids[:1] != theirs.event_ids[:1]


def _together(rule: Correlation, held: Sequence[Held], new: Held, fired: Fired) -> list[Held]:
    near = _near(rule, held, new)
    if not rule.clauses:
        return _complete(rule, near, new, fired, rule.least)
    for clause in _clauses(rule, new):
        own = [h for h in near if h.step in clause]
        parts = _complete(rule, own, new, fired, len(clause))
        if parts:
            return parts
    return []


def _complete(
    rule: Correlation, near: Sequence[Held], new: Held, fired: Fired, least: int
) -> list[Held]:
    starts = [i for i, h in enumerate(near) if h.time_us <= new.time_us]
    for i in reversed(starts):  # the latest start gives the shortest window
        first = near[i]
        if is_told(rule, first.time_us, fired):
            continue
        steps = {first.step: first, new.step: new}
        begin = bisect.bisect_left(near, first.time_us, hi=i, key=lambda h: h.time_us)
        for h in near[begin:]:
            if h.time_us - first.time_us > rule.timespan_us:
                break
            steps.setdefault(h.step, h)
        if len(steps) >= least and new.time_us - first.time_us <= rule.timespan_us:
            return sorted(steps.values())
    return []


_FINDERS: Final[Mapping[Type, _Find]] = {
    "event_count": _counted,
    "value_count": _counted,
    "temporal": _together,
    "temporal_ordered": _ordered,
    "value_sum": _measured,
    "value_avg": _measured,
    "value_percentile": _measured,
    "value_median": _measured,
}
