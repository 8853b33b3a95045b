"""Work through what the detectors claim: a queue of groups, filters in the URL, keys, undo."""

from collections.abc import Mapping
from typing import Any, Final

import dash_mantine_components as dmc
from dash import Input, Output, State, ctx, dcc, html, no_update

from dashboards import judging
from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import findings as read
from dashboards.read.filters import KINDS, RANGES, SHAPES, SORTS, STATES, FindingFilter
from dashboards.shell import URL
from dashboards.ui.controls import AT_ONCE, menu, segmented
from dashboards.ui.icons import icon
from dashboards.ui.queue_shown import acts_bar, queue_shown, verdict_dialog
from dashboards.ui.states import Part, command, empty
from dashboards.ui.toasts import CHANGED, TOASTS, toast
from storage.errors import InvalidInput
from storage.tenant import Scope

PAGE: Final = Page(
    path="/findings",
    title="Findings",
    grant="findings:read",
    why="Findings are what the detectors claim about your events.",
    icon="findings",
    nav=1,
    group="Investigate",
)
_WORK: Final = "incidents:write"
_SELECTS: Final = {"kind": KINDS, "state": STATES}
_LABEL: Final = {"kind": "Kind", "state": "State", "sort": "Order", "rule": "Rule"}


def layout(view: View) -> Part:
    """Give the page as the URL asks for it."""
    console, scope = view.console, view.scope
    wanted = FindingFilter.read(view.search)
    found = read.queue(console.database, scope, wanted)
    if not found.has_any:
        return _nothing_yet(scope)
    return html.Div(
        [
            html.Div(
                [
                    html.H1("Findings"),
                    html.Div(
                        [
                            html.Div(
                                _views(console, scope, wanted), id="findings-views", className="who"
                            ),
                            _pick("sort", _data(SORTS), wanted.sort, allowDeselect=False),
                            segmented("findings-shape", "Shape", SHAPES, wanted.shape),
                        ],
                        className="actions",
                    ),
                ],
                className="page-head",
            ),
            _controls(wanted, read.rules(console.database, scope, wanted.kind)),
            html.Div(
                queue_shown(found, wanted, console.now(), scope.may(_WORK)), id="findings-shown"
            ),
            *([acts_bar(), verdict_dialog()] if scope.may(_WORK) else []),
            dcc.Store(id="findings-act"),
            dcc.Store(id="findings-again"),
            dcc.Store(id="findings-drop"),
        ]
    )


def _nothing_yet(scope: Scope) -> Part:
    return html.Div(
        [
            html.H1("Findings"),
            html.Section(
                empty(
                    "No findings yet",
                    "Either no events have arrived, or no detector objects to them. Carry logs in "
                    "with this command on the machine where Inopsio runs; findings show up here "
                    "within seconds.",
                    command(
                        f"inopsio ingest /path/to/logs --tenant {scope.tenant_id}",
                        "Command that carries logs in",
                    ),
                ),
                className="card",
            ),
        ]
    )


def _pick(name: str, data: list[dict[str, str]], value: str, **more: object) -> Part:
    return dmc.Select(
        id=f"findings-{name}",
        data=data,
        value=value or None,
        className="control",
        comboboxProps={"transitionProps": AT_ONCE},
        **{"aria-label": _LABEL[name]},
        **more,
    )


def _data(offered: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"value": value, "label": words} for value, words in offered.items()]


def _controls(wanted: FindingFilter, rules: list[tuple[str, str]]) -> Part:
    known = [{"value": v, "label": words} for v, words in rules]
    if wanted.rule and wanted.rule not in {v for v, _ in rules}:
        known.append({"value": wanted.rule, "label": wanted.rule})
    clear = {"aria-label": "Clear rule"}
    return html.Div(
        [
            dmc.TextInput(
                id="findings-q",
                value=wanted.q,
                placeholder="Search title, entity, rule, technique",
                debounce=400,
                className="control wide",
                leftSection=icon("search"),
                **{"aria-label": "Search findings"},
            ),
            segmented("findings-range", "Time range", RANGES, wanted.range),
            _pick(
                "rule",
                known,
                wanted.rule,
                placeholder="Any rule",
                clearable=True,
                searchable=True,
                limit=100,
                clearButtonProps=clear,
            ),
            *[
                _pick(name, _data(offered), getattr(wanted, name), allowDeselect=False)
                for name, offered in _SELECTS.items()
            ],
        ],
        className="controls",
        role="search",
        **{"aria-label": "Filter findings"},
    )


def _views(console: Console, scope: Scope, wanted: FindingFilter) -> list[Part]:
    kept = read.views(console.database, scope, PAGE.path)
    here = wanted.but(page=0).search()
    lines: list[Part] = [
        html.Div(
            [
                dcc.Link(name, href=PAGE.path + search, className="cut"),
                html.Button(
                    icon("close"),
                    type="button",
                    className="quiet copy",
                    **{"data-drop-view": name, "aria-label": f"Remove the view {name}"},
                ),
            ],
            className="view here" if search == here else "view",
        )
        for name, search in kept
    ]
    if not kept:
        lines.append(html.P("No views kept yet.", className="muted small"))
    return [
        menu(
            "Saved views",
            [icon("bookmark"), html.Span("Views")],
            [
                *lines,
                dmc.TextInput(
                    id="findings-view-name",
                    placeholder="Name of this view",
                    **{"aria-label": "Name under which to keep the filters"},
                ),
                html.Button(
                    "Keep these filters", id="findings-view-keep", type="button", className="act"
                ),
            ],
            "views",
        )
    ]


