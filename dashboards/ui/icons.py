"""Show icons: shapes of our own in the style sheet, painted in the colour of the text."""

from typing import Any

from dash import html


def icon(name: str, label: str = "") -> Any:  # noqa: ANN401  a component
    """Give the icon of that name; without a label it is decoration and hidden from readers."""
    told = {"role": "img", "aria-label": label} if label else {"aria-hidden": "true"}
    return html.Span(className=f"icon icon-{name}", **told)
