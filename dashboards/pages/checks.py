"""Show which configuration checks fail on which hosts, and how to mend them."""

from typing import Final

from dash import dcc, html

from api.agent_checks import MOST, checks, counts
from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.ui.agent_state import checks_table
from dashboards.ui.cards import figure_card, panel
from dashboards.ui.marks import count_of
from dashboards.ui.panels import head
from dashboards.ui.states import Part

PAGE: Final = Page(
    path="/agents/checks",
    title="Checks",
    grant="ops:read",
    why="Checks say which settings of hosts let attackers in.",
    under="/agents",
    anew=True,
)


def layout(view: View) -> Part:
    """Give each host's latest verdicts; only what failed, unless all are asked for."""
    database, scope, now = view.console.database, view.scope, view.console.now()
    is_all = "show=all" in view.search
    found, of = checks(database, scope, only_failed=not is_all), counts(database, scope)
    other = ("Failed only", "/agents/checks") if is_all else ("All", "/agents/checks?show=all")
    cut = f"The first {count_of(MOST)}." if len(found) == MOST else ""
    inside = html.P("No check failed.", className="muted")
    if found or not of["checks"]:
        inside = checks_table(found, now, with_host=True)
    return html.Div(
        [
            head(
                "Checks",
                "Settings of hosts, judged by the agents; a verdict is told when it changes.",
                dcc.Link(other[0], href=other[1], className="button second"),
            ),
            html.Div(
                [
                    figure_card(
                        "Failed",
                        count_of(of["failed"]),
                        period=f"of {count_of(of['checks'])} verdicts",
                        look="medium" if of["failed"] else "",
                    ),
                    figure_card("Hosts", count_of(of["hosts"]), period="that told verdicts"),
                ],
                className="figures two flat",
            ),
            panel("All verdicts" if is_all else "What failed", inside, said=cut),
        ]
    )


def register(console: Console) -> None:
    """Register nothing: the page only shows."""
