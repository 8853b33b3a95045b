"""List every rule: what it looks for, how loud it is, how often it was right."""

from typing import Any, Final

from dash import html

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import rules as read
from dashboards.read.rules import Listed
from dashboards.ui.cards import figure_card
from dashboards.ui.grid import column, row_grid
from dashboards.ui.marks import count_of
from dashboards.ui.panels import head
from dashboards.ui.states import Part

PAGE: Final = Page(
    path="/rules",
    title="Rules",
    grant="findings:read",
    why="Rules say what the house looks for.",
    icon="rules",
    nav=1,
    group="Detection",
)
KINDS: Final = {"rule": "Rule", "correlation": "Correlation", "model": "Detector"}
_ROW_PX: Final = 58
_COLUMNS: Final = (
    column("level", "Level", 146, "levelCell"),
    column("title", "Rule", 260, "goCell") | {"flex": 1, "minWidth": 200},
    column("day", "24 h", 72, type="rightAligned"),
    column("week", "7 days", 84, type="rightAligned"),
    column("steps", "Trend", 108, "sparkCell", cellDataType=False, sortable=False),
    column("precision", "Right", 116, "shareCell", cellDataType=False, sortable=False),
    column("last_time", "Last claim", 116, "dayCell"),
    column("state", "State", 92, "pillCell", cellDataType=False, sortable=False),
)


def layout(view: View) -> Part:
    """Give all rules, the loudest first."""
    found = read.listed(view.console.database, view.console.settings, view.scope)
    return html.Div(
        [
            head(
                "Rules", "What the house looks for, how loud each rule is, how often it was right."
            ),
            html.Div(_figures(found), className="figures four"),
            html.Section(
                row_grid("rules-grid", "Rules", _COLUMNS, [_row(f) for f in found], _ROW_PX),
                className="card flush",
                **{"aria-label": "All rules"},
            ),
        ]
    )


def _figures(found: list[Listed]) -> list[Part]:
    kinds = [f.rule.kind for f in found]
    loud = [f for f in found if f.figures.week]
    right = sum(f.figures.right for f in found)
    judged = sum(f.figures.judged for f in found)
    trend = [sum(f.figures.steps[i] for f in found) for i in range(read.STEPS)]
    own = sum(f.rule.owner == "tenant" for f in found)
    told = [f"{kinds.count('correlation')} correlations", f"{kinds.count('model')} detectors"]
    return [
        figure_card("Rules", count_of(len(found)), period=", ".join([*told, f"{own} of your own"])),
        figure_card(
            "Claims in 7 days",
            count_of(sum(f.figures.week for f in found)),
            period=f"by {count_of(len(loud))} rules",
            trend=trend,
        ),
        figure_card(
            "Right",
            f"{100 * right / judged:.0f} %" if judged else "none yet",
            period=f"of {count_of(judged)} judged incidents, per rule" if judged else "",
        ),
        figure_card(
            "Never hit",
            count_of(sum(not f.figures.claims for f in found)),
            period="since the start",
        ),
    ]


def _row(found: Listed) -> dict[str, Any]:
    rule, figures = found.rule, found.figures
    return {
        "id": rule.rule_id,
        "level": rule.level,
        "title": rule.title or rule.rule_id,
        "href": f"/rule/{rule.rule_id}",
        "under": " · ".join([KINDS[rule.kind], *rule.attack[:3]]),
        "both": True,
        "day": figures.day,
        "week": figures.week,
        "steps": list(figures.steps),
        "precision": share(found),
        "last_time": figures.last_time.isoformat() if figures.last_time else None,
        "state": state(found),
    }


def share(found: Listed) -> dict[str, Any]:
    """Give how often the rule was right, for a cell."""
    figures = found.figures
    if figures.precision is None:
        return {"share": None, "words": "no verdict"}
    return {
        "share": round(figures.precision, 3),
        "words": f"{100 * figures.precision:.0f} % of {figures.judged}",
    }


def state(found: Listed) -> dict[str, str]:
    """Say whether the rule runs, for a cell."""
    if found.rule.problem:
        return {"words": "Cannot run", "look": "high", "icon": "alert"}
    if not found.rule.enabled:
        return {"words": "Rests", "look": "medium"}
    if found.figures.capped:
        return {"words": "Capped", "look": "medium"}
    return {"words": "Runs", "look": "good"}


def register(console: Console) -> None:
    """Register nothing: sorting happens in the grid."""
