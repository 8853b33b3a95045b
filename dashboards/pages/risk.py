"""List the entities that carry most risk: where to look first, why, and whether it rises."""

from typing import Any, Final
from urllib.parse import parse_qs

from dash import dcc, html

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import risk as read
from dashboards.read.names import KINDS
from dashboards.read.risk import Ranked, Ranking
from dashboards.ui.cards import figure_card
from dashboards.ui.grid import column, row_grid
from dashboards.ui.marks import count_of, exact_time
from dashboards.ui.panels import head
from dashboards.ui.risk import RISK_WORDS
from dashboards.ui.states import Part, empty
from dashboards.ui.value import said_value

PAGE: Final = Page(
    path="/risk",
    title="Risk",
    grant="findings:read",
    why="Risk says which host, person or vendor to look at first.",
    icon="alert",
    nav=4,
    anew=True,
)
_ROW_PX: Final = 58
_RANKED: Final = (
    "host",
    "user",
    "ip",
    "vendor",
    "customer",
    "document",
    "domain",
    "device",
    "item",
)
_COLUMNS: Final = (
    column("level", "Band", 146, "levelCell"),
    column("title", "Entity", 240, "goCell") | {"flex": 1, "minWidth": 190},
    column("score", "Risk", 84, type="rightAligned"),
    column("change", "In 7 days", 104, type="rightAligned"),
    column("steps", "30 days", 108, "sparkCell", cellDataType=False, sortable=False),
    column("reason", "Mostly for", 300, "textCell") | {"flex": 2, "minWidth": 260},
    column("money", "Money behind it", 150, type="rightAligned"),
)


def layout(view: View) -> Part:
    """Give the fifty entities with most risk, of all kinds or of one."""
    asked = parse_qs(view.search.lstrip("?")).get("kind", [""])[0]
    kind = asked if asked in _RANKED else None
    console = view.console
    found = read.ranking(console.database, view.scope, console.now(), kind)
    return html.Div(
        [
            head(
                "Risk",
                "Which entities to look at first: what is claimed of them, how fresh it is, "
                "what money stands behind it.",
            ),
            html.Div(_figures(found), className="figures four"),
            _kinds(kind),
            _grid(found) if found.rows else _nothing(kind),
            html.P(f"Reckoned for {exact_time(found.at)[:16]} UTC.", className="muted small"),
        ]
    )


def _figures(found: Ranking) -> list[Part]:
    bands = [row.risk.band for row in found.rows]
    rising = sum(row.risk.score > row.before + 1.0 for row in found.rows)
    top = found.rows[0] if found.rows else None
    return [
        figure_card("Critical", count_of(bands.count("critical")), period="80 of 100 and more"),
        figure_card("High", count_of(bands.count("high")), period="50 and more"),
        figure_card("Rising", count_of(rising), period="against a week ago"),
        figure_card(
            "Highest",
            f"{top.risk.score:.0f}" if top else "none",
            trend=[day.score for day in top.days] if top else (),
            period=found.names.get(top.key, top.key.name)[:60] if top else "",
            href=top.key.path if top else "",
        ),
    ]


def _kinds(chosen: str | None) -> Part:
    links = [
        dcc.Link(
            "All" if kind is None else KINDS[kind],
            href="/risk" if kind is None else f"/risk?kind={kind}",
            className="chip" if kind == chosen else "chip soft",
        )
        for kind in (None, *_RANKED)
    ]
    return html.Nav(links, className="chips", **{"aria-label": "Which kind"})


def _grid(found: Ranking) -> Part:
    rows = [_row(row, found) for row in found.rows]
    return html.Section(
        row_grid("risk-grid", "Risk by entity", _COLUMNS, rows, _ROW_PX),
        className="card flush",
        **{"aria-label": "Risk by entity"},
    )


def _row(row: Ranked, found: Ranking) -> dict[str, Any]:
    score, before = round(row.risk.score), round(row.before)
    reasons = [part.title for part in row.risk.parts if part.factor != "value"]
    more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
    return {
        "id": row.key.id,
        "level": row.risk.band if row.risk.band != "none" else "informational",
        "title": found.names.get(row.key, row.key.name),
        "href": row.key.path,
        "under": KINDS.get(row.key.kind, row.key.kind.capitalize()),
        "both": True,
        "score": score,
        "change": f"{score - before:+d}".replace("-", "\u2212") if score != before else "no change",
        "steps": [round(day.score, 1) for day in row.days],
        "reason": f"{reasons[0]}{more}" if reasons else RISK_WORDS["none"],
        "money": said_value(row.value),
    }


def _nothing(kind: str | None) -> Part:
    words = f"No {KINDS[kind].lower()} is claimed of" if kind else "Nothing is claimed of anybody"
    return html.Section(
        empty(
            words,
            "Risk comes from what was claimed in the last thirty days and not judged false.",
            dcc.Link("Look at the findings", href="/findings", className="button"),
        ),
        className="card",
    )


def register(console: Console) -> None:
    """Register nothing: the page only shows, and the kind stands in the URL."""
