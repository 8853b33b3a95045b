"""Put a batch's claims under their groups as columns, and say which groups may now match.

What it leaves to the fold, claim by claim, are the groups that may match, hold too much or await
claims of other correlations. All others are only appended; the findings are those of the fold.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
import polars as pl

from detectors._correlation.claim import BETWEEN, MOST_GROUPS, Pair, named_by, short, told_by
from detectors._correlation.memory import KEY, LATE_US, Memory, Place, most_held
from detectors._correlation.rule import Correlation
from detectors._correlation.suspect import suspects
from storage.schema.entity import JOINING

FROM_ROWS: Final = 256
"""Smaller batches are folded claim by claim: columns have a price per batch."""
_REASONS: Final = r'(?s)"reasons":\[.*?\],"attack":'
"""What a held claim does not need. No text can feign it: quotes within a text are escaped."""
Owned = tuple[str, Correlation]
"""A correlation and whose it is: "" = the house's."""


class _Face(msgspec.Struct, frozen=True, gc=False):
    """What tells a claim's groups and values."""

    finding_id: str
    detector: str
    rule_id: str
    time_us: int
    entity_type: str
    entity: str
    links: tuple[Pair, ...] = ()
    fields: tuple[Pair, ...] = ()


Said = list[tuple[int, str, str]]
"""Row, kind of entity or field, text."""


@dataclass(slots=True)
class _Batch:
    """The claims' rows, what they say by name asked for, and the values that this makes."""

    rows: pl.DataFrame
    said: dict[str, Said]
    known: dict[str, pl.Series | pl.DataFrame] = field(default_factory=dict)

    def values(self, name: str) -> pl.Series | pl.DataFrame:
        """Give each row's value of that name as "kind:value", null if it has none.

        Where one has several, a frame of (row, pair): at most 16 a row.
        """
        if name not in self.known:
            self.known[name] = _valued(name, self.said.get(name, []), self.rows.height)
        return self.known[name]


_ALSO: Final[Mapping[str, tuple[str, ...]]] = {
    "user": ("user", "mailbox", "person"),
    "ip": ("ip", "host"),
}
"""Kinds of entity whose canonical form may be of this kind."""


def _valued(name: str, said: Said, height: int) -> pl.Series | pl.DataFrame:
    seen: dict[tuple[str, str], list[str]] = {}
    of_row: list[str | None] = [None] * height
    each: dict[tuple[int, str], None] = {}
    for row, by, text in said:
        pairs = seen.get((by, text))
        if pairs is None:
            made = named_by(name, by, text) if name in JOINING else told_by(name, text)
            pairs = seen[by, text] = [f"{kind}:{short(value)}" for kind, value in made if value]
        for pair in pairs:
            if of_row[row] is None:
                of_row[row] = pair
            elif of_row[row] != pair:
                each[row, pair] = None
    if not each:
        return pl.Series("pair", of_row, dtype=pl.String)
    firsts = [(row, pair) for row, pair in enumerate(of_row) if pair is not None]
    several = pl.DataFrame(
        [*firsts, *each], schema={"row": pl.UInt32, "pair": pl.String}, orient="row"
    ).unique(maintain_order=True)
    return several.filter(pl.int_range(pl.len()).over("row") < MOST_GROUPS)


