"""Show which hosts are watched and which went silent; give the command that adds one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import dash_mantine_components as dmc
from dash import ALL, Input, Output, State, ctx, dcc, html, no_update

from api.agent_packages import command as install_command
from api.agent_packages import enrolling, held, on_windows
from api.agent_policy import wanted_versions
from api.agent_watch import SILENT_AFTER
from api.enrolment import restore_agent, revoke_agent
from dashboards.backend import this_request
from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.pages._approval import approve_button, register_approval, switch
from dashboards.read import agents as read
from dashboards.read.agents import Agent, Watched
from dashboards.read.names import key_of
from dashboards.ui.cards import figure_card, freshness, panel
from dashboards.ui.grid import column, row_grid
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, exact_time, moment
from dashboards.ui.panels import copy_line, head, pill, table
from dashboards.ui.response import policy_badge
from dashboards.ui.states import Part, command, empty, problem_box
from dashboards.ui.toasts import TOASTS, toast
from storage.errors import InvalidInput
from storage.tenant import Scope

PAGE: Final = Page(
    path="/agents",
    title="Agents",
    grant="ops:read",
    why="Agents watch hosts and send what they see.",
    icon="agents",
    nav=2,
    group="Platform",
)
EVERY_MS: Final = 5000
WRITE: Final = "tokens:write"
_UNDO: Final = "agent-revoke"
_OFF: Final = "The agents' listener is off: INOPSIO_AGENTS_PORT is -1."
_STATES: Final = {
    "sending": ("Sending", "good", "check"),
    "waits": ("Waits for approval", "medium", "clock"),
    "enrolled": ("Enrolled", "plain", "clock"),
    "silent": ("Silent", "medium", "alert"),
    "ended": ("Certificate ended", "medium", "alert"),
    "cloned": ("Two hosts, one key", "high", "alert"),
    "revoked": ("Revoked", "plain", "alert"),
}
_ARRIVAL_S: Final = 120.0
"""Twice the minute within which something arrives in a house that is used."""
_COLUMNS: Final = (
    column("title", "Host", 220, "goCell", flex=2),
    column("events", "Events, last day", 150, type="rightAligned"),
    column("last_time", "Last seen (UTC)", 180, "timeCell"),
)


def layout(view: View) -> Part:
    """Give the way to add a host, the agents, and every host that events tell of."""
    console, scope = view.console, view.scope
    live = html.Div(_live(console, scope), id="agents-live", className="stack")
    # With no agent yet, adding the first is what one is here for.
    is_first = not read.agents(console.database, scope)
    add, hosts = _add(console, scope, is_first), _hosts(console, scope)
    order = [add, live, hosts] if is_first else [live, html.Div([hosts, add], className="split")]
    return html.Div(
        [
            head(
                "Agents",
                "Hosts that are watched. A new one turns green here by itself.",
                dcc.Link("Checks", href="/agents/checks", className="button second"),
                dcc.Link("Policy", href="/agents/policy", className="button second"),
            ),
            *order,
            dcc.Interval(id="agents-tick", interval=EVERY_MS),
        ]
    )


def _live(console: Console, scope: Scope) -> list[Part]:
    found, now = read.agents(console.database, scope), console.now()
    if not found:
        return [_none_yet()]
    return [
        html.Div(_figures(found, now), className="figures three flat"),
        _agents(found, now, scope.may(WRITE), wanted_versions(console.database, scope)),
    ]


def _none_yet() -> Part:
    waits = "No agent has sent anything yet. The first shows here within seconds of its start."
    return html.P([icon("clock"), " ", waits], className="muted", role="status")


def _figures(found: list[Agent], now: datetime) -> list[Part]:
    states = [a.state(now) for a in found]
    sending = states.count("sending")
    silent = states.count("silent") + states.count("ended")
    minutes = int(SILENT_AFTER.total_seconds() // 60)
    return [
        figure_card("Agents", count_of(len(found)), period="enrolled, or that ever sent"),
        figure_card("Sending", count_of(sending), period=f"in the last {minutes} min"),
        figure_card(
            "Silent",
            count_of(silent),
            period="look at the host and its network",
            look="medium" if silent else "",
        ),
    ]


def _agents(found: list[Agent], now: datetime, may_revoke: bool, wanted: Mapping[str, int]) -> Part:
    rows = [
        (
            _state(a, now),
            _host(a),
            ", ".join(a.streams[:4]) + (" and more" if len(a.streams) > 4 else ""),
            count_of(a.events),
            count_of(a.rejected),
            moment(a.last_seen, now) if a.last_seen else "never",
            _policy(a, wanted),
            _revoke(a, now) if may_revoke else None,
        )
        for a in found[:200]
    ]
    heads = ("State", "Host", "Sends", "Events", "Refused", "Last heard", "Policy", "Action")
    late_s = 2 * SILENT_AFTER.total_seconds()
    heard = [a.last_seen for a in found if a.last_seen is not None]
    fresh = freshness(max(heard), now, late_s) if heard else None
    return panel("Agents", table("Agents", heads, rows, numbers=(3, 4)), fresh=fresh)


def _host(agent: Agent) -> Part:
    """Name the host as it calls itself, and as it was let in where that is another name."""
    link = dcc.Link(agent.host, href=key_of("host", agent.host).path)
    named = str((agent.papers or {}).get("named", ""))
    if named in {"", agent.host}:
        return link
    return html.Div([link, html.Div(f"let in as {named}", className="muted small")])


def _policy(agent: Agent, wanted: Mapping[str, int]) -> Part:
    """Say which policy it runs, and lead to its page, where its host is acted on."""
    if agent.papers is None:
        return html.Code(agent.agent_id[:13], className="mono", title=agent.agent_id)
    open_ = dcc.Link("Open", href=f"/agent/{agent.agent_id}", title=f"The agent of {agent.host}")
    return html.Div([policy_badge(agent.papers, wanted.get(agent.agent_id, 0)), html.Div(open_)])


def _state(agent: Agent, now: datetime) -> Part:
    return pill(*_STATES[agent.state(now)])


def _revoke(agent: Agent, now: datetime) -> Part | None:
    if agent.papers is None or agent.state(now) == "revoked":
        return None
    waits = agent.state(now) == "waits"
    refuse = html.Button(
        "Refuse" if waits else "Revoke",
        id={"type": "agent-revoke", "agent": agent.agent_id},
        className="act second",
        type="button",
        **{"aria-label": f"{'Refuse' if waits else 'Revoke'} the agent of {agent.host}"},
    )
    return html.Div([approve_button(agent), refuse], className="actions") if waits else refuse


def _sample(port: int) -> Part:
    """Show what the command will look like, so that one knows what is asked of the host."""
    words = "The command will look like this; its token lets in this one host, once."
    text = enrolling(_address(port), "TOKEN", "sha256:...")
    return html.Div(
        [
            html.P(words, className="muted small"),
            command(text, "What the command looks like"),
        ],
        className="stack tight",
    )


def _add(console: Console, scope: Scope, is_first: bool) -> Part:
    if not scope.may(WRITE):
        why = "An administrator of your tenant makes the token that a new host needs."
        return panel("Add a host", html.P(why, className="muted"))
    port = console.settings.agents_place[1]
    if not port:
        return panel("Add a host", html.P(_OFF, className="muted"))
    said = "One command for one host. Its token works once, within an hour."
    sample = _sample(port) if is_first else None
    inside = [
        _form(),
        switch(console, scope),
        html.Div(sample, id="agents-command", **{"aria-live": "polite"}),
    ]
    if not is_first:
        return panel("Add a host", html.Div(inside, className="stack"), said=said)
    return panel("Add the first host", html.Div(inside, className="first-host"), said=said)


def _form() -> Part:
    return html.Div(
        [
            dmc.TextInput(
                id="agents-host",
                label="Name of the host",
                placeholder="ws-104",
                className="control",
            ),
            html.Button(
                [icon("plus"), "Make its command"],
                id="agents-add",
                className="act",
                type="button",
            ),
        ],
        className="line-form",
    )


def _command(console: Console, host: str, token: str, fingerprint: str) -> Part:
    address = _address(console.settings.agents_place[1])
    folder = console.settings.data_dir
    text = install_command(folder, address, token, fingerprint)
    own = f"{enrolling(address, token, fingerprint)} && inopsio-agent install"
    if held(folder):
        words = (
            "Paste it into a shell on the host within an hour: it fetches the agent, checks it, "
        )
        words += "installs it and lets it in. It turns green here."
        more = html.Details(
            [
                html.Summary("The agent is on the host already"),
                copy_line(own, f"Command for {host} with the agent"),
            ]
        )
    else:
        text, words = own, "Paste it into a shell on the host within an hour; it turns green here."
        more = html.P(
            [
                "The host needs the agent first. For a command that brings it along: ",
                html.Code("inopsio agent package add FILE"),
            ],
            className="muted small",
        )
    return html.Div(
        [
            html.P([html.Strong("Shown this once. "), words]),
            copy_line(text, f"Command for {host}"),
            more,
            html.Details(
                [
                    html.Summary(
                        "The host is a Windows: paste this into an administrator's PowerShell"
                    ),
                    copy_line(
                        on_windows(folder, address, token, fingerprint),
                        f"Command for {host} on Windows",
                    ),
                ]
            ),
        ],
        className="stack tight done-box",
    )


def _hosts(console: Console, scope: Scope) -> Part:
    found, until, arrived = read.watched(console.database, scope)
    if until is None:
        why = "Hosts show here once events tell of them, whoever sends those."
        return panel("Hosts in the events", empty("No host yet", why))
    grid = row_grid("agents-hosts", "Hosts in the events", _COLUMNS, [_row(h) for h in found])
    said = f"{count_of(len(found))} hosts in the day before {exact_time(until)[:16]} UTC."
    fresh = freshness(arrived, console.now(), _ARRIVAL_S)
    return panel("Hosts in the events", grid, said=said, is_flush=True, fresh=fresh)


def _row(found: Watched) -> dict[str, Any]:
    return {
        "id": found.host,
        "title": found.host,
        "href": key_of("host", found.host).path,
        "under": f"{count_of(found.events)} events",
        "events": found.events,
        "last_time": found.last_seen.isoformat(),
    }


def _address(port: int) -> str:
    """Give the agents' listener at this console's address as the person's browser knows it."""
    host = this_request().base_url.hostname or "localhost"
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