def register(console: Console) -> None:
    """Register what happens when a filter moves, the URL changes, or a person acts."""
    _filters_to_url(console)
    _url_to_page(console)
    _acts(console)
    _keep_views(console)
    console.undoable(
        judging.UNDO, _WORK, lambda scope, data: judging.undo(console.database, scope, data)
    )
    console.undoable(
        judging.UNDO_VIEW, PAGE.grant, lambda scope, data: _put_back(console, scope, data)
    )


def _put_back(console: Console, scope: Scope, data: Any) -> str:  # noqa: ANN401  a browser's words
    name, search = str(data.get("name", "")), str(data.get("search", ""))
    if data.get("is_kept"):
        judging.drop_view(console.database, scope, PAGE.path, name)
        return f"View '{name}' removed"
    judging.keep_view(console.database, scope, PAGE.path, name, search)
    return f"View '{name}' kept again"


def _filters_to_url(console: Console) -> None:
    def to_url(scope: Scope, *values: Any) -> Any:  # noqa: ANN401, ARG001  Dash's own values
        q, chosen, rule, kind, state, sort, shape, search = values
        before = FindingFilter.read(search or "")
        after = before.but(
            q=(q or "").strip(),
            range=chosen,
            rule=rule or "",
            kind=kind,
            state=state,
            sort=sort,
            shape=shape,
        )
        if ctx.triggered_id == "findings-range":
            after = after.but(since="", until="")
        after = FindingFilter.read(after.search())
        return no_update if after == before else after.but(page=0).search()

    console.scoped_callback(
        Output(URL, "search"),
        Input("findings-q", "value"),
        Input("findings-range", "value"),
        Input("findings-rule", "value"),
        Input("findings-kind", "value"),
        Input("findings-state", "value"),
        Input("findings-sort", "value"),
        Input("findings-shape", "value"),
        State(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(to_url)


def _url_to_page(console: Console) -> None:
    def from_url(scope: Scope, search: str | None, *_again: Any) -> tuple[Any, ...]:  # noqa: ANN401  Dash's own values
        wanted = FindingFilter.read(search or "")
        found = read.queue(console.database, scope, wanted)
        shown = queue_shown(found, wanted, console.now(), scope.may(_WORK))
        if ctx.triggered_id != URL:
            return (shown, *(no_update,) * 7)
        return (
            shown,
            wanted.q,
            wanted.range,
            wanted.rule or None,
            wanted.kind,
            wanted.state,
            wanted.sort,
            wanted.shape,
        )

    console.scoped_callback(
        Output("findings-shown", "children"),
        Output("findings-q", "value"),
        Output("findings-range", "value"),
        Output("findings-rule", "value"),
        Output("findings-kind", "value"),
        Output("findings-state", "value"),
        Output("findings-sort", "value"),
        Output("findings-shape", "value"),
        Input(URL, "search"),
        Input("findings-again", "data"),
        Input(CHANGED, "data"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(from_url)


def _acts(console: Console) -> None:
    def act(scope: Scope, told: Any, search: str | None) -> tuple[Any, ...]:  # noqa: ANN401  Dash's own values
        if not isinstance(told, dict):
            return no_update, no_update
        wanted = FindingFilter.read(search or "")
        name, rows = told.get("act"), told.get("rows")
        database, href = console.database, ""
        if name == "gather":
            words, made, back = judging.gather(database, scope, wanted, rows)
            href = f"/incident/{made}"
        elif name == "close" and told.get("value") in judging.VERDICTS:
            change = {"status": "closed", "verdict": str(told["value"])}
            words, back = judging.change(database, scope, wanted, rows, change)
        elif name == "assign":
            change = {"assignee": scope.actor.name}
            words, back = judging.change(database, scope, wanted, rows, change)
        else:
            raise InvalidInput("that is no act of the queue")
        return toast(words, undo=(judging.UNDO, back), href=href), console.now_us()

    console.scoped_callback(
        Output(TOASTS, "children", allow_duplicate=True),
        Output("findings-again", "data"),
        Input("findings-act", "data"),
        State(URL, "search"),
        grant=_WORK,
        prevent_initial_call=True,
    )(act)


def _keep_views(console: Console) -> None:
    def keep(
        scope: Scope, clicks: int | None, name: str | None, search: str | None
    ) -> tuple[Any, ...]:
        if not clicks:
            return no_update, no_update
        wanted = FindingFilter.read(search or "").but(page=0)
        kept = judging.keep_view(console.database, scope, PAGE.path, name or "", wanted.search())
        back = {"name": kept, "is_kept": True}
        words = toast(f"View '{kept}' kept", undo=(judging.UNDO_VIEW, back))
        return _views(console, scope, wanted), words

    console.scoped_callback(
        Output("findings-views", "children"),
        Output(TOASTS, "children", allow_duplicate=True),
        Input("findings-view-keep", "n_clicks"),
        State("findings-view-name", "value"),
        State(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(keep)

    def drop(scope: Scope, told: Any, search: str | None) -> tuple[Any, ...]:  # noqa: ANN401  Dash's own values
        if not isinstance(told, dict):
            return no_update, no_update
        name = str(told.get("name", ""))
        was = judging.drop_view(console.database, scope, PAGE.path, name)
        wanted = FindingFilter.read(search or "").but(page=0)
        back = {"name": name, "search": was}
        words = toast(f"View '{name}' removed", undo=(judging.UNDO_VIEW, back))
        return _views(console, scope, wanted), words

    console.scoped_callback(
        Output("findings-views", "children", allow_duplicate=True),
        Output(TOASTS, "children", allow_duplicate=True),
        Input("findings-drop", "data"),
        State(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(drop)
