"""Show money at risk: the sum by currency, and the list that it is made of."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from dash import dcc, html

from dashboards.read.exposure import Value
from dashboards.read.names import Key
from dashboards.ui.cards import panel
from dashboards.ui.icons import icon
from dashboards.ui.marks import short
from dashboards.ui.panels import money
from dashboards.ui.states import Part

_SHOWN = 6
Row = dict[str, Any]


def said_value(value: Value) -> str:
    """Give the sums in short: '186,400.00 EUR + 900.00 USD'."""
    return " + ".join(money(cents, currency) for currency, cents in value.sums.items())


def value_badge(value: Value) -> Part:
    """Show the sum beside a title; nothing where no money stands behind it."""
    if not value.sums:
        return None
    return html.Span(
        [icon("money"), html.Span("Value at risk"), html.Strong(said_value(value))],
        className="value-badge",
    )


def value_panel(value: Value) -> Part:
    """Show the sum and each thing that it is made of."""
    if not value.sums:
        return None
    rows = [
        html.Li(
            [
                html.Span(
                    [
                        dcc.Link(f"{worth.kind} {short(worth.uid, 40)}", href=worth.key.path),
                        html.Span(short(worth.title, 60), className="muted small"),
                    ],
                    className="two-lines",
                ),
                html.Span(money(worth.amount_cents, worth.currency), className="number"),
            ]
        )
        for worth in value.rows
    ]
    more = html.Details(
        [
            html.Summary(f"{len(rows) - _SHOWN} more"),
            html.Ul(rows[_SHOWN:], className="plain-list"),
        ],
        className="twin",
    )
    return panel(
        "Value at risk",
        html.Div(said_value(value), className="value-sum"),
        html.Ul(rows[:_SHOWN], className="plain-list worth"),
        more if len(rows) > _SHOWN else None,
        said="Open payments, invoices and deals behind these entities.",
    )


def held_panel(held: Sequence[Row]) -> Part:
    """Show the payments that stand still, and where they are released."""
    if not held:
        return None
    rows = [
        html.Li(
            [
                html.Div(
                    [
                        html.Span([icon("hold"), "held"], className="badge high"),
                        html.Strong(
                            money(row["amount_cents"], row["currency"]), className="number"
                        ),
                    ],
                    className="badges",
                ),
                dcc.Link(row["payment_id"], href=Key("document", str(row["payment_id"])).path),
                html.Span(f"to {short(str(row['vendor_name']), 60)}"),
                html.Span(short(str(row["hold_reason"] or ""), 200), className="muted small"),
            ],
            className="stack tight",
        )
        for row in held
    ]
    asked = urlencode(
        {"payment": str(held[0]["payment_id"])} if len(held) == 1 else {"status": "held"}
    )
    look = dcc.Link(
        [icon("payments"), "Look at payments"], href=f"/payments?{asked}", className="button"
    )
    return panel(
        "Held payments",
        html.Ul(rows, className="plain-list incidents-of"),
        html.Div(look, className="actions top-gap"),
        said="They stand still until another person releases them.",
    )
