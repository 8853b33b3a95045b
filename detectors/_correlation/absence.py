"""Judge matches of which something must be absent, once the watermark has passed their windows."""

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, NamedTuple

from detectors._correlation.rule import Correlation
from detectors._correlation.window import Fired, Held, are_apart, is_told

_TIME: Final = attrgetter("time_us")
_Lines = Mapping[int, Sequence[Held]]
"""A group's claims by step, in order of time."""


class Gap(NamedTuple):
    """A stretch, both ends with it, in which no claim of a step came."""

    step: int
    since_us: int
    until_us: int


class Match(NamedTuple):
    """The parts of a match, in order of time, and what was absent beside them."""

    parts: list[Held]
    gaps: list[Gap]


@dataclass(frozen=True, slots=True)
class Judged:
    """Say what was found; `held`: what is kept, as it may excuse or begin a later match.

    `until_us`: before when all that could begin a match is judged.
    """

    matches: list[Match]
    held: list[Held]
    until_us: int


def judge(
    rule: Correlation, held: Sequence[Held], fired: Fired, since_us: int, watermark_us: int
) -> Judged:
    """Judge the matches that begin from `since_us` on, as far as the watermark lets them be known.

    `held`: sorted. Of each claim that can begin a match the shortest one is looked at: with the
    first claim of every other step from there on. It is told if no claim of a step that must be
    absent could share a window with all of its parts. One that begins less than a timespan after
    one that was told is the same story. Cost: about |held| x steps x log |held|.
    """
    lines = _lines(held)
    found: list[Match] = []
    told = list(fired)
    until_us = watermark_us
    for first in held[bisect.bisect_left(held, since_us, key=_TIME) :]:
        if first.time_us + rule.wait_us >= watermark_us:
            until_us = min(until_us, first.time_us)
            break
        match = None if is_told(rule, first.time_us, told) else _match(rule, lines, first)
        if match is not None:
            found.append(match)
            bisect.insort(told, (match.parts[0].time_us, match.parts[-1].time_us))
    kept = bisect.bisect_left(held, until_us - rule.timespan_us, key=_TIME)
    return Judged(found, list(held[kept:]), until_us)


def _lines(held: Sequence[Held]) -> _Lines:
    lines: dict[int, list[Held]] = {}
    for h in held:
        lines.setdefault(h.step, []).append(h)
    return lines


def _match(rule: Correlation, lines: _Lines, first: Held) -> Match | None:
    """Give the match that begins with `first`, of the first set of steps that makes one."""
    is_ordered = rule.type == "temporal_ordered"
    for wanted, absent in zip(rule.clauses, rule.absent, strict=True):
        if first.step not in (wanted[:1] if is_ordered else wanted):
            continue
        parts = (_chain if is_ordered else _whole)(lines, wanted, first)
        if not parts or parts[-1].time_us - first.time_us > rule.timespan_us:
            continue
        gaps = [_gap(rule, parts, step) for step in absent]
        if not any(_is_broken(rule, lines, parts, gap) for gap in gaps):
            return Match(parts, gaps)
    return None


def _whole(lines: _Lines, wanted: Sequence[int], first: Held) -> list[Held]:
    """Give the first claim of every step from `first` on, in order of time; none if one lacks."""
    parts = [first]
    for step in wanted:
        if step != first.step:
            line = lines.get(step, ())
            at = bisect.bisect_left(line, first.time_us, key=_TIME)
            parts += line[at : at + 1]
    return sorted(parts) if len(parts) == len(wanted) else []


def _chain(lines: _Lines, wanted: Sequence[int], first: Held) -> list[Held]:
    """Give the first claim of each step after the one of the step before; none if one lacks."""
    parts = [first]
    for step in wanted[1:]:
        line = lines.get(step, ())
        at = bisect.bisect_left(line, parts[-1].time_us, key=_TIME)
        after = (h for h in line[at:] if are_apart(parts[-1], h))
        parts += [h for h, _ in zip(after, range(1), strict=False)]
    return parts if len(parts) == len(wanted) else []


def _gap(rule: Correlation, parts: Sequence[Held], step: int) -> Gap:
    """Give the stretch in which a claim of the step could share a window with all parts.

    In a sequence: at the step's own place among them.
    """
    since_us = parts[-1].time_us - rule.timespan_us
    until_us = parts[0].time_us + rule.timespan_us
    if rule.type == "temporal_ordered":
        before, after = _beside(parts, step)
        since_us = before.time_us if before else since_us
        until_us = after.time_us if after else until_us
    return Gap(step, since_us, until_us)


def _beside(parts: Sequence[Held], step: int) -> tuple[Held | None, Held | None]:
    """Give the parts of a sequence between which the step has its place."""
    before = [h for h in parts if h.step < step]
    after = [h for h in parts if h.step > step]
    return before[-1] if before else None, after[0] if after else None


def _is_broken(rule: Correlation, lines: _Lines, parts: Sequence[Held], gap: Gap) -> bool:
    """Answer whether a claim stands in the gap; of a sequence's neighbours it must be apart."""
    line = lines.get(gap.step, ())
    low = bisect.bisect_left(line, gap.since_us, key=_TIME)
    high = bisect.bisect_right(line, gap.until_us, key=_TIME)
    if rule.type != "temporal_ordered":
        return low < high
    before, after = _beside(parts, gap.step)
    return any(
        (before is None or are_apart(before, h)) and (after is None or are_apart(h, after))
        for h in line[low:high]
    )
