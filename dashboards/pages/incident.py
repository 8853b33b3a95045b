"""Show one incident: its story over security and business, and the work on it."""

from typing import Any, Final

from dash import dcc, html

from dashboards import incident
from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import incidents as read
from dashboards.read.incidents import Detail
from dashboards.read.names import BUSINESS, Key
from dashboards.ui.cards import panel
from dashboards.ui.events import entity_chip
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, exact_time, level_badge, status_badge
from dashboards.ui.states import Part, empty
from dashboards.ui.story import said_between, story
from dashboards.ui.value import value_badge, value_panel

PAGE: Final = Page(
    path="/incident/<id>",
    title="Incident",
    grant="incidents:read",
    why="Incidents are groups of findings that people work on.",
    under="/incidents",
)
Row = dict[str, Any]


def layout(view: View) -> Part:
    """Give the incident's story beside the panel to work on it."""
    console, scope = view.console, view.scope
    found = read.one(console.database, scope, view.key)
    return html.Div(
        [
            _head(found),
            html.Div(
                [
                    html.Div([_story(found), _activity(found)], className="stack"),
                    html.Div(
                        [
                            incident.panel(console, scope, found.incident, has_link=False),
                            value_panel(found.value),
                            _entities(found),
                        ],
                        className="stack",
                    ),
                ],
                className="split wide-side",
            ),
        ]
    )


def _head(found: Detail) -> Part:
    row = found.incident
    lanes = dict.fromkeys(step.lane for step in found.steps)
    lasted = said_between(row["last_time"] - row["first_time"])
    graph = f"/graph?incident={row['incident_id']}"
    said = f"{count_of(len(found.steps))} steps over {lasted}"
    if len(lanes) > 1:
        said += f", across {', '.join(lanes)}"
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
                    html.H1(row["title"]),
                    html.Div(
                        dcc.Link(
                            [icon("graph"), "Open graph"], href=graph, className="button second"
                        ),
                        className="actions",
                    ),
                ],
                className="page-head",
            ),
            merged,
            html.Div(
                [
                    level_badge(row["level"]),
                    status_badge(row["status"]),
                    html.Span(said, className="muted"),
                    value_badge(found.value),
                ],
                className="badges",
            ),
        ],
        className="stack tight",
    )


def _story(found: Detail) -> Part:
    if not found.steps:
        return panel("Story", empty("No findings", "All were taken out or moved elsewhere."))
    row = found.incident
    more = row["finding_count"] + (row.get("signal_count") or 0) - len(found.steps)
    cut = f" The first {count_of(len(found.steps))} are shown." if more > 0 else ""
    return panel(
        "Story",
        story(found.steps, "What happened, oldest first"),
        said=f"What happened, oldest first, over security and business.{cut}",
    )


def _entities(found: Detail) -> Part:
    rows = []
    for told in found.keys:
        key = Key(str(told["entity_type"]), str(told["entity"]))
        rows.append(
            html.Li(
                [
                    entity_chip(key),
                    html.Span(
                        f"{count_of(told['claims'])} claim{'' if told['claims'] == 1 else 's'}",
                        className="muted small",
                    ),
                ],
                className="business" if key.kind in BUSINESS else "",
            )
        )
    if not rows:
        return None
    return panel("Entities", html.Ul(rows, className="plain-list"), said="Who and what is in it.")


_ACTS: Final = {
    "incident.change": "changed",
    "incident.note": "wrote a note",
    "incident.merge": "merged another incident into this",
    "incident.unlink": "took a finding out",
    "incident.open": "opened it by hand",
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


def register(console: Console) -> None:
    """Register nothing: the panel's callbacks are registered once, by the finding's page."""
