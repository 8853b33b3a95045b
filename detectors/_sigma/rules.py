"""Hold compiled rules and match them against event columns."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from detectors._correlation.rule import Correlation
from detectors._sigma.atoms import Atom
from detectors._sigma.compiled import CompiledFilter, CompiledRule, NamedValues, RuleReport
from detectors._sigma.fields import Columns, Rows
from detectors._sigma.filters import Filters, program_of
from detectors._sigma.logsource import NATIVE_FORMATS, SYSMON, Clause, Route, routes
from detectors._sigma.match import Program, Run
from detectors._sigma.sieve import sieved
from detectors._sigma.texts import FEW
from storage.schema.finding import Finding, Kind

Indexes = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Hit:
    """One rule hit rows `rows` (ascending) of the frame; `why` gives tests and values for one.

    `stands_in`: the log source tells what another one (Sysmon) also does where it is kept.
    """

    rule: int
    rows: Indexes
    stands_in: bool
    _run: Run
    _local: int
    _places: Indexes

    def why(self, row: int) -> list[tuple[Atom, str]]:
        """Give the tests that held for a row of `rows`, with the value each saw."""
        return self._run.why(self._local, int(np.searchsorted(self._places, row)))

    def values(self, names: Iterable[str]) -> dict[str, list[str | None]]:
        """Give the values of fields, one for each of `rows`."""
        at = np.searchsorted(self._places, self.rows)
        columns = {name: self._run.rows.told(name) for name in names}
        return {n: c.gather(at).to_list() for n, c in columns.items() if c is not None}


_COLUMNS: Final[Mapping[str, str]] = {
    "product": "metadata.product.name",
    "system": "device.os.name",
    "format": "metadata.log_format",
    "log": "metadata.log_name",
    "provider": "metadata.log_provider",
    "code": "metadata.event_code",
    "class": "class_uid",
    "activity": "activity_id",
}
_MATCHED: Final = pl.Schema({"rule": pl.UInt32(), "row": pl.UInt32(), "stands_in": pl.Boolean()})
_MOST_KINDS: Final = 65_536
_Kind = tuple[tuple[str, ...], Indexes]
"""What rows say of where they come from, and which rows they are."""


@dataclass(slots=True)
class _Lane:
    """The rules that one route leads to; the program is built when the first event comes."""

    route: Route
    rules: list[int] = field(default_factory=list)
    program: Program | None = None


class RuleSet:
    """Match rules against columns; compiled once, used for every batch.

    `rules`: those that can run; `reports`: one entry for every rule and file that was looked at.
    Not safe to share between threads (programs are built on first use).
    """

    def __init__(
        self,
        rules: Sequence[CompiledRule],
        reports: Sequence[RuleReport] = (),
        correlations: Sequence[Correlation] = (),
        filters: Sequence[CompiledFilter] = (),
        lists: Sequence[NamedValues] = (),
    ) -> None:
        """Sort the rules by where their events come from. `correlations`: resolved."""
        self.filters = tuple(filters)
        self.lists = tuple(lists)
        self.rules = tuple(rules)
        self.reports = tuple(reports)
        parts = {b for c in correlations for b in c.rules}
        self._parts = parts - {b for c in correlations if c.is_generating for b in c.rules}
        self.correlations = tuple(replace(c, kind=self.kind(c)) for c in correlations)
        self._on: dict[str, list[Correlation]] = {}
        self._carried: dict[str, dict[str, None]] = {}
        for one in self.correlations:
            for base in dict.fromkeys(one.rules):
                self._on.setdefault(base, []).append(one)
                self._carried.setdefault(base, {}).update(dict.fromkeys(one.fields(base)))
        lanes: dict[Route, _Lane] = {}
        for number, rule in enumerate(self.rules):
            for route in routes(rule.product, rule.category, rule.service):
                if not route.unknown.intersection(a.field for a in rule.atoms):
                    lanes.setdefault(route, _Lane(route)).rules.append(number)
        self._lanes = tuple(lanes.values())
        self._known: dict[str, list[str]] = {}
        for lane in self._lanes:
            for clause in lane.route.clauses:
                for name, values in clause:
                    self._known.setdefault(name, []).extend(values)
        self._kinds: dict[tuple[str, ...], tuple[int, ...]] = {}

    def __len__(self) -> int:
        return len(self.rules)

    def kind(self, rule: CompiledRule | Correlation) -> Kind:
        """Give what the rule's claims are: signals if it is slight, or only part of others."""
        is_slight = rule.level in {"informational", "low"}
        return "signal" if is_slight or rule.rule_id in self._parts else "finding"

    def correlations_on(self, rule_id: str, detector: str) -> Sequence[Correlation]:
        """Give the correlations that look at the claims of a rule, by its id or detector's name."""
        return tuple(dict.fromkeys((*self._on.get(rule_id, ()), *self._on.get(detector, ()))))

    def carried(self, rule_id: str) -> tuple[str, ...]:
        """Give the fields that a rule's claims carry, as correlations look at them."""
        return tuple(self._carried.get(rule_id, ()))

    def sieve(self, claims: Sequence[Finding], tenant_id: str) -> list[Finding]:
        """Give the claims, of whichever detector, that the filters over claims leave.

        `tenant_id`: whose rules these are, "" = the house's.
        """
        return sieved(self.filters, claims, tenant_id) if self.filters else list(claims)

    def bases(self) -> "RuleSet":
        """Give the rules on which correlations rest, with the correlations."""
        mine = [rule for rule in self.rules if rule.rule_id in self._carried]
        return RuleSet(mine, (), self.correlations, self.filters)

    def match(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Give one row (rule: index into `rules`, row: row of the frame) a matching pair.

        `stands_in`: see Hit.
        """
        hits = list(self.hits(frame))
        sizes = [len(h.rows) for h in hits]
        pairs = pl.DataFrame(
            {
                "rule": np.repeat(np.array([h.rule for h in hits], dtype=np.uint32), sizes),
                "row": np.concatenate([np.empty(0, np.uint32), *(h.rows for h in hits)]),
                "stands_in": np.repeat(np.array([h.stands_in for h in hits], np.bool_), sizes),
            }
        )
        return (
            pairs.cast(_MATCHED)
            .unique(["rule", "row"], keep="first", maintain_order=True)
            .sort("rule", "row")
        )

    def told_by(self, rule: int) -> frozenset[str]:
        """Give the Sysmon event codes that tell what a `stands_in` hit of this rule tells."""
        return frozenset(map(str, SYSMON.get(self.rules[rule].category.lower(), ())))

    def hits(
        self, frame: pl.DataFrame, sets: Mapping[str, "RuleSet"] | None = None
    ) -> Iterator[Hit]:
        """Give the hits lane by lane; a rule comes twice where two of its lanes hit.

        `sets`: tenants' rule sets, whose filters count for these rules on the tenants' rows.
        """
        if not frame.height:
            return
        native = _native(frame)
        columns = Columns(frame, native)
        filters = Filters(self.filters, _tenants_filters(frame, sets or {}, self))
        shared: dict[tuple[bool, tuple[int, ...]], Rows] = {}
        for lane, kinds, places in self._sorted_rows(frame, native):
            if lane.program is None:
                lane.program = program_of([self.rules[i] for i in lane.rules], lane.route)
            rows = shared.get((lane.route.native, kinds))
            if rows is None:
                rows = Rows(columns, places, own_words_only=lane.route.native)
                shared[lane.route.native, kinds] = rows
            run = lane.program.run(rows)
            for local, mask in run.hits():
                rule = lane.rules[local]
                kept = filters.kept(self.rules[rule], mask, places, rows, lane.route)
                if kept.any():
                    yield Hit(rule, places[kept], lane.route.stands_in, run, local, places)

    def _sorted_rows(
        self, frame: pl.DataFrame, native: pl.Series
    ) -> Iterator[tuple[_Lane, tuple[int, ...], Indexes]]:
        few = frame.height <= FEW
        kinds = self._few_kinds(frame, native) if few else self._many_kinds(frame, native)
        kinds_of: dict[int, list[int]] = {}
        parts: list[Indexes] = []
        for at, (kind, rows) in enumerate(kinds):
            parts.append(rows)
            for lane in self._lanes_of(kind):
                kinds_of.setdefault(lane, []).append(at)
        for lane, mine in sorted(kinds_of.items()):
            places = parts[mine[0]] if len(mine) == 1 else np.sort(
                np.concatenate([parts[at] for at in mine])
            )  # fmt: skip
            yield self._lanes[lane], tuple(mine), places

    def _many_kinds(self, frame: pl.DataFrame, native: pl.Series) -> list[_Kind]:
        """Give the kinds of rows that there are, each with its rows."""
        kinds = (
            self._dimensions(frame, native)
            .with_row_index("row")
            .group_by(*_DIMENSIONS, maintain_order=True)
            .agg("row")
        )
        rows = kinds.get_column("row")
        named = kinds.select(_DIMENSIONS).rows()
        return [(kind, rows[at].to_numpy().astype(np.intp)) for at, kind in enumerate(named)]

    def _few_kinds(self, frame: pl.DataFrame, native: pl.Series) -> list[_Kind]:
        """Give the same, row by row: a call into the frame library costs more than a few rows."""
        is_native = native.to_list()
        held: list[list[str]] = []
        names = set(frame.columns)
        for name, column in _COLUMNS.items():
            known = self._known.get(name)
            if column not in names or not known:
                held.append([""] * frame.height)
                continue
            wanted, texts = frozenset(known), frame.get_column(column).to_list()
            said = [_said(name, text, own) for text, own in zip(texts, is_native, strict=True)]
            held.append([text if text in wanted else "" for text in said])
        held.append(["yes" if own else "no" for own in is_native])
        found: dict[tuple[str, ...], list[int]] = {}
        for row, kind in enumerate(zip(*held, strict=True)):
            found.setdefault(kind, []).append(row)
        return [(kind, np.array(rows, dtype=np.intp)) for kind, rows in found.items()]

    def _dimensions(self, frame: pl.DataFrame, native: pl.Series) -> pl.DataFrame:
        # Values no rule asks for become '', so that the number of kinds is bounded by the rules.
        found: list[pl.Expr] = []
        for name, column in _COLUMNS.items():
            known = self._known.get(name)
            if column not in frame.columns or not known:
                found.append(pl.lit("").alias(name))
                continue
            text = pl.col(column).cast(pl.String).str.to_lowercase()
            if name == "system":
                text = _system(text)
            if name == "product":
                text = pl.when(pl.lit(native)).then(pl.lit("windows")).otherwise(text)
            kept = pl.when(text.is_in(sorted(set(known)))).then(text).otherwise(pl.lit(""))
            found.append(kept.alias(name))
        is_native = pl.when(pl.lit(native)).then(pl.lit("yes")).otherwise(pl.lit("no"))
        named = zip([*found, is_native], _DIMENSIONS, strict=True)
        # with_columns stretches literals to the frame's height; select alone would not.
        wide = frame.lazy().with_columns(e.alias(f"\x00{n}") for e, n in named)
        return wide.select(pl.col(f"\x00{n}").alias(n) for n in _DIMENSIONS).collect()

    def _lanes_of(self, kind: tuple[str, ...]) -> tuple[int, ...]:
        lanes = self._kinds.get(kind)
        if lanes is None:
            said = dict(zip(_DIMENSIONS, kind, strict=True))
            lanes = tuple(
                i
                for i, lane in enumerate(self._lanes)
                if any(_holds(clause, said) for clause in lane.route.clauses)
            )
            if len(self._kinds) < _MOST_KINDS:
                self._kinds[kind] = lanes
        return lanes


_DIMENSIONS: Final = (*_COLUMNS, "native")


def _native(frame: pl.DataFrame) -> pl.Series:
    if "metadata.log_format" not in frame.columns:
        return pl.Series([False]).new_from_index(0, frame.height)
    return frame.get_column("metadata.log_format").is_in(NATIVE_FORMATS).fill_null(value=False)


def _said(name: str, value: object, is_native: bool) -> str:
    """Give what a row says of where it comes from, as `_dimensions` does."""
    if name == "product" and is_native:
        return "windows"
    text = "" if value is None else str(value).lower()
    if name != "system":
        return text
    if text.startswith("win"):
        return "windows"
    if text.startswith(("mac", "darwin")):
        return "macos"
    return "linux" if "linux" in text else text


def _system(text: pl.Expr) -> pl.Expr:
    return (
        pl.when(text.str.starts_with("win"))
        .then(pl.lit("windows"))
        .when(text.str.contains(r"^(mac|darwin)"))
        .then(pl.lit("macos"))
        .when(text.str.contains("linux", literal=True))
        .then(pl.lit("linux"))
        .otherwise(text)
    )


def _holds(clause: Clause, said: Mapping[str, str]) -> bool:
    return all(said[name] in values for name, values in clause)


def _tenants_filters(
    frame: pl.DataFrame, sets: Mapping[str, RuleSet], own: RuleSet
) -> list[tuple[npt.NDArray[np.bool_], Sequence[CompiledFilter]]]:
    """Give each tenant's filters with the rows they count for."""
    theirs = {t: s.filters for t, s in sets.items() if t and s is not own and s.filters}
    if not theirs:
        return []
    tenants = frame.get_column("tenant_id")
    return [((tenants == t).fill_null(value=False).to_numpy(), f) for t, f in theirs.items()]
