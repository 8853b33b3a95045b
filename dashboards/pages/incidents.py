"""Show the incidents people work on: a board to move them on, a list to look through them all."""

from typing import Any, Final

import dash_mantine_components as dmc
import msgspec
from dash import ClientsideFunction, Input, Output, State, dcc, html, no_update

from business import incidents
from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import incidents as read
from dashboards.read.incidents import SORTS, VIEWS, WHO, IncidentFilter
from dashboards.shell import URL
from dashboards.ui.board import board
from dashboards.ui.controls import filter_chip
from dashboards.ui.grid import block_grid, column
from dashboards.ui.icons import icon
from dashboards.ui.marks import LEVELS, STATUS, VERDICT
from dashboards.ui.states import Part, empty
from dashboards.ui.toasts import CHANGED, TOASTS, toast
from storage.errors import InvalidInput
from storage.tenant import Scope

PAGE: Final = Page(
    path="/incidents",
    title="Incidents",
    grant="incidents:read",
    why="Incidents are groups of findings that people work on.",
    icon="incidents",
    nav=2,
)
_COLUMNS: Final = (
    column("level", "Level", 138, "levelCell"),
    column("title", "Incident", 260, "incidentCell", flex=3),
    column("status", "Status", 130, "statusCell"),
    column("assignee", "Assigned to", 130, "textCell"),
    column("verdict", "Verdict", 130, "textCell"),
    column("finding_count", "Findings", 100, type="rightAligned"),
    column("last_time", "Latest (UTC)", 164, "timeCell"),
)
_PLAIN: Final = {"transitionProps": {"duration": 0}}
_UNDO: Final = "incident.change"
_WRITE: Final = "incidents:write"


def layout(view: View) -> Part:
    """Give the board or the list, as the URL asks for it."""
    wanted = IncidentFilter.read(view.search)
    counted = read.counts(view.console.database, view.scope)
    if not any(c["incidents"] for c in counted.values()):
        return _nothing_yet()
    return html.Div(
        [
            html.Div([html.H1("Incidents"), _views(wanted)], className="page-head"),
            _controls(wanted),
            html.Div(_body(view.console, view.scope, wanted), id="incidents-body"),
            dcc.Store(id="incidents-act"),
        ]
    )


def _nothing_yet() -> Part:
    return html.Div(
        [
            html.H1("Incidents"),
            html.Section(
                empty(
                    "No incidents yet",
                    "An incident opens when a high or critical finding arrives. See what the "
                    "detectors found, or carry logs in first.",
                    dcc.Link("Go to findings", href="/findings", className="button"),
                ),
                className="card",
            ),
        ]
    )


def _body(console: Console, scope: Scope, wanted: IncidentFilter) -> list[Part]:
    chips = html.Div(_chips(wanted), className="chips")
    if wanted.view == "list":
        grid = block_grid("incidents-grid", "Incidents", _COLUMNS, read.BLOCK_ROWS)
        told = {"aria-label": "List of incidents"}
        return [chips, html.Section(grid, className="card flush", **told)]
    columns = read.board(console.database, scope, wanted)
    more = {s: PAGE.path + wanted.but(view="list", status=s).search() for s in STATUS}
    return [chips, board(columns, console.now(), scope.may(_WRITE), more)]


def _views(wanted: IncidentFilter) -> Part:
    return html.Nav(
        [
            dcc.Link(
                [icon(key), words],
                href=PAGE.path + wanted.but(view=key).search(),
                className="view-tab here" if key == wanted.view else "view-tab",
            )
            for key, words in VIEWS.items()
        ],
        className="view-tabs",
        id="incidents-views",
        **{"aria-label": "How to look at them"},
    )


def _controls(wanted: IncidentFilter) -> Part:
    def pick(name: str, label: str, offered: dict[str, str], value: str) -> Part:
        return dmc.Select(
            id=f"incidents-{name}",
            data=[{"value": k or "any", "label": v} for k, v in offered.items()],
            value=value or "any",
            allowDeselect=False,
            className="control",
            comboboxProps=_PLAIN,
            **{"aria-label": label},
        )

    levels = {"": "Any level", **{level: level.capitalize() for level in LEVELS}}
    statuses = {"all": "Any status", **STATUS}
    return html.Div(
        [
            dmc.TextInput(
                id="incidents-q",
                value=wanted.q,
                placeholder="Search title, entity, rule",
                debounce=400,
                className="control wide",
                leftSection=icon("search"),
                **{"aria-label": "Search incidents"},
            ),
            pick("level", "Level", levels, wanted.level),
            pick("who", "Assigned to", WHO, wanted.who),
            pick("status", "Status in the list", statuses, wanted.status),
            pick("sort", "Order of the incidents", SORTS, wanted.sort),
        ],
        className="controls",
        role="search",
        **{"aria-label": "Filter incidents"},
    )


def _chips(wanted: IncidentFilter) -> list[Part]:
    told = [
        (f"Level: {wanted.level}", "level", wanted.level),
        (f"Assigned: {WHO.get(wanted.who, '')}", "who", wanted.who),
        (f"Text: {wanted.q}", "q", wanted.q),
    ]
    chips = [
        filter_chip(words, PAGE.path + wanted.but(**{name: ""}).search())
        for words, name, value in told
        if value
    ]
    if wanted.view == "list" and wanted.status != "all":
        rest = wanted.but(status="all").search()
        chips.append(filter_chip(f"Status: {STATUS[wanted.status]}", PAGE.path + rest))
    return chips


