"""Refuse what would unfold without end before anything unfolds it."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from math import prod
from typing import Final

from sigma.types import Placeholder

from storage.errors import InvalidRule

MAX_ATOMS: Final = 20_000
_MOST_NAMED: Final = 50_000
_LONGEST_NAME: Final = 256
_WORD: Final = re.compile(r"[\w*.-]+")
_DASHES: Final = 5
"""What `windash` puts in the place of each dash."""
_DASH: Final = re.compile(r"\B[-/]\b")


def check_modifiers(detection: object) -> None:
    """Refuse a detection whose modifiers would make too many values, or one too long."""
    tests = 0
    for key, value in _items(detection):
        modifiers = key.split("|")[1:]
        if len(set(modifiers)) < len(modifiers):  # `wide` doubles a text each time
            raise InvalidRule(f"'{key[:80]}' has a modifier twice")
        if "windash" in modifiers:
            tests += sum(_DASHES ** min(len(_DASH.findall(text)), 9) for text in _texts(value))
        if tests > MAX_ATOMS:
            raise InvalidRule(
                f"'{key[:80]}' with windash makes more than {MAX_ATOMS} tests; "
                "write fewer dashes into one value"
            )


def check_conditions(detection: Mapping[object, object], conditions: list[str]) -> None:
    """Refuse conditions that name so many values again and again that reading them takes long."""
    sizes = {str(n): _size(part) for n, part in detection.items() if n != "condition"}
    if max(map(len, sizes), default=0) > _LONGEST_NAME:
        raise InvalidRule(f"the name of a selection is longer than {_LONGEST_NAME}")
    words = Counter(word for text in conditions for word in _WORD.findall(text))
    named = sum(
        times * sum(size for name, size in sizes.items() if _is_meant(word, name))
        for word, times in words.items()
    )
    if named > _MOST_NAMED:
        raise InvalidRule(f"condition names more than {_MOST_NAMED} values, one time with another")


def _is_meant(word: str, name: str) -> bool:
    if word == "them":
        return not name.startswith("_")
    return word == name or ("*" in word and fnmatchcase(name, word))


def _size(part: object) -> int:
    """Count the values of a selection, however deep."""
    if isinstance(part, Mapping):
        return sum(map(_size, part.values()))
    return sum(map(_size, part)) if isinstance(part, list) else 1


def check_placeholders(parts: Iterable[object], values: Mapping[str, tuple[str, ...]]) -> None:
    """Refuse a text whose placeholders make too many texts."""
    named = [part.name for part in parts if isinstance(part, Placeholder)]
    if prod(len(values.get(name, ())) or 1 for name in named) > MAX_ATOMS:
        raise InvalidRule(f"placeholders %{'%, %'.join(named)[:80]}% make over {MAX_ATOMS} texts")


def _items(detection: object) -> Iterator[tuple[str, object]]:
    """Give every field of a detection with its value, however deep; YAML is 64 deep at most."""
    if isinstance(detection, Mapping):
        for key, value in detection.items():
            yield str(key), value
            yield from _items(value)
    elif isinstance(detection, list):
        for part in detection:
            yield from _items(part)


def _texts(value: object) -> list[str]:
    return [str(v) for v in value] if isinstance(value, list) else [str(value)]
