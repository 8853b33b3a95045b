"""Show one agent: its policy, gaps, checks, what was asked of its host; ask, approve, undo."""

from typing import Any, Final

from dash import ALL, Input, Output, State, ctx, dcc, html, no_update

from api import agent_actions as acts
from api.agent_checks import checks, history
from api.agent_watch import gaps_of
from api.evidence import READ
from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import response as read
from dashboards.read.names import key_of
from dashboards.read.response import WHAT, Standing
from dashboards.ui.agent_state import checks_table, gaps_table
from dashboards.ui.cards import panel
from dashboards.ui.lists import key_values
from dashboards.ui.marks import moment
from dashboards.ui.panels import head
from dashboards.ui.response import actions_table, ask_form, policy_badge, result_of
from dashboards.ui.states import Part, problem_box
from dashboards.ui.toasts import TOASTS, toast
from storage.errors import InvalidInput, Overloaded
from storage.tenant import Scope

PAGE: Final = Page(
    path="/agent/<id>",
    title="Agent",
    grant="ops:read",
    why="An agent's page shows what it runs and what was done on its host.",
    under="/agents",
)
EVERY_MS: Final = 3000


def layout(view: View) -> Part:
    """Give the form beside what was asked before."""
    console, scope = view.console, view.scope
    found = read.standing(console.database, scope, view.key)
    incident = view.search.partition("incident=")[2].partition("&")[0]
    host = str(found.agent["host"])
    entity = dcc.Link("Its host", href=key_of("host", host).path, className="button second")
    form = _form(found, scope, incident)
    live = html.Div(_actions(console, scope, found), id="agent-actions")
    result = html.Div(id="agent-result", **{"aria-live": "polite"})
    return html.Div(
        [
            head(f"Agent of {host}", "What it runs, and what was done on its host.", entity),
            html.Div(
                [
                    html.Div(
                        [panel("Actions", live), result, *_told(found, console, scope)],
                        className="stack",
                    ),
                    html.Div([_facts(found, console), form], className="stack"),
                ],
                className="split wide-side",
            ),
            dcc.Store(id="agent-id", data=found.agent["agent_id"]),
            dcc.Interval(id="agent-tick", interval=EVERY_MS),
        ]
    )


def _told(found: Standing, console: Console, scope: Scope) -> list[Part]:
    """Show what is missing in its streams, and what its host's checks say."""
    agent_id, now = str(found.agent["agent_id"]), console.now()
    gaps = gaps_of(console.database, scope, agent_id)
    verdicts = checks(console.database, scope, agent_id)
    changes = history(console.database, scope, agent_id)
    failed = sum(not row["is_passed"] for row in verdicts)
    return [
        panel(
            "Gaps", gaps_table(gaps, now), said="Numbers of its streams that skip or come again."
        ),
        panel(
            "Configuration checks",
            checks_table(verdicts, now, changes),
            said=f"{failed} of {len(verdicts)} failed." if verdicts else "",
        ),
    ]


def _facts(found: Standing, console: Console) -> Part:
    agent, now = found.agent, console.now()
    beat = moment(agent["beat_at"], now) if agent["beat_at"] else "never"
    takes = ", ".join(agent["response"]) if agent["beat_at"] else "not known yet"
    whose = "its own" if found.policy.agent_id else "that of all agents"
    return panel(
        "How it stands",
        key_values(
            [
                ("Policy", policy_badge(agent, found.policy.version)),
                ("Whose", whose),
                ("Last beat", beat),
                ("Takes", takes or "nothing: its host has switched actions off"),
                ("Address", agent["address"]),
            ]
        ),
    )


def _form(found: Standing, scope: Scope, incident: str) -> Part:
    if not scope.may(acts.ASK):
        why = "Analysts and administrators ask for actions."
        return panel("Ask for an action", html.P(why, className="muted"))
    kinds = list(found.agent["response"]) if found.agent["beat_at"] else list(WHAT)
    said = "What changes the host waits for a second person; a dry run, a question, an undo do not."
    if not found.policy.document.four_eyes:
        said = "The policy lets one person act alone."
    return panel("Ask for an action", ask_form(kinds, incident), said=said)


