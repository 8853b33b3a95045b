"""Show a graph: its data for assets/graph.js to draw, and always a table that says the same."""

import json
from collections.abc import Callable, Mapping

from dash import dcc, html

from dashboards.read.graph import Graph, Node
from dashboards.ui.events import entity_icon
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, cut_middle, level_badge, short
from dashboards.ui.states import Part

_LABEL = 24


def graph_data(graph: Graph, root: str) -> Part:
    """Leave the graph on the page as data; the drawing script watches for it."""
    nodes = [
        {
            "id": node.id,
            "kind": node.kind,
            "icon": "findings" if node.kind == "finding" else entity_icon(node.kind),
            "label": _label(node),
            "said": said_node(node),
            "level": node.level,
            "more": node.more,
            "root": node.is_root,
            "signal": node.is_signal,
        }
        for node in graph.nodes.values()
    ]
    edges = [{"one": one, "other": other, "what": w} for (one, other), w in graph.edges.items()]
    text = json.dumps({"root": root, "nodes": nodes, "edges": edges}, separators=(",", ":"))
    return html.Div(hidden=True, className="graph-data", **{"data-graph": text})


def _label(node: Node) -> str:
    """Give a few words to find it by; the whole stands in the side and in the table."""
    if node.kind == "finding":
        return short(node.label, _LABEL)
    return cut_middle(node.label, 15 if node.kind == "device" else _LABEL)


def said_node(node: Node) -> str:
    """Say what a node is, for those who hear the graph."""
    kind = "signal" if node.is_signal else node.kind
    level = f", {node.level}" if node.level else ""
    more = f", {count_of(node.more)} claims not shown" if node.more else ""
    return f"{kind} {node.label}{level}, {count_of(node.links)} links{more}"


def graph_table(graph: Graph, open_path: Callable[[str], str]) -> Part:
    """Say the graph as a table: every node, how it is linked, and a way to open it."""
    near: dict[str, list[tuple[str, str]]] = {}
    for (one, other), what in graph.edges.items():
        near.setdefault(one, []).append((what, other))
        near.setdefault(other, []).append((what, one))
    rows = [
        _row(node, graph.nodes, near.get(node.id, []), open_path)
        for node in sorted(graph.nodes.values(), key=_order)
    ]
    heads = ("Node", "Level", "Linked with", "More")
    head = html.Tr([html.Th(words, scope="col") for words in heads])
    return html.Div(
        html.Table([html.Thead(head), html.Tbody(rows)], className="table rows"),
        className="scroll tall",
        tabIndex=0,
        role="region",
        **{"aria-label": "The graph as a table"},
    )


def _order(node: Node) -> tuple[bool, bool, int, str]:
    return (not node.is_root, node.kind != "finding", -node.links, node.label)


def _row(
    node: Node,
    nodes: Mapping[str, Node],
    near: list[tuple[str, str]],
    open_path: Callable[[str], str],
) -> Part:
    mark = "findings" if node.kind == "finding" else entity_icon(node.kind)
    others = ", ".join(short(nodes[name].label, 40) for _, name in near[:6])
    rest = f" and {count_of(len(near) - 6)} more" if len(near) > 6 else ""
    more: Part = ""
    if node.more:
        more = dcc.Link(
            [icon("plus"), count_of(node.more)],
            href=open_path(node.id),
            title=f"Show the claims about {node.label}",
        )
    return html.Tr(
        [
            html.Td([icon(mark), " ", dcc.Link(node.label, href=node.path)]),
            html.Td(level_badge(node.level) if node.level else ""),
            html.Td(others + rest, className="muted"),
            html.Td(more),
        ]
    )


def graph_stage(
    label: str, keys: str, holder: Part, legend: Part, pick: str = "graph-pick"
) -> Part:
    """Give the canvas with its tools; `holder` holds the data, `pick` is told what is chosen."""
    return html.Section(
        [
            _tools(),
            html.Div(
                id="graph-canvas",
                className="graph-canvas",
                tabIndex=0,
                role="application",
                **{"aria-label": f"{label}. {keys}", "data-pick": pick},
            ),
            html.Div(id="graph-live", className="unseen", **{"aria-live": "polite"}),
            html.P(id="graph-note", className="graph-note muted small"),
            holder,
            legend,
        ],
        className="card flush graph-card",
        **{"aria-label": label},
    )


def _tools() -> Part:
    acts = (("in", "plus", "Zoom in"), ("out", "minus", "Zoom out"), ("fit", "fit", "Fit all"))
    return html.Div(
        [
            html.Button(
                icon(mark),
                type="button",
                className="quiet",
                title=words,
                **{"data-graph-act": act, "aria-label": words},
            )
            for act, mark, words in acts
        ],
        className="graph-tools",
    )
