"""Show who is connected with whom, around an entity, a finding or an incident."""

from typing import Any, Final

from dash import Input, Output, State, dcc, html, no_update

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import finding as read_finding
from dashboards.read import graph as read
from dashboards.read.exposure import value_of
from dashboards.read.graph import FIRST_NODES, MOST_NODES, Asked, Graph
from dashboards.read.known import names_of
from dashboards.read.names import KINDS, named_by, parse_key
from dashboards.shell import URL
from dashboards.ui.cards import panel
from dashboards.ui.events import entity_chips, entity_icon
from dashboards.ui.graph import graph_data, graph_stage, graph_table
from dashboards.ui.icons import icon
from dashboards.ui.lists import key_values
from dashboards.ui.marks import count_of, exact_time, level_badge, short
from dashboards.ui.states import Part, empty
from dashboards.ui.value import said_value
from storage.errors import NotFound
from storage.tenant import Scope

PAGE: Final = Page(
    path="/graph",
    title="Graph",
    grant="findings:read",
    why="The graph shows which findings connect which hosts, people and vendors.",
    under="/findings",
)
_KEYS: Final = (
    "Arrow keys go from node to node, Enter shows more of one, plus and minus zoom, F fits all. "
    "The table beneath says the same."
)


def layout(view: View) -> Part:
    """Give the graph as the URL asks for it; the side tells of the node that is chosen."""
    asked = Asked.read(view.search)
    if not asked.by:
        return _nothing_asked()
    found = read.graph(view.console.database, view.scope, asked, view.console.now())
    root = next((n.id for n in found.nodes.values() if n.is_root), "")
    return html.Div(
        [
            html.Div(
                [
                    html.Div([html.Span("Graph around", className="muted"), html.H1(found.title)]),
                    html.Div(_back(asked), className="actions"),
                ],
                className="page-head titled",
            ),
            html.Div(
                [
                    graph_stage(
                        "Graph", _KEYS, html.Div(_data(found, asked), id="graph-holder"), _legend()
                    ),
                    html.Div(_side(view.console, view.scope, root, asked), id="graph-side"),
                ],
                className="split wide-side",
            ),
            html.Div(_table(found, asked), id="graph-table"),
            dcc.Store(id="graph-pick"),
        ]
    )


def _nothing_asked() -> Part:
    return html.Div(
        [
            html.H1("Graph"),
            html.Section(
                empty(
                    "A graph begins somewhere",
                    "Open a finding, an entity or an incident and choose “Open graph” there.",
                    dcc.Link("Go to findings", href="/findings", className="button"),
                ),
                className="card",
            ),
        ]
    )


def _back(asked: Asked) -> Part:
    paths = {"finding": f"/finding/{asked.root}", "incident": f"/incident/{asked.root}"}
    if asked.by == "entity":
        paths["entity"] = parse_key(asked.root).path
    return dcc.Link(
        [icon("back"), f"Back to the {asked.by}"], href=paths[asked.by], className="button second"
    )


def _legend() -> Part:
    shown = ("host", "user", "ip", "vendor", "document", "customer")
    return html.Ul(
        [html.Li([html.I(className="graph-swatch"), "finding or signal, coloured by level"])]
        + [html.Li([icon(entity_icon(kind)), KINDS[kind].lower()]) for kind in shown],
        className="legend graph-legend",
    )


def _data(found: Graph, asked: Asked) -> Part:
    return graph_data(found, asked.by + asked.root)


def _table(found: Graph, asked: Asked) -> Part:
    room = (
        f" There was no room for more than {count_of(MOST_NODES)}; open a graph around one of them."
        if found.is_cut and len(found.nodes) > FIRST_NODES
        else " Not all are shown: open one to see more of it."
        if found.is_cut
        else ""
    )
    return panel(
        "As a table",
        graph_table(found, lambda name: PAGE.path + asked.opening(name).search()),
        said=f"{count_of(len(found.nodes))} nodes, {count_of(len(found.edges))} links.{room}",
    )


