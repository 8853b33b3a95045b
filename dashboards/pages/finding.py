"""Show one finding: what, how grave, why, on which events, what else happened, whose work it is."""

from typing import Any, Final

from dash import dcc, html

from dashboards import incident
from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import finding as read
from dashboards.read.rules import RuleText, rule_text
from dashboards.ui import events, why
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, exact_time, level_badge, moment
from dashboards.ui.states import Part

PAGE: Final = Page(
    path="/finding/<id>",
    title="Finding",
    grant="findings:read",
    why="Findings are what the detectors claim about your events.",
    under="/findings",
)


def layout(view: View) -> Part:
    """Give the whole page at once: it is one claim with its grounds."""
    console, scope = view.console, view.scope
    found = read.surroundings(console.database, scope, view.key)
    claim = found.finding
    whole: dict[str, dict[str, str]] = {}
    if found.evidence is not None:
        whole = read.whole_events(
            console.database, console.lake, scope, claim["event_ids"], claim["time"]
        )
    return html.Div(
        [
            _head(claim),
            html.Div(
                [
                    html.Div(
                        [_why(claim), _timeline(claim, found), _evidence(claim, found, whole)],
                        className="stack",
                    ),
                    html.Div(
                        [
                            incident.panel(console, scope, found.incident)
                            if scope.may("incidents:read")
                            else None,
                            _entity(claim, found, console),
                        ],
                        className="stack",
                    ),
                ],
                className="split",
            ),
        ]
    )


def _head(claim: dict[str, Any]) -> Part:
    attack = [html.Span(t, className="badge plain") for t in claim["attack"]]
    return html.Div(
        [
            dcc.Link([icon("back"), " All findings"], href="/findings", className="small"),
            html.H1(claim["title"]),
            html.Div(
                [
                    level_badge(claim["level"]),
                    *attack,
                    html.Span(
                        [
                            html.Time(
                                exact_time(claim["time"]), dateTime=claim["time"].isoformat()
                            ),
                            " on ",
                            dcc.Link(claim["entity"], href=events.entity_path(claim["entity"])),
                            f" ({claim['entity_type']})",
                        ],
                        className="muted",
                    ),
                ],
                className="badges",
            ),
        ],
        className="stack tight",
    )


def _why(claim: dict[str, Any]) -> Part:
    rule = rule_text(claim["rule_id"])
    is_model = why.is_model(claim["reasons"])
    said = rule.description if rule else _said(is_model)
    grounds = why.features(claim["reasons"]) if is_model else why.matched(claim["reasons"])
    return html.Section(
        [
            html.H2("Why"),
            html.P(said),
            grounds if claim["reasons"] else html.P("The detector gave no reasons."),
            _rule(claim, rule),
        ],
        className="card stack",
        **{"aria-label": "Why"},
    )


def _said(is_model: bool) -> str:
    if is_model:
        return (
            "A model that learned what is usual for this entity saw something far from it. "
            "The bars compare what was seen with what is usual."
        )
    return "A rule matched these fields. Its text is not part of this house."


def _rule(claim: dict[str, Any], rule: RuleText | None) -> Part:
    named = f"{claim['detector']} {claim['detector_version']}"
    facts = html.Dl(
        [
            html.Dt("Detector"),
            html.Dd(html.Code(named)),
            html.Dt("Rule"),
            html.Dd(
                dcc.Link(
                    rule.title if rule else claim["rule_id"],
                    href=f"/findings?rule={claim['rule_id']}",
                )
            ),
            *([html.Dt("False alarms"), html.Dd("; ".join(rule.false_positives))] if rule else []),
        ],
        className="facts",
    )
    if rule is None:
        return facts
    text = html.Pre(
        rule.text, className="rule", tabIndex=0, role="region", **{"aria-label": "Rule text"}
    )
    return html.Div([facts, html.Details([html.Summary("Show the rule"), text], className="twin")])


def _evidence(
    claim: dict[str, Any], found: read.Surroundings, whole: dict[str, dict[str, str]]
) -> Part:
    rests = claim["event_count"]
    head = html.Div(
        [
            html.H2("Evidence"),
            html.Span(
                f"rests on {count_of(rests)} event{'' if rests == 1 else 's'}", className="muted"
            ),
        ],
        className="card-head",
    )
    if found.evidence is None:
        body: Part = html.P("Your role does not show events.", className="muted")
    elif not found.evidence:
        body = html.P("The events are no longer among the hot days.", className="muted")
    else:
        alone = len(found.evidence) == 1
        body = [events.whole_event(e, whole.get(e["event_id"], {}), alone) for e in found.evidence]
    return html.Section([head, html.Div(body)], className="card", **{"aria-label": "Evidence"})


def _timeline(claim: dict[str, Any], found: read.Surroundings) -> Part:
    near = found.near or []
    since, until = claim["time"] - read.NEAR, claim["time"] + read.NEAR
    others = [o for o in found.others if since <= o["time"] <= until]
    cut = f", the nearest {read.MOST_NEAR} shown" if len(near) >= read.MOST_NEAR else ""
    summary = f"{count_of(len(near))} events and {len(others)} other findings{cut}"
    return html.Section(
        [
            html.Div(
                [
                    html.H2("15 minutes before and after"),
                    html.Span(summary, className="muted"),
                ],
                className="card-head",
            ),
            events.timeline(
                claim["time"], claim["title"], near, others, frozenset(claim["event_ids"])
            ),
        ],
        className="card",
        **{"aria-label": "Timeline"},
    )


def _entity(claim: dict[str, Any], found: read.Surroundings, console: Console) -> Part:
    now = console.now()
    numbers, seen = found.entity, found.entity_events
    facts: list[Part] = [
        html.Dt("Findings"),
        html.Dd(f"{count_of(numbers['findings'])}, {count_of(numbers['grave'])} high or critical"),
    ]
    if seen["events"]:
        facts += [
            html.Dt("Events"),
            html.Dd(count_of(seen["events"])),
            html.Dt("First seen"),
            html.Dd(moment(seen["first_time"], now)),
            html.Dt("Last seen"),
            html.Dd(moment(seen["last_time"], now)),
        ]
    links = claim["links"] or []
    return html.Section(
        [
            html.H2(
                [
                    icon(
                        claim["entity_type"]
                        if claim["entity_type"] in {"host", "user"}
                        else "network"
                    ),
                    " ",
                    claim["entity"],
                ]
            ),
            html.Dl(facts, className="facts"),
            html.H3("Other findings here") if found.others else None,
            events.other_findings(found.others, 8),
            html.H3("Also involved") if links else None,
            events.link_chips(links),
        ],
        className="card stack tight entity",
        **{"aria-label": "Entity"},
    )


def register(console: Console) -> None:
    """Register the incident panel's work, for this page and every other that shows it."""
    incident.register(console)
