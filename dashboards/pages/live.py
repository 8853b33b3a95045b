"""Show what comes in right now: events per second by source, findings as they are made, ATT&CK."""

import json
from datetime import datetime, timedelta
from typing import Any, Final

from dash import Input, Output, State, ctx, dcc, html, no_update

from dashboards.console import Console
from dashboards.live import snapshot
from dashboards.pages import Page, View
from dashboards.read import live as read
from dashboards.read.names import key_of
from dashboards.shell import TICK
from dashboards.ui.attack import attack_strip
from dashboards.ui.cards import behind_clock, freshness, panel
from dashboards.ui.charts import Series, area_chart
from dashboards.ui.controls import segmented
from dashboards.ui.marks import count_of, exact_time, said_time, short
from dashboards.ui.states import Part, empty
from storage.tenant import Scope

PAGE: Final = Page(
    path="/live",
    title="Live",
    grant="findings:read",
    why="Live shows events and findings as they arrive.",
    icon="live",
    nav=2,
    group="Overview",
)
_STALE_S: Final = 60.0
_FINDING_S: Final = 2 * 86_400.0
"""Twice the day within which a house of any size has a finding."""
_NEW_S: Final = 20.0
_SLOW_S: Final = 5.0
"""Sources and techniques are read again after so long: they cost most and change least."""


def layout(view: View) -> Part:
    """Give the page as it is at this moment; ticks redraw its parts."""
    now = view.console.now()
    found = read.live(view.console.database, view.scope, "10m", now)
    return html.Div(
        [
            html.Div(
                [
                    html.Div([html.H1("Live"), html.Div(_pulse(view), className="pulse")]),
                    segmented("live-span", "Time shown", read.SPANS, "10m"),
                ],
                className="page-head",
            ),
            html.Div(_rates(found, now), id="live-rates"),
            html.Div(
                [
                    html.Div(_stream(found, now, ""), id="live-stream"),
                    html.Div(
                        [
                            html.Div(_sources(found, now), id="live-sources"),
                            html.Div(_attack(found, now), id="live-attack"),
                        ],
                        className="stack",
                    ),
                ],
                className="split wide",
            ),
            dcc.Store(id="live-seen", data={"seen": _newest(found), "slow_at": now.timestamp()}),
        ]
    )


def _pulse(view: View) -> list[Part]:
    """Name the numbers that assets/live.js writes without asking the server."""
    told = snapshot(view.console.database, view.scope, view.console.now())
    if "minute" not in told:
        return []
    return [
        html.Span([_number("per_s", f"{told['per_s']:,}"), " events a second"]),
        html.Span([_number("minute", count_of(told["minute"])), " in the last minute"]),
        html.Span(_newest_event(told), **{"data-live-text": "newest"}),
    ]


def _newest_event(told: dict[str, Any]) -> str:
    """Say how old the newest event is, or how far events are behind; as assets/live.js does."""
    if not told["newest"]:
        return "no event within a minute"
    at = datetime.fromisoformat(told["at"])
    newest = datetime.fromisoformat(told["newest"])
    if at - newest > read.LAG_TOLD:
        return behind_clock(at - newest).lower()
    return f"newest event {said_time(newest, at)}"


def _number(name: str, said: str) -> Part:
    return html.Strong(said, **{"data-live-text": name})


def _rates(found: read.Live, now: datetime) -> Part:
    rates = found.rates
    if rates is None:
        return panel("Events per second", html.P("Your role does not show events."))
    if not rates.by_source:
        return html.Section(
            empty(
                "Nothing arrived in this time",
                "Send events to /v1/ingest, or carry logs in on the machine where Inopsio runs: "
                "inopsio ingest /path/to/logs",
                dcc.Link("See the pipelines", href="/pipelines", className="button"),
            ),
            className="card",
        )
    form = "%H:%M:%S" if rates.step_s < 60 else "%H:%M"
    labels = [start.strftime(form) for start in rates.starts]
    series = [Series(name, values) for name, values in rates.by_source.items()]
    sums = [sum(column) for column in zip(*rates.by_source.values(), strict=True)]
    at = max(range(len(sums)), key=sums.__getitem__)
    summary = (
        f"{count_of(round(sums[-1]))} a second in the last {rates.step_s} s; "
        f"most at {labels[at]}: {count_of(round(sums[at]))}."
    )
    ends = [at for at, amount in zip(rates.starts, sums, strict=True) if amount]
    newest = min(ends[-1] + timedelta(seconds=rates.step_s), now) if ends else None
    fresh = freshness(newest, now, max(_STALE_S, 2.0 * rates.step_s))
    title = "Events per second by source"
    return area_chart(title, summary, labels, series, "a second", fresh=fresh)


