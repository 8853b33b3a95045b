"""Show what a hunt found: counts over time, commonest values, rows, one event whole."""

from datetime import UTC, datetime
from typing import Final

from dash import dcc, html

from dashboards.console import Console
from dashboards.read import hunts
from dashboards.read.finding import whole_events
from dashboards.read.hunt_ask import HuntAsk
from dashboards.read.hunt_words import Word
from dashboards.ui.brush import brush, said_count
from dashboards.ui.cards import panel
from dashboards.ui.controls import copy_button, filter_chip
from dashboards.ui.figures import Bar, histogram
from dashboards.ui.grid import column, row_grid
from dashboards.ui.icons import icon
from dashboards.ui.lists import key_values
from dashboards.ui.marks import count_of, exact_time, mono, short
from dashboards.ui.states import Part, empty
from storage.schema.classes import CLASSES
from storage.tenant import Scope

HUNT: Final = "/hunt"
USUAL: Final = (
    "SELECT class_uid, count(*) AS events\nFROM events\nGROUP BY ALL\nORDER BY events DESC"
)
EXAMPLES: Final = {
    "Events by class": USUAL,
    "Newest events": (
        'SELECT "time", "device.hostname", "metadata.event_code", class_uid, source\n'
        'FROM events\nORDER BY "time" DESC\nLIMIT 500'
    ),
    "Programs from user folders": (
        'SELECT "time", "device.hostname", "process.file.path", "process.cmd_line"\n'
        "FROM events\nWHERE class_uid = 1007 AND \"process.file.path\" ILIKE '%\\Users\\%'\n"
        'ORDER BY "time" DESC\nLIMIT 500'
    ),
    "Rare parent and child": (
        'SELECT "process.parent_process.file.path" AS parent, "process.file.path" AS child,\n'
        "    count(*) AS times\nFROM events\nWHERE class_uid = 1007\n"
        "GROUP BY ALL\nHAVING times = 1\nLIMIT 500"
    ),
    "Peers by connections": (
        'SELECT "dst_endpoint.ip" AS peer, "dst_endpoint.port" AS port, count(*) AS times\n'
        'FROM events\nWHERE "dst_endpoint.ip" IS NOT NULL\nGROUP BY ALL\nORDER BY times DESC'
    ),
}
_CLASS: Final = {str(c.class_uid): c.name.replace("_", " ") for c in CLASSES}
_WIDTH: Final = {"class_uid": 210, "device.hostname": 200, "process.cmd_line": 260}
"""Least width of columns whose usual values are longer than those of others."""
_WAYS: Final = {"=": "is", "!=": "is not", "~": "has", "!~": "has not", ">": "over", "<": "under"}


def chips(asked: HuntAsk) -> list[Part]:
    """Show each condition, and the stretch of time, with its way out."""
    words = asked.words
    chips = [
        filter_chip(short(_said(w), 90), asked.with_words([o for o in words if o != w]).search())
        for w in words
    ]
    since, until = asked.bounds
    if since or until:
        edges = " to ".join(f"{at:%Y-%m-%d %H:%M}" if at else "" for at in (since, until))
        chips.append(filter_chip(f"Time: {edges}", asked.but(since="", until="").search()))
    return chips


def _said(word: Word) -> str:
    value = _CLASS.get(word.value, word.value) if word.field == "class_uid" else word.value
    return f"{word.field or 'anything'} {_WAYS[word.sign]} {value}"


def rows(found: hunts.Look, asked: HuntAsk, fresh: Part = None) -> list[Part]:
    """Show what was found: counts over time, how long it took, the newest events."""
    summary = (
        f"{said_count(found.total, 'event')} from {exact_time(found.since)[:16]} to "
        f"{exact_time(found.until)[:16]} UTC. Drag over the bars to look closer."
    )
    chart = brush("hunt-brush", "Events over time", summary, found.bars, found.step_s, fresh)
    if not found.rows:
        none = empty("No event matches", "Take a word away, or look at a longer time.")
        return [chart, html.Section(none, className="card")]
    columns = [column("title", "Time (UTC)", 200, "goCell")]
    columns += [
        column(f"c{i}", name, 150, "pickCell", flex=1) | {"minWidth": _WIDTH.get(name, 150)}
        for i, name in enumerate(found.columns)
    ]
    rows = [_row(row, found.columns, asked) for row in found.rows]
    newest = "" if found.total <= len(rows) else f", the newest {len(rows)} shown"
    said = html.Div(
        [
            html.Strong(f"{said_count(found.total, 'event')}{newest}"),
            html.Span(f"{count_of(found.elapsed_ms)} ms", className="muted"),
            html.Span(said_count(found.files, "file") + " read", className="muted"),
            fresh,
        ],
        className="hunt-said",
        role="status",
    )
    grid = row_grid("hunt-events", "Events found", columns, rows)
    return [chart, said, html.Section(grid, className="card flush")]


