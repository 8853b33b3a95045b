"""Show one incident: its story over security and business, and the work on it."""

import uuid
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeVar
from urllib.parse import urlencode

import dash_mantine_components as dmc
import msgspec
from dash import Input, Output, State, dcc, html, no_update

from business import incidents
from dashboards import incident
from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import incidents as read
from dashboards.read.incidents import Detail
from dashboards.read.known import said
from dashboards.read.names import BUSINESS, Key
from dashboards.read.response import agents_of
from dashboards.shell import URL
from dashboards.ui.cards import panel
from dashboards.ui.controls import act_button
from dashboards.ui.events import counted, entity_chip
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, exact_time, level_badge, status_badge
from dashboards.ui.states import Part, empty
from dashboards.ui.story import said_between, story
from dashboards.ui.toasts import CHANGED, TOASTS, toast
from dashboards.ui.value import held_panel, value_badge, value_panel
from storage.errors import InvalidInput
from storage.tenant import Scope

PAGE: Final = Page(
    path="/incident/<id>",
    title="Incident",
    grant="incidents:read",
    why="Incidents are groups of findings that people work on.",
    under="/incidents",
)
Row = dict[str, Any]
T = TypeVar("T")
_WRITE: Final = "incidents:write"
MOST_ACTED_ON: Final = 10
_UNLINK: Final = "incident.unlink"
_MERGE: Final = "incident.merge"


def layout(view: View) -> Part:
    """Give the incident's story beside the panel to work on it."""
    found = read.one(view.console.database, view.console.lake, view.scope, view.key)
    return html.Div(
        [
            html.Div(_body(view.console, view.scope, found), id="incident-body", className="stack"),
            dcc.Store(id="incident-unlink"),
            dcc.Store(id="incident-id", data=found.incident["incident_id"]),
        ]
    )


def _body(console: Console, scope: Scope, found: Detail) -> list[Part]:
    may_work = scope.may(_WRITE)
    others = (
        read.others_open(console.database, scope, found.incident["incident_id"]) if may_work else []
    )
    return [
        _head(found),
        html.Div(
            [
                html.Div([_story(found, may_work), _activity(found)], className="stack"),
                html.Div(
                    [
                        incident.panel(console, scope, found.incident, has_link=False),
                        held_panel(found.held),
                        value_panel(found.value),
                        _entities(console, scope, found),
                        _merge(found, others) if may_work else None,
                    ],
                    className="stack",
                ),
            ],
            className="split wide-side",
        ),
    ]


def _head(found: Detail) -> Part:
    row = found.incident
    lanes = dict.fromkeys(step.lane for step in found.steps)
    lasted = said_between(row["last_time"] - row["first_time"])
    graph = f"/graph?incident={row['incident_id']}"
    steps = f"{counted(len(found.steps), 'step')} over {lasted}"
    if len(lanes) > 1:
        steps += f", across {', '.join(lanes)}"
    merged = None
    if row.get("merged_into"):
        merged = html.P(
            ["Merged into ", dcc.Link("another incident", href=f"/incident/{row['merged_into']}")],
            className="done",
        )
    return html.Header(
        [
            dcc.Link([icon("back"), " All incidents"], href="/incidents", className="small"),
            html.Div(
                [
                    html.H1(said(row["title"], found.names)),
                    html.Div(
                        dcc.Link(
                            [icon("graph"), "Open graph"], href=graph, className="button second"
                        ),
                        className="actions",
                    ),
                ],
                className="page-head titled",
            ),
            merged,
            html.Div(
                [
                    level_badge(row["level"]),
                    status_badge(row["status"]),
                    html.Span(steps, className="muted"),
                    value_badge(found.value),
                ],
                className="badges",
            ),
        ],
        className="stack tight",
    )


