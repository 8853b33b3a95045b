"""Load whole trees of rules, keeping what was compiled for the next start."""

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import msgspec

from detectors._correlation.resolve import resolve
from detectors._correlation.rule import Correlation
from detectors._sigma.atoms import Atom, Tree
from detectors._sigma.compiled import CompiledFilter, CompiledRule, NamedValues, RuleReport
from detectors._sigma.read import (
    Compiled,
    Values,
    compile_text,
    load_text,
    rule_files,
    values_in,
    waiting,
)
from detectors._sigma.rules import RuleSet
from detectors._sigma.sieve import is_over_claims
from storage.errors import InvalidRule
from storage.schema.finding import Level

ENGINE: Final = "6"
"""Raise when the same rule text compiles to something else."""
_MAX_CACHE: Final = 256 << 20


class _Kept(msgspec.Struct, array_like=True, frozen=True):
    """What is kept of one document: a rule, a correlation, or the reason why it is none."""

    rule_id: str | None
    reason: str
    title: str = ""
    level: Level = "medium"
    version: str = ""
    logsource: tuple[str, str, str] = ("", "", "")
    attack: tuple[str, ...] = ()
    atoms: tuple[tuple[str, str, str, str, str, bool, str], ...] = ()
    tree: Any = None
    name: str = ""
    correlation: dict[str, Any] | None = None
    filtered: tuple[str, ...] | None = None
    values: dict[str, tuple[str, ...]] | None = None
    until_us: int | None = None


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
    folders: Sequence[Path],
    *,
    values: Values | None = None,
    cache: Path | None = None,
    beside: RuleSet | None = None,
) -> RuleSet:
    """Compile every rule below the folders; those that cannot run are in `reports`.

    `values`: named lists for `expand`; `cache`: file to keep compiled rules in (about 5 ms of CPU
    a rule saved); `beside`: rules that correlations may name besides (the house's, for a tenant).
    InvalidRule if a folder is not there. Of two rules with one id the first runs.
    """
    return rule_set(_load(folders, values or {}, cache), beside)


def compile_texts(
    texts: Mapping[str, bytes], *, values: Values | None = None, beside: RuleSet | None = None
) -> RuleSet:
    """Compile rule texts (name -> text) as `compile_rules` does files.

    Rules `beside` that only lack values run here if the texts state them.
    """
    named = dict(values or {})
    for name, text in texts.items():
        named |= values_in(text, name)
    found = [f for name, text in texts.items() for f in compile_text(text, name, named)]
    if named and beside is not None:
        for text, file in {r.waiting: r.file for r in beside.reports if r.waiting}.items():
            ready = compile_text(text, file, named)
            ids = {r.rule_id for r in beside.reports if r.waiting == text}
            found += [f for f in ready if isinstance(f, CompiledRule) and f.rule_id in ids]
    return rule_set(_once(found), beside)


def lint(folders: Sequence[Path]) -> Iterator[RuleReport]:
    """Say of every rule, and every YAML file that is none, whether it can run and why not."""
    yield from rule_set(_load(folders, {}, None)).reports


def rule_set(found: Iterable[Compiled], beside: RuleSet | None = None) -> RuleSet:
    """Put compiled documents together: resolve what they name; report on each."""
    every = list(found)
    rules = [f for f in every if isinstance(f, CompiledRule)]
    named: dict[str, str] = {}
    for other in beside.rules if beside is not None else ():
        named |= {n: other.rule_id for n in (other.name, other.rule_id) if n}
    rule_names = set(named)
    waiting: list[str] = []
    for one in beside.correlations if beside is not None else ():
        names = [n for n in (one.name, one.rule_id) if n]
        if one.is_waiting:
            waiting += names
        else:
            named |= dict.fromkeys(names, one.rule_id)
    for rule in reversed(rules):
        named |= {n: rule.rule_id for n in (rule.name, rule.rule_id) if n}
        rule_names |= {rule.name, rule.rule_id}
    idle = [f.rule_id for f in every if isinstance(f, RuleReport) and f.rule_id]
    own = [f for f in every if isinstance(f, Correlation)]
    done = resolve(named, own, idle, waiting)
    refused = {(c.file, c.rule_id): reason for c, reason in done.refused}
    filters = [f for f in every if isinstance(f, CompiledFilter)]
    for sieve in filters:
        if is_over_claims(sieve.rule):
            if not sieve.rules:
                reason = "a filter over claims must name the rules whose claims it looks at"
                refused[sieve.file, sieve.rule_id] = reason
        elif sieve.rules and not rule_names.intersection(sieve.rules):
            reason = f"the filter names no rule that is here: {', '.join(sieve.rules)}"
            refused[sieve.file, sieve.rule_id] = reason
    reports = [
        f
        if isinstance(f, RuleReport)
        else RuleReport(
            f.rule_id,
            f.file,
            executable=(f.file, f.rule_id) not in refused,
            reason=refused.get((f.file, f.rule_id), "")[:500],
            title=f.title,
        )
        for f in every
    ]
    lists = [f for f in every if isinstance(f, NamedValues)]
    return RuleSet(rules, reports, done.correlations, filters, lists)


