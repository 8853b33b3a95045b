"""Run a person's SQL over the lake for the screen: audited, bounded, cut to what a grid shows."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from dashboards.read.hunt_words import (
    Word,
    condition,
    identifier,
    literal,
    say_words,
    unknown_fields,
)
from storage.audit import write_audit
from storage.database import Database
from storage.database.queries import select
from storage.errors import InvalidInput
from storage.lake import Lake
from storage.lake.hunt import HuntLimits
from storage.tenant import Scope

MOST_ROWS: Final = 1000
LONGEST_CELL: Final = 1000
MOST_CHARACTERS: Final = 600_000
"""Of all cells together: what a page may weigh."""
BUCKETS: Final = 60
SHOWN_ROWS: Final = 200
TOP: Final = 5
TOP_OF: Final = 50_000
"""Events whose values are counted for the field list; the histogram counts all."""
SPANS: Final = {"1h": "Hour", "24h": "Day", "7d": "Week", "30d": "30 days", "all": "All time"}
_SPAN: Final = {
    "1h": timedelta(hours=1),
    "24h": timedelta(days=1),
    "7d": timedelta(days=7),
    "30d": timedelta(days=30),
}
_STEPS_S: Final = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 86_400, 7 * 86_400, 30 * 86_400)
FIELDS: Final = (
    "class_uid",
    "device.hostname",
    "actor.user.name",
    "user.name",
    "process.file.path",
    "process.parent_process.file.path",
    "process.cmd_line",
    "src_endpoint.ip",
    "dst_endpoint.ip",
    "dst_endpoint.port",
    "query.hostname",
    "file.path",
    "api.operation",
    "email.from",
    "email.subject",
    "vendor.name",
    "vendor.uid",
    "document.type",
    "document.uid",
    "document.status",
    "customer.name",
    "amount_cents",
    "status_id",
    "metadata.event_code",
    "source",
)
"""Fields whose commonest values are listed, and from which the grid's columns are taken."""
_NO_COLUMN: Final = frozenset({"source", "metadata.event_code", "status_id"})
"""Fields whose values are listed, but that would crowd out telling columns."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Hold the answer as texts: `said` tells what was cut, '' if nothing."""

    columns: tuple[str, ...]
    rows: list[list[str]]
    said: str
    files: int
    elapsed_ms: int
    is_sandboxed: bool
    times: tuple[datetime, ...]
    time_column: str


def ask(database: Database, lake: Lake, scope: Scope, sql: str) -> Answer:
    """Run one SELECT; InvalidInput says what is wrong with it or which limit it passed."""
    scope.require("hunt:run")
    with database.app(scope) as tx:
        write_audit(tx, scope, "hunt.run", detail={"sql": sql[:2000]})
    found = lake.hunt(database, scope, sql, HuntLimits(rows=MOST_ROWS))
    clocks = {i for i, kind in enumerate(found.types) if "TIMESTAMP" in kind.upper()}
    rows, cut = _texts(found.rows, clocks)
    said = found.truncated
    if cut:
        said = f"only the first {len(rows):,} rows are shown: more would be too heavy for a page"
    at = min(clocks, default=None)
    return Answer(
        columns=found.columns,
        rows=rows,
        said=said,
        files=found.files,
        elapsed_ms=found.elapsed_ms,
        is_sandboxed=found.is_sandboxed,
        times=() if at is None else _times(found.rows, at),
        time_column="" if at is None else found.columns[at],
    )


def _texts(rows: Sequence[Sequence[object]], clocks: set[int]) -> tuple[list[list[str]], bool]:
    shown: list[list[str]] = []
    weight = 0
    for row in rows:
        texts = ["" if value is None else str(value)[:LONGEST_CELL] for value in row]
        texts = [t.removesuffix("+00:00") if i in clocks else t for i, t in enumerate(texts)]
        weight += sum(map(len, texts))
        if weight > MOST_CHARACTERS and shown:
            return shown, True
        shown.append(texts)
    return shown, False


def _times(rows: Sequence[Sequence[object]], at: int) -> tuple[datetime, ...]:
    found: list[datetime] = []
    for row in rows:
        try:
            told = datetime.fromisoformat(str(row[at]))
        except ValueError:
            continue
        found.append(told if told.tzinfo else told.replace(tzinfo=UTC))
    return tuple(sorted(found))


