"""Read rule files, which may be hostile, and compile what can run."""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, get_args

import yaml
from sigma.exceptions import SigmaError
from sigma.filters import SigmaFilter
from sigma.modifiers import modifier_mapping
from sigma.rule import SigmaRule
from sigma.rule.base import SigmaYAMLLoader
from sigma.rule.detection import EmptySigmaDetections
from sigma.rule.logsource import EmptyLogSource

from detectors._correlation.read import read_correlation
from detectors._correlation.rule import Correlation
from detectors._sigma.atoms import LACKS_VALUES, Flattening
from detectors._sigma.bounds import check_conditions, check_modifiers
from detectors._sigma.compiled import CompiledFilter, CompiledRule, NamedValues, RuleReport
from detectors._sigma.modifiers import MODIFIERS
from storage.errors import InvalidRule
from storage.schema.finding import Level

MAX_FILE: Final = 1 << 20
"""Largest rule file, bytes."""
_MAX_NODES: Final = 50_000
_MAX_NESTING: Final = 64
_MAX_CONDITION: Final = 4096
_SUFFIXES: Final = (".yml", ".yaml")
_DEEP: Final = re.compile(r"^[ \t\-?:]{200}", re.MULTILINE)
_MANY_STARS: Final = re.compile(r"(?:\*[^\s()*]*){4}")

modifier_mapping.update(MODIFIERS)  # where pySigma looks for them; it takes no table of ours

_LEVELS: Final[Mapping[str, Level]] = {level: level for level in get_args(Level)}

Values = Mapping[str, tuple[str, ...]]
Compiled = CompiledRule | Correlation | CompiledFilter | NamedValues | RuleReport
"""What one document becomes; a correlation's base rules are not resolved yet."""
_MOST_VALUES: Final = 10_000
_LONGEST_VALUE: Final = 1024
_LONGEST_TITLE: Final = 256
_LARGEST_EXACT: Final = 1 << 53
_COMPARING: Final = frozenset({"lt", "lte", "gt", "gte"})
_VALUES: Final = re.compile(rb"^values:", re.MULTILINE)


def rule_files(folders: Sequence[Path]) -> Iterator[Path]:
    """Give every YAML file below the folders, sorted; a path to a file stands for itself."""
    seen: set[Path] = set()
    for folder in folders:
        for path in _below(folder):
            if (real := path.resolve()) not in seen:
                seen.add(real)
                yield path


def _below(folder: Path) -> Iterator[Path]:
    if not folder.is_dir():
        if not folder.is_file():
            raise InvalidRule(f"{folder}: no such rule file or folder", file=str(folder))
        yield folder
        return
    for home, folders, names in os.walk(folder):
        folders.sort()
        yield from (Path(home, n) for n in sorted(names) if n.lower().endswith(_SUFFIXES))


def load_text(path: Path) -> bytes:
    """Read a rule file; InvalidRule if it is larger than 1 MiB or cannot be read."""
    try:
        with path.open("rb") as file:
            text = file.read(MAX_FILE + 1)
    except OSError as wrong:
        raise InvalidRule(f"cannot be read: {wrong.strerror}", file=str(path)) from wrong
    if len(text) > MAX_FILE:
        raise InvalidRule(f"larger than {MAX_FILE >> 20} MiB", file=str(path))
    return text


def compile_text(text: bytes, file: str, values: Values) -> list[Compiled]:
    """Compile the documents of one file: a rule each, or a report of why it cannot run."""
    try:
        documents = _documents(text)
    except InvalidRule as wrong:
        return [RuleReport(None, file, executable=False, reason=str(wrong))]
    version = hashlib.blake2b(text, digest_size=8).hexdigest()
    if not documents:
        return [RuleReport(None, file, executable=False, reason="not a rule: the file is empty")]
    return [
        waiting(_compile(document, f"{version}{at or ''}", file, values), text)
        for at, document in enumerate(documents)
    ]


def waiting(found: Compiled, text: bytes) -> Compiled:
    """Put the text to a report on a rule that lacks nothing but values."""
    if isinstance(found, RuleReport) and found.reason.startswith(LACKS_VALUES):
        return replace(found, waiting=text)
    return found


