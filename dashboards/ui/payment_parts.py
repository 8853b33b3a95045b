"""Show a payment: where it stands, why it stands still, step by step, and what can be done."""

from datetime import datetime
from typing import Any, Final

import dash_mantine_components as dmc
from dash import dcc, html

from dashboards.read.finding import Step
from dashboards.read.names import key_of
from dashboards.read.payments import STATUS, Held, PaymentFilter
from dashboards.read.vendors import VendorFilter
from dashboards.ui.cards import panel
from dashboards.ui.icons import icon
from dashboards.ui.lists import key_values
from dashboards.ui.marks import exact_time, level_badge, moment, mono, short
from dashboards.ui.panels import money, pill
from dashboards.ui.states import Part
from dashboards.ui.story import story
from dashboards.ui.timeline import LANE_ICONS
from storage.tenant import Scope

RELEASE: Final = "payments:release"
_LOOKS: Final = {"held": "critical", "proposed": "plain", "approved": "low", "paid": "good"}
_MARKS: Final = {"held": "hold", "paid": "check"}
_MOST_STEPS: Final = 6
Row = dict[str, Any]


def status_pill(status: str) -> Part:
    """Show where a payment stands, by word, colour and icon."""
    known = STATUS.get(status, status)
    return pill(known, _LOOKS.get(status, "plain"), _MARKS.get(status, ""))


def hold_card(held: Held, now: datetime) -> Part:
    """Show a held payment in short: how much to whom, since when, what led to it."""
    payment = held.payment
    path = PaymentFilter(payment=str(payment["payment_id"])).search()
    return html.Article(
        [
            html.Div(
                [
                    status_pill("held"),
                    html.Span(money(int(payment["amount_cents"]), str(payment["currency"]))),
                ],
                className="hold-top",
            ),
            html.H3(
                dcc.Link(
                    f"{short(str(payment['vendor_name']), 60)}",
                    href=key_of("vendor", str(payment["vendor_id"])).path,
                )
            ),
            html.P(_why(payment), className="hold-why"),
            _chain(held.steps),
            html.P(_people(payment), className="muted small"),
            html.Div(
                [
                    dcc.Link("Look and decide", href=f"/payments{path}", className="button"),
                    _incident(held),
                    html.Span(moment(payment["held_at"], now), className="muted small")
                    if payment.get("held_at")
                    else None,
                ],
                className="actions",
            ),
        ],
        className="card hold",
    )


def _why(payment: Row) -> str:
    return str(payment.get("hold_title") or "Held by a person of the company")


def _people(payment: Row) -> str:
    made = f"Proposed by {payment['created_by']}"
    approved = payment["approved_by"]
    return f"{made}, approved by {approved}." if approved else f"{made}, not approved yet."


def _incident(held: Held) -> Part:
    if held.incident is None:
        return None
    path = f"/incident/{held.incident['incident_id']}"
    return dcc.Link([icon("incidents"), "Incident"], href=path, className="button second")


def _chain(steps: list[Step] | None) -> Part:
    """Tell what led to the hold in one line a step; the correlation itself is the heading."""
    if steps is None:
        return html.P("Your role does not show findings.", className="muted small")
    parts = [s for s in steps if s.claim["detector"] != "correlation"] or steps
    if not parts:
        return None
    rows = [
        html.Li(
            [
                html.Span(icon(LANE_ICONS[s.lane]), className="chain-mark"),
                dcc.Link(
                    short(str(s.claim["title"]), 70), href=f"/finding/{s.claim['finding_id']}"
                ),
                html.Time(
                    f"{s.claim['time']:%d %b %H:%M}",
                    dateTime=s.claim["time"].isoformat(),
                    title=exact_time(s.claim["time"]),
                    className="muted small nowrap",
                ),
            ]
        )
        for s in parts[:_MOST_STEPS]
    ]
    rest = len(parts) - _MOST_STEPS
    if rest > 0:
        rows.append(html.Li(f"and {rest} more", className="muted small"))
    return html.Ol(rows, className="chain", **{"aria-label": "What led to the hold"})


def _finding(step: Step) -> str:
    return f"/finding/{step.claim['finding_id']}"


def payment_detail(held: Held, scope: Scope, now: datetime, said: Part = None) -> Part:
    """Show a payment whole: facts, what can be done, the story, its holds."""
    payment = held.payment
    is_held = payment["status"] == "held"
    return html.Div(
        [
            html.Div(said, id="payment-said", **{"aria-live": "polite"}),
            _facts(held, now),
            _decide(held, scope) if is_held else None,
            _story(held),
            _holds(held.holds, now),
            dcc.Store(
                id="payment-reference",
                data={"id": payment["payment_id"], "version": payment["version"]},
            ),
        ],
        className="stack",
    )


