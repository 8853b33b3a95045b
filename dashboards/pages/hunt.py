"""Hunt in the lake: by fields and values, or by SQL; counts over time, commonest values, rows."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import quote

import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, dcc, html, no_update

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import hunts, rules
from dashboards.read.hunt_ask import LONGEST_SQL, HuntAsk
from dashboards.read.hunt_words import sigma_of
from dashboards.shell import URL
from dashboards.ui.cards import freshness
from dashboards.ui.controls import dialog, drawer, segmented, tabs
from dashboards.ui.hunt_found import EXAMPLES, USUAL, answer, chips, event, first, rows, top_values
from dashboards.ui.icons import icon
from dashboards.ui.panels import head
from dashboards.ui.states import Part, empty, problem_box, skeleton
from dashboards.ui.toasts import TOASTS, toast
from storage.errors import InvalidInput
from storage.schema.columns import COLUMNS
from storage.tenant import Scope

PAGE: Final = Page(
    path="/hunt",
    title="Hunt",
    grant="hunt:run",
    why="Hunting runs your own questions over every event that was kept.",
    icon="hunt",
    nav=5,
    group="Investigate",
)
_STALE_S: Final = 2 * 300.0
"""Twice the five minutes within which something arrives in a house that is used."""


def layout(view: View) -> Part:
    """Give both ways to ask; the answer of the simple one follows by itself."""
    asked = HuntAsk.read(view.search)
    view.console.lake.warm()
    save = html.Button(
        [icon("rule"), "Save as rule"], id="hunt-save", className="act second", type="button"
    )
    return html.Div(
        [
            head("Hunt", "Ask every event that was kept: click your way, or write SQL.", save),
            tabs(
                "hunt-mode",
                [("fields", "Fields", _simple(asked)), ("sql", "SQL", _expert(asked))],
                "sql" if asked.sql else "fields",
            ),
            drawer("hunt-event", "Event"),
            dialog("hunt-rule", "Save as rule", _rule_form(), is_open=False),
            dcc.Store(id="hunt-shown"),
            dcc.Store(id="hunt-edges"),
        ]
    )


def _simple(asked: HuntAsk) -> Part:
    return html.Div(
        [
            html.Div(
                [
                    dmc.TextInput(
                        id="hunt-q",
                        value=asked.q,
                        placeholder='device.hostname=ws-104 process.cmd_line~"-enc" invoice',
                        debounce=True,
                        className="control wide mono-input",
                        leftSection=icon("search"),
                        **{"aria-label": "Fields and values to look for"},
                    ),
                    segmented("hunt-span", "Time", hunts.SPANS, asked.span),
                ],
                className="controls",
                role="search",
                **{"aria-label": "Hunt by fields"},
            ),
            html.Div(chips(asked), id="hunt-chips", className="chips"),
            html.Div(
                [
                    html.Div(skeleton("Looking", 3, tall=True), id="hunt-look", className="stack"),
                    html.Div(id="hunt-fields", className="stack"),
                ],
                className="split",
            ),
        ],
        className="stack",
    )


def _expert(asked: HuntAsk) -> Part:
    came = html.Div(
        [
            icon("alert"),
            html.Span("This query came with the address and has not run. Read it, then press Run."),
        ],
        className="notice",
        role="status",
    )
    return html.Div(
        [
            html.Div(
                [
                    _bar(asked.sql),
                    html.Div(came if asked.sql else first(), id="hunt-answer", className="stack"),
                ],
                className="stack",
            ),
            _columns(),
        ],
        className="split",
    )


def _bar(sql: str) -> Part:
    examples = [
        html.Button(words, type="button", className="chip example", **{"data-query": text})
        for words, text in EXAMPLES.items()
    ]
    return html.Section(
        [
            dmc.Textarea(
                id="hunt-sql",
                label="Query: one SELECT over the view events",
                value=sql or USUAL,
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
            html.Div([html.Span("Try:", className="muted small"), *examples], className="actions"),
        ],
        className="card stack",
        **{"aria-label": "Query"},
    )


def _columns() -> Part:
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


def _rule_form() -> Part:
    return html.Div(
        [
            html.P(
                "The filters of this hunt as a Sigma rule. Read it, give it a name, then save it.",
                className="muted",
            ),
            dmc.Textarea(
                id="hunt-rule-text",
                label="Rule",
                autosize=True,
                minRows=14,
                maxRows=24,
                className="sql",
                spellCheck=False,
            ),
            html.Div(id="hunt-rule-said", **{"aria-live": "polite"}),
            html.Div(
                [
                    html.Button(
                        [icon("check"), "Save it"],
                        id="hunt-rule-save",
                        className="act",
                        type="button",
                    ),
                    html.Span("The flows run it within ten seconds.", className="muted small"),
                ],
                className="actions",
            ),
        ],
        className="stack",
    )


def register(console: Console) -> None:
    """Register the simple hunt, the SQL hunt, the open event and the rule's text."""
    _register_simple(console)
    _register_brush(console)
    _register_sql(console)
    _register_rule(console)


