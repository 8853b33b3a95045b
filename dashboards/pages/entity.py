"""Show one entity: its risk and what makes it, its peers, its days, its neighbours."""

from typing import Any, Final
from urllib.parse import urlencode

from dash import Input, Output, State, dcc, html, no_update

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import entity as read
from dashboards.read.entity import SPANS, Entity, Lately, Peers
from dashboards.read.known import said
from dashboards.read.names import KINDS, parse_key, read_key
from dashboards.read.response import agents_of, standing
from dashboards.shell import URL
from dashboards.ui.cards import figure_card, panel
from dashboards.ui.charts import Series, stacked_bars
from dashboards.ui.controls import chip, copy_button
from dashboards.ui.events import entity_chip, entity_icon
from dashboards.ui.icons import icon
from dashboards.ui.marks import LEVELS, count_of, level_badge, moment, status_badge
from dashboards.ui.panels import table
from dashboards.ui.response import action_state, action_words
from dashboards.ui.risk import RISK_WORDS, risk_history, risk_parts
from dashboards.ui.states import Part, empty
from dashboards.ui.timeline import lanes, of_claims, of_events
from dashboards.ui.value import said_value, value_panel
from storage.tenant import Scope

PAGE: Final = Page(
    path="/entity/<id>",
    title="Entity",
    grant="findings:read",
    why="An entity's page shows what the detectors claim about a host, a person or a vendor.",
    under="/findings",
)
_SPAN_WORDS: Final = {"1h": "1 hour", "24h": "24 hours", "7d": "7 days"}


def layout(view: View) -> Part:
    """Give everything that is known of the entity over thirty days."""
    console, scope = view.console, view.scope
    key = read_key(view.key)
    found = read.entity(console.database, scope, key, console.now())
    if not found.is_known:
        return html.Div([_head(found), _unknown()])
    near = read.lately(console.database, console.lake, scope, found, _span(view.search), None)
    return html.Div(
        [
            _head(found),
            _figures(found),
            html.Div(
                [
                    html.Div(
                        [
                            risk_history(found.risk_by_day),
                            risk_parts(found.risk, console.now()),
                            html.Div(_timeline(near), id="entity-timeline"),
                            _history(found),
                        ],
                        className="stack",
                    ),
                    html.Div(
                        [
                            _agents(console, scope, found),
                            _incidents(found),
                            value_panel(found.value),
                            _peers(found),
                            _linked(found),
                        ],
                        className="stack",
                    ),
                ],
                className="split wide-side",
            ),
            dcc.Store(id="entity-id", data=key.id),
        ]
    )


def _agents(console: Console, scope: Scope, found: Entity) -> Part:
    """Show what was done on a host, and the way to do more; nothing where no agent is."""
    if found.key.kind != "host":
        return None
    here = agents_of(console.database, scope, found.key.name)
    if not here:
        return None
    agent_id = str(here[0]["agent_id"])
    rows = [
        (moment(a["asked_at"], console.now()), action_words(a), action_state(a, console.now()))
        for a in standing(console.database, scope, agent_id).actions[:5]
    ]
    to = dcc.Link("Act on this host", href=f"/agent/{agent_id}", className="button second")
    shown = (
        table("Actions on this host", ("Asked", "What", "State"), rows)
        if rows
        else html.P("Nothing was asked of it yet.", className="muted")
    )
    return panel("Its agent", shown, actions=[to])


def _span(search: str) -> str:
    asked = search.partition("span=")[2].partition("&")[0]
    return asked if asked in SPANS else "24h"


def _head(found: Entity) -> Part:
    key = found.key
    return html.Header(
        [
            html.Div(
                [
                    html.Div(
                        [
                            html.Span(icon(entity_icon(key.kind)), className="entity-mark"),
                            html.Div(
                                [
                                    html.Span(_kind(found), className="muted small"),
                                    html.Div(
                                        [
                                            html.H1(found.names.get(key, key.name)),
                                            copy_button(key.name, f"Copy {key.name}"),
                                        ],
                                        className="name-line",
                                    ),
                                ],
                                className="two-lines",
                            ),
                        ],
                        className="entity-head",
                    ),
                    html.Div(
                        [
                            dcc.Link(
                                [icon("findings"), "Its findings"],
                                href=f"/findings?{_asked(found)}",
                                className="button second",
                            ),
                            dcc.Link(
                                [icon("graph"), "Open graph"],
                                href=f"/graph?{urlencode({'entity': key.id})}",
                                className="button",
                            ),
                        ],
                        className="actions",
                    ),
                ],
                className="page-head",
            ),
            html.Div(
                [
                    html.Span("Also known as", className="muted small"),
                    *[chip(name) for name in found.aliases],
                ],
                className="chips middle",
            )
            if found.aliases
            else None,
        ],
        className="stack tight",
    )


def _kind(found: Entity) -> list[Part]:
    """Say what it is; with its id where the heading has the name people know."""
    key = found.key
    words = KINDS.get(key.kind, key.kind.capitalize())
    return [f"{words} ", html.Code(key.name)] if key in found.names else [words]


def _asked(found: Entity) -> str:
    name = next((c["entity"] for c in found.claims if _is_own(found, c)), found.key.name)
    return urlencode({"entity": str(name)})


def _is_own(found: Entity, claim: dict[str, Any]) -> bool:
    return bool(claim["entity_type"] in found.key.types)


def _unknown() -> Part:
    return html.Section(
        empty(
            "Nothing is known of it",
            "No finding names it and no event counts it in the last thirty days. Perhaps it is "
            "older than the hot days, or written otherwise.",
            dcc.Link("Search the history", href="/hunt", className="button"),
        ),
        className="card",
    )