def register(console: Console) -> None:
    """Register what happens when a filter moves, a card moves, or the grid wants rows."""
    _filters_to_url(console)
    _url_to_body(console)
    _card_moves(console)
    _rows_to_grid(console)


def _filters_to_url(console: Console) -> None:
    def to_url(scope: Scope, *values: Any) -> Any:  # noqa: ANN401, ARG001  Dash's own values
        q, status, level, who, sort, search = values
        before = IncidentFilter.read(search or "")
        asked = before.but(
            status=status, level=_any(level), who=_any(who), q=(q or "").strip(), sort=sort
        )
        after = IncidentFilter.read(asked.search())
        return no_update if after == before else after.search()

    console.scoped_callback(
        Output(URL, "search", allow_duplicate=True),
        Input("incidents-q", "value"),
        Input("incidents-status", "value"),
        Input("incidents-level", "value"),
        Input("incidents-who", "value"),
        Input("incidents-sort", "value"),
        State(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(to_url)


def _url_to_body(console: Console) -> None:
    def from_url(scope: Scope, search: str | None, _changed: object) -> tuple[Any, ...]:
        wanted = IncidentFilter.read(search or "")
        return (
            _body(console, scope, wanted),
            _views(wanted).children,
            wanted.status,
            wanted.level or "any",
            wanted.who or "any",
            wanted.q,
        )

    console.scoped_callback(
        Output("incidents-body", "children"),
        Output("incidents-views", "children"),
        Output("incidents-status", "value"),
        Output("incidents-level", "value"),
        Output("incidents-who", "value"),
        Output("incidents-q", "value"),
        Input(URL, "search"),
        Input(CHANGED, "data"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(from_url)


def _card_moves(console: Console) -> None:
    def move(scope: Scope, asked: Any, search: str | None) -> Any:  # noqa: ANN401  Dash's own values
        if not isinstance(asked, dict):
            return no_update, no_update
        is_mine = asked.get("to") == "mine"
        wanted = {"assignee": scope.actor.name} if is_mine else {"status": str(asked.get("to"))}
        try:
            change = msgspec.convert(wanted, incidents.Change)
        except msgspec.ValidationError:
            raise InvalidInput("that is no column of this board") from None
        incident_id = read.incident_uuid(str(asked.get("id")))
        with console.database.app(scope) as tx:
            before = incidents.get(scope, tx, incident_id)
            after = incidents.change(scope, tx, incident_id, change, _int(asked.get("version")))
        words = f"{'Taken' if 'assignee' in wanted else STATUS[after['status']]}: {after['title']}"
        back = {"id": incident_id, "version": after["version"]}
        back |= {name: before[name] or "" for name in wanted}
        filters = IncidentFilter.read(search or "")
        return _body(console, scope, filters), toast(words[:160], (_UNDO, back))

    console.scoped_callback(
        Output("incidents-body", "children", allow_duplicate=True),
        Output(TOASTS, "children", allow_duplicate=True),
        Input("incidents-act", "data"),
        State(URL, "search"),
        grant=_WRITE,
        prevent_initial_call=True,
    )(move)

    def undo(scope: Scope, data: Any) -> str:  # noqa: ANN401  what a browser sends
        wanted = {k: v for k, v in data.items() if k in {"status", "assignee"}}
        try:
            change = msgspec.convert(wanted, incidents.Change)
        except msgspec.ValidationError:
            raise InvalidInput("that cannot be undone") from None
        incident_id = read.incident_uuid(str(data.get("id")))
        with console.database.app(scope) as tx:
            after = incidents.change(scope, tx, incident_id, change, _int(data.get("version")))
        return f"As it was: {after['title']}"[:160]

    console.undoable(_UNDO, _WRITE, undo)


def _rows_to_grid(console: Console) -> None:
    def rows(scope: Scope, asked: dict[str, Any] | None, search: str | None) -> Any:  # noqa: ANN401  Dash's own values
        if not asked:
            return no_update
        start, end = int(asked.get("startRow", 0)), int(asked.get("endRow", 0))
        wanted = IncidentFilter.read(search or "")
        found, total = read.block(console.database, scope, wanted, start, end)
        return {"rowData": [_row(r) for r in found], "rowCount": total}

    console.scoped_callback(
        Output("incidents-grid", "getRowsResponse"),
        Input("incidents-grid", "getRowsRequest"),
        State(URL, "search"),
        grant=PAGE.grant,
    )(rows)
    console.dash.clientside_callback(
        ClientsideFunction("inopsio", "refreshGrid"),
        Output("incidents-grid", "className"),
        Input(URL, "search"),
        State("incidents-grid", "id"),
        prevent_initial_call=True,
    )


def _any(value: str | None) -> str:
    return "" if value in {None, "any"} else str(value)


def _int(value: object) -> int:
    return value if isinstance(value, int) else 0


def _row(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": found["incident_id"],
        "level": found["level"],
        "title": found["title"],
        "entity": found["entity"],
        "status": found["status"],
        "assignee": found["assignee"],
        "verdict": VERDICT.get(found["verdict"] or "", ""),
        "finding_count": found["finding_count"],
        "last_time": found["last_time"].isoformat(),
    }
