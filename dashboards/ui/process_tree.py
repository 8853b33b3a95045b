"""Show which program started which: a tree to walk by arrow keys, command lines as text."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from dash import html

from dashboards.read.processes import Process
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, exact_time, short
from dashboards.ui.states import Part
from dashboards.ui.timeline import said_gap

_LONGEST = 500


def process_tree(trees: Sequence[Process], at: datetime) -> Part:
    """Show the trees; the programs that are evidence are marked. Keys: assets/investigate.js."""
    first = [True]
    return html.Ul(
        [_node(tree, at, 1, first) for tree in trees],
        role="tree",
        className="tree",
        **{"aria-label": "Which program started which"},
    )


def _node(node: Process, at: datetime, level: int, first: list[bool]) -> Part:
    told: dict[str, Any] = {"aria-level": str(level)}
    if node.children:
        told["aria-expanded"] = "true"
    # One stop for the tab key: the evidence if there is any above all else, else the root.
    is_stop, first[0] = first[0], False
    inside = [_said(node, at)]
    if node.children:
        inside.append(
            html.Ul([_node(c, at, level + 1, first) for c in node.children], role="group")
        )
    return html.Li(
        inside,
        role="treeitem",
        tabIndex=0 if is_stop else -1,
        className="tree-item evidence" if node.is_evidence else "tree-item",
        **{**told, "aria-label": _words(node)},
    )


def _words(node: Process) -> str:
    said = f"{node.name}, process {node.pid}" if node.pid is not None else node.name
    said = f"{said}, evidence" if node.is_evidence else said
    return f"{said}: {short(node.cmd, 80)}" if node.cmd else said


def _said(node: Process, at: datetime) -> Part:
    facts = [
        html.Span(f"pid {node.pid}") if node.pid is not None else None,
        html.Span([icon("user"), node.user]) if node.user else None,
        html.Time(
            said_gap(node.time - at), dateTime=node.time.isoformat(), title=exact_time(node.time)
        )
        if node.time
        else html.Span("running before"),
        html.Span("evidence", className="badge high") if node.is_evidence else None,
        html.Span(f"{count_of(node.left_out)} more under it") if node.left_out else None,
    ]
    return html.Div(
        [
            html.Div(
                [icon("process"), html.Strong(node.name, title=node.path), *facts],
                className="tree-head",
            ),
            html.Code(short(node.cmd, _LONGEST), className="tree-cmd") if node.cmd else None,
        ],
        className="tree-line",
    )
