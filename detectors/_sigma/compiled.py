"""Hold what rule documents become: plain data, so that it can be kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from detectors._sigma.atoms import Atom, Tree
from storage.schema.finding import Level


@dataclass(frozen=True, slots=True)
class CompiledRule:
    """One rule, ready to run; plain data, so that it can be kept.

    `version`: hash of its text; `file`: as found; `attack`: technique ids; `tree` is over `atoms`;
    `name`: how a correlation may call it.
    """

    rule_id: str
    title: str
    level: Level
    version: str
    file: str
    product: str
    category: str
    service: str
    attack: tuple[str, ...]
    atoms: tuple[Atom, ...]
    tree: Tree
    name: str = ""


@dataclass(frozen=True, slots=True)
class RuleReport:
    """Say of one rule (or file that is none) whether it can run, and why not.

    `waiting`: its whole text, if all that it lacks are values for a placeholder, which a tenant
    may have; `title`: as far as it could be read.
    """

    rule_id: str | None
    file: str
    executable: bool
    reason: str = ""
    waiting: bytes = field(default=b"", repr=False, compare=False)
    title: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class CompiledFilter:
    """A filter: rules that it names hit an event only if `rule`'s condition holds for it too.

    `rules`: ids or names, () = all; only rules whose log source is `rule`'s or a narrower one.
    `until_us`: events of this time (us since 1970) or later it lets through; None: it has no end.
    """

    rule: CompiledRule
    rules: tuple[str, ...]
    until_us: int | None = None

    @property
    def rule_id(self) -> str:
        """Its own id."""
        return self.rule.rule_id

    @property
    def file(self) -> str:
        """Where it was found."""
        return self.rule.file

    @property
    def title(self) -> str:
        """Its name for people."""
        return self.rule.title

    def concerns(self, rule: CompiledRule) -> bool:
        """Answer whether it filters this rule."""
        own = (self.rule.product, self.rule.category, self.rule.service)
        theirs = (rule.product, rule.category, rule.service)
        if any(mine not in ("", other) for mine, other in zip(own, theirs, strict=True)):
            return False
        return not self.rules or bool({rule.rule_id, rule.name}.intersection(self.rules))


@dataclass(frozen=True, slots=True)
class NamedValues:
    """Lists of values by name, for the placeholders (`expand`) of rules."""

    rule_id: str
    title: str
    file: str
    values: Mapping[str, tuple[str, ...]]