def _actions(console: Console, scope: Scope, found: Standing) -> Part:
    words = (("ask", acts.ASK), ("approve", acts.APPROVE))
    may = frozenset(word for word, grant in words if scope.may(grant))
    return actions_table(found.actions, console.now(), acts.who(scope), may)


def register(console: Console) -> None:
    """Register: renew the list, say what a kind needs, ask, act, show a result."""

    def renew(scope: Scope, ticks: int | None, agent_id: str) -> Any:  # noqa: ANN401  Dash's own values
        if not ticks:
            return no_update
        return _actions(console, scope, read.standing(console.database, scope, str(agent_id)))

    console.scoped_callback(
        Output("agent-actions", "children"),
        Input("agent-tick", "n_intervals"),
        State("agent-id", "data"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(renew)

    def hint(scope: Scope, kind: str | None) -> Any:  # noqa: ANN401  Dash's own values
        words = WHAT.get(str(kind), "") if scope.may(PAGE.grant) else ""
        is_timed = str(kind) in read.TIMED
        return words, not words, not is_timed

    console.scoped_callback(
        Output("agent-ask-hint", "children"),
        Output("agent-ask-what", "disabled"),
        Output("agent-ask-minutes", "disabled"),
        Input("agent-ask-kind", "value"),
        grant=PAGE.grant,
    )(hint)
    _register_ask(console)
    _register_acts(console)


def _register_ask(console: Console) -> None:
    def ask(scope: Scope, clicks: int | None, *values: Any) -> Any:  # noqa: ANN401  Dash's own values
        if not clicks:
            return no_update, no_update
        names = ("kind", "what", "minutes", "note", "is_dry", "incident")
        agent_id, form = str(values[-1]), dict(zip(names, values, strict=False))
        try:
            made = read.ask_by_form(console, scope, agent_id, form, console.now())
        except (InvalidInput, Overloaded) as wrong:
            return problem_box(str(wrong)), no_update
        waits = "A second person approves it first." if made["state"] == "waits" else "Asked."
        found = read.standing(console.database, scope, agent_id)
        return html.P(waits, className="done"), _actions(console, scope, found)

    console.scoped_callback(
        Output("agent-ask-said", "children"),
        Output("agent-actions", "children", allow_duplicate=True),
        Input("agent-ask", "n_clicks"),
        *[State(f"agent-ask-{name}", "value") for name in ("kind", "what", "minutes", "note")],
        State("agent-ask-dry", "checked"),
        State("agent-ask-incident", "data"),
        State("agent-id", "data"),
        grant=acts.ASK,
        prevent_initial_call=True,
    )(ask)


def _register_acts(console: Console) -> None:
    def register_one(name: str, grant: str, act: Any, words: str) -> None:  # noqa: ANN401  one of three commands
        def do(scope: Scope, clicks: Any, agent_id: str) -> Any:  # noqa: ANN401  Dash's own values
            asked = ctx.triggered_id
            if not isinstance(asked, dict) or not any(clicks or ()):
                return no_update, no_update
            act(console.database, scope, str(asked["action"]), console.now())
            found = read.standing(console.database, scope, str(agent_id))
            return _actions(console, scope, found), toast(words)

        do.__name__ = f"agent_{name}"
        console.scoped_callback(
            Output("agent-actions", "children", allow_duplicate=True),
            Output(TOASTS, "children", allow_duplicate=True),
            Input({"type": f"agent-{name}", "action": ALL}, "n_clicks"),
            State("agent-id", "data"),
            grant=grant,
            prevent_initial_call=True,
        )(do)

    register_one("approve", acts.APPROVE, acts.approve, "Approved: it goes to the agent.")
    register_one("deny", acts.ASK, acts.deny, "Denied: the agent never hears of it.")
    register_one("undo", acts.ASK, acts.undo, "Its undo goes to the agent.")

    def show(scope: Scope, clicks: Any) -> Any:  # noqa: ANN401  Dash's own values
        asked = ctx.triggered_id
        if not isinstance(asked, dict) or not any(clicks or ()):
            return no_update
        action = acts.action_of(console.database, scope, str(asked["action"]))
        return panel("Result", result_of(action, scope.may(READ)))

    console.scoped_callback(
        Output("agent-result", "children"),
        Input({"type": "agent-show", "action": ALL}, "n_clicks"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(show)
