"""Work on an incident from any page: status, verdict, assignee, notes; changes can be undone."""

from datetime import datetime
from typing import Any, Final

import dash_mantine_components as dmc
import msgspec
from dash import Input, Output, State, ctx, dcc, html, no_update

from business import incidents
from dashboards.console import Console
from dashboards.read.known import Names
from dashboards.read.known import said as said_with
from dashboards.ui.icons import icon
from dashboards.ui.marks import STATUS, VERDICT, level_badge, moment, status_badge, verdict_badge
from dashboards.ui.states import Part
from storage.database.queries import select
from storage.errors import InvalidInput
from storage.tenant import Scope

Row = dict[str, Any]
_MOST_NOTES: Final = 200
_GRANT: Final = "incidents:write"
_FIELDS: Final = ("status", "verdict", "assignee")
_SAID: Final = {"status": "Status", "verdict": "Verdict", "assignee": "Assignee"}


def panel(
    console: Console,
    scope: Scope,
    incident: Row | None,
    has_link: bool = True,
    names: Names | None = None,
) -> Part:
    """Show the incident and, to those who may, what can be done with it."""
    if incident is None:
        inside: Part = html.P(
            "This finding is in no incident yet; that takes a few seconds after it was made.",
            className="muted",
        )
    else:
        told = {**incident, "title": said_with(str(incident["title"]), names or {})}
        inside = _inside(console, scope, told, has_link)
    return html.Section(
        [html.H2("Incident"), html.Div(inside, id="incident-panel", className="stack")],
        className="card stack tight",
        **{"aria-label": "Incident"},
    )


def _inside(
    console: Console, scope: Scope, incident: Row, has_link: bool, said: Part = None
) -> list[Part]:
    with console.database.app(scope) as tx:
        notes = select(
            tx, "incident_notes_of", incident_id=incident["incident_id"], limit=_MOST_NOTES
        )
        people = [str(r["name"]) for r in select(tx, "console_people")]
    now = console.now()
    kept = {name: incident[name] or "" for name in _FIELDS}
    reference = {"id": incident["incident_id"], "version": incident["version"], **kept}
    verdict = incident["verdict"]
    title = incident["title"]
    head = [
        dcc.Link(title, href=f"/incident/{incident['incident_id']}") if has_link else None,
        html.Div(
            [
                status_badge(incident["status"]),
                level_badge(incident["level"]),
                verdict_badge(verdict) if verdict else None,
            ],
            className="badges",
        ),
        _facts(incident, now),
    ]
    work = _work(scope, incident, people) if scope.may(_GRANT) else []
    return [
        *head,
        html.Div(said, id="incident-said", **{"aria-live": "polite"}),
        *work,
        _notes(notes, now),
        dcc.Store(id="incident-reference", data={**reference, "has_link": has_link}),
    ]


def _facts(incident: Row, now: datetime) -> Part:
    return html.Dl(
        [
            html.Dt("Findings"),
            html.Dd(f"{incident['finding_count']:,}"),
            html.Dt("Assigned to"),
            html.Dd(incident["assignee"] or "nobody"),
            html.Dt("First seen"),
            html.Dd(moment(incident["first_time"], now)),
            html.Dt("Last seen"),
            html.Dd(moment(incident["last_time"], now)),
        ],
        className="facts",
    )


def _work(scope: Scope, incident: Row, people: list[str]) -> list[Part]:
    known = sorted(
        {*people, scope.actor.name, *([incident["assignee"]] if incident["assignee"] else [])}
    )
    plain = {"transitionProps": {"duration": 0}}
    return [
        dmc.SegmentedControl(
            id="incident-status",
            data=[{"value": k, "label": v} for k, v in STATUS.items()],
            value=incident["status"],
            fullWidth=True,
            transitionDuration=0,
            **{"aria-label": "Status"},
        ),
        html.Fieldset(
            [
                html.Legend("Verdict", className="field-label"),
                html.Div(
                    dmc.ChipGroup(
                        [dmc.Chip(words, value=key, size="sm") for key, words in VERDICT.items()],
                        id="incident-verdict",
                        value=incident["verdict"],
                        deselectable=True,
                    ),
                    className="chips",
                ),
            ],
            className="plain-fieldset",
        ),
        dmc.Select(
            id="incident-assignee",
            label="Assigned to",
            data=known,
            value=incident["assignee"],
            placeholder="Nobody",
            searchable=True,
            clearable=True,
            clearButtonProps={"aria-label": "Assign to nobody"},
            comboboxProps=plain,
        ),
        dmc.Textarea(
            id="incident-note",
            label="Add a note",
            autosize=True,
            minRows=2,
            maxRows=8,
        ),
        html.Div(
            html.Button(
                [icon("note"), "Add note"],
                id="incident-note-add",
                className="act second",
                type="button",
            ),
            className="actions",
        ),
    ]


