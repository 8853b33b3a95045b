"""Show which hosts are watched and which went silent; give the command that adds one."""

import shlex
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

import dash_mantine_components as dmc
from dash import Input, Output, State, dcc, html, no_update

from dashboards.backend import this_request
from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import agents as read
from dashboards.read.agents import Agent, Watched
from dashboards.read.names import key_of
from dashboards.ui.cards import figure_card, panel
from dashboards.ui.grid import column, row_grid
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, exact_time, moment
from dashboards.ui.panels import copy_line, head, pill, table
from dashboards.ui.states import Part, empty, problem_box
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
_COLUMNS: Final = (
    column("title", "Host", 220, "goCell", flex=2),
    column("events", "Events, last day", 150, type="rightAligned"),
    column("last_time", "Last seen (UTC)", 180, "timeCell"),
)


def layout(view: View) -> Part:
    """Give the way to add a host, the agents, and every host that events tell of."""
    console, scope = view.console, view.scope
    return html.Div(
        [
            head("Agents", "Hosts that are watched. A new one turns green here by itself."),
            html.Div(_live(console, scope), id="agents-live", className="stack"),
            html.Div([_hosts(console, scope), _add(scope)], className="split"),
            dcc.Interval(id="agents-tick", interval=EVERY_MS),
        ]
    )


def _live(console: Console, scope: Scope) -> list[Part]:
    found, now = read.agents(console.database, scope), console.now()
    return [html.Div(_figures(found, now), className="figures three flat"), _agents(found, now)]


def _figures(found: list[Agent], now: datetime) -> list[Part]:
    silent = sum(a.is_silent(now) for a in found)
    minutes = int(read.SILENT_AFTER.total_seconds() // 60)
    return [
        figure_card("Agents", count_of(len(found)), period="that ever sent"),
        figure_card("Sending", count_of(len(found) - silent), period=f"in the last {minutes} min"),
        figure_card(
            "Silent",
            count_of(silent),
            period="look at the host and its network",
            look="medium" if silent else "",
        ),
    ]


def _agents(found: list[Agent], now: datetime) -> Part:
    if not found:
        why = "Name a host below and paste the command on it. It shows here within seconds."
        return panel("Agents", empty("No agent has sent anything yet", why))
    rows = [
        (
            _state(a, now),
            dcc.Link(a.host, href=key_of("host", a.host).path),
            ", ".join(a.streams[:4]) + (" and more" if len(a.streams) > 4 else ""),
            count_of(a.events),
            count_of(a.rejected),
            moment(a.last_seen, now),
            html.Code(a.agent_id[:12], className="mono"),
        )
        for a in found[:200]
    ]
    heads = ("State", "Host", "Sends", "Events", "Refused", "Last heard", "Identity")
    return panel("Agents", table("Agents", heads, rows, numbers=(3, 4)))


def _state(agent: Agent, now: datetime) -> Part:
    if agent.is_silent(now):
        return pill("Silent", "medium", "alert")
    return pill("Sending", "good", "check")


def _add(scope: Scope) -> Part:
    if not scope.may("tokens:write"):
        why = "An administrator of your tenant makes the token that a new host needs."
        return panel("Add a host", html.P(why, className="muted"))
    return panel(
        "Add a host",
        html.Div(
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
        ),
        html.Div(id="agents-command", **{"aria-live": "polite"}),
        said="One command for one host. Its token can send events and nothing else, for 30 days.",
    )


def _command(host: str, token: str, address: str) -> Part:
    file = shlex.quote(f"{quote(host, safe='')}.token")
    text = (
        f"umask 077 && printf %s {shlex.quote(token)} > {file} && "
        f"inopsio-agent --data ./inopsio-agent run --url {shlex.quote(address)} --token-file {file}"
    )
    return html.Div(
        [
            html.P(
                [
                    html.Strong("Shown this once. "),
                    "Paste it into a shell on the host. It turns green above when it sends.",
                ]
            ),
            copy_line(text, f"Command for {host}"),
        ],
        className="stack tight done-box",
    )


def _hosts(console: Console, scope: Scope) -> Part:
    found, until = read.watched(console.database, scope, console.settings.window_s)
    if until is None:
        why = "Hosts show here once events tell of them, whoever sends those."
        return panel("Hosts in the events", empty("No host yet", why))
    grid = row_grid("agents-hosts", "Hosts in the events", _COLUMNS, [_row(h) for h in found])
    said = f"{count_of(len(found))} hosts in the day before {exact_time(until)[:16]} UTC."
    return panel("Hosts in the events", grid, said=said, is_flush=True)


def _row(found: Watched) -> dict[str, Any]:
    return {
        "id": found.host,
        "title": found.host,
        "href": key_of("host", found.host).path,
        "under": f"{count_of(found.events)} events",
        "events": found.events,
        "last_time": found.last_seen.isoformat(),
    }


def _address() -> str:
    """Give this console's address as the person's browser knows it."""
    url = this_request().base_url
    return f"{url.scheme}://{url.netloc}"


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
            token = read.add_host(console.database, scope, host or "")
        except InvalidInput as error:
            return problem_box(str(error)), no_update
        return _command((host or "").strip(), token, _address()), ""

    console.scoped_callback(
        Output("agents-command", "children"),
        Output("agents-host", "value"),
        Input("agents-add", "n_clicks"),
        State("agents-host", "value"),
        grant="tokens:write",
        prevent_initial_call=True,
    )(add)
