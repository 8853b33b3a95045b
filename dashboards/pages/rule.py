"""Show one rule: its text, what it claimed when, how often it was right, what it rests on."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlencode

import dash_mantine_components as dmc
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.pages.rules import KINDS, state
from dashboards.read import backtests
from dashboards.read import rules as read
from dashboards.read.detectors import DetectorText
from dashboards.read.rules import Listed, RuleText
from dashboards.ui.brush import said_count
from dashboards.ui.cards import figure_card, panel
from dashboards.ui.charts import Series, stacked_bars
from dashboards.ui.controls import act_button, chip, copy_button
from dashboards.ui.lists import key_values
from dashboards.ui.marks import count_of, level_badge, moment, short
from dashboards.ui.panels import head, pill, table
from dashboards.ui.past import past, versions_list, waiting
from dashboards.ui.states import Part, empty
from dashboards.ui.toasts import TOASTS, toast
from storage.errors import InvalidInput, NotFound
from storage.tenant import Scope

PAGE: Final = Page(
    path="/rule/<id>",
    title="Rule",
    grant="findings:read",
    why="A rule says what the house looks for.",
    under="/rules",
)
WRITE: Final = "rules:write"
_MOST_CLAIMS: Final = 50
_UNDO: Final = "rule.run"


def layout(view: View) -> Part:
    """Give the rule's text beside what it did."""
    found = read.one(view.console.database, view.console.settings, view.scope, view.key[:200])
    if found is None:
        raise NotFound("There is no rule of that id in this house.")
    rule = found.rule
    claims = read.claims(view.console.database, view.scope, found.rule_ids, _MOST_CLAIMS)
    now = view.console.now()
    return html.Div(
        [
            head(rule.title or rule.rule_id, rule.description, _hits_link(rule)),
            html.Div(_badges(found), id="rule-badges", className="badges"),
            html.Div(_figures(found), className="figures four"),
            html.Div(
                [
                    html.Div([_chart(found), _claims(claims, now)], className="stack"),
                    html.Div(
                        [
                            _about(found),
                            _base(rule),
                            html.Div(_text(rule, view.scope), id="rule-text-panel"),
                            _past(rule, view.scope),
                            _versions(view.console, view.scope, rule),
                        ],
                        className="stack",
                    ),
                ],
                className="split even",
            ),
        ]
    )


def _hits_link(rule: RuleText) -> Part:
    is_detector = rule.detector is not None and rule.detector.name == rule.rule_id
    href = f"/findings?{urlencode({'detector' if is_detector else 'rule': rule.rule_id})}"
    return dcc.Link("See its findings", href=href, className="button second")


def _badges(found: Listed) -> list[Part]:
    rule, told = found.rule, state(found)
    owner = pill("Of the house" if rule.owner == "house" else f"Your own, by {rule.created_by}")
    shown = pill(told["words"], told["look"], told.get("icon", ""))
    return [level_badge(rule.level), pill(KINDS[rule.kind]), owner, shown]


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
            html.Div([html.Div(short(str(c["entity"]), 36), className="nowrap"), _type(c)]),
            pill("Signal" if c["kind"] == "signal" else "Finding"),
            count_of(int(c["event_count"])),
        )
        for c in claims
    ]
    heads = ("When", "Claim", "About", "Kind", "Events")
    said = f"The last {len(rows)}." if len(rows) == _MOST_CLAIMS else ""
    shown = table("Newest claims", heads, rows, numbers=(4,), look="roomy")
    return panel("Newest claims", shown, said=said)


def _type(claim: dict[str, Any]) -> Part:
    return html.Div(str(claim["entity_type"]), className="muted small")


def _capped(found: Listed) -> str:
    if not found.figures.capped:
        return ""
    more = said_count(found.figures.capped, "claim")
    return f"{more} of 30 days beyond 1,000 in 10 minutes, counted and not kept. Make it narrower."


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
                ("Sees", _flow(rule)),
                ("Version", rule.detector.version if rule.detector else ""),
                ("Can be wrong when", doubts if rule.false_positives else ""),
                ("Why it cannot run", rule.problem),
                ("Capped", _capped(found)),
                ("Id", html.Code(rule.rule_id, className="mono")),
            ]
        ),
    )


def _flow(rule: RuleText) -> str:
    if rule.detector is None:
        return ""
    return "claims of others" if rule.detector.flow == "signals" else "every event, as it comes in"


def _detector(found: DetectorText) -> Part:
    """Say what a detector in code does: its own description, and the numbers it judges by."""
    says = [html.P(words) for words in found.says[1:] or found.says]
    rows = [(html.Strong(value, className="nowrap"), why) for _, value, why in found.limits]
    limits = table("Numbers it judges by", ("Number", "What it is"), rows, look="tight")
    return panel("How it judges", html.Div(says, className="says"), limits if rows else None)


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


def _text(rule: RuleText, scope: Scope, said: Part = None) -> Part:
    if rule.detector is not None:
        return _detector(rule.detector)
    if not rule.text:
        words = "Its text is not kept (any more); its claims are."
        return panel("Text", html.P(words, className="muted"))
    copy = copy_button(rule.text, "Copy the rule's text")
    if rule.owner == "tenant" and scope.may(WRITE):
        return panel("Text", *_editor(rule, said), actions=[copy])
    text = html.Pre(
        rule.text,
        className="rule wrap",
        tabIndex=0,
        role="region",
        **{"aria-label": "Text of the rule"},
    )
    return panel("Text", text, actions=[copy])