def _row(row: dict[str, str], columns: tuple[str, ...], asked: HuntAsk) -> dict[str, str]:
    at = row.get("time", "").removesuffix("+00")
    told = {f"c{i}": row.get(name, "") for i, name in enumerate(columns)}
    if "class_uid" in columns:
        told[f"said_c{columns.index('class_uid')}"] = _CLASS.get(row.get("class_uid", ""), "")
    under = " ".join(row.get(n, "") for n in columns[1:4])
    href = asked.but(event=row.get("event_id", ""), sql="").search()
    return {**told, "title": at[:19], "href": href, "under": short(under, 120)}


def top_values(found: hunts.Look, asked: HuntAsk, fresh: Part = None) -> Part:
    """Show the commonest values of each field, each with a way to keep or leave it."""
    if not found.tops:
        return None
    parts = "all" if found.total <= hunts.TOP_OF else f"{count_of(hunts.TOP_OF)}"
    return panel(
        "Commonest values",
        *[_field(name, values, found.total, asked) for name, values in found.tops.items()],
        said=f"Of {parts} events found. + keeps only a value, \u2212 leaves it out.",
        fresh=fresh,
    )


def _field(name: str, values: list[tuple[str, int]], total: int, asked: HuntAsk) -> Part:
    top = max(min(total, hunts.TOP_OF), 1)
    return html.Details(
        [
            html.Summary([html.Code(name), html.Span(str(len(values)), className="muted small")]),
            html.Ul([_value(name, v, n, top, asked) for v, n in values], className="tops"),
        ],
        open=True,
        className="top-field",
    )


def _value(name: str, value: str, count: int, top: int, asked: HuntAsk) -> Part:
    said = _CLASS.get(value, value) if name == "class_uid" else value

    def pick(sign: str, mark: str, label: str) -> Part:
        href = asked.with_words([*asked.words, Word(name, sign, value)]).search()
        words = f"{label} {name} {short(said, 60)}"
        return dcc.Link(icon(mark, words), href=f"{HUNT}{href}", className="pick", title=words)

    return html.Li(
        [
            html.Span(short(said, 90), className="cut mono", title=said[:400]),
            html.Span(f"{100 * count / top:.0f} %", className="muted small nowrap"),
            pick("=", "plus", "Only"),
            pick("!=", "minus", "Without"),
            html.I(style={"width": f"{min(100.0, 100 * count / top):.1f}%"}, className="top-bar"),
        ]
    )


def event(console: Console, scope: Scope, event_id: str) -> Part:
    """Show one event with every column that the lake holds of it."""
    try:
        at = datetime.fromtimestamp(int(event_id.replace("-", "")[:12], 16) / 1000, UTC)
        found = whole_events(console.database, console.lake, scope, [event_id], at)
    except (ValueError, OverflowError, OSError):
        found = {}
    if event_id not in found:
        return html.P("This event is not in the lake (any more).", className="muted")
    told = found[event_id]
    pairs = [(name, mono(value)) for name, value in told.items()]
    text = "\n".join(f"{name}: {value}" for name, value in told.items())
    copy = html.Div(copy_button(text, "Copy the event"), className="actions")
    return html.Div([copy, key_values(pairs)], className="stack event-whole")


def answer(answer: hunts.Answer) -> list[Part]:
    """Show the answer of a query: its size, its times, its rows."""
    parts = [
        html.Strong(f"{count_of(len(answer.rows))} rows"),
        html.Span(f"{count_of(answer.elapsed_ms)} ms", className="muted"),
        html.Span(f"{count_of(answer.files)} files read", className="muted"),
        html.Span(
            "kernel sandbox" if answer.is_sandboxed else "process sandbox", className="badge plain"
        ),
    ]
    if answer.said:
        parts.append(html.Span(answer.said, className="badge medium"))
    said = html.Div(parts, className="hunt-said", role="status")
    if not answer.rows:
        none = empty("No rows", "The query ran and found nothing. Widen its WHERE clause.")
        return [said, html.Section(none, className="card")]
    columns = [
        column(f"c{i}", name, 150, "monoCell", minWidth=110, flex=1)
        for i, name in enumerate(answer.columns)
    ]
    grid = row_grid("hunt-grid", "Answer of the query", columns, hunts.grid_rows(answer))
    return [said, *_chart(answer), html.Section(grid, className="card flush")]


def _chart(answer: hunts.Answer) -> list[Part]:
    counted = hunts.buckets(answer.times)
    if len(counted) < 2:
        return []
    bars = [Bar(f"{at:%Y-%m-%d %H:%M:%S}", {"series": count}) for at, count in counted]
    first, last = exact_time(answer.times[0])[:19], exact_time(answer.times[-1])[:19]
    summary = f"{count_of(len(answer.times))} rows by {answer.time_column}"
    return [histogram("Rows over time", summary, bars, first, f"{last} UTC")]


def first() -> Part:
    """Say what the query bar is for."""
    return html.Section(
        empty(
            "Ask your events",
            "Write a SELECT above or take one of the examples. Answers stop at "
            f"{hunts.MOST_ROWS:,} rows and 15 seconds; nothing you run can change anything.",
        ),
        className="card",
    )
