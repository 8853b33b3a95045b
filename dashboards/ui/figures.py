"""Show key figures, and counts over time as bars that are links: no script, no canvas."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from dash import dcc, html

from dashboards.ui.icons import icon
from dashboards.ui.marks import LEVELS, count_of
from dashboards.ui.states import Part

_MOST_BARS: Final = 200


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its parts by level, what it is called, and where a click leads ('' nowhere)."""

    label: str
    parts: dict[str, int]
    href: str = ""

    @property
    def total(self) -> int:
        """Give its height."""
        return sum(self.parts.values())


def figure(
    label: str, value: str, note: str, trend: Sequence[int] = (), level: str = "", href: str = ""
) -> Part:
    """Show one number with its name, what it is of, and how it went."""
    name = html.Span([icon(level) if level else None, label], className="figure-name")
    inner = [
        name,
        html.Span(value, className="figure-value"),
        html.Span(note, className="figure-note"),
        _spark(trend) if len(trend) > 1 else None,
    ]
    look = f"card figure {level}"
    return dcc.Link(inner, href=href, className=look) if href else html.Div(inner, className=look)


def _spark(trend: Sequence[int]) -> Part:
    top = max(*trend, 1)
    return html.Span(
        [html.I(style={"height": f"{max(100 * n / top, 4 if n else 1):.0f}%"}) for n in trend],
        className="spark",
        **{"aria-hidden": "true"},
    )


def histogram(
    title: str, summary: str, bars: Sequence[Bar], first: str, last: str, fresh: Part = None
) -> Part:
    """Show counts over time, stacked by level, with a sentence and a table saying the same."""
    shown = bars[:_MOST_BARS]
    top = max((bar.total for bar in shown), default=0) or 1
    return html.Section(
        [
            html.Div(
                [
                    html.Div([html.H2(title), html.P(summary, className="muted small")]),
                    html.Div(fresh, className="actions") if fresh else None,
                ],
                className="card-head",
            ),
            html.Div(
                [_bar(bar, top) for bar in shown],
                className="bars",
                role="group",
                **{"aria-label": f"{title}. {summary}"},
            ),
            html.Div([html.Span(first), html.Span(last)], className="bars-axis"),
            _twin(shown),
        ],
        className="card chart",
        **{"aria-label": title},
    )


def _bar(bar: Bar, top: int) -> Part:
    parts = [
        html.Span(
            className=f"part {level}", style={"height": f"{100 * bar.parts[level] / top:.2f}%"}
        )
        for level in (*LEVELS, "series")
        if bar.parts.get(level)
    ]
    told: dict[str, Any] = {"title": f"{bar.label}: {count_of(bar.total)}", "className": "bar"}
    if not bar.href or not bar.total:
        return html.Span(parts, **told)
    words = html.Span(f"{bar.label}: {count_of(bar.total)}", className="unseen")
    return dcc.Link([words, *parts], href=bar.href, **told)


def _twin(bars: Sequence[Bar]) -> Part:
    rows = [
        html.Tr([html.Td(bar.label), html.Td(count_of(bar.total), className="number")])
        for bar in bars
        if bar.total
    ]
    head = html.Thead(html.Tr([html.Th("Time", scope="col"), html.Th("Count", scope="col")]))
    return html.Details(
        [
            html.Summary("Show as table"),
            html.Div(
                html.Table([head, html.Tbody(rows)], className="table"),
                className="scroll",
                tabIndex=0,
                role="region",
                **{"aria-label": "Counts as a table"},
            ),
        ],
        className="twin",
    )
