"""Read which entities carry most risk, what makes it, and whether it rises."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from psycopg import Connection
from psycopg.rows import TupleRow

from business import risk
from business.risk import Day, Risk
from dashboards.read.exposure import Value, value_of
from dashboards.read.known import Names, names_of
from dashboards.read.names import BUSINESS, Key
from dashboards.read.newest import end_of
from dashboards.ui.value import said_value
from storage.database import Database
from storage.database.queries import select
from storage.tenant import Scope

QUERY_MS: Final = "10000"
WEEK: Final = timedelta(days=7)
SHOWN: Final = 50


@dataclass(frozen=True, slots=True)
class Ranked:
    """One line of the ranking; `before` is its score a week ago."""

    key: Key
    risk: Risk
    days: list[Day]
    value: Value

    @property
    def before(self) -> float:
        """Give the score of a week ago."""
        return self.days[-1 - WEEK.days].score


@dataclass(frozen=True, slots=True)
class Ranking:
    """Hold the entities with most risk at `at`, gravest first, and the names people know."""

    at: datetime
    rows: list[Ranked]
    names: Names


def ranking(database: Database, scope: Scope, now: datetime, kind: str | None) -> Ranking:
    """Give the ranking of one kind or of all; empty when nothing is claimed of anybody."""
    with database.app(scope) as tx:
        select(tx, "limit_statement_time", milliseconds=QUERY_MS)
        at = end_of(tx, now)
        pairs = risk.ranking(scope, tx, at, kind, SHOWN)
        keys = _once([Key(*pair) for pair in pairs])
        values = _values(tx, scope, keys, at)
        told = risks_with_money(tx, scope, keys, at, values)
        rows = [
            Ranked(key, one, _days(tx, scope, key, at, values[key]), values[key])
            for key, one in zip(keys, told, strict=True)
        ]
        names = names_of(tx, scope, keys)
    return Ranking(at, sorted(rows, key=lambda r: (-r.risk.score, r.key)), names)


def _once(keys: Sequence[Key]) -> list[Key]:
    """Leave out documents that are master data: a vendor's record is the vendor."""
    known = {key.name for key in keys if key.kind in BUSINESS - {"document"}}
    return [key for key in keys if key.kind != "document" or key.name not in known]


def risks_with_money(
    tx: Connection[TupleRow],
    scope: Scope,
    keys: Sequence[Key],
    at: datetime,
    values: Mapping[Key, Value],
) -> list[Risk]:
    """Give the risks of entities, with the money behind them as far as the scope may know it."""
    money = {(k.kind, k.name): (v.most_cents, said_value(v)) for k, v in values.items() if v.sums}
    return risk.risks(scope, tx, [(k.kind, k.name) for k in keys], at, money)


def _values(
    tx: Connection[TupleRow], scope: Scope, keys: Sequence[Key], at: datetime
) -> dict[Key, Value]:
    near = risk.behind(scope, tx, [(k.kind, k.name) for k in keys], at)
    return {
        key: value_of(tx, scope, [key, *(Key(*pair) for pair in near[key.kind, key.name])])
        for key in keys
    }


def _days(
    tx: Connection[TupleRow], scope: Scope, key: Key, at: datetime, value: Value
) -> list[Day]:
    return risk.history(scope, tx, key.kind, key.name, at, value.most_cents)