def _stream(found: read.Live, now: datetime, seen: str) -> Part:
    newest = found.findings[0]["created_at"] if found.findings else None
    if not found.findings:
        return panel(
            "Findings as they are made",
            empty("No findings yet", "The detectors object to nothing so far; leave this open."),
        )
    told = [_finding(row, now, seen) for row in found.findings]
    # Data, not components: assets/live.js makes the lines, all text as text, and keeps those there.
    lines = html.Div(
        className="stream-box", **{"data-stream": json.dumps(told, ensure_ascii=False)}
    )
    return panel(
        "Findings as they are made",
        lines,
        fresh=freshness(newest, now, _FINDING_S),
        actions=[dcc.Link("All findings", href="/findings")],
    )


def _finding(row: dict[str, Any], now: datetime, seen: str) -> dict[str, Any]:
    age_s = (now - row["created_at"]).total_seconds()
    return {
        "id": row["finding_id"],
        "level": row["level"],
        "title": short(row["title"], 200),
        "entity": short(row["shown"], 120),
        "path": key_of(row["entity_type"], row["entity"]).path,
        "said": said_time(row["created_at"], now),
        "exact": f"Made {exact_time(row['created_at'])}, of {exact_time(row['time'])}",
        "iso": row["created_at"].isoformat(),
        "new": bool(seen) and row["created_at"].isoformat() > seen and age_s < _NEW_S,
    }


def _sources(found: read.Live, now: datetime) -> Part:
    if found.rates is None:
        return html.Div()
    silent = [s for s in found.sources if read.is_silent(s, now)]
    said = f"{len(silent)} of {len(found.sources)} silent" if silent else "all are sending"
    rows = [
        html.Tr(
            [
                html.Th(short(s["source"], 40), scope="row"),
                html.Td(count_of(s["lately"]), className="number"),
                html.Td(freshness(s["last_bucket"], now, read.SILENT_AFTER.total_seconds())),
            ]
        )
        for s in found.sources[:12]
    ]
    head = html.Tr(
        [
            html.Th("Source", scope="col"),
            html.Th("Last 10 min", scope="col", className="number"),
            html.Th("Last arrival", scope="col"),
        ]
    )
    table = html.Table([html.Thead(head), html.Tbody(rows)], className="table")
    lag = read.lag_of(found.sources)
    late = html.P(f"{behind_clock(lag)}.", className="muted small") if lag else None
    inside = table if rows else html.P("No source sent in the last day.", className="muted")
    newest = max((s["last_bucket"] for s in found.sources), default=None)
    # Arrivals are counted by the minute: the newest may be one old before it is late.
    fresh = freshness(newest, now, 60.0 + 2 * _STALE_S) if rows else None
    return panel("Sources", inside, late, said=said if rows else "", fresh=fresh)


def _attack(found: read.Live, now: datetime) -> Part:
    total = sum(found.techniques.values())
    said = f"{count_of(total)} techniques claimed in the newest 24 hours, signals included."
    newest = found.findings[0]["created_at"] if found.findings else None
    fresh = freshness(newest, now, _FINDING_S)
    return panel("ATT&CK", attack_strip(found.techniques), said=said, fresh=fresh)


def _newest(found: read.Live) -> str:
    return found.findings[0]["created_at"].isoformat() if found.findings else ""


def register(console: Console) -> None:
    """Register what a tick redraws; each answer is one transaction, at most two a second."""

    def redraw(scope: Scope, tick: Any, span: str, seen: Any) -> tuple[Any, ...]:  # noqa: ANN401, ARG001  Dash's own values
        now = console.now()
        known = seen if isinstance(seen, dict) else {}
        slow_at = float(known.get("slow_at") or 0)
        is_slow = ctx.triggered_id == "live-span" or now.timestamp() - slow_at > _SLOW_S
        found = read.live(console.database, scope, str(span), now, is_slow)
        first = str(known.get("seen") or _newest(found))
        stream = _stream(found, now, first)
        kept = {"seen": first, "slow_at": now.timestamp() if is_slow else slow_at}
        slow = (_sources(found, now), _attack(found, now)) if is_slow else (no_update, no_update)
        return _rates(found, now), stream, *slow, kept

    console.scoped_callback(
        Output("live-rates", "children"),
        Output("live-stream", "children"),
        Output("live-sources", "children"),
        Output("live-attack", "children"),
        Output("live-seen", "data"),
        Input(TICK, "data"),
        Input("live-span", "value"),
        State("live-seen", "data"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(redraw)
