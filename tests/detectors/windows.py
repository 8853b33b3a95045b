"""Say what a correlation means by the book, claim after claim: slow, plain, and not the product.

Shares no code with `detectors._correlation`. A rule is a mapping as written; numbers are exact.
"""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

Rule = Mapping[str, Any]
Told = tuple[str, int, int]
"""Group, time of the first part, time of the last."""
_OPS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": lambda a, b: a > b,
    "gte": lambda a, b: a >= b,
    "lt": lambda a, b: a < b,
    "lte": lambda a, b: a <= b,
    "eq": lambda a, b: a == b,
    "neq": lambda a, b: a != b,
}


@dataclass(frozen=True)
class Said:
    """One claim: the base rule's place, the time in seconds, the group and the value."""

    step: int
    at: int
    group: str
    value: str
    number: int = 0
    """Tells claims apart that are otherwise alike."""


def matches(rule: Rule, stream: Sequence[Said]) -> list[Told]:
    """Give what is told, for a stream in order of arrival, once every window has ended."""
    found: list[Told] = []
    for group in sorted({c.group for c in stream}):
        own = [c for c in stream if c.group == group]
        times = _closed(rule, own) if _waits(rule) else _arriving(rule, own)
        if any(rule.get("absent", ())):
            times = _silent(rule, own)
        found += [(group, first, last) for first, last in times]
    return found


def _waits(rule: Rule) -> bool:
    condition = rule.get("condition", {})
    return rule["type"] in {"event_count", "value_count", "value_sum"} and bool(
        set(condition) & {"lt", "lte", "eq", "neq"}
    )


def _arriving(rule: Rule, stream: Sequence[Said]) -> Iterator[tuple[int, int]]:
    told: list[int] = []
    for n, new in enumerate(stream):
        for first, last in _candidates(rule, stream[: n + 1], new):
            if all(abs(first - t) >= rule["timespan"] for t in told):
                told.append(first)
                yield first, last
                break


def _closed(rule: Rule, stream: Sequence[Said]) -> Iterator[tuple[int, int]]:
    rest = sorted(stream, key=lambda c: c.at)
    while rest:
        window = [c for c in rest if c.at <= rest[0].at + rule["timespan"]]
        rest = [c for c in rest if c not in window]
        counted = _counted(rule, window)
        if counted and _holds(rule, counted):
            yield counted[0].at, counted[-1].at


def _silent(rule: Rule, stream: Sequence[Said]) -> Iterator[tuple[int, int]]:
    """Tell each start's shortest match with which nothing that must be absent makes a whole."""
    told: list[int] = []
    for start in sorted(stream, key=lambda c: c.at):
        for clause, absent in zip(rule["clauses"], rule["absent"], strict=True):
            parts = _shortest(rule, clause, stream, start)
            silent = [c for c in stream if c.step in absent]
            if parts and not any(_is_whole(rule, [*parts, c]) for c in silent):
                if all(abs(start.at - t) >= rule["timespan"] for t in told):
                    told.append(start.at)
                    yield start.at, max(c.at for c in parts)
                break


def _shortest(
    rule: Rule, clause: Sequence[int], stream: Sequence[Said], start: Said
) -> Sequence[Said]:
    if start.step not in clause:
        return ()
    after = [c for c in stream if c.at >= start.at]
    choices = [[start] if s == start.step else [c for c in after if c.step == s] for s in clause]
    whole = [parts for parts in itertools.product(*choices) if _is_whole(rule, parts)]
    if rule["type"] == "temporal_ordered":
        whole = [parts for parts in whole if parts[0] == start]
    return min(whole, key=lambda parts: [c.at for c in parts], default=())


def _is_whole(rule: Rule, parts: Sequence[Said]) -> bool:
    """Answer whether these share a window, and stand in their order if there is one."""
    times = [c.at for c in sorted(parts, key=lambda c: c.step)]
    is_ordered = all(a <= b for a, b in itertools.pairwise(times))
    fits = max(times) - min(times) <= rule["timespan"]
    return fits and (rule["type"] == "temporal" or is_ordered)


def _candidates(rule: Rule, seen: Sequence[Said], new: Said) -> Iterator[tuple[int, int]]:
    """Give (first, last) of every match that has `new` in it, the one that is told first, first."""
    span, ordered = rule["timespan"], sorted(seen, key=lambda c: c.at)
    if rule["type"] in {"event_count", "value_count"}:
        for start in dict.fromkeys(c.at for c in ordered if new.at - span <= c.at <= new.at):
            window = [c for c in ordered if start <= c.at <= start + span]
            if _holds(rule, window):
                yield start, window[-1].at
    elif rule["type"].startswith("value"):
        for end in dict.fromkeys(c.at for c in ordered if new.at <= c.at <= new.at + span):
            window = _counted(rule, [c for c in ordered if end - span <= c.at <= end])
            if new in window and window[-1].at == end and _holds(rule, window):
                yield window[0].at, end
    else:
        yield from _together(rule, ordered, new)


def _together(rule: Rule, ordered: Sequence[Said], new: Said) -> Iterator[tuple[int, int]]:
    for clause in rule["clauses"]:
        if new.step not in clause:
            continue
        choices = [[new] if s == new.step else [c for c in ordered if c.step == s] for s in clause]
        whole = []
        for parts in itertools.product(*choices):
            times = [c.at for c in parts]
            # At one moment, two events are in order; the claims here are all of different ones.
            is_ordered = all(a <= b for a, b in itertools.pairwise(times))
            fits = max(times) - min(times) <= rule["timespan"]
            if fits and (rule["type"] == "temporal" or is_ordered):
                whole.append((min(times), max(times)))
        latest = sorted({first for first, _ in whole}, reverse=True)
        if rule["type"] == "temporal_ordered":
            latest = latest[:1]
        yield from ((f, min(last for first, last in whole if first == f)) for f in latest)


def _counted(rule: Rule, window: Sequence[Said]) -> list[Said]:
    if rule["type"] in {"event_count", "value_count"}:
        return list(window)
    return [c for c in window if _number(c.value) is not None]


def _number(text: str) -> Fraction | None:
    try:
        return Fraction(text)
    except ValueError:
        return None


def _holds(rule: Rule, window: Sequence[Said]) -> bool:
    measured = _measure(rule, window)
    condition = rule["condition"]
    return all(_OPS[k](measured, Fraction(str(v))) for k, v in condition.items() if k in _OPS)


def _measure(rule: Rule, window: Sequence[Said]) -> Fraction:
    if rule["type"] == "event_count":
        return Fraction(len(window))
    if rule["type"] == "value_count":
        return Fraction(len({c.value for c in window}))
    numbers = sorted(n for c in window if (n := _number(c.value)) is not None)
    if rule["type"] == "value_sum":
        return sum(numbers, Fraction(0))
    if rule["type"] == "value_avg":
        return sum(numbers, Fraction(0)) / len(numbers)
    place = Fraction(len(numbers) - 1) * Fraction(rule["condition"].get("percentile", 50)) / 100
    low = int(place)
    above = numbers[min(low + 1, len(numbers) - 1)]
    return numbers[low] + (above - numbers[low]) * (place - low)
