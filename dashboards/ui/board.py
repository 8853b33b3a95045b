"""Show cards in columns; a card moves by its buttons, by its keys, or by dragging."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from dash import dcc, html

from dashboards.read.incidents import Column
from dashboards.ui.events import counted, entity_chips
from dashboards.ui.icons import icon
from dashboards.ui.marks import STATUS, count_of, level_badge, moment, verdict_badge
from dashboards.ui.states import Part
from dashboards.ui.value import said_value

_MOVES: Final[Mapping[str, Sequence[tuple[str, str]]]] = {
    "open": (("in_progress", "Start"), ("closed", "Close")),
    "in_progress": (("open", "Put back"), ("closed", "Close")),
    "closed": (("in_progress", "Reopen"),),
}
Row = Mapping[str, Any]


def board(
    columns: Sequence[Column], now: datetime, may_move: bool, more: Mapping[str, str]
) -> Part:
    """Show the columns; `more`: status -> address of the whole column as a list.

    A move is left in the store `incidents-act` by assets/investigate.js: id, version, status.
    """
    return html.Div(
        [_column(c, now, may_move, more.get(c.status, "")) for c in columns], className="kanban"
    )


def _column(column: Column, now: datetime, may_move: bool, more: str) -> Part:
    cards: Part = html.Ul([_card(c, now, may_move) for c in column.cards], className="kanban-cards")
    if not column.cards:
        cards = html.P(_NOTHING[column.status], className="muted kanban-none")
    rest = column.total - len(column.cards)
    return html.Section(
        [
            html.Div(
                [
                    html.H2([icon(f"status-{column.status}"), STATUS[column.status]]),
                    html.Span(count_of(column.total), className="kanban-count"),
                ],
                className="kanban-head",
            ),
            cards,
            dcc.Link(f"{count_of(rest)} more in the list", href=more, className="small")
            if rest > 0
            else None,
        ],
        className=f"kanban-column {column.status}",
        **{"aria-label": STATUS[column.status], "data-drop": column.status},
    )


_NOTHING: Final = {
    "open": "Nothing waits. New incidents open by themselves.",
    "in_progress": "Nobody works on one now.",
    "closed": "None closed yet.",
}


def _card(card: Row, now: datetime, may_move: bool) -> Part:
    name = str(card["incident_id"])
    told: dict[str, Any] = {"data-card": name, "data-version": str(card["version"])}
    if may_move:
        told["draggable"] = "true"
    value = said_value(card["value"]) if card.get("value") else ""
    return html.Li(
        [
            html.Div(
                [
                    level_badge(card["level"]),
                    verdict_badge(card["verdict"]) if card["verdict"] else None,
                    html.Span(
                        [icon("money"), value], className="kanban-value", title="Value at risk"
                    )
                    if value
                    else None,
                ],
                className="badges",
            ),
            dcc.Link(card["title"], href=f"/incident/{name}", className="kanban-title"),
            entity_chips(card.get("keys") or [], 3),
            html.Div(
                [
                    html.Span(
                        [icon("clock"), moment(card["last_time"], now)], className="kanban-fact"
                    ),
                    html.Span(_count(card), className="kanban-fact"),
                    html.Span(
                        [icon("user"), card["assignee"] or "nobody"], className="kanban-fact"
                    ),
                ],
                className="kanban-facts",
            ),
            _moves(card) if may_move else None,
        ],
        className=f"kanban-card {card['level']}",
        **told,
    )


def _count(card: Row) -> str:
    signals = int(card.get("signal_count") or 0)
    said = counted(int(card["finding_count"]) - signals, "finding")
    return f"{said}, {counted(signals, 'signal')}" if signals else said


def _moves(card: Row) -> Part:
    buttons = [
        html.Button(
            words,
            type="button",
            className="card-act",
            **{"data-move": status, "aria-label": f"{words}: {card['title']}"},
        )
        for status, words in _MOVES.get(card["status"], ())
    ]
    if not card["assignee"]:
        buttons.append(
            html.Button(
                "Take it",
                type="button",
                className="card-act",
                **{"data-move": "mine", "aria-label": f"Take it: {card['title']}"},
            )
        )
    return html.Div(buttons, className="card-acts")
