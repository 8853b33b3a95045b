"""Reckon with the numbers that claims carry."""

import math
import re
from collections.abc import Sequence
from typing import Final

from detectors._correlation.rule import Correlation

_NUMBER: Final = re.compile(r"[+-]?(\d{1,40}(\.\d{0,40})?|\.\d{1,40})(e[+-]?\d{1,3})?", re.ASCII)
_LARGEST: Final = 1e300
"""So that no sum of those held overflows."""


def number(text: str) -> float | None:
    """Give the number that a text is; None if it is none.

    >>> number("1200.50"), number(" -3e2 "), number("12 EUR"), number("1_0"), number("nan")
    (1200.5, -300.0, None, None, None)
    """
    plain = text.strip().lower()
    found = float(plain) if _NUMBER.fullmatch(plain) else math.inf
    return found if abs(found) <= _LARGEST else None


def measure(rule: Correlation, numbers: Sequence[float]) -> float:
    """Give the rule's sum, average, median or percentile of at least one number.

    The sum is exact before it is rounded, so that no order of arrival changes it; a percentile
    lies between its two neighbours in proportion (as in SQL's `percentile_cont`).
    """
    if rule.type == "value_sum":
        return math.fsum(numbers)
    if rule.type == "value_avg":
        return math.fsum(numbers) / len(numbers)
    return percentile(numbers, rule.percentile)


def percentile(numbers: Sequence[float], wanted: float) -> float:
    """Give the percentile `wanted`, 0 to 100, of at least one number.

    >>> percentile([1, 2, 3, 10], 50), percentile([5.0], 99), percentile([0, 10], 95)
    (2.5, 5.0, 9.5)
    """
    ordered = sorted(numbers)
    place = (len(ordered) - 1) * wanted / 100
    low = int(place)
    above = ordered[min(low + 1, len(ordered) - 1)]
    return ordered[low] + (above - ordered[low]) * (place - low)
