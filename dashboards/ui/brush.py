"""Show counts over time from which a stretch can be chosen: by pointer on the bars, or by keys."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import dash_mantine_components as dmc
from dash import html

from dashboards.ui.figures import Bar, histogram
from dashboards.ui.marks import count_of
from dashboards.ui.states import Part

_DAY_S: Final = 86_400


def brush(
    name: str,
    title: str,
    summary: str,
    bars: Sequence[tuple[datetime, int]],
    step_s: int,
    fresh: Part = None,
) -> Part:
    """Give the bars with a slider of two thumbs beneath them, ids `<name>` and `<name>-narrow`.

    The browser turns a drag over the bars into `since` and `until` of the address
    (assets/work.js); the slider and its button do the same for those who use keys.
    """
    told = [Bar(said_step(at, step_s), {"series": count}) for at, count in bars]
    first = int(bars[0][0].timestamp())
    last = said_step(bars[-1][0], step_s)
    chart = histogram(title, summary, told, said_step(bars[0][0], step_s), f"{last} UTC", fresh)
    chart.children.insert(-1, _keys(name, len(bars)))
    return html.Div(
        chart,
        className="brush",
        **{"data-first": str(first), "data-step": str(step_s), "data-count": str(len(bars))},
    )


def _keys(name: str, count: int) -> Part:
    return html.Div(
        [
            dmc.RangeSlider(
                id=name,
                min=0,
                max=count,
                minRange=1,
                value=[0, count],
                label=None,
                size="sm",
                className="brush-slider",
                thumbFromLabel="Begin of the stretch, in bars",
                thumbToLabel="End of the stretch, in bars",
            ),
            html.Button(
                "Narrow to the stretch",
                id=f"{name}-narrow",
                className="act second",
                type="button",
            ),
        ],
        className="brush-keys",
    )


def said_step(at: datetime, step_s: int) -> str:
    """Write the begin of a step as exactly as its length asks for."""
    form = "%Y-%m-%d" if step_s >= _DAY_S else "%Y-%m-%d %H:%M" if step_s >= 60 else "%H:%M:%S"
    return f"{at:{form}}"


def said_count(total: int, what: str) -> str:
    """Say how many there are.

    >>> said_count(1, "event")
    '1 event'
    """
    return f"{count_of(total)} {what}{'' if total == 1 else 's'}"