def _load(folders: Sequence[Path], values: Values, cache: Path | None) -> Iterator[Compiled]:
    kept = _Cache(cache)
    kept.read()
    used: set[str] = set()
    texts = {path: _text(path) for path in rule_files(folders)}
    named = dict(values)
    for path, text in texts.items():
        if isinstance(text, bytes):
            named |= values_in(text, str(path))
    found = (f for path, text in texts.items() for f in _file(path, text, named, kept, used))
    yield from _once(found)
    kept.write(used)


def _text(path: Path) -> bytes | RuleReport:
    try:
        return load_text(path)
    except InvalidRule as wrong:
        return RuleReport(None, str(path), executable=False, reason=str(wrong))


def _once(found: Iterable[Compiled]) -> Iterator[Compiled]:
    first: dict[str, Compiled] = {}
    for one in found:
        if not isinstance(one, RuleReport):
            other = first.setdefault(one.rule_id, one)
            if other is not one:
                yield _twice(one, other.file)
                continue
        yield one


def _twice(
    rule: CompiledRule | Correlation | CompiledFilter | NamedValues, other: str
) -> RuleReport:
    reason = f"id {rule.rule_id} is already taken by {other}"
    return RuleReport(rule.rule_id, rule.file, executable=False, reason=reason, title=rule.title)


def _file(
    path: Path, text: bytes | RuleReport, values: Values, kept: _Cache, used: set[str]
) -> list[Compiled]:
    if isinstance(text, RuleReport):
        return [text]
    file = str(path)
    key = _key(text, file, values)
    used.add(key)
    if key in kept.entries:
        # What another version kept in another shape is compiled again.
        with suppress(msgspec.ValidationError, LookupError, TypeError, ValueError):
            return [waiting(_thaw(k, file), text) for k in kept.entries[key]]
    found = compile_text(text, file, values)
    kept.entries[key] = tuple(_freeze(f) for f in found)
    kept.is_changed = True
    return found


def _key(text: bytes, file: str, values: Mapping[str, tuple[str, ...]]) -> str:
    seen = hashlib.blake2b(text, digest_size=16)
    named = sorted(values.items()) if b"expand" in text else ()
    seen.update(f"\x1f{ENGINE}\x1f{Path(file).stem}\x1f{named!r}".encode())
    return seen.hexdigest()


def _freeze(found: Compiled) -> _Kept:
    if isinstance(found, RuleReport):
        return _Kept(found.rule_id, found.reason, found.title)
    if isinstance(found, Correlation):
        return _Kept(found.rule_id, "", correlation=asdict(found))
    if isinstance(found, NamedValues):
        return _Kept(found.rule_id, "", found.title, values=dict(found.values))
    if isinstance(found, CompiledFilter):
        return msgspec.structs.replace(
            _freeze(found.rule), filtered=found.rules, until_us=found.until_us
        )
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
        found.name,
    )


def _thaw(kept: _Kept, file: str) -> Compiled:
    if kept.reason or kept.rule_id is None:
        return RuleReport(
            kept.rule_id, file, executable=False, reason=kept.reason, title=kept.title
        )
    if kept.correlation is not None:
        return replace(msgspec.convert(kept.correlation, Correlation), file=file)
    if kept.values is not None:
        return NamedValues(kept.rule_id, kept.title, file, kept.values)
    rule = _rule(kept, kept.rule_id, file)
    return rule if kept.filtered is None else CompiledFilter(rule, kept.filtered, kept.until_us)


def _rule(kept: _Kept, rule_id: str, file: str) -> CompiledRule:
    return CompiledRule(
        rule_id,
        kept.title,
        kept.level,
        kept.version,
        file,
        *kept.logsource,
        kept.attack,
        tuple(Atom(*a) for a in kept.atoms),  # type: ignore[arg-type]  # ours when kept
        _tree(kept.tree),
        kept.name,
    )


def _tree(raw: Any) -> Tree:  # noqa: ANN401  JSON
    return raw if isinstance(raw, int) else (raw[0], tuple(_tree(part) for part in raw[1]))
