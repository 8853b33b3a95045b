"""Find the text of the house's own rules by id: package data, the same for every tenant."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

import yaml

_FOLDER: Final = Path(__file__).resolve().parents[2] / "detectors" / "rules"
"""Read as files: windows see no detector."""
_ID: Final = re.compile(r"^id:\s*([0-9a-fA-F-]{36})\s*$", re.MULTILINE)
_EXAMPLES: Final = re.compile(r"^inopsio:\n(?:[ \t]+.*\n?|\n)*", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class RuleText:
    """Hold a rule as written, without its own test examples."""

    title: str
    description: str
    text: str
    false_positives: tuple[str, ...]


def rule_text(rule_id: str) -> RuleText | None:
    """Give the rule of that id; None if it is not one of the house's own."""
    file = _index().get(rule_id.lower())
    return None if file is None else _read(file)


@cache
def _index() -> Mapping[str, Path]:
    found: dict[str, Path] = {}
    for file in sorted(_FOLDER.rglob("*.yml")):
        told = _ID.search(file.read_text(encoding="utf-8"))
        if told:
            found[told[1].lower()] = file
    return MappingProxyType(found)


@cache
def _read(file: Path) -> RuleText:
    text = _EXAMPLES.sub("", file.read_text(encoding="utf-8"))
    told = yaml.safe_load(text)
    rule = told if isinstance(told, dict) else {}
    doubts = rule.get("falsepositives")
    return RuleText(
        title=str(rule.get("title", "")),
        description=str(rule.get("description", "")),
        text=text.strip(),
        false_positives=tuple(str(d) for d in doubts) if isinstance(doubts, list) else (),
    )
