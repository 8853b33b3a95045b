"""Show one finding: what, how grave, why, on which events, what else happened, whose work it is."""

from dataclasses import replace
from typing import Any, Final

from dash import Input, Output, State, dcc, html, no_update

from dashboards import exception, incident
from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import finding as read
from dashboards.read.exposure import Value
from dashboards.read.finding import SPANS, Around, Depths, Surroundings
from dashboards.read.patience import LATER_S, within
from dashboards.read.rules import RuleText, rule_text
from dashboards.shell import URL
from dashboards.ui import events, why
from dashboards.ui.cards import panel
from dashboards.ui.events import counted
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, exact_time, level_badge, moment
from dashboards.ui.process_tree import process_tree
from dashboards.ui.states import Part, skeleton
from dashboards.ui.story import story
from dashboards.ui.timeline import Happening, lanes, of_claims, of_events
from dashboards.ui.value import held_panel, value_badge, value_panel
from storage.errors import InvalidInput, Unavailable
from storage.tenant import Scope

PAGE: Final = Page(
    path="/finding/<id>",
    title="Finding",
    grant="findings:read",
    why="Findings are what the detectors claim about your events.",
    under="/findings",
)
_SPAN_WORDS: Final = {"15m": "15 minutes", "1h": "1 hour", "24h": "24 hours"}
Row = dict[str, Any]


def layout(view: View) -> Part:
    """Give what the ledger knows at once; what the history adds comes after, by `deep`."""
    console, scope = view.console, view.scope
    found = read.surroundings(console.database, scope, view.key)
    claim = found.finding
    value, held = read.money(console.database, scope, found)
    work = None
    if scope.may("incidents:read"):
        work = incident.panel(console, scope, found.incident, names=found.names)
    return html.Div(
        [
            _head(claim, found, value),
            html.Div(
                [
                    html.Div(
                        [
                            html.Div(_why(console, claim, found), id="finding-why"),
                            html.Div(
                                [_waiting(), _evidence(claim, found, {})],
                                id="finding-deep",
                                className="stack",
                            ),
                        ],
                        className="stack",
                    ),
                    html.Div(
                        [
                            work,
                            exception.exception_panel(console, scope, claim),
                            held_panel(held),
                            value_panel(value),
                            _entities(found, console),
                            _like(found),
                        ],
                        className="stack",
                    ),
                ],
                className="split wide-side",
            ),
            dcc.Store(id="finding-id", data=claim["finding_id"]),
        ]
    )


def _waiting() -> Part:
    said = "Looking into the history"
    return panel("What happened around it", skeleton(said, lines=5), said=f"{said} …")


def _deep(console: Console, scope: Scope, finding_id: str, search: str) -> tuple[Part, list[Part]]:
    """Give the grounds in full and what lies around them; Unavailable when it takes too long."""
    found = read.surroundings(console.database, scope, finding_id)
    claim = found.finding

    def look() -> tuple[Depths, Around]:
        lake = console.lake
        more = read.depths(console.database, lake, scope, found)
        return more, read.around(console.database, lake, scope, claim, _span(search))

    more, near = within(LATER_S, look)
    told = replace(found, parts=more.parts)
    return _why(console, claim, told) if told.parts else no_update, [
        _tree(claim, more),
        html.Div(_timeline(claim, near), id="finding-timeline"),
        _evidence(claim, told, more.whole),
    ]


def _span(search: str) -> str:
    asked = search.partition("span=")[2].partition("&")[0]
    return asked if asked in SPANS else "15m"


def _head(claim: Row, found: Surroundings, value: Value) -> Part:
    attack = [html.Span(t, className="badge plain") for t in claim["attack"]]
    signal = claim["kind"] == "signal"
    graph = f"/graph?finding={claim['finding_id']}"
    return html.Header(
        [
            dcc.Link([icon("back"), " All findings"], href="/findings", className="small"),
            html.Div(
                [
                    html.H1(claim["title"]),
                    html.Div(
                        dcc.Link(
                            [icon("graph"), "Open graph"], href=graph, className="button second"
                        ),
                        className="actions",
                    ),
                ],
                className="page-head titled",
            ),
            html.Div(
                [
                    level_badge(claim["level"]),
                    html.Span("signal", className="badge plain") if signal else None,
                    *attack,
                    html.Time(
                        exact_time(claim["time"]),
                        dateTime=claim["time"].isoformat(),
                        className="muted",
                    ),
                    value_badge(value),
                ],
                className="badges",
            ),
            events.entity_chips(found.keys, 12, found.names),
        ],
        className="stack tight",
    )


def _why(console: Console, claim: Row, found: Surroundings) -> Part:
    rule = rule_text(console.settings, claim["rule_id"])
    reasons = claim["reasons"]
    is_model = why.is_model(reasons)
    said = rule.description if rule and rule.description else why.said(is_model, bool(found.parts))
    grounds: list[Part] = []
    if found.parts:
        first, last = found.parts[0].claim["time"], found.parts[-1].claim["time"]
        chain = (
            f"{len(found.parts)} steps, from {exact_time(first)[:19]} to {exact_time(last)[:19]}"
        )
        grounds += [
            html.P(chain, className="muted small"),
            story(found.parts, "The chain", names=found.names),
        ]
    if reasons:
        grounds.append(why.features(reasons) if is_model else why.matched(reasons))
    return panel(
        "Why",
        html.Div(
            [
                html.P(said, className="lead"),
                *(grounds or [html.P("The detector gave no reasons.")]),
                _rule(claim, rule),
            ],
            className="stack",
        ),
    )


