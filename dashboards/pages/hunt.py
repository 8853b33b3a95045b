"""Hunt in the lake by SQL: a query, the fields there are, what came out."""

from typing import Any, Final
from urllib.parse import parse_qs, urlencode

import dash_mantine_components as dmc
from dash import Input, Output, State, html, no_update

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import hunts
from dashboards.shell import URL
from dashboards.ui.figures import Bar, histogram
from dashboards.ui.grid import column, row_grid
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, exact_time
from dashboards.ui.states import Part, empty, problem_box
from storage.errors import InvalidInput
from storage.schema.columns import COLUMNS
from storage.tenant import Scope

PAGE: Final = Page(
    path="/hunt",
    title="Hunt",
    grant="hunt:run",
    why="Hunting runs your own questions over every event that was kept.",
    icon="hunt",
    nav=3,
)
_LONGEST_SQL: Final = 20_000
_USUAL: Final = (
    "SELECT class_uid, count(*) AS events\nFROM events\nGROUP BY ALL\nORDER BY events DESC"
)
_EXAMPLES: Final = {
    "Events by class": _USUAL,
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


def layout(view: View) -> Part:
    """Give the query bar and the fields; the answer follows."""
    sql = sql_of(view.search)
    return html.Div(
        [
            html.Div(
                [
                    html.H1("Hunt"),
                    html.Span("One SELECT over the view events, yours alone", className="muted"),
                ],
                className="page-head",
            ),
            html.Div(
                [
                    html.Div(
                        [_bar(sql), html.Div(id="hunt-answer", className="stack")],
                        className="stack",
                    ),
                    _fields(),
                ],
                className="split",
            ),
        ]
    )


def sql_of(search: str) -> str:
    """Give the query in the URL; '' if there is none."""
    try:
        told = parse_qs(search.removeprefix("?"), max_num_fields=10)
    except ValueError:
        return ""
    return told.get("sql", [""])[0].replace("\x00", "")[:_LONGEST_SQL]


def _bar(sql: str) -> Part:
    return html.Section(
        [
            dmc.Textarea(
                id="hunt-sql",
                label="Query",
                value=sql or _USUAL,
                autosize=True,
                minRows=4,
                maxRows=16,
                className="sql",
                spellCheck=False,
            ),
            html.Div(
                [
                    html.Button(
                        [icon("play"), "Run"], id="hunt-run", className="act", type="button"
                    ),
                    html.Span("or Ctrl+Enter", className="muted small"),
                ],
                className="actions",
            ),
            html.Div(
                [html.Span("Try:", className="muted small")]
                + [
                    html.Button(
                        words, type="button", className="chip example", **{"data-query": text}
                    )
                    for words, text in _EXAMPLES.items()
                ],
                className="actions",
            ),
        ],
        className="card stack",
        **{"aria-label": "Query"},
    )


def _fields() -> Part:
    return html.Section(
        [
            html.H2("Fields"),
            html.P(
                "Click one to put it into the query. What a source says beyond these is there as "
                '"unmapped.<its own name>".',
                className="muted small",
            ),
            html.Ul(
                [
                    html.Li(
                        html.Button(
                            [html.Code(c.name), html.Span(_meaning(c.meaning, c.unit))],
                            type="button",
                            className="field",
                            **{"data-insert": f'"{c.name}"'},
                        )
                    )
                    for c in COLUMNS
                    if c.name != "tenant_id"
                ],
                className="fields",
            ),
        ],
        className="card stack tight",
        **{"aria-label": "Fields"},
    )


def _meaning(meaning: str, unit: str) -> str:
    return f"{meaning} ({unit})" if unit else meaning


def register(console: Console) -> None:
    """Register: run puts the query into the URL, the URL's query is run."""

    def to_url(scope: Scope, clicks: int | None, sql: str | None) -> Any:  # noqa: ANN401, ARG001  Dash's own values
        if not clicks or not (sql or "").strip():
            return no_update
        return f"?{urlencode({'sql': (sql or '')[:_LONGEST_SQL], 'run': clicks})}"

    console.scoped_callback(
        Output(URL, "search", allow_duplicate=True),
        Input("hunt-run", "n_clicks"),
        State("hunt-sql", "value"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(to_url)

    def run(scope: Scope, search: str | None) -> list[Part]:
        sql = sql_of(search or "")
        if not sql.strip():
            return [_first()]
        try:
            answer = hunts.ask(console.database, console.lake, scope, sql)
        except InvalidInput as error:
            return [problem_box(str(error))]
        return _answer(answer)

    console.scoped_callback(
        Output("hunt-answer", "children"), Input(URL, "search"), grant=PAGE.grant
    )(run)


def _first() -> Part:
    return html.Section(
        empty(
            "Ask your events",
            "Write a SELECT above or take one of the examples. Answers stop at "
            f"{hunts.MOST_ROWS:,} rows and 15 seconds; nothing you run can change anything.",
        ),
        className="card",
    )


def _answer(answer: hunts.Answer) -> list[Part]:
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