def register(console: Console) -> None:
    """Register: renew the list, make a host's command."""

    def renew(scope: Scope, ticks: int | None) -> Any:  # noqa: ANN401  Dash's own values
        return _live(console, scope) if ticks else no_update

    console.scoped_callback(
        Output("agents-live", "children"),
        Input("agents-tick", "n_intervals"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(renew)

    def add(scope: Scope, clicks: int | None, host: str | None) -> Any:  # noqa: ANN401  Dash's own values
        if not clicks:
            return no_update, no_update
        try:
            told = read.let_in(console, scope, host or "")
        except InvalidInput as error:
            return problem_box(str(error)), no_update
        return _command(console, (host or "").strip(), *told), ""

    console.scoped_callback(
        Output("agents-command", "children"),
        Output("agents-host", "value"),
        Input("agents-add", "n_clicks"),
        State("agents-host", "value"),
        grant=WRITE,
        prevent_initial_call=True,
    )(add)
    _register_revoke(console)
    register_approval(console, _live)


def _register_revoke(console: Console) -> None:
    def revoke(scope: Scope, clicks: Any) -> tuple[Any, ...]:  # noqa: ANN401  Dash's own values
        asked = ctx.triggered_id
        if not isinstance(asked, dict) or not any(clicks or ()):
            return no_update, no_update
        agent_id = str(asked["agent"])
        revoke_agent(console.database, scope, agent_id, console.now())
        words = "Revoked: the agent is refused from its next request on."
        return _live(console, scope), toast(words, (_UNDO, {"agent": agent_id}))

    def undo(scope: Scope, data: Mapping[str, Any]) -> str:
        restore_agent(console.database, scope, str(data.get("agent")))
        return "The agent is let in again."

    console.scoped_callback(
        Output("agents-live", "children", allow_duplicate=True),
        Output(TOASTS, "children", allow_duplicate=True),
        Input({"type": "agent-revoke", "agent": ALL}, "n_clicks"),
        grant=WRITE,
        prevent_initial_call=True,
    )(revoke)
    console.undoable(_UNDO, WRITE, undo)
