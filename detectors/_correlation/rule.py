"""Hold one correlation rule, ready to run; plain data, so that it can be kept."""

from dataclasses import dataclass
from typing import Final, Literal

from storage.schema.finding import Kind, Level

Type = Literal["event_count", "value_count", "temporal", "temporal_ordered"]
TYPES: Final[tuple[Type, ...]] = ("event_count", "value_count", "temporal", "temporal_ordered")

Aliases = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
"""(alias, ((rule, field), ...)) each."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """One correlation rule.

    `rules`: base rules, in order; as written until resolved, then rule ids; `group_by`: fields,
    kinds of entity or aliases; `least`: how many claims, values or steps make a match; `value`:
    the field whose different values count; `timespan_us`: longest stretch from first to last part;
    `kind`: a signal where only other correlations want it.
    """

    rule_id: str
    title: str
    level: Level
    version: str
    file: str
    type: Type
    rules: tuple[str, ...]
    group_by: tuple[str, ...]
    timespan_us: int
    least: int
    value: str = ""
    aliases: Aliases = ()
    is_generating: bool = False
    attack: tuple[str, ...] = ()
    name: str = ""
    kind: Kind = "finding"

    def field(self, name: str, rule: str) -> str:
        """Give what `name` means for a base rule: its alias there, else the field itself."""
        for alias, mapping in self.aliases:
            if alias == name:
                return dict(mapping).get(rule, "")
        return name

    def fields(self, rule: str) -> tuple[str, ...]:
        """Give the fields of a base rule's event that this correlation looks at."""
        wanted = [*self.group_by, *([self.value] if self.value else [])]
        return tuple(dict.fromkeys(f for n in wanted if (f := self.field(n, rule))))
