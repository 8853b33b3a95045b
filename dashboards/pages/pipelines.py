"""Show how the pipelines are: lag, rates, what was refused, how fresh each source is."""

import math
from datetime import datetime
from typing import Any, Final

from dash import Input, Output, State, dcc, html, no_update

from dashboards.backend import this_request
from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import pipelines as read
from dashboards.read.pipelines import Letter, Overview, Partition, ReadableLog
from dashboards.ui.cards import figure_card, freshness, panel
from dashboards.ui.controls import copy_button
from dashboards.ui.lists import key_values
from dashboards.ui.marks import count_of, exact_time, moment, short
from dashboards.ui.panels import copy_line, head, pill, size_of, table
from dashboards.ui.states import Part, command, empty
from storage.tenant import Scope

PAGE: Final = Page(
    path="/pipelines",
    title="Pipelines",
    grant="ops:read",
    why="Pipelines carry events from their sources to the screen.",
    icon="pipelines",
    nav=1,
    group="Platform",
)
EVERY_MS: Final = 5000
_STALE_S: Final = 900
_ARRIVAL_S: Final = 120.0
"""Twice the minute within which something arrives in a house that is used."""
_WORDS: Final = {
    "events": "events: parse, detect, keep",
    "signals": "signals: correlate",
    "business.incidents": "incidents: join findings",
    "business.erp": "payments: hold",
}


def layout(view: View) -> Part:
    """Give the state of this moment; it renews itself every five seconds."""
    log = log_of_request()
    found = read.overview(view.console.database, log, view.scope)
    return html.Div(
        [
            head(
                "Pipelines",
                "How events come in: what waits, what was refused, how fresh each source is.",
            ),
            html.Div(_live(found, {}, view.console.now()), id="pipelines-live", className="stack"),
            _letters(read.letters(log, view.scope), view.scope, view.console.now()),
            dcc.Store(id="pipelines-before", data=_measured(found, view.console.now())),
            dcc.Interval(id="pipelines-tick", interval=EVERY_MS),
        ]
    )


def log_of_request() -> ReadableLog:
    """Give the event log that the front door holds; only its reading verbs are used."""
    log: ReadableLog = this_request().app.state.desk.log
    return log


def _measured(found: Overview, now: datetime) -> dict[str, Any]:
    """Keep what rates are counted from: ends and reads of each flow, and the moment."""
    told: dict[str, Any] = {"at": now.timestamp(), "ends": {}, "reads": {}}
    for p in found.partitions:
        told["ends"][p.flow] = told["ends"].get(p.flow, 0) + p.end
        told["reads"][p.flow] = told["reads"].get(p.flow, 0) + p.read
    return told


def _live(found: Overview, before: dict[str, Any], now: datetime) -> list[Part]:
    return [
        html.Div(_figures(found, now), className="figures four flat"),
        html.Div(
            [
                html.Div(
                    [_flows(found, before, now), _sources(found, now), *_captures(found, now)],
                    className="stack",
                ),
                _parts(found, now),
            ],
            className="split",
        ),
    ]


def _figures(found: Overview, now: datetime) -> list[Part]:
    lag = sum(p.lag for p in found.partitions)
    totals, newest = found.totals, found.totals["updated_at"]
    refused, events = int(totals["rejected"]), int(totals["events"])
    share = f"{100 * refused / (events + refused):.2f} % of all" if events + refused else ""
    silent = sum((now - r["updated_at"]).total_seconds() > _STALE_S for r in found.sources)
    return [
        figure_card(
            "Waiting",
            count_of(lag) if found.log_works else "unknown",
            period="messages not read yet" if found.log_works else "the log does not answer",
            look="medium" if lag > 1000 or not found.log_works else "",
        ),
        figure_card(
            "Events read",
            count_of(events),
            period=f"newest {_age(newest, now)}" if newest else "none yet",
        ),
        figure_card(
            "Refused records", count_of(refused), period=share, look="medium" if refused else ""
        ),
        figure_card(
            "Sources",
            count_of(int(totals["sources"])),
            period=f"{count_of(silent)} silent for over 15 min",
        ),
    ]


def _age(at: datetime, now: datetime) -> str:
    age = max(0, int((now - at).total_seconds()))
    return f"{age} s ago" if age < 120 else f"{age // 60} min ago" if age < 7200 else f"{at:%d %b}"


