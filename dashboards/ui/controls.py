"""Offer acts: chips, choices, tabs, drawers, dialogs, menus, copy buttons; all work by keyboard."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import dash_mantine_components as dmc
from dash import dcc, html

from dashboards.ui.icons import icon
from dashboards.ui.states import Part

AT_ONCE: Final = {"duration": 0}
"""Transition of popovers: none, so that nothing moves under the hand."""


def filter_chip(words: str, rest: str) -> Part:
    """Show a filter that is on; a click leads to `rest`, the address without it."""
    return dcc.Link(
        [html.Span(words), icon("close", "remove this filter")], href=rest, className="chip"
    )


def chip(words: str, mark: str = "", href: str = "", title: str = "") -> Part:
    """Show a short fact with an icon; a link if it leads somewhere."""
    inner = [icon(mark) if mark else None, html.Span(words)]
    told = {"title": title} if title else {}
    if href:
        return dcc.Link(inner, href=href, className="chip soft", **told)
    return html.Span(inner, className="chip soft", **told)


def segmented(name: str, label: str, offered: Mapping[str, str], value: str) -> Part:
    """Offer one of a few; `offered` = value -> words."""
    return dmc.SegmentedControl(
        id=name,
        data=[{"value": k, "label": v} for k, v in offered.items()],
        value=value,
        size="sm",
        transitionDuration=0,
        **{"aria-label": label},
    )


def tabs(name: str, shown: Sequence[tuple[str, str, Part]], value: str = "") -> Part:
    """Show one of several panels: (key, words, content) each."""
    return dmc.Tabs(
        [
            dmc.TabsList([dmc.TabsTab(words, value=key) for key, words, _ in shown]),
            *[dmc.TabsPanel(inside, value=key, pt=16) for key, _, inside in shown],
        ],
        id=name,
        value=value or (shown[0][0] if shown else None),
    )


def drawer(name: str, title: str, inside: Part = None, is_open: bool = False) -> Part:
    """Give a panel that slides in from the right over the list; open it by its `opened`."""
    return dmc.Drawer(
        html.Div(inside, id=f"{name}-body", className="stack"),
        id=name,
        title=title,
        opened=is_open,
        position="right",
        size=520,
        transitionProps=AT_ONCE,
        closeButtonProps={"aria-label": "Close"},
    )


def dialog(name: str, title: str, inside: Part, is_open: bool = False) -> Part:
    """Give a dialog in the middle of the page; open it by its `opened`."""
    return dmc.Modal(
        inside,
        id=name,
        title=title,
        opened=is_open,
        centered=True,
        transitionProps=AT_ONCE,
        closeButtonProps={"aria-label": "Close"},
    )


def confirm(name: str, title: str, words: str, act: str, inside: Part = None) -> Part:
    """Ask before an act; the button that does it has the id `<name>-yes`, the dialog `name`."""
    return dialog(
        name,
        title,
        html.Div(
            [
                html.P(words, className="muted"),
                html.Div(inside) if inside is not None else None,
                html.Div(
                    html.Button(act, id=f"{name}-yes", className="act", type="button"),
                    className="actions end",
                ),
            ],
            className="stack",
        ),
    )


def menu(label: str, target: Sequence[Part], inside: Sequence[Part], look: str = "") -> Part:
    """Give a button that opens a small box under it; a click elsewhere or Escape closes it."""
    return html.Details(
        [
            html.Summary(list(target), className="quiet", **{"aria-label": label}),
            html.Div(list(inside), className="menu-box"),
        ],
        className=f"menu {look}",
    )


def copy_button(text: str, label: str = "Copy") -> Part:
    """Give a button that copies the text; the browser does it, no server is asked."""
    told: dict[str, Any] = {"data-copy": text, "aria-label": label, "title": label}
    return html.Button([icon("copy")], className="quiet copy", type="button", **told)


def act_button(words: str, name: str = "", mark: str = "", second: bool = True) -> Part:
    """Give a button; `second` = one that is not the page's main act."""
    told: dict[str, Any] = {"id": name} if name else {}
    look = "act second" if second else "act"
    return html.Button([icon(mark) if mark else None, words], className=look, type="button", **told)
