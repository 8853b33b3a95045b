"""Show one incident: its findings in order, and the work on it."""

from typing import Any, Final

from dash import dcc, html

from dashboards import incident
from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.read import incidents as read
from dashboards.ui.events import entity_path
from dashboards.ui.icons import icon
from dashboards.ui.marks import count_of, exact_time, level_badge
from dashboards.ui.states import Part

PAGE: Final = Page(
    path="/incident/<id>",
    title="Incident",
    grant="incidents:read",
    why="Incidents are groups of findings that people work on.",
    under="/incidents",
)


def layout(view: View) -> Part:
    """Give the incident's findings beside the panel to work on it."""
    found, findings = read.one(view.console.database, view.scope, view.key)
    return html.Div(
        [
            html.Div(
                [
                    dcc.Link(
                        [icon("back"), " All incidents"], href="/incidents", className="small"
                    ),
                    html.H1(found["title"]),
                    html.Div(
                        [
                            level_badge(found["level"]),
                            html.Span(
                                [
                                    dcc.Link(found["entity"], href=entity_path(found["entity"])),
                                    f" ({found['entity_type']})",
                                ],
                                className="muted",
                            ),
                        ],
                        className="badges",
                    ),
                ],
                className="stack tight",
            ),
            html.Div(
                [
                    _findings(found, findings),
                    incident.panel(view.console, view.scope, found, has_link=False),
                ],
                className="split",
            ),
        ]
    )


def _findings(found: dict[str, Any], findings: list[dict[str, Any]]) -> Part:
    shown = f"{count_of(len(findings))} of {count_of(found['finding_count'])}, newest first"
    head = html.Tr([html.Th(t, scope="col") for t in ("Time (UTC)", "Level", "Finding", "Events")])
    rows = [
        html.Tr(
            [
                html.Td(exact_time(f["time"])[:19], className="nowrap"),
                html.Td(level_badge(f["level"])),
                html.Td(dcc.Link(f["title"], href=f"/finding/{f['finding_id']}")),
                html.Td(count_of(f["event_count"]), className="number"),
            ]
        )
        for f in findings
    ]
    return html.Section(
        [
            html.Div(
                [html.H2("Findings"), html.Span(shown, className="muted")], className="card-head"
            ),
            html.Div(
                html.Table([html.Thead(head), html.Tbody(rows)], className="table"),
                className="scroll tall",
                tabIndex=0,
                role="region",
                **{"aria-label": "Findings of this incident"},
            ),
        ],
        className="card",
        **{"aria-label": "Findings"},
    )


def register(console: Console) -> None:
    """Register nothing: the panel's callbacks are registered once, by the finding's page."""