def _story(found: Detail, may_work: bool) -> Part:
    if not found.steps:
        return panel("Story", empty("No findings", "All were taken out or moved elsewhere."))
    row = found.incident
    more = row["finding_count"] - len(found.steps)
    cut = f" The first {count_of(len(found.steps))} are shown." if more > 0 else ""
    return panel(
        "Story",
        story(
            found.steps, "What happened, oldest first", _take_out if may_work else None, found.names
        ),
        said=f"What happened, oldest first, over security and business.{cut}",
    )


def _take_out(claim: Row) -> Part:
    """Offer to take a claim out; the toast that tells of it has the way back."""
    return html.Button(
        "Take out",
        type="button",
        className="card-act faint",
        **{
            "data-unlink": str(claim["finding_id"]),
            "aria-label": f"Take out of this incident: {claim['title']}",
        },
    )


def _merge(found: Detail, others: list[Row]) -> Part:
    if not others or found.incident.get("merged_into"):
        return None
    offered = [{"value": r["incident_id"], "label": str(r["title"])[:110]} for r in others]
    return panel(
        "Merge",
        html.Div(
            [
                dmc.Select(
                    id="incident-merge-into",
                    data=offered,
                    placeholder="Choose the incident to go into",
                    searchable=True,
                    comboboxProps={"transitionProps": {"duration": 0}},
                    **{"aria-label": "Incident to merge this one into"},
                ),
                html.Div(
                    act_button("Merge into it", "incident-merge", "link"), className="actions"
                ),
            ],
            className="stack tight",
        ),
        said="Its findings and notes move there; this one then leads on to it.",
    )


def _entities(console: Console, scope: Scope, found: Detail) -> Part:
    rows = []
    hosts = [str(k["entity"]) for k in found.keys if k["entity_type"] == "host"][:MOST_ACTED_ON]
    for told in found.keys:
        key = Key(str(told["entity_type"]), str(told["entity"]))
        rows.append(
            html.Li(
                [
                    entity_chip(key, found.names),
                    html.Span(counted(int(told["claims"]), "claim"), className="muted small"),
                    _act(console, scope, found, key)
                    if key.kind == "host" and key.name in hosts
                    else None,
                ],
                className="business" if key.kind in BUSINESS else "",
            )
        )
    if not rows:
        return None
    return panel("Entities", html.Ul(rows, className="plain-list"), said="Who and what is in it.")


def _act(console: Console, scope: Scope, found: Detail, key: Key) -> Part:
    """Lead to what may be done on a host that has an agent; what is asked there names us."""
    here = agents_of(console.database, scope, key.name)
    if not here:
        return None
    asked = urlencode({"incident": found.incident["incident_id"]})
    href = f"/agent/{here[0]['agent_id']}?{asked}"
    return dcc.Link("Act", href=href, className="small", title=f"Act on the host {key.name}")


_ACTS: Final = {
    "incident.change": "changed",
    "incident.note": "wrote a note",
    "incident.merge": "merged another incident into this",
    "incident.unlink": "took a finding out",
    "incident.open": "opened it by hand",
    "incident.link": "put a finding in",
    "incident.unmerge": "took a merge back",
}


def _activity(found: Detail) -> Part:
    if not found.activity:
        return panel("Activity", html.P("Nobody has touched it yet.", className="muted"))
    rows = [
        html.Li(
            [
                html.Time(
                    exact_time(told["at"])[:19],
                    dateTime=told["at"].isoformat(),
                    className="muted small",
                ),
                html.Span(
                    [
                        html.Strong(str(told["actor"]).partition(":")[2]),
                        " ",
                        _ACTS.get(str(told["action"]), str(told["action"])),
                        " ",
                        html.Span(_changed(told["detail"]), className="muted"),
                    ]
                ),
            ]
        )
        for told in found.activity
    ]
    return panel(
        "Activity", html.Ol(rows, className="activity"), said="Newest first; never edited."
    )


def _changed(detail: Row) -> str:
    moves = [(k, v) for k, v in detail.items() if isinstance(v, list) and len(v) == 2]
    return ", ".join(f"{k}: {v[0] or 'none'} → {v[1] or 'none'}" for k, v in moves)


