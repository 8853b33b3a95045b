"""Show the start page: key figures, what needs somebody, and whether the house is well."""

from datetime import datetime
from typing import Final

from dash import dcc, html

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import home as read
from dashboards.ui.cards import Better, behind_clock, delta_of, figure_card, freshness, panel
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, said_time, short
from dashboards.ui.states import Part, command, empty
from storage.tenant import Scope

PAGE: Final = Page(
    path="/",
    title="Home",
    grant="findings:read",
    why="Home sums up what was found and what waits for somebody.",
    icon="home",
    nav=1,
    group="Overview",
)
_DAY: Final = "in the last 24 h"
_LATE_S: Final = 120.0
_OLD_S: Final = 2 * 86_400.0
"""Twice a day: a house in which nothing waits for longer is stale, or well."""


def layout(view: View) -> Part:
    """Give the page: figures, what needs you, health."""
    now = view.console.now()
    found = read.home(view.console.database, view.scope, now)
    if found.is_bare:
        return _bare(view.scope)
    return html.Div(
        [
            html.Div(
                [
                    html.Div(
                        [
                            html.H1("Home"),
                            html.P(
                                f"What happened in {view.scope.tenant_id} and what waits for "
                                f"somebody, {now:%A %d %B}.",
                                className="muted",
                            ),
                        ]
                    ),
                    _fresh(found, now),
                ],
                className="page-head",
            ),
            html.Div(_figures(found), className="figures keys six"),
            html.Div([_needs(found, now), _health(found, now)], className="split"),
        ]
    )


def _fresh(found: read.Home, now: datetime) -> Part:
    last = found.health.get("last_arrival")
    return freshness(last, now, _LATE_S) if found.health else None


def _bare(scope: Scope) -> Part:
    return html.Div(
        [
            html.H1("Home"),
            html.Section(
                empty(
                    "Nothing has arrived yet",
                    "Carry logs in with this command on the machine where Inopsio runs, or send "
                    "events to /v1/ingest with a token. Figures show up here within seconds.",
                    command(
                        f"inopsio ingest /path/to/logs --tenant {scope.tenant_id}",
                        "Command that carries logs in",
                    ),
                    dcc.Link("Watch it live", href="/live", className="button"),
                ),
                className="card",
            ),
        ]
    )


def _figures(found: read.Home) -> list[Part]:
    cards: list[Part] = []
    if found.incidents is not None:
        told = found.incidents
        cards.append(
            figure_card(
                "Open incidents",
                count_of(told["open"]),
                delta=None
                if found.is_first_week
                else delta_of(told["opened"], told["opened_before"], "down"),
                trend=found.incident_trend,
                period=f"{count_of(told['grave'])} grave, {count_of(told['opened'])} this week",
                href="/incidents",
                mark="incidents",
            )
        )
    if found.findings is not None:
        cards.append(_hours("Findings today", found.findings, "/findings", "findings"))
    if found.events is not None:
        cards.append(_hours("Events today", found.events, "/live", "live"))
    if found.held is not None:
        cards.append(_money(found.held, found.held_trend))
    if found.verdict is not None:
        cards.append(_verdict(found.verdict, found.verdict_trend))
    if found.events is not None:
        cards.append(_sending(found))
    return cards


def _sending(found: read.Home) -> Part:
    silent, known = len(found.silent), len(found.sources)
    said = f"{silent} silent over 15 min" if silent else "none is silent"
    return figure_card(
        "Sources sending",
        f"{known - silent} of {known}",
        trend=found.sending_trend,
        period=said,
        href="/live",
        look="medium" if silent else "",
        mark="network",
    )


def _hours(label: str, hours: read.Hours, href: str, mark: str) -> Part:
    better: Better = "down" if mark == "findings" else ""
    before = hours.before
    delta = None if before is None else delta_of(hours.now, before, better)
    return figure_card(
        label,
        count_of(hours.now),
        delta=delta,
        trend=hours.trend,
        period=_DAY,
        href=href,
        mark=mark,
    )


def _money(held: list[read.Row], trend: list[float]) -> Part:
    first: read.Row = held[0] if held else {"amount_cents": 0, "currency": ""}
    others = len(held) - 1
    count = sum(row["payments"] for row in held)
    period = f"{count_of(count)} payments wait" if count != 1 else "1 payment waits"
    if others > 0:
        period += f", {others} more currencies"
    return figure_card(
        "Money on hold",
        money(first["amount_cents"], first["currency"]) if held else "None",
        trend=trend,
        period=period,
        href="/payments",
        mark="hold",
        look="high" if count else "",
    )