def buckets(times: Sequence[datetime]) -> list[tuple[datetime, int]]:
    """Count the times in at most BUCKETS equal steps: (begin, count)."""
    if not times:
        return []
    first, span = times[0], times[-1] - times[0]
    if not span:
        return [(first, len(times))]
    counts = [0] * BUCKETS
    for at in times:
        counts[min(int((at - first) / span * BUCKETS), BUCKETS - 1)] += 1
    return [(first + span / BUCKETS * i, count) for i, count in enumerate(counts)]


def grid_rows(answer: Answer) -> list[dict[str, Any]]:
    """Give the rows with plain field names: a column's own name may hold anything."""
    return [{f"c{i}": text for i, text in enumerate(row)} for row in answer.rows]


@dataclass(frozen=True, slots=True)
class Look:
    """Hold the answer of a simple hunt. `bars`: (begin, events), every `step_s` seconds.

    `tops`: field -> its commonest values with how often; `rows`: the newest events, field -> text.
    """

    total: int
    since: datetime
    until: datetime
    step_s: int
    bars: tuple[tuple[datetime, int], ...]
    tops: dict[str, list[tuple[str, int]]]
    rows: list[dict[str, str]]
    columns: tuple[str, ...]
    elapsed_ms: int
    files: int


def span_of(
    database: Database, scope: Scope, name: str, since: datetime | None, until: datetime | None
) -> tuple[datetime, datetime] | None:
    """Give the time to look at: as said, else a span that ends at the newest event; None: no event.

    Replayed logs are as old as they are: a span that ended now would show nothing of them.
    """
    scope.require("hunt:run")
    with database.app(scope) as tx:
        lake = select(tx, "pages_lake_size")[0]
    first, last = lake["first_time"], lake["last_time"]
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return None
    end = until or last + timedelta(microseconds=1)
    begin = since or (end - _SPAN[name] if name in _SPAN else first)
    return (min(begin, end - timedelta(seconds=1)), end)


def arrived(database: Database, scope: Scope) -> datetime | None:
    """Give when the newest record came in, whatever its own time is."""
    scope.require("hunt:run")
    with database.app(scope) as tx:
        at = select(tx, "pages_source_totals")[0]["updated_at"]
    return at if isinstance(at, datetime) else None


def look(
    database: Database,
    lake: Lake,
    scope: Scope,
    words: Sequence[Word],
    span: tuple[datetime, datetime],
) -> Look:
    """Look for the words in a span of time: one bounded query gives rows, bars and values.

    InvalidInput names a field that no event can have, or says which limit was passed.
    """
    scope.require("hunt:run")
    odd = unknown_fields(words)
    if odd:
        raise InvalidInput(f"No event has a field '{odd[0][:80]}'. The list of fields is beside.")
    since, until = span
    step_s = _step((until - since).total_seconds())
    with database.app(scope) as tx:
        told = {"words": say_words(words)[:1500], "since": since, "until": until}
        write_audit(tx, scope, "hunt.run", detail=told)
    limits = HuntLimits(rows=MOST_ROWS, since_us=_us(since), until_us=_us(until))
    if any(not word.field or "~" in word.sign or "*" in word.value for word in words):
        # Looking into texts costs most: one pass gives all, unless too many events match.
        found = lake.hunt(database, scope, sql_of_few(words, step_s), limits)
        few = _look(found.rows, span, step_s, found.elapsed_ms, found.files)
        if few.total < TOP_OF:
            return few
    found = lake.hunt(database, scope, sql_of_look(words, step_s), limits)
    return _look(found.rows, span, step_s, found.elapsed_ms, found.files)


def sql_of_few(words: Sequence[Word], step_s: int) -> str:
    """Give the SELECT for at most TOP_OF events: all three parts from one pass over the files."""
    shown = ", ".join(literal(name) for name in ("event_id", "time", *FIELDS))
    fields = ", ".join(literal(name) for name in FIELDS)
    return f"""WITH few AS MATERIALIZED (
    SELECT COLUMNS(lambda c: list_contains([{shown}], c))
    FROM events WHERE {condition(words)} LIMIT {TOP_OF}
), hits AS (
    SELECT COLUMNS(lambda c: list_contains([{fields}], c))::VARCHAR FROM few
), {_tops_bars_shown("few", "true", shown, step_s)}"""  # noqa: S608  built of literals only, run in the locked-down DuckDB