def _flows(found: Overview, before: dict[str, Any], now: datetime) -> Part:
    if not found.log_works:
        why = "The event log does not answer; nothing can be read or counted until it does."
        return panel("Flows", empty("No word from the log", why))
    if not found.partitions:
        why = "A flow shows here after its first step. Start the house with inopsio up."
        return panel("Flows", empty("No flow has read anything yet", why))
    flows = list(dict.fromkeys(p.flow for p in found.partitions))
    rows = [_flow_row(f, [p for p in found.partitions if p.flow == f], before, now) for f in flows]
    heads = ("Flow", "Waiting", "In", "Out", "Read in all")
    return panel(
        "Flows",
        table("Flows", heads, rows, numbers=(1, 2, 3, 4)),
        _partitions(found.partitions),
        said="Rates are measured between two looks of this page, five seconds apart.",
        fresh=_arrived(found, now),
    )


def _arrived(found: Overview, now: datetime) -> Part:
    return freshness(found.totals["updated_at"], now, _ARRIVAL_S)


def _flow_row(
    flow: str, parts: list[Partition], before: dict[str, Any], now: datetime
) -> tuple[Part, ...]:
    lag, read_to = sum(p.lag for p in parts), sum(p.read for p in parts)
    waiting = pill(count_of(lag), "medium" if lag > 1000 else "good")
    end = sum(p.end for p in parts)
    into, out = (
        _rate(before, kind, flow, n, now) for kind, n in (("ends", end), ("reads", read_to))
    )
    return (html.Strong(_WORDS.get(flow, flow)), waiting, into, out, count_of(read_to))


def _rate(before: dict[str, Any], kind: str, flow: str, number: int, now: datetime) -> Part:
    was, at = before.get(kind, {}), before.get("at")
    if not isinstance(was, dict) or flow not in was or not isinstance(at, int | float):
        return _measuring()
    seconds = now.timestamp() - at
    if seconds <= 0 or not isinstance(was[flow], int | float):
        return _measuring()
    return f"{max(0.0, (number - was[flow]) / seconds):,.1f}/s"


def _measuring() -> Part:
    """Hold the place of a rate until the second look."""
    words = html.Span("measuring", className="unseen")
    return html.Span([html.Span(className="bone line"), words], className="measuring")


def _partitions(partitions: tuple[Partition, ...]) -> Part:
    rows = [
        (p.flow, p.topic, str(p.partition), count_of(p.read), count_of(p.end), count_of(p.lag))
        for p in partitions
    ]
    heads = ("Flow", "Topic", "Partition", "Read to", "End", "Waiting")
    return html.Details(
        [
            html.Summary("Every partition"),
            table("Every partition", heads, rows, numbers=(2, 3, 4, 5)),
        ],
        className="twin",
    )


def _parts(found: Overview, now: datetime) -> Part:
    base, lake = found.base, found.lake
    log = pill("answers", "good") if found.log_works else pill("does not answer", "critical")
    topics = [(html.Code(name, className="mono"), count_of(n)) for name, n in _topics(found)]
    return panel(
        "Parts",
        key_values(
            [
                ("Database", html.Span([pill("answers", "good"), f" {base['version']}"])),
                ("Its size", size_of(int(base["size_bytes"]))),
                ("Log", log),
                ("Lake", f"{count_of(int(lake['files']))} files of your tenant"),
                ("Its size ", size_of(int(lake["size_bytes"]))),
                ("Events in it", count_of(int(lake["events"]))),
                ("From", exact_time(lake["first_time"])[:16] if lake["first_time"] else ""),
                ("To", exact_time(lake["last_time"])[:16] if lake["last_time"] else ""),
            ]
        ),
        table("Topics of the log", ("Topic", "Messages"), topics, numbers=(1,), look="tight")
        if topics
        else None,
        fresh=_arrived(found, now),
    )


def _topics(found: Overview) -> list[tuple[str, int]]:
    return sorted(found.topics.items())


