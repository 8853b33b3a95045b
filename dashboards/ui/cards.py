"""Show key figures and panels, each saying of when it is.

figure_card("Open incidents", "12", delta=delta_of(12, 9, better="down"),
            trend=[3, 5, 12], period="last 7 days", href="/incidents")
panel("Newest findings", rows, newest=newest, now=console.now(), stale_s=120)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from dash import dcc, html

from dashboards.ui.charts import sparkline
from dashboards.ui.icons import icon
from dashboards.ui.marks import exact_time
from dashboards.ui.states import Part

Better = Literal["up", "down", ""]


@dataclass(frozen=True, slots=True)
class Delta:
    """Say how a figure moved: words with sign, direction (up, down, flat) and if that is good."""

    words: str
    direction: Literal["up", "down", "flat"]
    look: Literal["good", "bad", "plain"] = "plain"


def delta_of(value: float, before: float, better: Better = "") -> Delta:
    """Compare with the period before; `better` says which way is good ('' neither).

    >>> delta_of(12, 10, "down").words
    '+20 % more'
    >>> delta_of(0, 0).words
    'no change'
    """
    if value == before:
        return Delta("no change", "flat")
    if before and abs(value - before) / abs(before) < 0.005:
        return Delta("about the same", "flat")
    direction: Literal["up", "down"] = "up" if value > before else "down"
    word = "more" if direction == "up" else "less"
    if before and abs(value - before) / abs(before) < 10:
        words = f"{100 * (value - before) / abs(before):+.0f} % {word}"
    else:
        words = f"{value - before:+,.0f} {word}"
    look: Literal["good", "bad", "plain"] = "plain"
    if better:
        look = "good" if better == direction else "bad"
    return Delta(words.replace("-", "\u2212"), direction, look)


def figure_card(
    label: str,
    value: str,
    *,
    delta: Delta | None = None,
    trend: Sequence[float] = (),
    period: str = "",
    href: str = "",
    look: str = "",
    mark: str = "",
    hint: str = "",
) -> Part:
    """Show one number: name, value, how it moved (sign, arrow, word), trend, of which period.

    `look`: a level or '' for the accent; `mark`: an icon's name; `hint`: why there is no trend yet.
    """
    moved = None
    if delta is not None:
        moved = html.Span([icon(delta.direction), delta.words], className=f"delta {delta.look}")
    inner = [
        html.Span([icon(mark) if mark else None, label], className="figure-name"),
        html.Span(value, className="figure-value"),
        html.Span(
            [moved, html.Span(period, className="figure-note") if period else None],
            className="figure-foot",
        ),
        sparkline(trend, look or "accent")
        if len(trend) > 1
        else html.Span(hint, className="figure-hint")
        if hint
        else None,
    ]
    classes = f"card figure key {look}" + ("" if len(trend) > 1 or hint else " bare")
    return (
        dcc.Link(inner, href=href, className=classes)
        if href
        else html.Div(inner, className=classes)
    )


def freshness(newest: datetime | None, now: datetime, stale_s: float) -> Part:
    """Tell the age of the newest event; amber with a word when it is older than `stale_s`.

    `stale_s`: twice the age that is expected. The browser lets the age grow (assets/fresh.js).
    """
    if newest is None:
        return html.Span([icon("clock"), "no data yet"], className="fresh none")
    age_s = max(0.0, (now - newest).total_seconds())
    is_stale = age_s > stale_s
    said = f"stale: {_age(age_s)} old" if is_stale else f"{_age(age_s)} old"
    look = "fresh stale" if is_stale else "fresh"
    return html.Span(
        [icon("alert" if is_stale else "clock"), html.Span(said)],
        className=look,
        title=f"Newest: {exact_time(newest)}",
        **{"data-newest": newest.isoformat(), "data-late-s": f"{stale_s:g}"},
    )


def behind_clock(lag: timedelta) -> str:
    """Say calmly that events are older than their arrival.

    >>> behind_clock(timedelta(hours=47))
    'Events are 47 h behind the clock'
    """
    return f"Events are {_age(lag.total_seconds())} behind the clock"


def _age(age_s: float) -> str:
    if age_s < 60:
        return f"{age_s:.0f} s"
    if age_s < 3600:
        return f"{age_s // 60:.0f} min"
    return f"{age_s // 3600:.0f} h" if age_s < 48 * 3600 else f"{age_s // 86_400:.0f} days"


def panel(
    title: str,
    *inside: Part,
    said: str = "",
    fresh: Part = None,
    actions: Sequence[Part] = (),
    name: str = "",
    is_flush: bool = False,
) -> Part:
    """Frame a part of a page: title, one sentence, freshness badge, actions, what it shows."""
    told: dict[str, Any] = {"id": name} if name else {}
    head = html.Div(
        [
            html.Div([html.H2(title), html.P(said, className="muted small") if said else None]),
            html.Div([fresh, *actions], className="actions") if fresh or actions else None,
        ],
        className="card-head",
    )
    look = "card panel flush" if is_flush else "card panel"
    return html.Section([head, *inside], className=look, **told, **{"aria-label": title})