def _facts(held: Held, now: datetime) -> Part:
    payment = held.payment
    amount = money(int(payment["amount_cents"]), str(payment["currency"]))
    vendor = "/vendors" + VendorFilter(vendor=str(payment["vendor_id"])).search()
    return html.Div(
        [
            html.Div(
                [html.Span(amount, className="amount"), status_pill(str(payment["status"]))],
                className="page-head",
            ),
            key_values(
                [
                    ("Payment", mono(str(payment["payment_id"]))),
                    ("To", dcc.Link(str(payment["vendor_name"]), href=vendor)),
                    ("Account", mono(str(payment["bank_account"]))),
                    ("Invoice", mono(str(payment["invoice_id"] or ""))),
                    ("Proposed", _act(payment["created_by"], payment["created_at"], now)),
                    ("Approved", _act(payment["approved_by"], payment["approved_at"], now)),
                    ("Paid", _act(payment["paid_by"], payment["paid_at"], now)),
                    ("Incident", _incident_link(held)),
                ]
            ),
        ],
        className="stack tight",
    )


def _act(who: object, at: datetime | None, now: datetime) -> Part:
    return html.Span([f"{who}, ", moment(at, now)]) if at is not None else ""


def _incident_link(held: Held) -> Part:
    if held.incident is None:
        return ""
    path = f"/incident/{held.incident['incident_id']}"
    return dcc.Link(short(str(held.incident["title"]), 80), href=path)


def _decide(held: Held, scope: Scope) -> Part:
    if not scope.may(RELEASE):
        said = (
            "Only a person of finance (role finance) who had no hand in it may release a payment."
            " Ask one, and tell them what you found."
        )
        return panel("Decide", html.P(said, className="muted"))
    hand = {str(held.payment["created_by"]), str(held.payment["approved_by"])}
    mine = html.P(
        [icon("alert"), "You proposed or approved it: another person has to release it."],
        className="notice",
    )
    return panel(
        "Decide",
        mine if scope.actor.name in hand else None,
        dmc.Textarea(
            id="payment-note",
            label="Why (written into the audit trail)",
            description="For example: called the vendor at the number in the contract.",
            autosize=True,
            minRows=2,
            maxRows=6,
            required=True,
        ),
        dmc.Checkbox(
            id="payment-clear",
            label="These findings hold no later payments either",
            checked=False,
        ),
        html.Div(
            [
                html.Button(
                    [icon("check"), "Release"], id="payment-release", className="act", type="button"
                ),
                html.Button(
                    [icon("hold"), "Keep on hold"],
                    id="payment-keep",
                    className="act second",
                    type="button",
                ),
            ],
            className="actions",
        ),
        html.P(
            "Released, it goes on from where it stood and can be paid; what is paid cannot be"
            " taken back here.",
            className="muted small",
        ),
        said="Release it once a second channel has confirmed it; else leave it where it is.",
    )


def _story(held: Held) -> Part:
    if held.steps is None:
        return panel(
            "What led to it", html.P("Your role does not show findings.", className="muted")
        )
    if not held.steps:
        if not held.holds:
            return None
        return panel("What led to it", html.P("A person held it.", className="muted"))
    said = "Step by step, over security and business, oldest first."
    return panel("What led to it", story(held.steps, "What led to the hold"), said=said)


def _holds(holds: list[Row], now: datetime) -> Part:
    if not holds:
        return None
    rows = [_hold(hold, now) for hold in holds]
    return panel("Holds", html.Ul(rows, className="plain-list"))


def _hold(hold: Row, now: datetime) -> Part:
    level = str(hold["level"])
    title = html.Strong(short(str(hold["title"]), 100))
    held = html.P(
        [f"Held by {hold['placed_by']}, ", moment(hold["placed_at"], now)], className="muted small"
    )
    return html.Li(
        [
            html.Div([level_badge(level) if level else None, title], className="badges"),
            html.P(short(str(hold["reason"]), 300), className="small"),
            held,
            _released(hold, now),
        ]
    )


def _released(hold: Row, now: datetime) -> Part:
    if hold["released_at"] is None:
        return None
    words = f": {hold['release_note']}"
    return html.P(
        [f"Released by {hold['released_by']}, ", moment(hold["released_at"], now), words],
        className="small",
    )
