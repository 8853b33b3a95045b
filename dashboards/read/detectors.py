"""Read what the detectors in code say of themselves: as files, windows see no detector."""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

from storage.schema.classes import CLASSES

_FOLDER: Final = Path(__file__).resolve().parents[2] / "detectors"
_CLASS: Final = {c.class_uid: c.name.replace("_", " ") for c in CLASSES}
_KNOWN: Final = {"DAY_US": 86_400_000_000}
"""Numbers that detectors take from elsewhere."""
_UNITS: Final = {"US": 1_000_000, "MS": 1_000, "S": 1}
_SPANS: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second"))


@dataclass(frozen=True, slots=True)
class DetectorText:
    """Say what a detector does.

    `says`: the paragraphs of its own description; `limits`: (name, value, why) of the numbers it
    judges by; `classes`: words of the events it reads, empty = all; `flow`: which events it sees;
    `asked`: its number `ASKED_RATE`, false findings a day per 1,000 entities that it promises.
    """

    name: str
    title: str
    says: tuple[str, ...]
    limits: tuple[tuple[str, str, str], ...]
    classes: tuple[str, ...]
    attack: tuple[str, ...]
    flow: str
    version: str
    asked: float | None = None


def detector_of(rule_id: str) -> DetectorText | None:
    """Give the detector that claims under this rule id ('spraying.entered': of spraying)."""
    return detectors().get(rule_id.partition(".")[0])


def title_of(rule_id: str) -> str:
    """Give the title of a detector's rule: never the words of one of its claims.

    >>> title_of("spraying.entered")
    'One address tries many accounts: entered'
    """
    name, _, part = rule_id.partition(".")
    found = detectors().get(name)
    title = found.title if found else name.replace("_", " ").capitalize()
    return f"{title}: {part.replace('_', ' ')}" if part else title


@cache
def detectors() -> Mapping[str, DetectorText]:
    """Give name -> every detector of the house."""
    files = sorted(_FOLDER.glob("[a-z]*.py"))
    told = (_read(ast.parse(file.read_text(encoding="utf-8"))) for file in files)
    return MappingProxyType({found.name: found for found in told if found is not None})


def _read(module: ast.Module) -> DetectorText | None:
    numbers = _numbers(module)
    meta = next((c for c in _calls(module) if getattr(c.func, "id", "") == "DetectorMeta"), None)
    if meta is None:
        return None
    told = {k.arg: k.value for k in meta.keywords}
    uids = [_number(part, numbers) for part in ast.walk(told.get("classes", ast.Tuple([])))]
    says = (ast.get_docstring(module) or "").split("\n\n")
    return DetectorText(
        name=_word(told.get("name")),
        title=_word(told.get("title")),
        says=tuple(" ".join(p.split()) for p in says if p.strip()),
        limits=tuple(_limits(module, numbers)),
        classes=tuple(sorted({_CLASS[int(uid)] for uid in uids if uid in _CLASS})),
        attack=_attack(module),
        flow=_word(told.get("flow")) or "events",
        version=_word(told.get("version")),
        asked=numbers.get("ASKED_RATE"),
    )


def _calls(module: ast.Module) -> Iterator[ast.Call]:
    return (node for node in ast.walk(module) if isinstance(node, ast.Call))


def _word(node: ast.AST | None) -> str:
    return str(node.value) if isinstance(node, ast.Constant) else ""


def _attack(module: ast.Module) -> tuple[str, ...]:
    named = (k.value for call in _calls(module) for k in call.keywords if k.arg == "attack")
    words = (_word(one) for tuple_ in named for one in ast.walk(tuple_))
    return tuple(sorted({word for word in words if word.startswith("T")}))


def _numbers(module: ast.Module) -> dict[str, float]:
    found: dict[str, float] = dict(_KNOWN)
    for node in module.body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            number = _number(node.value, found)
            if number is not None:
                found[node.target.id] = number
    return found


def _number(node: ast.AST | None, known: Mapping[str, float]) -> float | None:
    """Fold the sums and products in which such numbers are written; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.Name):
        return known.get(node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mult):
        left, right = _number(node.left, known), _number(node.right, known)
        if left is not None and right is not None:
            return left + right if isinstance(node.op, ast.Add) else left * right
    return None


def _limits(module: ast.Module, numbers: Mapping[str, float]) -> Iterator[tuple[str, str, str]]:
    """Give the documented numbers: a string under a number says why it is so."""
    for node, after in zip(module.body, module.body[1:], strict=False):
        is_told = isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant)
        if is_told and isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name, why = node.target.id, " ".join(_word(getattr(after, "value", None)).split())
            words, _, unit = name.strip("_").rpartition("_")
            words = words if words and unit in _UNITS else name.strip("_")
            told = words.replace("_", " ").capitalize()
            said = _said(numbers.get(name), unit if words != name.strip("_") else "")
            if said:
                yield told, said, why


def _said(number: float | None, unit: str) -> str:
    """Write a number of a unit.

    >>> _said(1_800_000_000.0, "US"), _said(20, "")
    ('30 minutes', '20')
    """
    if number is None:
        return ""
    if unit not in _UNITS:
        return f"{number:,.12g}"
    seconds = number / _UNITS[unit]
    step, word = next((s for s in _SPANS if seconds >= s[0] and seconds % s[0] == 0), _SPANS[-1])
    count = seconds / step
    return f"{count:,g} {word}{'' if count == 1 else 's'}"