def _documents(text: bytes) -> list[Any]:
    try:
        whole = text.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        raise InvalidRule(f"not UTF-8 at byte {wrong.start}") from wrong
    try:
        if "&" in whole or whole.count("[") + whole.count("{") > 500 or _DEEP.search(whole):
            _check_size(whole)
        found = list(yaml.load_all(whole, Loader=SigmaYAMLLoader))
    except yaml.YAMLError as wrong:
        raise InvalidRule("broken YAML: " + " ".join(str(wrong).split())[:300]) from wrong
    except (TypeError, ValueError, RecursionError, OverflowError) as wrong:
        raise InvalidRule(f"broken YAML: {wrong}") from wrong
    return _actions([d for d in found if d is not None])


def _check_size(whole: str) -> None:
    """Walk the events only: no aliases that unfold, no depth that would exhaust a stack."""
    depth = aliases = 0
    for nodes, event in enumerate(yaml.parse(whole, Loader=yaml.CSafeLoader)):
        aliases += isinstance(event, yaml.AliasEvent)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_NESTING:
            raise InvalidRule(f"YAML is nested deeper than {_MAX_NESTING}")
        if nodes > _MAX_NODES:
            raise InvalidRule(f"YAML has more than {_MAX_NODES} nodes")
        if aliases > 20:
            raise InvalidRule("YAML has more than 20 aliases")


def _actions(documents: list[Any]) -> list[Any]:
    """Resolve the old collection form: `action: global`, `repeat`, `reset`."""
    common: dict[Any, Any] = {}
    last: dict[Any, Any] = {}
    found: list[Any] = []
    for document in documents:
        action = document.get("action") if isinstance(document, dict) else None
        if action == "global":
            common = {k: v for k, v in document.items() if k != "action"}
        elif action == "reset":
            common = {}
        elif isinstance(document, dict):
            own = {k: v for k, v in document.items() if k != "action"}
            last = _merged(last if action == "repeat" else common, own)
            found.append(last)
        else:
            found.append(document)
    return found


def _merged(under: dict[Any, Any], over: dict[Any, Any]) -> dict[Any, Any]:
    both = dict(under)
    for key, value in over.items():
        old = both.get(key)
        if isinstance(old, dict) and isinstance(value, dict):
            value = _merged(old, value)
        both[key] = value
    return both


def _compile(
    document: Any,  # noqa: ANN401  any YAML
    version: str,
    file: str,
    values: Values,
) -> Compiled:
    rule_id, title = None, ""
    try:
        _check_shape(document)
        rule_id = str(document["id"]) if document.get("id") else None
        title = str(document.get("title") or "")[:_LONGEST_TITLE]
        if "correlation" in document:
            return read_correlation(document, version, file)
        if "values" in document:
            return _named_values(document, version, file)
        document = _exact(document)
        if "filter" in document:
            return _filter(document, version, file, values)
        rule = SigmaRule.from_dict(document, collect_errors=True)
        name = str(document.get("name") or "")
        return replace(_compiled(rule, version, file, values), name=name)
    except InvalidRule as wrong:
        reason = str(wrong)
    except SigmaError as wrong:
        reason = " ".join(str(wrong).split())
    except Exception as wrong:  # noqa: BLE001  parser boundary: a rule text can raise anything
        reason = f"the rule cannot be read: {type(wrong).__name__}: {wrong}"
    return RuleReport(rule_id, file, executable=False, reason=reason[:500], title=title)


def _exact(part: Any, key: str = "") -> Any:  # noqa: ANN401  any YAML
    """Give the document with whole numbers that no double holds as text: pySigma rounds them."""
    if isinstance(part, dict):
        return {name: _exact(value, str(name)) for name, value in part.items()}
    if isinstance(part, list):
        return [_exact(value, key) for value in part]
    is_large = isinstance(part, int) and abs(part) > _LARGEST_EXACT
    return str(part) if is_large and not _COMPARING.intersection(key.split("|")) else part