def _rule(claim: Row, rule: RuleText | None) -> Part:
    named = f"{claim['detector']} {claim['detector_version']}"
    doubts = [html.Dt("False alarms"), html.Dd("; ".join(rule.false_positives))] if rule else []
    facts = html.Dl(
        [
            html.Dt("Rule"),
            html.Dd(
                dcc.Link(
                    rule.title if rule else claim["rule_id"],
                    href=f"/findings?rule={claim['rule_id']}",
                )
            ),
            html.Dt("Detector"),
            html.Dd(html.Code(named)),
            *doubts,
        ],
        className="facts",
    )
    if rule is None:
        return facts
    text = html.Pre(
        rule.text, className="rule", tabIndex=0, role="region", **{"aria-label": "Rule text"}
    )
    return html.Div([facts, html.Details([html.Summary("Show the rule"), text], className="twin")])


def _tree(claim: Row, found: Depths) -> Part:
    if not found.trees:
        return None
    return panel(
        "Process tree",
        process_tree(found.trees, claim["time"]),
        said="Who started what, 15 minutes before and after. Arrow keys walk the tree.",
    )


def _timeline(claim: Row, near: Around) -> Part:
    at, span = claim["time"], SPANS[near.span]
    told = of_events(near.events or [], frozenset(claim["event_ids"]))
    told += of_claims(near.claims)
    lane = next((h.lane for h in told if h.look == "evidence"), "endpoint")
    told.append(Happening(at, lane, claim["title"], "this finding", "now", claim["level"]))
    cut = f", the nearest {read.MOST_NEAR} shown" if near.is_cut else ""
    seen = f"{counted(len(near.events), 'event')}{cut}" if near.events is not None else "no events"
    switch = html.Nav(
        [
            dcc.Link(
                words,
                href=f"?span={key}" if key != "15m" else "?",
                className="chip" if key == near.span else "chip soft",
            )
            for key, words in _SPAN_WORDS.items()
        ],
        className="chips",
        **{"aria-label": "How much time"},
    )
    return panel(
        f"{_SPAN_WORDS[near.span]} before and after",
        lanes("Timeline", told, at - span, at + span, at),
        said=f"{seen} and {counted(len(near.claims), 'other claim')} about the same entities.",
        actions=[switch],
    )


def _evidence(claim: Row, found: Surroundings, whole: dict[str, dict[str, str]]) -> Part:
    rests = claim["event_count"]
    if found.evidence is None:
        body: Part = html.P("Your role does not show events.", className="muted")
    elif not found.evidence:
        body = html.P("The events are no longer among the hot days.", className="muted")
    else:
        alone = len(found.evidence) == 1
        body = [events.whole_event(e, whole.get(e["event_id"], {}), alone) for e in found.evidence]
    shown = len(found.evidence or [])
    cut = f", the first {count_of(shown)} are shown" if 0 < shown < rests else ""
    said = f"Rests on {counted(rests, 'event')}{cut}."
    return panel("Evidence", html.Div(body), said=said)


def _entities(found: Surroundings, console: Console) -> Part:
    now = console.now()
    cards = []
    for card in found.cards:
        key = card["key"]
        seen = moment(card["last_time"], now) if card["last_time"] else None
        cards.append(
            dcc.Link(
                [
                    icon(events.entity_icon(key.kind)),
                    html.Span(
                        [
                            html.Strong(
                                found.names.get(key, events.shown_name(key)), className="cut"
                            ),
                            html.Span(_said_of(card), className="muted small"),
                            html.Span(["last seen ", seen], className="muted small")
                            if seen
                            else None,
                        ],
                        className="two-lines",
                    ),
                ],
                href=key.path,
                className="entity-card",
                title=f"{key.kind}: {key.name}",
            )
        )
    return panel("Entities", html.Div(cards, className="stack tight"), said="Over 30 days.")


def _said_of(card: Row) -> str:
    told = [counted(card["findings"], "finding"), counted(card["signals"], "signal")]
    if card["grave"]:
        told.append(f"{count_of(card['grave'])} grave")
    if card["events"]:
        told.append(counted(card["events"], "event"))
    return " · ".join(told)


def _like(found: Surroundings) -> Part:
    if not found.similar and not found.others:
        return None
    return panel(
        "Similar findings",
        html.H3("By the same rule") if found.similar else None,
        events.other_findings(found.similar, 6, has_entity=True, names=found.names)
        if found.similar
        else None,
        html.H3("About the same entity") if found.others else None,
        events.other_findings(found.others, 8) if found.others else None,
    )


def register(console: Console) -> None:
    """Register the depths, the timeline's switch, and the incident panel of every page."""
    incident.register(console)
    exception.register(console)

    def deep(scope: Scope, finding_id: str | None, search: str | None) -> Any:  # noqa: ANN401  components
        if not finding_id:
            return no_update, no_update
        try:
            return _deep(console, scope, str(finding_id), search or "")
        except (Unavailable, InvalidInput) as error:
            found = read.surroundings(console.database, scope, str(finding_id))
            return no_update, [console.problem(error), _evidence(found.finding, found, {})]

    console.scoped_callback(
        Output("finding-why", "children"),
        Output("finding-deep", "children"),
        Input("finding-id", "data"),
        State(URL, "search"),
        grant=PAGE.grant,
    )(deep)

    def widen(scope: Scope, search: str | None, finding_id: str | None) -> Any:  # noqa: ANN401  a component
        if not finding_id:
            return no_update
        claim = read.finding(console.database, scope, str(finding_id))
        span = _span(search or "")
        near = within(
            LATER_S, lambda: read.around(console.database, console.lake, scope, claim, span)
        )
        return _timeline(claim, near)

    console.scoped_callback(
        Output("finding-timeline", "children"),
        Input(URL, "search"),
        State("finding-id", "data"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(widen)
