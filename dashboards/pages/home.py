"""Show the start page: key figures, what needs somebody, and whether the house is well."""

from typing import Final

from dash import html

from dashboards.console import Console
from dashboards.pages import Page, View
from dashboards.ui.states import Part

PAGE: Final = Page(
    path="/",
    title="Home",
    grant="findings:read",
    why="Home sums up what was found and what waits for somebody.",
    icon="home",
    nav=1,
    group="Overview",
)


def layout(view: View) -> Part:  # noqa: ARG001  the contract of a page
    """Give the page."""
    return html.Div([html.H1("Home")])


def register(console: Console) -> None:
    """Register nothing yet."""
