"""Show one rule: its text, what it claimed when, how often it was right, what it rests on."""

from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

from dash import dcc, html

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.pages.rules import KINDS
from dashboards.read import rules as read
from dashboards.read.rules import Listed, RuleText
from dashboards.ui.brush import said_count
from dashboards.ui.cards import figure_card, panel
from dashboards.ui.charts import Series, stacked_bars
from dashboards.ui.controls import chip, copy_button
from dashboards.ui.lists import key_values
from dashboards.ui.marks import count_of, level_badge, moment, short
from dashboards.ui.panels import head, pill, table
from dashboards.ui.states import Part, empty
from storage.errors import NotFound

PAGE: Final = Page(
    path="/rule/<id>",
    title="Rule",
    grant="findings:read",
    why="A rule says what the house looks for.",
    under="/rules",
)
_MOST_CLAIMS: Final = 50


def layout(view: View) -> Part:
    """Give the rule's text beside what it did."""
    found = read.one(view.console.database, view.scope, view.key[:200])
    if found is None:
        raise NotFound("There is no rule of that id in this house.")
    rule = found.rule
    claims = read.claims(view.console.database, view.scope, rule.rule_id, _MOST_CLAIMS)
    now = view.console.now()
    return html.Div(
        [
            head(rule.title or rule.rule_id, rule.description, _hits_link(rule)),
            html.Div(_badges(found), className="badges"),
            html.Div(_figures(found), className="figures four"),
            html.Div(
                [
                    html.Div([_chart(found), _claims(claims, now)], className="stack"),
                    html.Div([_about(found), _base(rule), _text(rule)], className="stack"),
                ],
                className="split even",
            ),
        ]
    )


def _hits_link(rule: RuleText) -> Part:
    href = f"/findings?{urlencode({'rule': rule.rule_id})}"
    return dcc.Link("See its findings", href=href, className="button second")


def _badges(found: Listed) -> list[Part]:
    rule = found.rule
    state = pill("Cannot run", "high", "alert") if rule.problem else pill("Runs", "good")
    owner = pill("Of the house" if rule.owner == "house" else "Your own")
    return [level_badge(rule.level), pill(KINDS[rule.kind]), owner, state]


def _figures(found: Listed) -> list[Part]:
    figures = found.figures
    right = "none yet" if figures.precision is None else f"{100 * figures.precision:.0f} %"
    judged = f"of {figures.judged} judged incidents" if figures.judged else "no incident judged"
    return [
        figure_card("Claims in 24 hours", count_of(figures.day), period="to the newest claim"),
        figure_card(
            "Claims in 7 days", count_of(figures.week), period="", trend=list(figures.steps)
        ),
        figure_card("Claims in all", count_of(figures.claims), period="since the start"),
        figure_card("Right", right, period=judged),
    ]


def _chart(found: Listed) -> Part:
    steps, last = found.figures.steps, found.figures.last_time
    if not any(steps) or last is None:
        return panel("Claims over time", empty("Silent", "It claimed nothing in the last 7 days."))
    labels = [f"{(len(steps) - i) * 6} h before" for i in range(len(steps))]
    claims = said_count(sum(steps), "claim")
    summary = f"{claims} in 7 days, at most {count_of(max(steps))} in 6 hours."
    return stacked_bars("Claims over time", summary, labels, [Series("Claims", list(steps))])


def _claims(claims: list[dict[str, Any]], now: datetime) -> Part:
    if not claims:
        why = "When it hits, its claims are listed here with the entity they are about."
        return panel("Newest claims", empty("No claim yet", why))
    rows = [
        (
            moment(c["time"], now),
            dcc.Link(short(str(c["title"]), 90), href=f"/finding/{c['finding_id']}"),
            f"{c['entity_type']} {short(str(c['entity']), 60)}",
            pill("Signal" if c["kind"] == "signal" else "Finding"),
            count_of(int(c["event_count"])),
        )
        for c in claims
    ]
    heads = ("When", "Claim", "About", "Kind", "Events")
    said = f"The last {len(rows)}." if len(rows) == _MOST_CLAIMS else ""
    return panel("Newest claims", table("Newest claims", heads, rows, numbers=(4,)), said=said)


def _about(found: Listed) -> Part:
    rule = found.rule
    attack = [chip(name, href=f"/findings?{urlencode({'q': name})}") for name in rule.attack]
    doubts = html.Ul([html.Li(d) for d in rule.false_positives], className="plain-list")
    return panel(
        "About it",
        key_values(
            [
                ("ATT&CK", html.Div(attack, className="chips") if attack else ""),
                ("Looks at", rule.area),
                ("Can be wrong when", doubts if rule.false_positives else ""),
                ("Why it cannot run", rule.problem),
                ("Id", html.Code(rule.rule_id, className="mono")),
            ]
        ),
    )


def _base(rule: RuleText) -> Part:
    if not rule.base:
        return None
    rows = []
    for found in read.base_rules(rule):
        if isinstance(found, str):
            rows.append(html.Li(html.Code(found)))
        else:
            link = dcc.Link(found.title, href=f"/rule/{found.rule_id}")
            rows.append(html.Li([level_badge(found.level), " ", link]))
    said = "The claims of these, put together."
    return panel("Rests on", html.Ol(rows, className="plain-list steps"), said=said)


def _text(rule: RuleText) -> Part:
    if not rule.text:
        said = "This detector is code of the house; its findings say which features spoke."
        return panel("Text", html.P(said, className="muted"))
    text = html.Pre(
        rule.text,
        className="rule wrap",
        tabIndex=0,
        role="region",
        **{"aria-label": "Text of the rule"},
    )
    return panel("Text", text, actions=[copy_button(rule.text, "Copy the rule's text")])


def register(console: Console) -> None:
    """Register nothing: the page only shows."""
