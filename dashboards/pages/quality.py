"""Show how good each detector is: volume, precision, false alarms asked and made, drift."""

from typing import Any, Final

from dash import dcc, html

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import quality as read
from dashboards.read.quality import ASKED_OF_ALL, Quality
from dashboards.ui.cards import figure_card
from dashboards.ui.charts import Series, stacked_bars
from dashboards.ui.grid import column, row_grid
from dashboards.ui.marks import count_of
from dashboards.ui.panels import head
from dashboards.ui.states import Part

PAGE: Final = Page(
    path="/quality",
    title="Quality",
    grant="findings:read",
    why="Quality says which detectors can be trusted.",
    icon="rules",
    nav=4,
    group="Detection",
)
_ROW_PX: Final = 58
_CHARTED: Final = 6
_COLUMNS: Final = (
    column("title", "Detector", 250, "goCell") | {"flex": 1, "minWidth": 200},
    column("findings", "Findings", 100, type="rightAligned"),
    column("signals", "Signals", 96, type="rightAligned"),
    column("steps", "28 days", 108, "sparkCell", cellDataType=False, sortable=False),
    column("precision", "Right", 130, "shareCell", cellDataType=False, sortable=False),
    column("range", "95 % interval", 120),
    column("realised", "False a day", 112, type="rightAligned"),
    column("asked", "Asked", 90, type="rightAligned"),
    column("drift", "Volume", 112, "pillCell", cellDataType=False, sortable=False),
)


def layout(view: View) -> Part:
    """Give a line a detector."""
    console = view.console
    found = read.qualities(console.database, view.scope, console.now())
    rows = [_row(q) for q in found]
    return html.Div(
        [
            head(
                "Quality",
                "How loud each detector is, how often people found it right, and whether it keeps "
                "to the false alarms it was asked for.",
                dcc.Link("Rule by rule", href="/rules", className="button second"),
            ),
            html.Div(_figures(found), className="figures four"),
            _chart(found),
            html.Section(
                row_grid("quality-grid", "Quality", _COLUMNS, rows, _ROW_PX),
                className="card flush",
                **{"aria-label": "Quality by detector"},
            ),
            html.P(_HOW, className="muted small"),
        ]
    )


_HOW: Final = (
    "False a day: findings a day for 1,000 hosts and people, times the share of verdicts that say "
    "false positive or benign; before any verdict all findings count. Volume rises or falls when "
    "the last week would be a chance of less than 1 % at the rate of the three weeks before."
)


def _figures(found: list[Quality]) -> list[Part]:
    findings = sum(q.findings for q in found)
    right, judged = sum(q.right for q in found), sum(q.judged for q in found)
    known = [q.realised for q in found if q.realised is not None]
    false = sum(known) if known else None
    moved = [q for q in found if q.drift]
    trend = [sum(q.by_day[n] for q in found) for n in range(read.DAYS)]
    entities = found[0].entities if found else 0
    return [
        figure_card("Findings", count_of(findings), trend=trend, period=f"in {read.DAYS} days"),
        figure_card(
            "Right",
            f"{100 * right / judged:.0f} %" if judged else "none yet",
            period=f"of {count_of(judged)} verdicts, per detector" if judged else "no verdict",
        ),
        figure_card(
            "False a day",
            f"{false:.1f}" if false is not None else "unknown",
            period=f"per 1,000 of {count_of(entities)} entities; asked {ASKED_OF_ALL:.0f}",
            look="high" if false is not None and false > ASKED_OF_ALL else "",
        ),
        figure_card("Drifting", count_of(len(moved)), period="volume rises or falls"),
    ]


def _chart(found: list[Quality]) -> Part:
    loud = [q for q in found if q.findings][:_CHARTED]
    labels = [
        f"{read.DAYS - 1 - n} days ago" if n < read.DAYS - 1 else "last 24 h"
        for n in range(read.DAYS)
    ]
    total = sum(q.findings for q in loud)
    summary = f"{count_of(total)} findings of the {len(loud)} loudest detectors."
    series = [Series(q.title, q.by_day) for q in loud]
    return stacked_bars("Findings by day", summary, labels, series, name="quality-chart")


def address_of(detector: str) -> str:
    """Give the page that tells what it claims: those that run rules have a page each."""
    return "/rules" if detector in {"sigma", "correlation"} else f"/rule/{detector}"


def _row(found: Quality) -> dict[str, Any]:
    told = found.precision
    looks = {"rises": ("Rises", "medium"), "falls": ("Falls", "medium"), "": ("Steady", "good")}
    words, look = looks[found.drift]
    is_over = found.asked is not None and (found.realised or 0.0) > found.asked
    return {
        "id": found.name,
        "title": found.title,
        "href": address_of(found.name),
        "under": f"over what was asked · {found.name}" if is_over else found.name,
        "both": True,
        "findings": found.findings,
        "signals": found.signals,
        "steps": list(found.by_day),
        "precision": {
            "share": round(told[0], 3) if told else None,
            "words": f"{100 * told[0]:.0f} % of {found.judged}" if told else "no verdict",
        },
        "range": f"{100 * told[1]:.0f} to {100 * told[2]:.0f} %" if told else "",
        "realised": "" if found.realised is None else f"{found.realised:.2f}",
        "asked": "" if found.asked is None else f"{found.asked:g}",
        "drift": {"words": words, "look": look},
    }


def register(console: Console) -> None:
    """Register nothing: sorting happens in the grid."""