def _check_shape(document: Any) -> None:  # noqa: ANN401  any YAML
    if not isinstance(document, dict):
        raise InvalidRule("not a rule: the document is no map")
    if "correlation" in document or "values" in document:
        return
    if "filter" not in document and "detection" not in document:
        raise InvalidRule("not a rule: it has no detection")
    detection = document.get("filter", document.get("detection"))
    check_modifiers(detection)
    given = detection.get("condition", "") if isinstance(detection, dict) else ""
    conditions = [str(c) for c in (given if isinstance(given, list) else [given])]
    for text in conditions:
        if len(text) > _MAX_CONDITION or text.count("(") > _MAX_NESTING:
            raise InvalidRule(f"condition is longer than {_MAX_CONDITION} or nested too deep")
        if _MANY_STARS.search(text):  # the parser would try every split
            raise InvalidRule("condition has a name with more than three '*'")
    if isinstance(detection, dict):
        check_conditions(detection, conditions)


def _filter(document: Mapping[str, Any], version: str, file: str, values: Values) -> CompiledFilter:
    SigmaFilter.from_dict(dict(document))  # says what is wrong with its form
    given = document["filter"]
    detection = {name: part for name, part in given.items() if name != "rules"}
    shape = {k: v for k, v in document.items() if k != "filter"} | {"detection": detection}
    rule = _compiled(SigmaRule.from_dict(shape, collect_errors=True), version, file, values)
    named = given["rules"] if isinstance(given["rules"], list) else [given["rules"]]
    is_for_all = [str(n).lower() for n in named] in ([], ["any"])
    rules = () if is_for_all else tuple(map(str, named))
    return CompiledFilter(rule, rules, _until_us(document.get("until")))


def _until_us(given: object) -> int | None:
    """Read `until`, a word of our own: the moment from which on the filter counts no more."""
    if given is None:
        return None
    try:
        at = datetime.fromisoformat(str(given))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise InvalidRule("'until' is no time with its zone, as in '2026-12-05T00:00:00Z'")
    return int(at.timestamp()) * 1_000_000


def _named_values(document: Mapping[str, Any], version: str, file: str) -> NamedValues:
    name = Path(file).stem
    rule_id = str(document.get("id") or f"{name}-{version}")
    title = str(document.get("title") or name)
    return NamedValues(rule_id, title, file, _values(document["values"]))


def _values(given: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(given, dict):
        raise InvalidRule("'values' is no map of names to lists")
    found: dict[str, tuple[str, ...]] = {}
    for name, values in given.items():
        listed = values if isinstance(values, list) else [values]
        if not all(isinstance(v, str | int | float) for v in listed):
            raise InvalidRule(f"values of '{name}' are not all texts or numbers")
        found[str(name)] = tuple(str(v)[:_LONGEST_VALUE] for v in listed)
    if sum(map(len, found.values())) > _MOST_VALUES:
        raise InvalidRule(f"there are more than {_MOST_VALUES} values")
    return found


def values_in(text: bytes, file: str) -> Values:
    """Give the named lists that a file's documents state; none if it states none."""
    if not _VALUES.search(text):
        return {}
    found: dict[str, tuple[str, ...]] = {}
    for one in compile_text(text, file, {}):
        if isinstance(one, NamedValues):
            found |= one.values
    return found


def _compiled(rule: SigmaRule, version: str, file: str, values: Values) -> CompiledRule:
    blank = isinstance(rule.detection, EmptySigmaDetections)
    if blank or isinstance(rule.logsource, EmptyLogSource):
        raise InvalidRule("; ".join(" ".join(str(e).split()) for e in rule.errors))
    flat = Flattening(values)
    parts = [flat.tree(c.parse()) for c in rule.detection.parsed_condition]
    tree = flat.joined("or", parts)
    return CompiledRule(
        rule_id=str(rule.id) if rule.id else f"{Path(file).stem}-{version}",
        title=str(rule.title or Path(file).stem),
        level=_LEVELS.get(rule.level.name.lower() if rule.level else "", "medium"),
        version=version,
        file=file,
        product=rule.logsource.product or "",
        category=rule.logsource.category or "",
        service=rule.logsource.service or "",
        attack=tuple(
            t.name.upper()
            for t in rule.tags
            if t.namespace == "attack" and re.fullmatch(r"t\d{4}(\.\d{3})?", t.name.lower())
        ),
        atoms=tuple(flat.atoms),
        tree=tree,
    )