def apart(
    rules: Mapping[str, Sequence[Correlation]],
    chained: frozenset[str],
    frame: pl.DataFrame,
    memory: Memory,
) -> tuple[set[Place], list[int]]:
    """Append what cannot match to the memory; give the groups left to the fold, and their rows.

    `frame`: tenant_id, raw_data, is_late; `rules`: correlations by owner;
    `chained`: ids of rules that await other correlations' claims.
    """
    turns, owned = _turns(rules, frame)
    waiting = [n for n, (_, rule) in enumerate(owned) if rule.is_waiting]
    late = pl.col("is_late") & pl.col("rule").is_in(waiting)
    for tenant, number, count in turns.filter(late).group_by("tenant_id", "rule").len().rows():
        memory.evict(tenant, owned[number][1].rule_id, count)
    turns = turns.filter(~late)
    if turns.is_empty():
        return set(), []
    groups = turns.select(*KEY, "rule").unique(KEY).with_row_index("group")
    turns = turns.join(groups.select(*KEY, "group"), on=KEY, maintain_order="left")
    held = memory.held(groups.select(*KEY, "group"))
    fresh = _fresh(turns, held)
    sorted_ = pl.concat(
        [
            held.select(_SEEN, is_new=pl.lit(value=False)),
            fresh.select(_SEEN, is_new=pl.lit(value=True)),
        ]
    ).sort("group", "time_us", "step")
    loud, trimmed = _loud(sorted_, groups, owned, chained, memory)
    is_loud = pl.col("group").is_in(loud.implode())
    is_trimmed = pl.col("group").is_in(trimmed.get_column("group").implode())
    memory.append(fresh.filter(~(is_loud | is_trimmed)))
    if trimmed.height:
        memory.trim(fresh.filter(is_trimmed), trimmed)
    places = {(t, key) for t, key in groups.filter(is_loud).select(KEY).rows()}
    return places, turns.filter(is_loud).get_column("row").unique().sort().to_list()


_SEEN: Final = ("group", "time_us", "step", "value")
_PLACE: Final = ("group", "time_us", "finding_id", "step", "value")


def _fresh(turns: pl.DataFrame, held: pl.DataFrame) -> pl.DataFrame:
    """Give the turns that are not held yet, each once."""
    ids = turns.get_column("finding_id")
    known = held.filter(pl.col("finding_id").is_in(ids.implode()))
    fresh = turns
    if ids.n_unique() < turns.height:
        fresh = turns.unique(_PLACE, keep="first", maintain_order=True)
    return fresh.join(known, on=_PLACE, how="anti") if known.height else fresh


def _turns(
    rules: Mapping[str, Sequence[Correlation]], frame: pl.DataFrame
) -> tuple[pl.DataFrame, list[Owned]]:
    """Give one row a claim, rule, step, group and counted value; `rule` counts through the list."""
    owned = [(owner, rule) for owner, own in rules.items() for rule in own]
    batch = _read(frame, owned)
    found: list[pl.DataFrame] = []
    for number, (owner, rule) in enumerate(owned):
        for step, base in enumerate(rule.rules):
            own = (pl.col("rule_id") == base) | (pl.col("detector") == base)
            if owner:
                own &= pl.col("tenant_id") == owner
            rows = batch.rows.filter(own)
            if rows.height:
                found.append(_grouped(batch, rows, number, rule, step))
    return pl.concat(found) if found else pl.DataFrame(schema=_TURNS), owned


_TURNS: Final = pl.Schema(
    {
        "tenant_id": pl.String(),
        "key": pl.String(),
        "time_us": pl.Int64(),
        "finding_id": pl.String(),
        "step": pl.Int32(),
        "value": pl.String(),
        "claim": pl.String(),
        "rule": pl.UInt32(),
        "is_late": pl.Boolean(),
        "row": pl.UInt32(),
    }
)


def _grouped(
    batch: _Batch, rows: pl.DataFrame, number: int, rule: Correlation, step: int
) -> pl.DataFrame:
    base = rule.rules[step]
    by = [f"_by{n}" for n in range(len(rule.group_by))]
    grouped = _combined(batch, rows, zip(by, rule.group_by, strict=True), rule, base)
    counted = [f"_of{n}" for n in range(len(rule.value))]
    whole = _combined(batch, grouped, zip(counted, rule.value, strict=True), rule, base)
    value = pl.concat_str(counted, separator=BETWEEN) if counted else pl.lit("")
    return whole.select(
        "tenant_id",
        pl.concat_str(pl.lit(rule.rule_id), *by, separator="\x1f").alias("key"),
        "time_us",
        "finding_id",
        pl.lit(step, pl.Int32).alias("step"),
        value.alias("value"),
        "claim",
        pl.lit(number, pl.UInt32).alias("rule"),
        "is_late",
        "row",
    )