def _side(console: Console, scope: Scope, name: str, asked: Asked) -> Part:
    if not name:
        return panel("Choose a node", html.P(_KEYS, className="muted"))
    try:
        if name.startswith("finding:"):
            return _claim(console, scope, name.removeprefix("finding:"), asked)
        return _entity(console, scope, name, asked)
    except NotFound:
        return panel("Choose a node", html.P("That node is no longer there.", className="muted"))


def _claim(console: Console, scope: Scope, finding_id: str, asked: Asked) -> Part:
    claim = read_finding.finding(console.database, scope, finding_id)
    with console.database.app(scope) as tx:
        names = names_of(tx, scope, named_by(claim))
    reasons = [
        (str(r.get("name", "")), html.Code(short(str(r.get("value", "")), 160)))
        for r in claim["reasons"][:5]
    ]
    kind = "Signal" if claim["kind"] == "signal" else "Finding"
    return panel(
        claim["title"],
        html.Div(
            [
                html.Div(
                    [level_badge(claim["level"]), html.Span(kind, className="badge plain")],
                    className="badges",
                ),
                key_values([("Time", exact_time(claim["time"])), *reasons]),
                entity_chips(named_by(claim), 10, names),
                _acts(f"/finding/{finding_id}", "Open finding", f"finding:{finding_id}", asked),
            ],
            className="stack",
        ),
    )


def _entity(console: Console, scope: Scope, name: str, asked: Asked) -> Part:
    key = parse_key(name)
    with console.database.app(scope) as tx:
        names = names_of(tx, scope, [key])
        card = read_finding.card(tx, key, console.now())
        value = value_of(tx, scope, [key])
    last = card["last_time"]
    kind = [icon(entity_icon(key.kind)), KINDS.get(key.kind, key.kind)]
    facts = [
        ("Id", html.Code(key.name) if key in names else ""),
        ("Findings", count_of(card["findings"])),
        ("Signals", count_of(card["signals"])),
        ("High or critical", count_of(card["grave"])),
        ("Events", count_of(card["events"]) if card["events"] else ""),
        ("Last seen", exact_time(last)[:19] if last else ""),
        ("Value at risk", said_value(value)),
    ]
    return panel(
        names.get(key, key.name),
        html.Div(
            [
                html.Div(html.Span(kind, className="badge plain"), className="badges"),
                key_values(facts),
                _acts(key.path, "Open entity", key.id, asked),
            ],
            className="stack",
        ),
    )


def _acts(path: str, words: str, name: str, asked: Asked) -> Part:
    is_open = name in asked.opened or name == asked.root
    return html.Div(
        [
            dcc.Link(words, href=path, className="button"),
            dcc.Link(
                [icon("plus"), "Show more of it"],
                href=PAGE.path + asked.opening(name).search(),
                className="button second",
            )
            if not is_open
            else None,
        ],
        className="actions",
    )


def register(console: Console) -> None:
    """Register what happens when a node is chosen, and when the URL opens another."""

    def choose(scope: Scope, picked: Any, search: str | None) -> Any:  # noqa: ANN401  Dash's own values
        if not isinstance(picked, dict):
            return no_update
        return _side(console, scope, str(picked.get("id", ""))[:600], Asked.read(search or ""))

    console.scoped_callback(
        Output("graph-side", "children"),
        Input("graph-pick", "data"),
        State(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(choose)

    def grow(scope: Scope, search: str | None) -> Any:  # noqa: ANN401  Dash's own values
        asked = Asked.read(search or "")
        if not asked.by:
            return no_update, no_update
        found = read.graph(console.database, scope, asked, console.now())
        return _data(found, asked), _table(found, asked)

    console.scoped_callback(
        Output("graph-holder", "children"),
        Output("graph-table", "children"),
        Input(URL, "search"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(grow)