def _past(rule: RuleText, scope: Scope) -> Part:
    """Offer to run the text over the last thirty days; a house's rule as it is."""
    if rule.detector is not None or not rule.text or not scope.may(WRITE):
        return None
    whole = dmc.Textarea(id="rule-text", value=rule.text, **{"aria-label": "Text of the rule"})
    return panel(
        "On the past",
        html.Div(whole, hidden=True) if rule.owner == "house" else None,
        html.Div(id="rule-past"),
        html.Div(id="past-waiting"),
        html.Div(act_button("Back-test 30 days", "rule-try", "clock"), className="actions top-gap"),
        said="What this text would have said of the last 30 days; nothing is saved.",
    )


def _versions(console: Console, scope: Scope, rule: RuleText) -> Part:
    if rule.owner != "tenant":
        return None
    found = backtests.versions(console.database, scope, rule.rule_id)
    shown = versions_list(found, console.now(), may_write=scope.may(WRITE))
    return html.Div(panel("Versions", shown, said="Every text it had."), id="rule-versions")


def _editor(rule: RuleText, said: Part) -> list[Part]:
    word = "Let it rest" if rule.enabled else "Let it run"
    return [
        dmc.Textarea(
            id="rule-text",
            value=rule.text,
            autosize=True,
            minRows=10,
            maxRows=30,
            className="sql",
            spellCheck=False,
            **{"aria-label": "Text of the rule"},
        ),
        html.Div(said, id="rule-said", **{"aria-live": "polite"}),
        html.Div(
            [
                act_button("Save", "rule-save", "check", second=False),
                act_button(word, "rule-run"),
                dcc.Store(id="rule-reference", data={"id": rule.rule_id, "on": rule.enabled}),
            ],
            className="actions",
        ),
    ]


def register(console: Console) -> None:
    """Register what can be done with a rule of one's own: a new text, let it run or rest."""

    def shown(scope: Scope, rule_id: str, said: Part = None) -> tuple[Part, list[Part]]:
        found = read.one(console.database, console.settings, scope, rule_id)
        if found is None:
            raise NotFound("There is no rule of that id in this house.")
        return _text(found.rule, scope, said), _badges(found)

    def act(scope: Scope, *values: Any) -> tuple[Any, ...]:  # noqa: ANN401  Dash's own values
        saves, runs, text, reference = values
        if not isinstance(reference, dict) or not (saves or runs):
            return (no_update,) * 3
        rule_id, is_on = str(reference.get("id")), bool(reference.get("on"))
        if ctx.triggered_id == "rule-run":
            read.let_run(console.database, scope, rule_id, not is_on)
            words = "It rests: nothing is claimed by it." if is_on else "It runs again."
            back = {"id": rule_id, "on": is_on}
            return *shown(scope, rule_id), toast(words, (_UNDO, back))
        try:
            kept = read.save(console.database, console.settings, scope, str(text or ""))
        except InvalidInput as error:
            return no_update, no_update, toast(str(error)[:300], is_bad=True)
        return *shown(scope, kept), toast("Saved; the flows run it within ten seconds.")

    console.scoped_callback(
        Output("rule-text-panel", "children"),
        Output("rule-badges", "children"),
        Output(TOASTS, "children", allow_duplicate=True),
        Input("rule-save", "n_clicks"),
        Input("rule-run", "n_clicks"),
        State("rule-text", "value"),
        State("rule-reference", "data"),
        grant=WRITE,
        prevent_initial_call=True,
    )(act)

    def undo(scope: Scope, data: Mapping[str, Any]) -> str:
        rule_id, is_on = str(data.get("id")), bool(data.get("on"))
        read.let_run(console.database, scope, rule_id, is_on)
        return "Undone: it runs." if is_on else "Undone: it rests."

    console.undoable(_UNDO, WRITE, undo)
    _register_past(console)


def _register_past(console: Console) -> None:
    """Register the back-test and the way back to an earlier text."""

    def begin(scope: Scope, clicks: Any, text: Any) -> Any:  # noqa: ANN401  Dash's own values
        if not clicks:
            return no_update
        asked = (console.database, console.settings, scope, str(text or ""), console.now())
        return waiting(backtests.ask(*asked))

    console.scoped_callback(
        Output("past-waiting", "children"),
        Input("rule-try", "n_clicks"),
        State("rule-text", "value"),
        grant=WRITE,
        prevent_initial_call=True,
    )(begin)

    def look(scope: Scope, _ticks: Any, backtest_id: Any) -> tuple[Any, ...]:  # noqa: ANN401  Dash's own values
        told = backtests.read(console.database, scope, str(backtest_id or ""))
        return past(told, console.now()), told["status"] in {"done", "failed"}

    console.scoped_callback(
        Output("rule-past", "children"),
        Output("past-tick", "disabled"),
        Input("past-tick", "n_intervals"),
        State("past-id", "data"),
        grant=PAGE.grant,
    )(look)

    def back(scope: Scope, clicks: Any, reference: Any) -> tuple[Any, ...]:  # noqa: ANN401  Dash's own values
        asked = ctx.triggered_id
        if not isinstance(asked, dict) or not isinstance(reference, dict) or not any(clicks or ()):
            return (no_update,) * 3
        rule_id, version = str(reference.get("id")), int(asked["version"])
        backtests.rolled_back(console.database, console.settings, scope, rule_id, version)
        found = read.one(console.database, console.settings, scope, rule_id)
        if found is None:
            raise NotFound("There is no rule of that id in this house.")
        said = toast(f"Version {version} runs again; the flows take it within ten seconds.")
        return _text(found.rule, scope), _versions(console, scope, found.rule), said

    console.scoped_callback(
        Output("rule-text-panel", "children", allow_duplicate=True),
        Output("rule-versions", "children"),
        Output(TOASTS, "children", allow_duplicate=True),
        Input({"type": "roll-back", "version": ALL}, "n_clicks"),
        State("rule-reference", "data"),
        grant=WRITE,
        prevent_initial_call=True,
    )(back)