def _figures(found: Entity) -> Part:
    grave = sum(c["level"] in {"critical", "high"} for c in found.claims)
    signals = sum(c["kind"] == "signal" for c in found.claims)
    peers = found.peers
    times = f"{peers.events / peers.middle:.1f} x the median of its kind" if peers.middle else ""
    opened = [i for i in found.incidents if i["status"] != "closed"]
    cards = [
        figure_card(
            "Risk",
            f"{found.risk.score:.0f}",
            trend=[day.score for day in found.risk_by_day],
            period=f"of 100, {RISK_WORDS[found.risk.band]}",
            look="critical" if found.risk.band == "critical" else "",
        ),
        figure_card(
            "Claims",
            count_of(len(found.claims)),
            period=f"{count_of(signals)} signals, {count_of(grave)} grave",
            trend=[sum(found.by_day[level][n] for level in LEVELS) for n in range(len(found.days))],
        ),
        figure_card(
            "Events",
            count_of(sum(found.events_by_day)),
            period=times or "30 days",
            trend=found.events_by_day,
        ),
        figure_card(
            "Open incidents", count_of(len(opened)), period=f"of {len(found.incidents)} in 30 days"
        ),
    ]
    if found.value.sums:
        cards.append(
            figure_card(
                "Value at risk", said_value(found.value), period="behind it and its neighbours"
            )
        )
    return html.Div(cards, className="figures entity-figures")


def _history(found: Entity) -> Part:
    looks = [
        Series(level.capitalize(), found.by_day[level], level)
        for level in reversed(LEVELS)
        if any(found.by_day[level])
    ]
    cut = f" The newest {count_of(len(found.claims))} are counted." if found.is_cut else ""
    summary = f"{count_of(len(found.claims))} findings and signals in {len(found.days)} days.{cut}"
    labels = [f"{day:%d %b}" for day in found.days]
    return stacked_bars("Claims by day", summary, labels, looks, name="entity-claims")


def _timeline(near: Lately) -> Part:
    told = of_events(near.events or []) + of_claims(near.claims)
    seen = f"{count_of(len(near.events))} events" if near.events is not None else "no events"
    cut = ", the latest shown" if near.is_cut else ""
    late = " Mails and business facts took too long; open it again." if near.is_late else ""
    switch = html.Nav(
        [
            dcc.Link(
                words,
                href=f"?span={span}",
                className="chip" if span == near.span else "chip soft",
            )
            for span, words in _SPAN_WORDS.items()
        ],
        className="chips",
        **{"aria-label": "How much time"},
    )
    return panel(
        f"Last {_SPAN_WORDS[near.span]}",
        lanes("Timeline", told, near.since, near.until, near.until)
        if told
        else html.P("Nothing in this time.", className="muted"),
        said=f"{seen}{cut} and {count_of(len(near.claims))} claims, "
        f"until {near.until:%Y-%m-%d %H:%M} UTC.{late}",
        actions=[switch],
    )


def _incidents(found: Entity) -> Part:
    if not found.incidents:
        return None
    rows = [
        html.Li(
            [
                html.Div([level_badge(i["level"]), status_badge(i["status"])], className="badges"),
                dcc.Link(said(i["title"], found.names), href=f"/incident/{i['incident_id']}"),
            ],
            className="stack tight",
        )
        for i in found.incidents[:6]
    ]
    return panel("Incidents", html.Ul(rows, className="plain-list incidents-of"))


def _peers(found: Entity) -> Part:
    peers = found.peers
    if peers.entities < 2:
        return None
    kind = KINDS.get(found.key.kind, found.key.kind).lower()
    return panel(
        "Compared with its peers",
        html.Div([_bar(*told, peers) for told in _bars(peers)], className="feature-bars"),
        said=f"Events in {read.PEER_DAYS} days, against {count_of(peers.entities)} of kind {kind}.",
    )


def _bars(peers: Peers) -> list[tuple[str, int, str]]:
    return [
        ("this one", peers.events, "seen"),
        ("upper quarter", peers.high, "usual"),
        ("median", peers.middle, "usual"),
        ("lower quarter", peers.low, "usual"),
    ]


def _bar(words: str, count: int, look: str, peers: Peers) -> Part:
    top = max(peers.events, peers.high, 1)
    return html.Div(
        [
            html.Span(words),
            html.Span(
                html.I(style={"width": f"{max(0.6, 100 * count / top):.1f}%"}), className="track"
            ),
            html.Span(count_of(count), className="number"),
        ],
        className=f"feature-bar peer {look}",
    )


def _linked(found: Entity) -> Part:
    if not found.linked:
        return None
    rows = [
        [entity_chip(n.key, found.names), count_of(n.claims), level_badge(n.level)]
        for n in found.linked[:20]
    ]
    return panel(
        "Linked entities",
        table("Linked entities", ("Entity", "Claims", "Gravest"), rows, (1,), look="linked"),
        said="Named by the same findings and signals.",
    )


def register(console: Console) -> None:
    """Register the timeline's switch."""

    def widen(scope: Scope, search: str | None, name: str | None) -> Any:  # noqa: ANN401  a component
        if not name:
            return no_update
        key = parse_key(str(name))
        found = read.entity(console.database, scope, key, console.now())
        span = _span(search or "")
        return _timeline(read.lately(console.database, console.lake, scope, found, span, None))

    console.scoped_callback(
        Output("entity-timeline", "children"),
        Input(URL, "search"),
        State("entity-id", "data"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(widen)
