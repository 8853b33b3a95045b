"""Show a risk: its band, what makes it, how it came to be."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from dash import dcc, html

from business import risk
from dashboards.ui.cards import panel
from dashboards.ui.charts import Series, line_chart
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, level_badge, moment
from dashboards.ui.panels import table
from dashboards.ui.states import Part

RISK_WORDS: Final[Mapping[str, str]] = {
    "critical": "critical",
    "high": "high",
    "medium": "medium",
    "low": "low",
    "none": "nothing claimed",
}
_FACTORS: Final[Mapping[str, str]] = {
    "finding": "",
    "signal": "signal",
    "vulnerability": "vulnerability",
    "exposure": "exposure",
    "value": "money",
}
_MOST_PARTS: Final = 12


def risk_history(days: Sequence[risk.Day]) -> Part:
    """Draw the score of each day."""
    first, last = days[0].score, days[-1].score
    top = max(day.score for day in days)
    summary = f"From {first:.0f} to {last:.0f} of 100 in {len(days)} days, at most {top:.0f}."
    labels = [f"{day.at:%d %b}" for day in days]
    scores = [round(day.score, 1) for day in days]
    return line_chart(
        "Risk history", summary, labels, [Series("Risk", scores, "accent")], name="entity-history"
    )


def risk_parts(told: risk.Risk, now: datetime) -> Part:
    """List what makes the score, the gravest first; the shares add up to it."""
    if not told.parts:
        return None
    rows = [_row(part, told.score, now) for part in told.parts[:_MOST_PARTS]]
    rest = told.parts[_MOST_PARTS:]
    more = f" {len(rest)} more add {sum(p.share for p in rest):.1f}." if rest else ""
    words = " ".join(f"{level} {weight}," for level, weight in risk.WEIGHTS.items()).rstrip(",")
    said = (
        f"Risk {told.score:.0f} of 100. A fresh claim has points: {words}; half where it only "
        f"touches the entity; it halves in {risk.HALF_LIFE_DAYS} days; one rule counts at most "
        f"{risk.MOST_OF_RULE:.0f} times.{more}"
    )
    heads = ("Level", "What", "Claims", "Points", "Adds", "Latest")
    shown = table("What makes the risk", heads, rows, numbers=(2, 3, 4), look="share-table")
    return panel("What makes the risk", shown, said=said)


def _row(part: risk.Part, score: float, now: datetime) -> Sequence[Part]:
    bar = html.Span(
        html.I(style={"width": f"{100 * part.share / max(score, 1e-9):.0f}%"}),
        className="share-bar",
        **{"aria-hidden": "true"},
    )
    title = dcc.Link(part.title, href=f"/rule/{part.rule_id}") if part.rule_id else part.title
    word = _FACTORS[part.factor]
    return [
        level_badge(part.level) if part.level else icon("money"),
        html.Span([title, html.Span(f" {word}", className="muted small") if word else None]),
        count_of(part.claims) if part.claims else "",
        f"{part.points:.1f}",
        html.Span([bar, f"{part.share:.1f}"], className="share"),
        moment(part.last_time, now) if part.last_time else "",
    ]
