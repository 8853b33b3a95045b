"""Hold one correlation rule, ready to run; plain data, so that it can be kept."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from storage.schema.finding import Kind, Level

Type = Literal[
    "event_count",
    "value_count",
    "temporal",
    "temporal_ordered",
    "value_sum",
    "value_avg",
    "value_percentile",
    "value_median",
]
TYPES: Final[tuple[Type, ...]] = get_args(Type)
COUNTING: Final[frozenset[Type]] = frozenset({"event_count", "value_count"})
NUMERIC: Final[frozenset[Type]] = frozenset(
    {"value_sum", "value_avg", "value_percentile", "value_median"}
)
TEMPORAL: Final[frozenset[Type]] = frozenset({"temporal", "temporal_ordered"})
_GROWING: Final[frozenset[Type]] = COUNTING | {"value_sum"}
"""What only a window's end bounds from above: more may still come."""

Op = Literal["gt", "gte", "lt", "lte", "eq", "neq"]
OPS: Final[Mapping[Op, Callable[[float, float], bool]]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
    "eq": operator.eq,
    "neq": operator.ne,
}
_RISING: Final[frozenset[Op]] = frozenset({"gt", "gte"})
NUMBERS_HELD: Final = 1_000
"""Half the numbers held for one group; and half the claims, where some must be absent."""

Bounds = tuple[tuple[Op, float], ...]
Aliases = tuple[tuple[str, tuple[tuple[str, str], ...]], ...]
"""(alias, ((rule, field), ...)) each."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """One correlation rule.

    `rules`: base rules, in order; as written until resolved, then rule ids; `group_by`: fields,
    kinds of entity or aliases; `least`: how many claims, values or steps make a match; `bounds`:
    what a count, sum, average or percentile must keep, all of them; `value`: the fields whose
    values are counted or reckoned with; `clauses`: sets of steps, of which one must be complete;
    `absent`: for each of these the steps that must be absent then (none at all: no tuples);
    `named`: the base rules as written;
    `timespan_us`: longest stretch from first to last part; `kind`: a signal where only other
    correlations want it.
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
    value: tuple[str, ...] = ()
    aliases: Aliases = ()
    is_generating: bool = False
    attack: tuple[str, ...] = ()
    name: str = ""
    kind: Kind = "finding"
    bounds: Bounds = ()
    percentile: float = 50.0
    clauses: tuple[tuple[int, ...], ...] = ()
    absent: tuple[tuple[int, ...], ...] = ()
    named: tuple[str, ...] = ()

    @property
    def is_waiting(self) -> bool:
        """Answer whether a match is known only when its window has closed."""
        has_upper = self.type in _GROWING and any(op not in _RISING for op, _ in self.bounds)
        return has_upper or bool(self.absent)

    @property
    def wait_us(self) -> int:
        """Give how long after the first claim of a window that waits all of it is known.

        Nothing where all that must be absent stands before the only step.
        """
        if not self.absent or self.type != "temporal_ordered":
            return self.timespan_us
        is_before = (
            len(wanted) == 1 and max(silent, default=-1) < wanted[0]
            for wanted, silent in zip(self.clauses, self.absent, strict=True)
        )
        return 0 if all(is_before) else self.timespan_us

    @property
    def reach(self) -> int:
        """Give how many claims of a group decide; twice as many are held."""
        if self.type in NUMERIC or self.absent:
            return NUMBERS_HELD
        return max(self.least, *(int(limit) + 1 for _, limit in self.bounds), 0)

    def holds(self, measure: float) -> bool:
        """Answer whether a count, sum, average or percentile is within all bounds."""
        return all(OPS[op](measure, limit) for op, limit in self.bounds)

    def field(self, name: str, rule: str) -> str:
        """Give what `name` means for a base rule: its alias there, else the field itself."""
        for alias, mapping in self.aliases:
            if alias == name:
                return dict(mapping).get(rule, "")
        return name

    def fields(self, rule: str) -> tuple[str, ...]:
        """Give the fields of a base rule's event that this correlation looks at."""
        wanted = (*self.group_by, *self.value)
        return tuple(dict.fromkeys(f for n in wanted if (f := self.field(n, rule))))