def _sources(found: Overview, now: datetime) -> Part:
    if not found.sources:
        why = "Carry in a folder of logs, or paste the command of the page Agents on a host."
        return panel("Sources", empty("No source yet", why, dcc.Link("Agents", href="/agents")))
    rows = [
        (
            html.Div([html.Strong(short(str(r["name"] or r["source"]), 60)), _under(r)]),
            str(r["log_format"]),
            count_of(int(r["events"])),
            count_of(int(r["rejected"])) if r["rejected"] else "0",
            _fresh(r["updated_at"], now),
            short(str(r["last_reason"] or ""), 120),
        )
        for r in found.sources
    ]
    heads = ("Source", "Format", "Events", "Refused", "Last read", "Last reason")
    said = f"The {len(rows)} read latest." if len(rows) == read.MOST_SOURCES else ""
    inside = html.Div(table("Sources", heads, rows, numbers=(2, 3)), className="scroll tall")
    return panel("Sources", inside, said=said, fresh=_arrived(found, now))


def _captures(found: Overview, now: datetime) -> list[Part]:
    """Show the sensors, and what the kernel dropped for want of time; nothing where none is."""
    if not found.captures:
        return []
    rows = [
        (
            html.Div([html.Strong(short(str(r["sensor"]), 60)), _at(str(r["interface"]))]),
            count_of(int(r["packets"])),
            _dropped(r),
            moment(r["lost_at"], now) if r["lost_at"] else "",
            _fresh(r["told_at"], now),
        )
        for r in found.captures
    ]
    heads = ("Sensor", "Packets", "Dropped by the kernel", "Last drop", "Last told")
    inside = html.Div(table("Sensors", heads, rows, numbers=(1,)), className="scroll tall")
    return [panel("Sensors", inside, said="Counts are since each one's start.")]


def _at(interface: str) -> Part:
    return html.Div(short(interface, 60), className="muted small mono")


def _dropped(row: dict[str, Any]) -> Part:
    dropped, packets = int(row["dropped"]), int(row["packets"])
    if not dropped:
        return html.Span("0")
    share = f"{count_of(dropped)} ({dropped / max(packets, 1):.2%})"
    return html.Span([share, " ", pill("blind", "high", "alert")], className="line-up")


def _under(row: dict[str, Any]) -> Part:
    return html.Div(short(str(row["source"]), 60), className="muted small mono")


def _fresh(at: datetime, now: datetime) -> Part:
    is_stale = (now - at).total_seconds() > _STALE_S
    return html.Span(
        [moment(at, now), " ", pill("silent", "medium", "alert") if is_stale else None],
        className="line-up",
    )


def _letters(found: list[Letter], scope: Scope, now: datetime) -> Part:
    if not found:
        why = "Every record could be read. What cannot be is kept here with its reason and bytes."
        return panel("Dead letters", empty("Nothing was refused", why))
    how = f"inopsio topic retry --tenant {scope.tenant_id}"
    return panel(
        "Dead letters",
        html.Div([_letter(one, now) for one in found], className="letters"),
        html.P("Once the cause is mended, drive them through again:", className="muted small"),
        copy_line(how, "Command that retries dead letters"),
        said=f"The newest {len(found)} records that could not be read.",
        # None is expected: the age of the newest one is told, and never late.
        fresh=freshness(found[0].at, now, math.inf),
    )


def _letter(letter: Letter, now: datetime) -> Part:
    return html.Details(
        [
            html.Summary(
                [
                    html.Span(letter.reason or "no reason was given", className="letter-reason"),
                    html.Span(
                        [f"{letter.name or letter.source}, record {count_of(letter.position)}, "],
                        className="muted small",
                    ),
                    moment(letter.at, now),
                ]
            ),
            key_values(
                [
                    ("Source", html.Code(letter.source, className="mono")),
                    ("Format", letter.log_format),
                    ("Letter", html.Code(letter.letter_id, className="mono")),
                ]
            ),
            html.Div(
                [command(letter.raw, "Bytes of the record, as text"), copy_button(letter.raw)],
                className="copy-line",
            ),
        ],
        className="letter",
    )


def register(console: Console) -> None:
    """Register the renewal: figures, flows, parts and sources every five seconds."""

    def renew(scope: Scope, ticks: int | None, before: Any) -> Any:  # noqa: ANN401  Dash's own values
        if not ticks:
            return no_update, no_update
        found = read.overview(console.database, log_of_request(), scope)
        known = before if isinstance(before, dict) else {}
        return _live(found, known, console.now()), _measured(found, console.now())

    console.scoped_callback(
        Output("pipelines-live", "children"),
        Output("pipelines-before", "data"),
        Input("pipelines-tick", "n_intervals"),
        State("pipelines-before", "data"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(renew)
