"""Show the network as it shows itself: who talks to whom, who serves, and how risky each is."""

from typing import Any, Final

import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import topology as read
from dashboards.read.topology import Asked, Topology
from dashboards.shell import URL
from dashboards.ui.cards import panel
from dashboards.ui.graph import graph_stage
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of
from dashboards.ui.panels import head
from dashboards.ui.states import Part, command, empty
from dashboards.ui.topology import place_panel, topology_data, topology_rows, topology_table
from storage.tenant import Scope

PAGE: Final = Page(
    path="/topology",
    title="Network",
    grant="events:read",
    why="The network shows who talks to whom, what they serve and how risky each is.",
    icon="network",
    nav=6,
)
_KEYS: Final = (
    "Arrow keys go from place to place, Enter shows only what one talks to, plus and minus zoom, "
    "F fits all. The table beneath says the same."
)
_SHOWN: Final = {"": "All", "risk": "With risk", "servers": "Servers"}


def layout(view: View) -> Part:
    """Give the network, or what `q`, `show` and `open` of the URL ask for of it."""
    asked = Asked.read(view.search)
    found = read.topology(view.console.database, view.scope, asked, view.console.now())
    lead = "Who talks to whom, who serves what, and how risky each is: as the traffic shows it."
    if not found.total:
        return html.Div([head("Network", lead), _nothing()])
    return html.Div(
        [
            head("Network", lead),
            html.Div(
                [html.Div(_shows(asked), id="topology-shows"), _find(asked)], className="controls"
            ),
            html.Div(
                [
                    graph_stage(
                        "Network",
                        _KEYS,
                        html.Div(topology_data(found, asked), id="topology-holder"),
                        _legend(),
                        pick="topology-pick",
                    ),
                    html.Div(_side(found, asked), id="topology-side"),
                ],
                className="split wide-side",
            ),
            panel(
                "As a table",
                topology_table(found),
                said=html.Span(said(found), id="topology-said", **{"aria-live": "polite"}),
            ),
            dcc.Store(id="topology-pick"),
        ]
    )


def said(found: Topology) -> str:
    """Say how much is shown, of how much."""
    shown, total = len(found.places), found.total
    of = f"{count_of(shown)} of {count_of(total)}" if shown < total else count_of(shown)
    networks = "1 network" if found.subnets == 1 else f"{count_of(found.subnets)} networks"
    return (
        f"{of} places in {networks}; pairs that talk to each other: {count_of(len(found.pairs))}."
    )


def _nothing() -> Part:
    return html.Section(
        empty(
            "No network seen yet",
            "A sensor or a capture shows it; whoever answers is drawn. To read a capture:",
            command("inopsio ingest capture.pcap", "Command to paste"),
        ),
        className="card",
    )


def _shows(asked: Asked) -> Part:
    links: list[Part] = [
        dcc.Link(
            words,
            href=f"{PAGE.path}{Asked(show=show).search()}",
            className="chip" if show == asked.show and not asked.opened else "chip soft",
        )
        for show, words in _SHOWN.items()
    ]
    links += [html.Span(f"Around {name}", className="chip") for name in asked.opened]
    return html.Nav(links, className="chips", **{"aria-label": "Which places"})


def _find(asked: Asked) -> Part:
    return dmc.TextInput(
        id="topology-find",
        value=asked.words,
        placeholder="Find by address, name, role, service or network",
        debounce=400,
        className="control wide",
        leftSection=icon("search"),
        **{"aria-label": "Find places"},
    )


def _legend() -> Part:
    marks = [
        html.Li([html.I(className=f"graph-dot {level}"), level])
        for level in ("critical", "high", "medium", "low")
    ]
    return html.Ul(
        [html.Li("Risk:"), *marks, html.Li([html.I(className="graph-dot"), "nothing is claimed"])],
        className="legend graph-legend",
    )


def _side(found: Topology, asked: Asked, name: str = "") -> Part:
    chosen = name or (asked.opened[0] if asked.opened else "")
    return place_panel(found.places.get(chosen), asked, _KEYS)


def register(console: Console) -> None:
    """Register the search, what the URL asks for, and what happens when a place is chosen."""

    def find(scope: Scope, words: Any, search: str | None) -> tuple[Any, ...]:  # noqa: ANN401  Dash's own values
        told = Asked.read(search or "")
        asked = Asked(str(words or "")[:100], told.show, told.opened)
        found = read.topology(console.database, scope, asked, console.now())
        return (
            topology_data(found, asked),
            topology_rows(found),
            said(found),
            _side(found, asked),
            _shows(asked),
        )

    console.scoped_callback(
        Output("topology-holder", "children"),
        Output("topology-grid", "rowData"),
        Output("topology-said", "children"),
        Output("topology-side", "children", allow_duplicate=True),
        Output("topology-shows", "children"),
        Input("topology-find", "value"),
        Input(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(find)

    def choose(scope: Scope, picked: Any, search: str | None) -> Any:  # noqa: ANN401  Dash's own values
        if not isinstance(picked, dict):
            return no_update
        name = str(picked.get("id", ""))[:255]
        asked = Asked.read(search or "")
        around = Asked(opened=(name,))
        found = read.topology(console.database, scope, around, console.now())
        return _side(found, asked, name)

    console.scoped_callback(
        Output("topology-side", "children"),
        Input("topology-pick", "data"),
        State(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(choose)