def money(amount_cents: int, currency: str) -> str:
    """Write an amount with its currency, without cents from 1,000 on.

    >>> money(123456700, "EUR"), money(950, "EUR")
    ('1,234,567 EUR', '9.50 EUR')
    """
    whole = abs(amount_cents) >= 100_000
    said = f"{amount_cents / 100:,.0f}" if whole else f"{amount_cents / 100:,.2f}"
    return f"{said} {currency}".strip()


def _verdict(told: read.Row, trend: list[float]) -> Part:
    now, before = told["minutes"], told["minutes_before"]
    delta = delta_of(round(now), round(before), "down") if now and before else None
    return figure_card(
        "Time to verdict",
        _minutes(now),
        delta=delta,
        trend=trend,
        hint="Its line begins with the first verdict.",
        period="median of 7 days" if now is not None else "no verdict in 7 days",
        href="/incidents?status=all",
        mark="clock",
    )


def _minutes(minutes: float | None) -> str:
    if minutes is None:
        return "none yet"
    if minutes < 90:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def _needs(found: read.Home, now: datetime) -> Part:
    lines = [
        _need(
            row["level"],
            "incidents",
            dcc.Link(short(row["title"], 120), href=f"/incident/{row['incident_id']}"),
            f"{row['level'].capitalize()}, nobody's; opened {said_time(row['opened_at'], now)}, "
            f"{count_of(row['finding_count'])} findings",
            dcc.Link("Open", href=f"/incident/{row['incident_id']}", className="button small"),
        )
        for row in found.unassigned
    ]
    lines += [
        _need(
            "high",
            "hold",
            dcc.Link(
                f"{money(row['amount_cents'], row['currency'])} to {short(row['vendor'], 60)}",
                href="/payments?status=held",
            ),
            f"Payment {row['payment_id']} held {said_time(row['since'], now)}"
            + (f": {short(row['reason'], 90)}" if row["reason"] else ""),
            dcc.Link("Decide", href="/payments?status=held", className="button small"),
        )
        for row in found.held_payments
    ]
    lines += [
        _need(
            "medium",
            "rules",
            dcc.Link(short(row["title"], 120), href=f"/rule/{row['rule_id']}"),
            f"{row['wrong']} of {row['judged']} judged false or harmless in 30 days: tune it",
            dcc.Link("Tune", href=f"/rule/{row['rule_id']}", className="button small"),
        )
        for row in found.noisy_rules
    ]
    if not lines:
        return panel(
            "Needs you",
            empty(
                "Nothing waits for you",
                "Every grave incident has somebody, no payment is held, no rule is too loud.",
                dcc.Link("Look at the findings", href="/findings", className="button small"),
            ),
        )
    said = "Grave incidents that nobody has, payments on hold, rules that are wrong too often."
    since = [r["opened_at"] for r in found.unassigned] + [r["since"] for r in found.held_payments]
    fresh = freshness(max(since), now, _OLD_S) if since else None
    return panel("Needs you", html.Ol(lines, className="needs"), said=said, fresh=fresh)


def _need(level: str, mark: str, title: Part, why: str, act: Part) -> Part:
    return html.Li(
        [
            html.Span(icon(mark), className="spot"),
            html.Div([title, html.Div(why, className="why")]),
            act,
        ],
        className=level,
    )


def _health(found: read.Home, now: datetime) -> Part:
    if not found.health:
        return panel("Health", html.P("Your role does not show events.", className="muted"))
    last, rejected = found.health["last_arrival"], found.health["rejected"]
    is_late = last is None or (now - last).total_seconds() > _LATE_S
    said = said_time(last, now) if last else "nothing yet"
    total = found.health["events"] + rejected
    share = f"{100 * rejected / total:.2f} % of all" if total else "none"
    lines = [
        _line("warn" if is_late else "good", "Last arrival", said),
        _line("warn" if rejected else "good", "Refused records", f"{count_of(rejected)} ({share})"),
        _line(
            "warn" if found.silent else "good",
            "Silent sources",
            ", ".join(short(s["source"], 24) for s in found.silent[:3]) or "none",
        ),
        _behind(found),
        _line("good", "Sources sending", count_of(len(found.sources) - len(found.silent))),
    ]
    return panel(
        "Health",
        html.Ul(lines, className="health"),
        fresh=_fresh(found, now),
        actions=[dcc.Link("Pipelines", href="/pipelines")],
    )


def _behind(found: read.Home) -> Part:
    if found.behind is None:
        return None
    said = html.Span(behind_clock(found.behind), className="span-all")
    return html.Li([icon("clock"), said], className="good")


def _line(state: str, name: str, value: str) -> Part:
    mark = {"good": "check", "warn": "alert", "bad": "alert"}[state]
    word = {"good": "fine", "warn": "look at this", "bad": "broken"}[state]
    return html.Li([icon(mark, word), html.Span(name), html.Strong(value)], className=state)


def register(console: Console) -> None:
    """Register nothing: the page is read anew whenever it is opened."""
