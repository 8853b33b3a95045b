"""Load whole trees of rules, keeping what was compiled for the next start."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from detectors._sigma.atoms import Atom, Tree
from detectors._sigma.read import Values, compile_text, load_text, rule_files
from detectors._sigma.rules import CompiledRule, RuleReport, RuleSet
from storage.errors import InvalidRule
from storage.schema.finding import Level

ENGINE: Final = "1"
"""Raise when the same rule text compiles to something else."""
_MAX_CACHE: Final = 256 << 20


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of one document: a rule, or the reason why it is none."""

    rule_id: str | None
    reason: str
    title: str = ""
    level: Level = "medium"
    version: str = ""
    logsource: tuple[str, str, str] = ("", "", "")
    attack: tuple[str, ...] = ()
    atoms: tuple[tuple[str, str, str, str, str, bool, str], ...] = ()
    tree: Any = None


@dataclass(slots=True)
class _Cache:
    """Keep compiled rules by the hash of their text, in one data-only file."""

    path: Path | None
    entries: dict[str, tuple[_Kept, ...]] = field(default_factory=dict)
    is_changed: bool = False

    def read(self) -> None:
        if self.path is None:
            return
        try:
            if self.path.stat().st_size <= _MAX_CACHE:
                raw = self.path.read_bytes()
                self.entries = msgspec.json.decode(raw, type=dict[str, tuple[_Kept, ...]])
        except (OSError, msgspec.DecodeError, RecursionError):
            self.entries = {}  # absent or not ours: compile again

    def write(self, used: set[str]) -> None:
        if self.path is None or not self.is_changed:
            return
        kept = self.entries
        if len(kept) > 2 * len(used) + 10_000:
            kept = {k: v for k, v in kept.items() if k in used}
        new = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            new.write_bytes(msgspec.json.encode(kept))
            new.replace(self.path)
        except OSError:
            new.unlink(missing_ok=True)  # a cache that cannot be written is only slower


def compile_rules(
    folders: Sequence[Path], *, values: Values | None = None, cache: Path | None = None
) -> RuleSet:
    """Compile every rule below the folders; those that cannot run are in `reports`.

    `values`: named lists for `expand`; `cache`: file to keep compiled rules in (about 5 ms of CPU
    a rule saved). InvalidRule if a folder is not there. Of two rules with one id the first runs.
    """
    rules: list[CompiledRule] = []
    reports: list[RuleReport] = []
    for found in _load(folders, values or {}, cache):
        if isinstance(found, CompiledRule):
            rules.append(found)
            reports.append(RuleReport(found.rule_id, found.file, executable=True))
        else:
            reports.append(found)
    return RuleSet(rules, reports)


def lint(folders: Sequence[Path]) -> Iterator[RuleReport]:
    """Say of every rule, and every YAML file that is none, whether it can run and why not."""
    for found in _load(folders, {}, None):
        if isinstance(found, CompiledRule):
            yield RuleReport(found.rule_id, found.file, executable=True)
        else:
            yield found


def _load(
    folders: Sequence[Path], values: Values, cache: Path | None
) -> Iterator[CompiledRule | RuleReport]:
    kept = _Cache(cache)
    kept.read()
    used: set[str] = set()
    first: dict[str, str] = {}
    for path in rule_files(folders):
        for found in _file(path, values, kept, used):
            if isinstance(found, CompiledRule):
                other = first.setdefault(found.rule_id, found.file)
                if other is not found.file:
                    yield _twice(found, other)
                    continue
            yield found
    kept.write(used)


def _twice(rule: CompiledRule, other: str) -> RuleReport:
    reason = f"id {rule.rule_id} is already taken by {other}"
    return RuleReport(rule.rule_id, rule.file, executable=False, reason=reason)


def _file(
    path: Path, values: Values, kept: _Cache, used: set[str]
) -> list[CompiledRule | RuleReport]:
    file = str(path)
    try:
        text = load_text(path)
    except InvalidRule as wrong:
        return [RuleReport(None, file, executable=False, reason=str(wrong))]
    key = _key(text, file, values)
    used.add(key)
    if key in kept.entries:
        return [_thaw(k, file) for k in kept.entries[key]]
    found = compile_text(text, file, values)
    kept.entries[key] = tuple(_freeze(f) for f in found)
    kept.is_changed = True
    return found


def _key(text: bytes, file: str, values: Mapping[str, tuple[str, ...]]) -> str:
    seen = hashlib.blake2b(text, digest_size=16)
    named = sorted(values.items()) if b"expand" in text else ()
    seen.update(f"\x1f{ENGINE}\x1f{Path(file).stem}\x1f{named!r}".encode())
    return seen.hexdigest()


def _freeze(found: CompiledRule | RuleReport) -> _Kept:
    if isinstance(found, RuleReport):
        return _Kept(found.rule_id, found.reason)
    return _Kept(
        found.rule_id,
        "",
        found.title,
        found.level,
        found.version,
        (found.product, found.category, found.service),
        found.attack,
        tuple((a.field, a.op, a.text, a.needle, a.more, a.lower, a.shown) for a in found.atoms),
        found.tree,
    )


def _thaw(kept: _Kept, file: str) -> CompiledRule | RuleReport:
    if kept.reason or kept.rule_id is None:
        return RuleReport(kept.rule_id, file, executable=False, reason=kept.reason)
    return CompiledRule(
        kept.rule_id,
        kept.title,
        kept.level,
        kept.version,
        file,
        *kept.logsource,
        kept.attack,
        tuple(Atom(*a) for a in kept.atoms),  # type: ignore[arg-type]  # ours when kept
        _tree(kept.tree),
    )


def _tree(raw: Any) -> Tree:  # noqa: ANN401  JSON
    return raw if isinstance(raw, int) else (raw[0], tuple(_tree(part) for part in raw[1]))
