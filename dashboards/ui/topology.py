"""Show a network: its places for assets/graph.js to draw, a table that says the same."""

import json
from typing import Any, Final

from dash import dcc, html

from dashboards.read.topology import INTERNET, Asked, Place, Topology
from dashboards.ui.cards import panel
from dashboards.ui.events import entity_icon
from dashboards.ui.grid import column, row_grid
from dashboards.ui.icons import icon
from dashboards.ui.lists import key_values
from dashboards.ui.marks import count_of, cut_middle, exact_time, level_badge
from dashboards.ui.states import Part

_COLUMNS: Final = (
    column("title", "Address", 210, "goCell") | {"flex": 1, "minWidth": 180},
    column("level", "Risk", 140, "levelCell"),
    column("score", "Score", 84, type="rightAligned"),
    column("roles", "Role", 150),
    column("services", "Serves", 240, "textCell") | {"flex": 1, "minWidth": 180},
    column("links", "Talks to", 100, type="rightAligned"),
    column("subnet", "Network", 160),
    column("last_at", "Last seen", 150, "dayCell"),
)
_ROW_PX: Final = 58
_LISTED: Final = 12


def topology_data(found: Topology, asked: Asked) -> Part:
    """Leave the network on the page as data; the drawing script watches for it."""
    nodes = [
        {
            "id": one.address,
            "kind": "place",
            "icon": _icon(one),
            "label": cut_middle(one.name or one.address, 22),
            "said": _said(one),
            "level": one.level,
            "grave": bool(one.level),
            "links": len(one.near),
            "more": 0,
            "root": False,
            "x": one.x,
            "y": one.y,
        }
        for one in found.places.values()
    ]
    edges = [{"one": one, "other": other, "what": "talks to"} for one, other in found.pairs]
    told = {"root": f"topology{asked.search()}", "nodes": nodes, "edges": edges}
    text = json.dumps(told, separators=(",", ":"))
    return html.Div(hidden=True, className="graph-data", **{"data-graph": text})


def _icon(one: Place) -> str:
    if one.address == INTERNET:
        return "domain"
    return "host" if one.name or one.device else entity_icon("ip")


def _said(one: Place) -> str:
    """Say a place, for those who hear the graph."""
    told = [one.address, one.name, *one.roles, f"{one.level} risk" if one.level else ""]
    return ", ".join([*filter(None, told), f"talks to {count_of(len(one.near))}"])


def topology_table(found: Topology) -> Part:
    """Say the network as a table, the riskiest and best connected first."""
    rows = [_row(one) for one in found.places.values()]
    return row_grid("topology-grid", "The network as a table", _COLUMNS, rows, _ROW_PX)


def topology_rows(found: Topology) -> list[dict[str, Any]]:
    """Give the table's rows."""
    return [_row(one) for one in found.places.values()]


def _row(one: Place) -> dict[str, Any]:
    return {
        "id": one.address,
        "title": one.address,
        "href": one.key.path if one.key else f"/topology?open={one.address}",
        "under": " · ".join(filter(None, (one.name, one.device))) or "no name told",
        "both": True,
        "level": one.level,
        "score": round(one.score),
        "roles": ", ".join(one.roles[:3]),
        "services": ", ".join(one.services[:8]),
        "links": len(one.near),
        "subnet": one.subnet,
        "last_at": one.last_at.isoformat() if one.last_at else None,
    }


def place_panel(one: Place | None, asked: Asked, keys: str) -> Part:
    """Tell of the place that is chosen."""
    if one is None:
        return panel("Choose a place", html.P(keys, className="muted"))
    near = sorted(one.near)
    rest = f" and {count_of(len(near) - _LISTED)} more" if len(near) > _LISTED else ""
    facts = [
        ("Address", html.Code(one.address)),
        ("Hardware address", html.Code(one.device) if one.device else ""),
        ("Role", ", ".join(one.roles)),
        ("Serves", ", ".join(one.services[:_LISTED])),
        ("Network", one.subnet),
        ("Risk", f"{one.score:.0f} of 100" if one.level else "nothing is claimed"),
        ("Talks to", ", ".join(near[:_LISTED]) + rest),
        ("Last seen", exact_time(one.last_at)[:19] if one.last_at else ""),
    ]
    around = Asked(opened=(one.address,)).search()
    acts = [
        dcc.Link("Open entity", href=one.key.path, className="button") if one.key else None,
        dcc.Link(
            [icon("network"), "Only what it talks to"],
            href=f"/topology{around}",
            className="button second",
        )
        if asked.opened != (one.address,)
        else None,
    ]
    body = [key_values(facts), html.Div(acts, className="actions")]
    if one.level:
        body.insert(0, html.Div(level_badge(one.level), className="badges"))
    return panel(one.name or one.address, html.Div(body, className="stack"))