def _notes(notes: list[Row], now: datetime) -> Part:
    if not notes:
        return html.P("No notes yet.", className="muted small")
    return html.Div(
        [
            html.Article(
                [
                    html.Div(
                        [html.Strong(note["author"]), " ", moment(note["at"], now)],
                        className="muted small",
                    ),
                    html.P(note["body"]),
                ],
                className="note",
            )
            for note in notes
        ]
    )


def register(console: Console) -> None:
    """Register the panel's callbacks; every one needs the grant to write incidents."""

    def act(scope: Scope, *values: Any) -> Any:  # noqa: ANN401  Dash's own values
        status, verdict, assignee, clicks, note, reference = values
        if not isinstance(reference, dict):
            return no_update
        if ctx.triggered_id == "incident-note-add":
            return _add_note(console, scope, reference, note) if clicks else no_update
        wanted = {"status": status, "verdict": verdict or "", "assignee": assignee or ""}
        return _change(console, scope, reference, wanted)

    console.scoped_callback(
        Output("incident-panel", "children"),
        Input("incident-status", "value"),
        Input("incident-verdict", "value"),
        Input("incident-assignee", "value"),
        Input("incident-note-add", "n_clicks"),
        State("incident-note", "value"),
        State("incident-reference", "data"),
        grant=_GRANT,
        prevent_initial_call=True,
    )(act)

    def undo(scope: Scope, clicks: int | None, before: Any, reference: Any) -> Any:  # noqa: ANN401  Dash's own values
        if not clicks or not isinstance(before, dict) or not isinstance(reference, dict):
            return no_update
        return _change(console, scope, reference, before, "Undone. ", can_undo=False)

    console.scoped_callback(
        Output("incident-panel", "children", allow_duplicate=True),
        Input("incident-undo", "n_clicks"),
        State("incident-before", "data"),
        State("incident-reference", "data"),
        grant=_GRANT,
        prevent_initial_call=True,
    )(undo)


def _change(
    console: Console,
    scope: Scope,
    reference: Row,
    wanted: Row,
    prefix: str = "",
    can_undo: bool = True,
) -> Any:  # noqa: ANN401  a component or no_update
    before = {name: str(reference.get(name) or "") for name in _FIELDS}
    after = {name: str(wanted.get(name) or "") for name in _FIELDS}
    moved = [name for name in _FIELDS if before[name] != after[name]]
    if not moved:
        return no_update
    if after["status"] not in STATUS or after["verdict"] not in {"", *VERDICT}:
        raise InvalidInput("that is no status or verdict of this house")
    change = msgspec.convert({name: after[name] for name in moved}, incidents.Change)
    with console.database.app(scope) as tx:
        incident = incidents.change(
            scope, tx, str(reference.get("id")), change, int(reference.get("version") or 0)
        )
    words = ", ".join(f"{_SAID[n]}: {_word(after[n])} (was {_word(before[n])})" for n in moved)
    undo = [
        html.Button("Undo", id="incident-undo", className="act second", type="button"),
        dcc.Store(id="incident-before", data=before),
    ]
    said = html.Div([html.Span(prefix + words), *(undo if can_undo else [])], className="done")
    return _inside(console, scope, incident, bool(reference.get("has_link")), said)


def _word(value: str) -> str:
    return STATUS.get(value) or VERDICT.get(value) or value or "none"


def _add_note(console: Console, scope: Scope, reference: Row, note: str | None) -> list[Part]:
    incident_id = str(reference.get("id"))
    with console.database.app(scope) as tx:
        incidents.add_note(scope, tx, incident_id, note or "")
        incident = incidents.get(scope, tx, incident_id)
    said = html.Div("Note added.", className="done")
    return _inside(console, scope, incident, bool(reference.get("has_link")), said)
