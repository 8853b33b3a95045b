"""Show facts, histories and boards."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from dash import html

from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, moment
from dashboards.ui.states import Part


def key_values(pairs: Sequence[tuple[str, Part]]) -> Part:
    """Show names and their values; pairs without a value are left out."""
    told: list[Part] = []
    for name, value in pairs:
        if value is not None and value != "":
            told += [html.Dt(name), html.Dd(value)]
    return html.Dl(told, className="facts")


@dataclass(frozen=True, slots=True)
class Moment:
    """Say what happened when; `mark` is an icon, `look` a level or ''."""

    at: datetime
    title: Part
    detail: Part = ""
    mark: str = "clock"
    look: str = ""


def history(label: str, moments: Sequence[Moment], now: datetime) -> Part:
    """Show moments one under the other along a line, in the order given."""
    return html.Ol(
        [
            html.Li(
                [
                    html.Span(icon(m.mark), className="history-mark"),
                    html.Div([html.Div(m.title, className="history-title"), html.Div(m.detail)]),
                    moment(m.at, now),
                ],
                className=m.look,
            )
            for m in moments
        ],
        className="history",
        **{"aria-label": label},
    )


def board(label: str, columns: Sequence[tuple[str, int, Sequence[Part]]]) -> Part:
    """Show columns of cards: (title, how many in all, cards) each."""
    return html.Div(
        [board_column(title, count, cards) for title, count, cards in columns],
        className="board",
        role="group",
        **{"aria-label": label},
    )


def board_column(title: str, count: int, cards: Sequence[Part], name: str = "") -> Part:
    """Show one column of a board; says how many there are beyond those shown."""
    told: dict[str, Any] = {"id": name} if name else {}
    rest = count - len(cards)
    return html.Section(
        [
            html.H2([title, html.Span(count_of(count), className="count")]),
            html.Div(list(cards), className="board-cards"),
            html.P(f"and {count_of(rest)} more", className="muted small") if rest > 0 else None,
        ],
        className="board-column",
        **told,
        **{"aria-label": title},
    )
