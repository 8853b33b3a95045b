"""Tell what was just done, with a way back.

A callback gives `toast(...)` to `Output(TOASTS, "children", allow_duplicate=True)`. With `undo` the
toast has a button; the page that did it has said beforehand how to undo by
`console.undoable(kind, grant, handler)`, where `handler(scope, data) -> str` undoes in the scope of
who clicks, checks what it is given (it comes back from a browser) and gives the words to show.
After every undo the store CHANGED moves: a page that lists things takes it as an input.
"""

from collections.abc import Mapping
from typing import Any, Final

from dash import dcc, html

from dashboards.ui.icons import icon
from dashboards.ui.states import Part
from storage.identity import new_id

TOASTS: Final = "toasts"
CHANGED: Final = "changed"


def toast(
    words: str,
    undo: tuple[str, Mapping[str, Any]] | None = None,
    is_bad: bool = False,
    href: str = "",
) -> Part:
    """Say what was done; it fades by itself after 12 s, not while the pointer is on it."""
    inside: list[Part] = [icon("alert" if is_bad else "check"), html.Span(words)]
    if href:
        inside.append(dcc.Link("Open", href=href, className="toast-act"))
    if undo is not None:
        kind, data = undo
        inside += [
            html.Button([icon("undo"), "Undo"], id="undo", className="toast-act", type="button"),
            dcc.Store(id="undo-what", data={"kind": kind, "data": dict(data)}),
        ]
    # A new key is a new element: the fading starts anew.
    return html.Div(inside, className="toast bad" if is_bad else "toast", key=new_id(0))
