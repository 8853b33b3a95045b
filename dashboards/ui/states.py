"""Say what a panel shows when it has nothing, is waiting, may not, or failed."""

from typing import Any

from dash import html

from dashboards.ui.icons import icon

Part = Any
"""A Dash component; Dash carries no types."""


def empty(title: str, why: str, *actions: Part) -> Part:
    """Say why there is nothing here and what to do about it."""
    return html.Div(
        [icon("empty"), html.H2(title), html.P(why), *actions], className="state", role="status"
    )


def command(text: str, label: str) -> Part:
    """Show a command to paste, as text that can be selected at one click."""
    return html.Pre(text, className="command", tabIndex=0, role="region", **{"aria-label": label})


def problem_box(message: str, trace_id: str = "") -> Part:
    """Tell of a failure in words, with the id that finds it in the log."""
    trace = [html.Span("Trace "), html.Code(trace_id)] if trace_id else []
    return html.Div(
        [
            icon("alert"),
            html.Div([html.Strong("That did not work"), html.P(message), html.P(trace)]),
        ],
        className="problem",
        role="alert",
    )


def not_allowed(what: str) -> Part:
    """Say that the person's role does not show this, and who can change that."""
    return empty(
        "Your role does not open this page",
        f"{what} Ask an administrator of your tenant if you need it.",
    )


def not_found(what: str) -> Part:
    """Say that there is no such thing (or that it is another tenant's, which is the same)."""
    return empty("Not found", what)


def skeleton(label: str, lines: int = 4, tall: bool = False) -> Part:
    """Hold the place of what is being fetched."""
    bar = "bone tall" if tall else "bone"
    return html.Div(
        [html.Div(className=bar) for _ in range(lines)],
        className="skeleton",
        role="status",
        **{"aria-label": label},
    )
