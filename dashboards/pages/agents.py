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
from dashboards.ui.cards import figure_card, freshness, panel
from dashboards.ui.grid import column, row_grid
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, exact_time, moment
from dashboards.ui.panels import copy_line, head, pill, table
from dashboards.ui.states import Part, command, empty, problem_box
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
    add, hosts = _add(scope, is_first), _hosts(console, scope)
    order = [add, live, hosts] if is_first else [live, html.Div([hosts, add], className="split")]
    return html.Div(
        [
            head("Agents", "Hosts that are watched. A new one turns green here by itself."),
            *order,
            dcc.Interval(id="agents-tick", interval=EVERY_MS),
        ]
    )


def _live(console: Console, scope: Scope) -> list[Part]:
    found, now = read.agents(console.database, scope), console.now()
    if not found:
        return [_none_yet()]
    return [html.Div(_figures(found, now), className="figures three flat"), _agents(found, now)]


def _none_yet() -> Part:
    waits = "No agent has sent anything yet. The first shows here within seconds of its start."
    return html.P([icon("clock"), " ", waits], className="muted", role="status")


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
    late_s = 2 * read.SILENT_AFTER.total_seconds()
    fresh = freshness(max(a.last_seen for a in found), now, late_s)
    return panel("Agents", table("Agents", heads, rows, numbers=(3, 4)), fresh=fresh)


def _state(agent: Agent, now: datetime) -> Part:
    if agent.is_silent(now):
        return pill("Silent", "medium", "alert")
    return pill("Sending", "good", "check")


def _sample() -> Part:
    """Show what the command will look like, so that one knows what is asked of the host."""
    words = "The command will look like this; its token is made for this one host."
    return html.Div(
        [
            html.P(words, className="muted small"),
            command(_command_text("ws-104", "TOKEN", _address()), "What the command looks like"),
        ],
        className="stack tight",
    )


def _add(scope: Scope, is_first: bool) -> Part:
    if not scope.may("tokens:write"):
        why = "An administrator of your tenant makes the token that a new host needs."
        return panel("Add a host", html.P(why, className="muted"))
    said = "One command for one host. Its token can send events and nothing else, for 30 days."
    sample = _sample() if is_first else None
    inside = [_form(), html.Div(sample, id="agents-command", **{"aria-live": "polite"})]
    if not is_first:
        return panel("Add a host", *inside, said=said)
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


def _command_text(host: str, token: str, address: str) -> str:
    file = shlex.quote(f"{quote(host, safe='')}.token")
    return (
        f"umask 077 && printf %s {shlex.quote(token)} > {file} && "
        f"inopsio-agent --data ./inopsio-agent run --url {shlex.quote(address)} --token-file {file}"
    )


def _command(host: str, token: str, address: str) -> Part:
    text = _command_text(host, token, address)
    return html.Div(
        [
            html.P(
                [
                    html.Strong("Shown this once. "),
                    "Paste it into a shell on the host. It turns green on this page when it sends.",
                ]
            ),
            copy_line(text, f"Command for {host}"),
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
