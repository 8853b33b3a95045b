"""List every rule: what it looks for, how loud it is, how often it was right."""

from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import rules as read
from dashboards.read.rules import Listed
from dashboards.ui.cards import figure_card
from dashboards.ui.grid import column, row_grid
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of
from dashboards.ui.panels import head
from dashboards.ui.states import Part
from storage.rule_costs import RuleCosts, kept
from storage.tenant import Scope

PAGE: Final = Page(
    path="/rules",
    title="Rules",
    grant="findings:read",
    why="Rules say what the house looks for.",
    icon="rules",
    nav=1,
    group="Detection",
    anew=True,
)
KINDS: Final = {
    "rule": "Rule",
    "correlation": "Correlation",
    "filter": "Filter",
    "values": "Values",
    "model": "Detector",
}
_ROW_PX: Final = 58
_MOST: Final = 400
"""Rows sent at once: some thousand rules would weigh more than a page may."""
_LONGEST_REASON: Final = 160
_COLUMNS: Final = (
    column("level", "Level", 146, "levelCell"),
    column("title", "Rule", 260, "goCell") | {"flex": 1, "minWidth": 200},
    column("day", "24 h", 72, type="rightAligned"),
    column("week", "7 days", 84, type="rightAligned"),
    column("steps", "Trend", 108, "sparkCell", cellDataType=False, sortable=False),
    column("precision", "Right", 116, "shareCell", cellDataType=False, sortable=False),
    column("cost", "Cost, µs", 104, type="rightAligned"),
    column("last_time", "Last claim", 116, "dayCell"),
    column("state", "State", 124, "pillCell", cellDataType=False, sortable=False),
)


def layout(view: View) -> Part:
    """Give the rules, the loudest first: all, or those that `show` and `q` of the URL ask for."""
    asked = parse_qs(view.search.lstrip("?"))
    show, words = (asked.get(name, [""])[0][:100] for name in ("show", "q"))
    show = show if show in _SHOWN else ""
    found = read.listed(view.console.database, view.console.settings, view.scope)
    costs = kept(view.console.settings.data_dir)
    rows, said = _narrowed(found, show, words, costs)
    return html.Div(
        [
            head(
                "Rules", "What the house looks for, how loud each rule is, how often it was right."
            ),
            html.Div(_figures(found), className="figures four"),
            html.Div([_kinds(found, show), _find(words)], className="controls"),
            html.Section(
                row_grid("rules-grid", "Rules", _COLUMNS, rows, _ROW_PX),
                className="card flush",
                **{"aria-label": "All rules"},
            ),
            html.P(said, id="rules-said", className="muted small", **{"aria-live": "polite"}),
            html.P(costs.said(), className="muted small"),
            dcc.Store(id="rules-show", data=show),
        ]
    )


def _is_stopped(found: Listed) -> bool:
    return bool(found.rule.problem)


_SHOWN: Final[Mapping[str, tuple[str, Callable[[Listed], bool]]]] = {
    "": ("All", lambda _: True),
    "stopped": ("Cannot run", _is_stopped),
    "resting": ("Rests", lambda found: not found.rule.enabled),
    "capped": ("Capped", lambda found: bool(found.figures.capped)),
    "own": ("Your own", lambda found: found.rule.owner == "tenant"),
    "silent": ("Never hit", lambda found: not found.figures.claims),
}


def _narrowed(
    found: list[Listed], show: str, words: str, costs: RuleCosts
) -> tuple[list[dict[str, Any]], str]:
    """Give the rows of the rules that are asked for, the first of them, and say how many."""
    wanted = words.lower().split()
    fitting = [f for f in found if _SHOWN[show][1](f) and all(word in _named(f) for word in wanted)]
    shown = count_of(min(len(fitting), _MOST))
    said = f"{shown} of {count_of(len(fitting))} rules, the loudest first. Find the others by name."
    return [_row(f, costs) for f in fitting[:_MOST]], said if len(fitting) > _MOST else ""


def _named(found: Listed) -> str:
    rule = found.rule
    return " ".join([rule.title, rule.rule_id, rule.name, rule.area, *rule.attack]).lower()


def _kinds(found: list[Listed], chosen: str) -> Part:
    counts = {show: sum(map(is_so, found)) for show, (_, is_so) in _SHOWN.items()}
    links = [
        dcc.Link(
            f"{word} {count_of(counts[show])}",
            href=f"/rules?show={show}" if show else "/rules",
            className="chip" if show == chosen else "chip soft",
        )
        for show, (word, _) in _SHOWN.items()
        if counts[show] or show in {"", "stopped", chosen}
    ]
    return html.Nav(links, className="chips", **{"aria-label": "Which rules"})


def _find(words: str) -> Part:
    return dmc.TextInput(
        id="rules-find",
        value=words,
        placeholder="Find by name, technique or id",
        debounce=400,
        className="control wide",
        leftSection=icon("search"),
        **{"aria-label": "Find rules"},
    )


def _figures(found: list[Listed]) -> list[Part]:
    kinds = [f.rule.kind for f in found]
    loud = [f for f in found if f.figures.week]
    right = sum(f.figures.right for f in found)
    judged = sum(f.figures.judged for f in found)
    trend = [sum(f.figures.steps[i] for f in found) for i in range(read.STEPS)]
    own = sum(f.rule.owner == "tenant" for f in found)
    stopped = sum(map(_is_stopped, found))
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
            "Cannot run",
            count_of(stopped) if stopped else "none",
            period="each says why" if stopped else "every rule runs or rests",
            look="high" if stopped else "",
            href="/rules?show=stopped" if stopped else "",
        ),
    ]


def _row(found: Listed, costs: RuleCosts) -> dict[str, Any]:
    rule, figures = found.rule, found.figures
    return {
        "id": rule.rule_id,
        "level": rule.level,
        "title": rule.title or rule.rule_id,
        "href": f"/rule/{rule.rule_id}",
        "under": rule.problem[:_LONGEST_REASON] or " · ".join([KINDS[rule.kind], *rule.attack[:3]]),
        "both": True,
        "day": figures.day,
        "week": figures.week,
        "steps": list(figures.steps),
        "precision": share(found),
        "cost": costs.cpu_us.get(rule.rule_id.lower()),
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
    """Register the search; sorting happens in the grid."""

    def find(scope: Scope, words: Any, show: Any) -> tuple[Any, ...]:  # noqa: ANN401  Dash's own values
        found = read.listed(console.database, console.settings, scope)
        costs = kept(console.settings.data_dir)
        return _narrowed(found, show if show in _SHOWN else "", str(words or "")[:100], costs)

    console.scoped_callback(
        Output("rules-grid", "rowData"),
        Output("rules-said", "children"),
        Input("rules-find", "value"),
        State("rules-show", "data"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(find)