def sql_of_look(words: Sequence[Word], step_s: int) -> str:
    """Give the one SELECT of a simple hunt; only our own text, quoted names and literals."""
    held = condition(words)
    fields = ", ".join(literal(name) for name in FIELDS)
    shown = ", ".join(literal(name) for name in ("event_id", "time", *FIELDS))
    return f"""WITH hits AS MATERIALIZED (
    SELECT COLUMNS(lambda c: list_contains([{fields}], c))::VARCHAR
    FROM events WHERE {held} LIMIT {TOP_OF}
), {_tops_bars_shown("events", held, shown, step_s)}"""  # noqa: S608  built of literals only, run in the locked-down DuckDB


def _tops_bars_shown(source: str, held: str, shown: str, step_s: int) -> str:
    return f"""tops AS (
    SELECT field, value, count(*) AS n
    FROM (UNPIVOT hits ON COLUMNS(*) INTO NAME field VALUE value)
    WHERE value <> ''
    GROUP BY field, value
    QUALIFY row_number() OVER (PARTITION BY field ORDER BY n DESC, value) <= {TOP}
), bars AS (
    SELECT CAST(floor(epoch("time") / {step_s}) AS BIGINT) AS place, count(*) AS n
    FROM {source} WHERE {held} GROUP BY place ORDER BY place LIMIT 400
), shown AS (
    SELECT COLUMNS(lambda c: list_contains([{shown}], c))
    FROM {source} WHERE {held} ORDER BY {identifier("time")} DESC LIMIT {SHOWN_ROWS}
)
SELECT 'bar' AS kind, '' AS field, CAST(place AS VARCHAR) AS value, n FROM bars
UNION ALL SELECT 'top', field, left(value, 400), n FROM tops
UNION ALL SELECT 'row', '', CAST(to_json(shown) AS VARCHAR), 0 FROM shown"""  # noqa: S608  built of literals only, run in the locked-down DuckDB


def _look(
    told: Sequence[Sequence[object]],
    span: tuple[datetime, datetime],
    step_s: int,
    elapsed_ms: int,
    files: int,
) -> Look:
    bars: dict[int, int] = {}
    tops: dict[str, list[tuple[str, int]]] = {}
    rows: list[dict[str, str]] = []
    for kind, field, value, count in told:
        if kind == "bar":
            bars[int(str(value))] = int(str(count))
        elif kind == "top":
            tops.setdefault(str(field), []).append((str(value), int(str(count))))
        else:
            rows.append(_row(str(value)))
    for values in tops.values():
        values.sort(key=lambda pair: (-pair[1], pair[0]))
    rows.sort(key=lambda row: row.get("time", ""), reverse=True)
    filled = [n for n in FIELDS if n not in _NO_COLUMN and any(n in row for row in rows)]
    first = int(span[0].timestamp() // step_s)
    last = int((span[1].timestamp() - 1e-6) // step_s)
    places = range(first, min(last, first + 399) + 1)
    return Look(
        total=sum(bars.values()),
        since=span[0],
        until=span[1],
        step_s=step_s,
        bars=tuple((datetime.fromtimestamp(p * step_s, UTC), bars.get(p, 0)) for p in places),
        tops={name: tops[name] for name in FIELDS if name in tops},
        rows=rows,
        columns=tuple(_ordered(filled, rows)[:7]),
        elapsed_ms=elapsed_ms,
        files=files,
    )


def _row(text: str) -> dict[str, str]:
    told = json.loads(text)
    return {
        str(name): str(value)[:LONGEST_CELL]
        for name, value in told.items()
        if value is not None and value != ""
    }


def _ordered(filled: list[str], rows: list[dict[str, str]]) -> list[str]:
    """Order fields by how many of the rows have them: what is nearly empty is no column."""
    often = {name: sum(name in row for row in rows) for name in filled}
    return sorted(filled, key=lambda name: (name != "class_uid", -often[name]))


def _step(span_s: float) -> int:
    return next((s for s in _STEPS_S if span_s / s <= BUCKETS), _STEPS_S[-1])


def _us(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)