def _register_simple(console: Console) -> None:
    def to_url(scope: Scope, q: str | None, span: str | None, search: str | None) -> Any:  # noqa: ANN401, ARG001  Dash's own values
        before = HuntAsk.read(search or "")
        after = before.but(q=(q or "").strip(), span=span or before.span, event="", sql="")
        if after.span != before.span:
            after = after.but(since="", until="")
        return no_update if after.looked == before.looked else after.search()

    console.scoped_callback(
        Output(URL, "search", allow_duplicate=True),
        Input("hunt-q", "value"),
        Input("hunt-span", "value"),
        State(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(to_url)

    def look(scope: Scope, search: str | None, shown: str | None) -> tuple[Any, ...]:
        asked = HuntAsk.read(search or "")
        wanted = asked.looked.search()
        if shown == wanted:
            return (no_update,) * 6
        found, fields, edges = _looked(console, scope, asked)
        return found, fields, chips(asked), asked.q, edges, wanted

    console.scoped_callback(
        Output("hunt-look", "children"),
        Output("hunt-fields", "children"),
        Output("hunt-chips", "children"),
        Output("hunt-q", "value"),
        Output("hunt-edges", "data"),
        Output("hunt-shown", "data"),
        Input(URL, "search"),
        State("hunt-shown", "data"),
        grant=PAGE.grant,
    )(look)

    def show_event(scope: Scope, search: str | None) -> tuple[Any, bool]:
        asked = HuntAsk.read(search or "")
        return (event(console, scope, asked.event), True) if asked.event else (None, False)

    console.scoped_callback(
        Output("hunt-event-body", "children"),
        Output("hunt-event", "opened"),
        Input(URL, "search"),
        grant="events:read",
    )(show_event)
    console.dash.clientside_callback(
        ClientsideFunction("work", "closeDrawer"),
        Output(URL, "search", allow_duplicate=True),
        Input("hunt-event", "opened"),
        State(URL, "search"),
        prevent_initial_call=True,
    )


def _looked(console: Console, scope: Scope, asked: HuntAsk) -> tuple[list[Part], Part, Any]:
    span = hunts.span_of(console.database, scope, asked.span, *asked.bounds)
    if span is None:
        how = f"inopsio ingest FOLDER --tenant {scope.tenant_id}"
        none = empty("No event yet", "Carry in a folder of logs, or add a host.", html.Code(how))
        return [html.Section(none, className="card")], None, None
    try:
        found = hunts.look(console.database, console.lake, scope, asked.words, span)
    except InvalidInput as error:
        return [problem_box(str(error))], None, None
    edges = {"first": int(found.bars[0][0].timestamp()), "step": found.step_s}
    newest = hunts.arrived(console.database, scope)
    fresh = [freshness(newest, console.now(), _STALE_S) for _ in range(2)]
    return rows(found, asked, fresh[0]), top_values(found, asked, fresh[1]), edges


def _register_brush(console: Console) -> None:
    def narrow(scope: Scope, clicks: int | None, value: Any, edges: Any, search: str | None) -> Any:  # noqa: ANN401, ARG001  Dash's own values
        if not clicks or not isinstance(edges, dict) or not isinstance(value, list):
            return no_update
        start = datetime.fromtimestamp(int(edges.get("first", 0)), UTC)
        step = timedelta(seconds=int(edges.get("step", 1)))
        begin, end = (int(v) for v in value[:2])
        return (
            HuntAsk.read(search or "")
            .but(
                since=(start + step * begin).isoformat(timespec="seconds"),
                until=(start + step * end).isoformat(timespec="seconds"),
                event="",
                sql="",
            )
            .search()
        )

    console.scoped_callback(
        Output(URL, "search", allow_duplicate=True),
        Input("hunt-brush-narrow", "n_clicks"),
        State("hunt-brush", "value"),
        State("hunt-edges", "data"),
        State(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(narrow)


def _register_sql(console: Console) -> None:
    def run(scope: Scope, clicks: int | None, sql: str | None) -> Any:  # noqa: ANN401  Dash's own values
        if not clicks or not (sql or "").strip():
            return no_update, no_update
        try:
            told = hunts.ask(console.database, console.lake, scope, (sql or "")[:LONGEST_SQL])
        except InvalidInput as error:
            return [problem_box(str(error))], no_update
        return answer(told), HuntAsk(sql=sql or "").search()

    console.scoped_callback(
        Output("hunt-answer", "children"),
        Output(URL, "search", allow_duplicate=True),
        Input("hunt-run", "n_clicks"),
        State("hunt-sql", "value"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(run)


def _register_rule(console: Console) -> None:
    def show(scope: Scope, clicks: int | None, search: str | None) -> Any:  # noqa: ANN401  Dash's own values
        if not clicks:
            return no_update, no_update, no_update
        words = HuntAsk.read(search or "").words
        if not words:
            said = problem_box("Narrow the hunt by at least one field first: a rule needs one.")
            return True, "", said
        text = sigma_of(words, "Name this rule", "medium", scope.actor.name, console.now())
        return True, text, None

    console.scoped_callback(
        Output("hunt-rule", "opened"),
        Output("hunt-rule-text", "value"),
        Output("hunt-rule-said", "children"),
        Input("hunt-save", "n_clicks"),
        State(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(show)

    def save(scope: Scope, clicks: int | None, text: str | None) -> Any:  # noqa: ANN401  Dash's own values
        if not clicks:
            return no_update, no_update, no_update
        try:
            rule_id = rules.save(console.database, console.settings, scope, text or "")
        except InvalidInput as error:
            return problem_box(str(error)), no_update, no_update
        href = f"/rule/{quote(rule_id, safe='')}"
        return None, False, toast("The rule is saved and runs.", href=href)

    console.scoped_callback(
        Output("hunt-rule-said", "children", allow_duplicate=True),
        Output("hunt-rule", "opened", allow_duplicate=True),
        Output(TOASTS, "children", allow_duplicate=True),
        Input("hunt-rule-save", "n_clicks"),
        State("hunt-rule-text", "value"),
        grant="rules:write",
        prevent_initial_call=True,
    )(save)