def _combined(
    batch: _Batch,
    rows: pl.DataFrame,
    names: Iterable[tuple[str, str]],
    rule: Correlation,
    base: str,
) -> pl.DataFrame:
    """Give each row once for every combination of the names' values, the first 16 of them."""
    listed = list(names)
    if not listed:
        return rows
    rows = rows.with_row_index("_place")
    for column, name in listed:
        told = batch.values(rule.field(name, base))
        if isinstance(told, pl.Series):
            own = told.gather(rows.get_column("row")).alias(column)
            rows = rows.with_columns(own).filter(own.is_not_null())
        else:
            own_rows = told.rename({"pair": column})
            rows = rows.join(own_rows, on="row", maintain_order="left_right")
    if rows.height and len(listed) > 1:
        rows = rows.filter(pl.int_range(pl.len()).over("_place") < MOST_GROUPS)
    return rows.drop("_place")


def _read(frame: pl.DataFrame, owned: Sequence[Owned]) -> _Batch:
    decoder = msgspec.json.Decoder(_Face)
    faces = [decoder.decode(raw) for raw in frame.get_column("raw_data").to_list()]
    wanted = {name for _, rule in owned for base in rule.rules for name in rule.fields(base)}
    fields = {name: list[tuple[int, str, str]]() for name in wanted - JOINING}
    kinds: dict[str, list[Said]] = {}
    said = dict(fields)
    for name in wanted & JOINING:
        said[name] = []
        for kind in _ALSO.get(name, (name,)):
            kinds.setdefault(kind, []).append(said[name])
    for row, face in enumerate(faces):
        for kind, text in ((face.entity_type, face.entity), *face.links):
            for one in kinds.get(kind, ()):
                one.append((row, kind, text))
        for name, text in face.fields:
            if name in fields:
                fields[name].append((row, name, text))
    rows = frame.select(
        "tenant_id",
        "is_late",
        pl.Series("finding_id", [face.finding_id for face in faces], dtype=pl.String),
        pl.Series("detector", [face.detector for face in faces], dtype=pl.String),
        pl.Series("rule_id", [face.rule_id for face in faces], dtype=pl.String),
        pl.Series("time_us", [face.time_us for face in faces], dtype=pl.Int64),
        pl.col("raw_data").str.replace(_REASONS, '"attack":').alias("claim"),
        pl.Series("row", range(len(faces)), dtype=pl.UInt32),
    )
    return _Batch(rows, said)


def _loud(
    seen: pl.DataFrame,
    groups: pl.DataFrame,
    owned: Sequence[Owned],
    chained: frozenset[str],
    memory: Memory,
) -> tuple[pl.Series, pl.DataFrame]:
    """Give the groups that the fold must see, and those that are only to be trimmed."""
    rules = [rule for _, rule in owned]
    ranges = seen.group_by("group").agg(
        pl.len().alias("claims"),
        (pl.col("time_us").max() - pl.col("time_us").min()).alias("span_us"),
    )
    table = pl.DataFrame(
        {
            "rule": pl.Series(range(len(rules)), dtype=pl.UInt32),
            "most": [most_held(rule) for rule in rules],
            "longest_us": [rule.timespan_us + LATE_US for rule in rules],
            "is_chained": [rule.rule_id in chained for rule in rules],
        }
    )
    told = groups.join(ranges, on="group").join(table, on="rule")
    is_full, is_old = pl.col("claims") > pl.col("most"), pl.col("span_us") > pl.col("longest_us")
    over = told.filter(is_full | is_old)
    # What goes first, by number or by age, depends on the order in which they came.
    both = over.filter(is_full & is_old)
    found = [told.filter("is_chained"), both, memory.told(over)]
    by_rule = seen.join(groups.select("group", "rule"), on="group", maintain_order="left")
    parts = by_rule.partition_by("rule", as_dict=True, maintain_order=True).items()
    tested = [suspects(rules[number], own) for (number,), own in parts]
    loud = pl.concat([*(f.get_column("group") for f in found), *tested]).unique()
    trimmed = over.filter(~pl.col("group").is_in(loud.implode()))
    return loud, trimmed.select(*KEY, "group", "most", "longest_us")
