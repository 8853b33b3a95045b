"""Draw charts: numbers as data on the page, drawn as SVG by assets/draw.js, a table beside them.

Every chart has a title, a summary of one sentence and a table that says the same. Colours come from
the style sheet, so a change of the theme needs no redrawing. `Series.look` is a level ('critical',
...), 'series', 'accent', or 's0' to 's7' of the neutral row of colours ('' = by its place).

    area_chart("Events", "1,204 events a minute at most.", labels, [Series("wec", values)])
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from dash import html

from dashboards.ui.marks import count_of
from dashboards.ui.states import Part

MOST_POINTS: Final = 400
"""Points of one series; more are not told apart on any screen: thin them out on the server."""
MOST_SERIES: Final = 8


@dataclass(frozen=True, slots=True)
class Series:
    """Name a row of numbers and say how it looks."""

    name: str
    values: Sequence[float]
    look: str = ""


def sparkline(values: Sequence[float], look: str = "accent") -> Part:
    """Draw a trend without axes: decoration beside a number that says it in words."""
    told = [_number(v) for v in values[-MOST_POINTS:]]
    return _drawn("spark", [], [Series("", told, look)], hidden=True)


def area_chart(
    title: str,
    summary: str,
    labels: Sequence[str],
    series: Sequence[Series],
    unit: str = "",
    name: str = "",
    fresh: Part = None,
) -> Part:
    """Draw stacked areas over time; `labels` name the points, `name` is the id of the section."""
    return _chart("area", title, summary, labels, series, unit, name, fresh)


def line_chart(
    title: str,
    summary: str,
    labels: Sequence[str],
    series: Sequence[Series],
    unit: str = "",
    name: str = "",
) -> Part:
    """Draw lines over the same points, for series that are compared and not added."""
    return _chart("line", title, summary, labels, series, unit, name)


def stacked_bars(
    title: str,
    summary: str,
    labels: Sequence[str],
    series: Sequence[Series],
    unit: str = "",
    name: str = "",
) -> Part:
    """Draw a bar a label, its parts on top of each other."""
    return _chart("stack", title, summary, labels, series, unit, name)


def legend(series: Sequence[Series]) -> Part:
    """Name the colours of a chart."""
    return html.Ul(
        [
            html.Li([html.I(className=f"swatch {_look(s, i)}"), s.name])
            for i, s in enumerate(series)
        ],
        className="legend",
        **{"aria-hidden": "true"},
    )


def _chart(
    kind: str,
    title: str,
    summary: str,
    labels: Sequence[str],
    series: Sequence[Series],
    unit: str,
    name: str,
    fresh: Part = None,
) -> Part:
    labels, series = list(labels)[-MOST_POINTS:], list(series)[:MOST_SERIES]
    told: dict[str, Any] = {"id": name} if name else {}
    return html.Section(
        [
            html.Div(
                [
                    html.Div([html.H2(title), html.P(summary, className="muted small")]),
                    html.Div(fresh, className="actions") if fresh else None,
                ],
                className="card-head",
            ),
            legend(series) if len(series) > 1 else None,
            _drawn(kind, labels, series, unit, f"{title}. {summary}"),
            table_twin(labels, series),
        ],
        className="card chart",
        **told,
        **{"aria-label": title},
    )


def _drawn(
    kind: str,
    labels: Sequence[str],
    series: Sequence[Series],
    unit: str = "",
    label: str = "",
    hidden: bool = False,
) -> Part:
    data = {
        "kind": kind,
        "labels": list(labels),
        "unit": unit,
        "series": [
            {
                "name": s.name,
                "look": _look(s, i),
                "values": [_number(v) for v in s.values[-MOST_POINTS:]],
            }
            for i, s in enumerate(series)
        ],
    }
    told = {"aria-hidden": "true"} if hidden else {"role": "img", "aria-label": label}
    text = json.dumps(data, separators=(",", ":"))
    return html.Div(className=f"drawn {kind}", **{"data-chart": text}, **told)


def _look(series: Series, place: int) -> str:
    return series.look or f"s{place % MOST_SERIES}"


def _number(value: float) -> float:
    return int(value) if float(value).is_integer() else round(float(value), 3)


def table_twin(labels: Sequence[str], series: Sequence[Series], first: str = "Time") -> Part:
    """Say the numbers as a table, folded away; points that are 0 in every row are left out."""
    kept = [i for i in range(len(labels)) if any(i < len(s.values) and s.values[i] for s in series)]
    head = [html.Th(first, scope="col")]
    head += [html.Th(s.name or "Count", scope="col", className="number") for s in series]
    rows = [
        html.Tr([html.Th(labels[i], scope="row"), *[_cell(s, i) for s in series]]) for i in kept
    ]
    return html.Details(
        [
            html.Summary("Show as table"),
            html.Div(
                html.Table([html.Thead(html.Tr(head)), html.Tbody(rows)], className="table"),
                className="scroll",
                tabIndex=0,
                role="region",
                **{"aria-label": "The chart's numbers as a table"},
            ),
        ],
        className="twin",
    )


def _cell(series: Series, place: int) -> Part:
    value = series.values[place] if place < len(series.values) else 0
    said = count_of(int(value)) if float(value).is_integer() else f"{value:,.1f}"
    return html.Td(said, className="number")