class _Unlinked(msgspec.Struct, forbid_unknown_fields=True):
    incident: uuid.UUID
    finding: uuid.UUID


class _Merged(msgspec.Struct, forbid_unknown_fields=True):
    into: uuid.UUID
    merged: uuid.UUID
    findings: Annotated[list[uuid.UUID], msgspec.Meta(max_length=read.MOST_BACK)]
    notes: Annotated[list[uuid.UUID], msgspec.Meta(max_length=read.MOST_BACK)]


def _told(data: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(dict(data), kind)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"that cannot be undone: {error}") from error


def register(console: Console) -> None:
    """Register taking out and merging, each with its undo; the panel's own are elsewhere."""
    _register_unlink(console)
    _register_merge(console)

    def again(scope: Scope, changed: Any, incident_id: str | None) -> Any:  # noqa: ANN401  a component
        if not changed or not incident_id:
            return no_update
        return _body(console, scope, read.one(console.database, console.lake, scope, incident_id))

    console.scoped_callback(
        Output("incident-body", "children", allow_duplicate=True),
        Input(CHANGED, "data"),
        State("incident-id", "data"),
        grant=PAGE.grant,
        prevent_initial_call=True,
    )(again)


def _register_unlink(console: Console) -> None:
    def unlink(scope: Scope, asked: Any, incident_id: str | None) -> Any:  # noqa: ANN401  Dash's own values
        if not isinstance(asked, dict) or not incident_id:
            return no_update, no_update
        known = read.incident_uuid(incident_id)
        finding = read.incident_uuid(str(asked.get("finding")))
        with console.database.app(scope) as tx:
            incidents.unlink(scope, tx, known, finding)
        found = read.one(console.database, console.lake, scope, known)
        back = (_UNLINK, {"incident": known, "finding": finding})
        return _body(console, scope, found), toast("Taken out of this incident.", back)

    console.scoped_callback(
        Output("incident-body", "children"),
        Output(TOASTS, "children", allow_duplicate=True),
        Input("incident-unlink", "data"),
        State("incident-id", "data"),
        grant=_WRITE,
        prevent_initial_call=True,
    )(unlink)

    def put_back(scope: Scope, data: Mapping[str, Any]) -> str:
        told = _told(data, _Unlinked)
        with console.database.app(scope) as tx:
            incidents.link(scope, tx, str(told.incident), str(told.finding))
        return "Put back into this incident."

    console.undoable(_UNLINK, _WRITE, put_back)


def _register_merge(console: Console) -> None:
    def merge(scope: Scope, clicks: int | None, into: str | None, incident_id: str | None) -> Any:  # noqa: ANN401  Dash's own values
        if not clicks or not into or not incident_id:
            return no_update, no_update
        known, other = read.incident_uuid(incident_id), read.incident_uuid(into)
        with console.database.app(scope) as tx:
            kept = read.held_by(tx, scope, known)
            after = incidents.merge(scope, tx, other, known)
        back = (_MERGE, {"into": other, "merged": known, **kept})
        return f"/incident/{other}", toast(f"Merged into: {after['title']}"[:160], back)

    console.scoped_callback(
        Output(URL, "pathname", allow_duplicate=True),
        Output(TOASTS, "children", allow_duplicate=True),
        Input("incident-merge", "n_clicks"),
        State("incident-merge-into", "value"),
        State("incident-id", "data"),
        grant=_WRITE,
        prevent_initial_call=True,
    )(merge)

    def part(scope: Scope, data: Mapping[str, Any]) -> str:
        told = _told(data, _Merged)
        kept = {"findings": list(map(str, told.findings)), "notes": list(map(str, told.notes))}
        with console.database.app(scope) as tx:
            after = incidents.unmerge(scope, tx, str(told.into), str(told.merged), kept)
        return f"It stands by itself again: {after['title']}"[:160]

    console.undoable(_MERGE, _WRITE, part)
