"""Approve agents that wait, and say whether new ones wait: parts of the page Agents."""

from collections.abc import Callable
from typing import Any, Final

import dash_mantine_components as dmc
from dash import ALL, Input, Output, ctx, html, no_update

from api.admission import WRITE, approve_agent, needs_approval, set_needs_approval
from dashboards.console import Console
from dashboards.read.agents import Agent
from dashboards.ui.states import Part
from dashboards.ui.toasts import TOASTS, toast
from storage.tenant import Scope

_SWITCH: Final = "agents-approval"


def approve_button(agent: Agent) -> Part:
    """Give the button that lets an agent in that waits."""
    return html.Button(
        "Approve",
        id={"type": "agent-admit", "agent": agent.agent_id},
        className="act",
        type="button",
        **{"aria-label": f"Approve the agent of {agent.host}"},
    )


def switch(console: Console, scope: Scope) -> Part:
    """Give the switch by which new agents wait for an administrator's yes."""
    return dmc.Switch(
        id=_SWITCH,
        label="A new agent waits until an administrator approves it",
        checked=needs_approval(console.database, scope),
    )


def register_approval(console: Console, live: Callable[[Console, Scope], list[Part]]) -> None:
    """Register the button and the switch; `live` gives the list anew."""

    def approve(scope: Scope, clicks: Any) -> Any:  # noqa: ANN401  Dash's own values
        asked = ctx.triggered_id
        if not isinstance(asked, dict) or not any(clicks or ()):
            return no_update, no_update
        approve_agent(console.database, scope, str(asked["agent"]))
        return live(console, scope), toast("Approved: it is let in at its next try.")

    console.scoped_callback(
        Output("agents-live", "children", allow_duplicate=True),
        Output(TOASTS, "children", allow_duplicate=True),
        Input({"type": "agent-admit", "agent": ALL}, "n_clicks"),
        grant=WRITE,
        prevent_initial_call=True,
    )(approve)

    def wait(scope: Scope, checked: bool | None) -> Any:  # noqa: ANN401  Dash's own values
        if checked is None or checked == needs_approval(console.database, scope):
            return no_update
        set_needs_approval(console.database, scope, checked)
        words = "wait for approval" if checked else "are let in by their token alone"
        return toast(f"Agents that enrol from now on {words}.")

    console.scoped_callback(
        Output(TOASTS, "children", allow_duplicate=True),
        Input(_SWITCH, "checked"),
        grant=WRITE,
        prevent_initial_call=True,
    )(wait)
