"""Show the queue of incidents: what is open, whose it is, the gravest or latest first."""

from typing import Any, Final

import dash_mantine_components as dmc
from dash import ClientsideFunction, Input, Output, State, dcc, html, no_update

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import incidents as read
from dashboards.read.incidents import SORTS, WHO, IncidentFilter
from dashboards.shell import URL
from dashboards.ui.figures import figure
from dashboards.ui.grid import block_grid, column
from dashboards.ui.icons import icon
from dashboards.ui.marks import LEVELS, STATUS, VERDICT, count_of
from dashboards.ui.states import Part, empty
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


def layout(view: View) -> Part:
    """Give the queue as the URL asks for it."""
    wanted = IncidentFilter.read(view.search)
    counted = read.counts(view.console.database, view.scope)
    if not any(c["incidents"] for c in counted.values()):
        return html.Div(
            [
                html.H1("Incidents"),
                html.Section(
                    empty(
                        "No incidents yet",
                        "An incident opens when a finding arrives. See what the detectors found, "
                        "or carry logs in first.",
                        dcc.Link("Go to findings", href="/findings", className="button"),
                    ),
                    className="card",
                ),
            ]
        )
    return html.Div(
        [
            html.H1("Incidents"),
            html.Div(_figures(counted, wanted), className="figures three", id="incidents-figures"),
            _controls(wanted),
            html.Section(
                block_grid("incidents-grid", "Incidents", _COLUMNS, read.BLOCK_ROWS),
                className="card flush",
                **{"aria-label": "Queue of incidents"},
            ),
        ]
    )


def _figures(counted: dict[str, Any], wanted: IncidentFilter) -> list[Part]:
    return [
        figure(
            words,
            count_of(counted[status]["incidents"]),
            f"{count_of(counted[status]['grave'])} high or critical, "
            f"{count_of(counted[status]['unassigned'])} nobody's",
            href=PAGE.path + wanted.but(status=status).search(),
        )
        for status, words in STATUS.items()
    ]


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
            dmc.SegmentedControl(
                id="incidents-status",
                data=[{"value": k, "label": v} for k, v in {**STATUS, "all": "All"}.items()],
                value=wanted.status,
                transitionDuration=0,
                **{"aria-label": "Status"},
            ),
            pick("level", "Level", levels, wanted.level),
            pick("who", "Assigned to", WHO, wanted.who),
            pick("sort", "Order of the incidents", SORTS, wanted.sort),
        ],
        className="controls",
        role="search",
        **{"aria-label": "Filter incidents"},
    )


def register(console: Console) -> None:
    """Register what happens when a filter moves, the URL changes, or the grid wants rows."""

    def to_url(scope: Scope, *values: Any) -> Any:  # noqa: ANN401, ARG001  Dash's own values
        q, status, level, who, sort, search = values
        asked = IncidentFilter(status, _any(level), _any(who), (q or "").strip(), sort)
        after = IncidentFilter.read(asked.search())
        return no_update if after == IncidentFilter.read(search or "") else after.search()

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

    def from_url(scope: Scope, search: str | None) -> tuple[Any, ...]:
        wanted = IncidentFilter.read(search or "")
        counted = read.counts(console.database, scope)
        return _figures(counted, wanted), wanted.status, wanted.q

    console.scoped_callback(
        Output("incidents-figures", "children"),
        Output("incidents-status", "value"),
        Output("incidents-q", "value"),
        Input(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(from_url)

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
