"""Frame every page: navigation, top bar, search, theme, and the one router behind a Scope."""

from collections.abc import Mapping, Sequence
from string import Template
from types import ModuleType
from typing import Any, Final

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html, no_update

from dashboards.console import PROBLEM, Console
from dashboards.pages import GROUPS, Page, View
from dashboards.read.search import Found, search
from dashboards.ui.controls import dialog, menu
from dashboards.ui.icons import icon
from dashboards.ui.states import Part, not_allowed, not_found
from dashboards.ui.toasts import CHANGED, TOASTS, toast
from dashboards.ui.tokens import css, tokens
from storage.errors import InvalidInput, NotFound, NotSignedIn
from storage.tenant import Scope

URL: Final = "url"
HOME: Final = "/"
TICK: Final = "live-tick"
"""Id of the store in which the browser leaves what the live connection tells; see live.py."""

_KEYS: Final = (
    ("/", "Search this page, or everything"),
    ("Ctrl K", "Search everything"),
    ("j", "Next row"),
    ("k", "Row before"),
    ("Enter", "Open the row"),
    ("x", "Choose the row"),
    ("e", "Close with a verdict; then 1, 2 or 3"),
    ("c", "Open an incident from the rows"),
    ("?", "This help"),
)

# The skeleton in the entry point is the first paint; React replaces it.
_INDEX: Final = Template("""<!DOCTYPE html>
<html lang="en" data-mantine-color-scheme="light">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Inopsio</title>
<script src="/assets/theme.js"></script>
<style>$tokens</style>
{%css%}
<link rel="prefetch" as="script" href="/_dash-component-suites/dash_ag_grid/async-community.js">
<link rel="icon" href="/assets/mark.svg" type="image/svg+xml">
</head>
<body>
{%app_entry%}
<footer hidden>{%config%}{%scripts%}{%renderer%}</footer>
</body>
</html>""")
_FIRST: Final = """<div id="react-entry-point"><div class="frame first" role="status"
 aria-label="Loading"><div class="side"><span class="brand"><span class="mark"></span>
<span class="brand-name">Inopsio</span></span>
</div><div class="top"></div><main class="content"><div class="skeleton"><div class="bone"></div>
<div class="bone tall"></div><div class="bone tall"></div></div></main></div></div>"""


class Shell(Dash):  # type: ignore[misc]  # Dash carries no types
    """Dash with a first paint that needs no script."""

    def interpolate_index(self, **parts: str) -> str:
        """Put the parts into the page, with the skeleton where the application will be."""
        return str(super().interpolate_index(**{**parts, "app_entry": _FIRST}))


def index_string() -> str:
    """Give the page that carries everything else."""
    return _INDEX.substitute(tokens=css())


def frame(pages: list[Page]) -> Part:
    """Give the frame; it holds nothing of any tenant, the router fills that in."""
    told = tokens()
    theme = {
        "fontFamily": told["type"]["sans"],
        "fontFamilyMonospace": told["type"]["mono"],
        "primaryColor": "indigo",
        "primaryShade": {"light": 8, "dark": 4},
        "autoContrast": True,
        "defaultRadius": "md",
    }
    return dmc.MantineProvider(
        theme=theme,
        defaultColorScheme="auto",
        children=[
            dcc.Location(id=URL, refresh="callback-nav"),
            dcc.Store(id=TICK),
            dcc.Store(id=CHANGED),
            html.A("Skip to content", href="#content", className="skip"),
            html.Div(
                [
                    _side(pages),
                    _top(),
                    html.Main(
                        [
                            html.Div(id=PROBLEM, **{"aria-live": "assertive"}),
                            html.Div(id="page", className="page"),
                        ],
                        id="content",
                        className="content",
                        tabIndex=-1,
                    ),
                    html.Div(id=TOASTS, className="toasts", role="status"),
                ],
                className="frame",
            ),
            dialog("keys", "Keyboard", _keys()),
        ],
    )


def _keys() -> Part:
    return html.Dl(
        [part for key, words in _KEYS for part in (html.Dt(html.Kbd(key)), html.Dd(words))],
        className="facts keys",
    )


def _side(pages: list[Page]) -> Part:
    return html.Div(
        [
            dcc.Link(
                [html.Span(className="mark"), html.Span("Inopsio", className="brand-name")],
                href=HOME,
                className="brand",
            ),
            html.Nav(id="nav", children=_nav(pages, "", None), **{"aria-label": "Main"}),
            html.Button(
                [icon("fold"), html.Span("Collapse")],
                id="nav-fold",
                className="quiet fold",
                type="button",
                **{"aria-label": "Collapse or widen the navigation"},
            ),
        ],
        className="side",
        id="side",
    )


def _top() -> Part:
    return html.Header(
        [
            html.Button(
                icon("menu"),
                id="nav-open",
                className="quiet nav-open",
                type="button",
                **{"aria-label": "Open or close the navigation"},
            ),
            html.Nav(id="trail", className="trail", **{"aria-label": "Breadcrumb"}),
            _find(),
            html.Button(
                [
                    html.Span(className="live-dot", **{"aria-hidden": "true"}),
                    html.Span("Live", className="live-on"),
                    html.Span("Paused", className="live-off"),
                    html.Span("Reconnecting", className="live-away"),
                ],
                id="live",
                className="quiet live",
                type="button",
                title="Pause or resume live updates",
            ),
            dmc.ColorSchemeToggle(
                lightIcon=icon("sun"),
                darkIcon=icon("moon"),
                variant="subtle",
                size="lg",
                color="gray",
                attributes={"root": {"aria-label": "Switch light and dark"}},
                id="theme",
            ),
            html.Div(id="who", className="who"),
        ],
        className="top",
    )


def _find() -> Part:
    """Give the search over everything: entities, incidents, findings."""
    return html.Div(
        [
            dmc.TextInput(
                id="find",
                placeholder="Search entities, incidents, findings",
                debounce=220,
                leftSection=icon("search"),
                rightSection=html.Kbd("/"),
                **{"aria-label": "Search everything"},
            ),
            html.Div(id="find-results", className="find-results", **{"aria-live": "polite"}),
        ],
        className="find",
        role="search",
        **{"aria-label": "Everything"},
    )


def _nav(pages: Sequence[Page], here: str, scope: Scope | None) -> list[Part]:
    groups: list[Part] = []
    for group in GROUPS:
        shown = sorted((p for p in pages if p.nav and p.group == group), key=lambda p: p.nav)
        links = [_entry(p, here) for p in shown if scope is not None and scope.may(p.grant)]
        if links:
            name = f"nav-{group.lower()}"
            groups.append(
                html.Div(
                    [html.Div(group, className="nav-group", id=name), *links],
                    role="group",
                    **{"aria-labelledby": name},
                )
            )
    return groups


def _entry(page: Page, here: str) -> Part:
    return dcc.Link(
        [icon(page.icon), html.Span(page.title)],
        href=page.path,
        title=page.title,
        className="nav here" if page.path == here else "nav",
    )


def _who(scope: Scope) -> Part:
    name = scope.actor.name
    roles = ", ".join(sorted(role.value for role in scope.roles))
    return menu(
        f"Account of {name}",
        [html.Span(name[:2].upper(), className="face", **{"aria-hidden": "true"})],
        [
            html.Div([html.Strong(name), html.Span(roles, className="muted small")]),
            html.Div([icon("tenant"), html.Span(["Tenant ", html.Strong(scope.tenant_id)])]),
            html.Button(
                [icon("help"), html.Span("Keyboard shortcuts")],
                id="keys-open",
                className="quiet",
                type="button",
            ),
            html.Button(
                [icon("out"), html.Span("Sign out")],
                id="sign-out",
                className="quiet",
                type="button",
            ),
        ],
        "account",
    )


def _trail(pages: Sequence[Page], page: Page | None) -> list[Part]:
    if page is None:
        return [html.Span("Not found")]
    above = next((p for p in pages if page.under and p.path == page.under), None)
    links: list[Part] = [html.Span((above or page).group, className="trail-group")]
    if above is not None:
        links += [icon("chevron"), dcc.Link(above.title, href=above.path)]
    return [*links, icon("chevron"), html.Span(page.title, **{"aria-current": "page"})]


def register(console: Console, modules: Mapping[str, ModuleType]) -> None:
    """Register the router, the search over everything and the way back from an act."""
    _register_router(console, modules)
    _register_search(console)
    _register_undo(console)


def _register_router(console: Console, modules: Mapping[str, ModuleType]) -> None:
    pages = [m.PAGE for m in modules.values()]

    def route(scope: Scope, path: str | None, search: str | None) -> tuple[Any, ...]:
        page, shown = _open(console, modules, scope, path or "/", search or "")
        here = (page.under or page.path) if page else ""
        return shown, _nav(pages, here, scope), _trail(pages, page), _who(scope), "", []

    console.scoped_callback(
        Output("page", "children"),
        Output("nav", "children"),
        Output("trail", "children"),
        Output("who", "children"),
        Output(PROBLEM, "children"),
        Output("find-results", "children"),
        Input(URL, "pathname"),
        State(URL, "search"),
        grant="",
    )(route)

    def made_anew(scope: Scope, search: str | None, path: str | None) -> Any:  # noqa: ANN401  Dash's own values
        is_anew = any(page.anew and page.match(path or "/") is not None for page in pages)
        return (
            _open(console, modules, scope, path or "/", search or "")[1] if is_anew else no_update
        )

    console.scoped_callback(
        Output("page", "children", allow_duplicate=True),
        Input(URL, "search"),
        State(URL, "pathname"),
        grant="",
        prevent_initial_call=True,
    )(made_anew)


def _register_search(console: Console) -> None:
    def find(scope: Scope, text: str | None) -> Part:
        sought = (text or "").strip()
        if len(sought) < 2:
            return []
        return _results(search(console.database, scope, sought))

    console.scoped_callback(
        Output("find-results", "children", allow_duplicate=True),
        Input("find", "value"),
        grant="",
        prevent_initial_call=True,
    )(find)


def _results(found: Sequence[Found]) -> list[Part]:
    if not found:
        return [html.P("Nothing of that name. Hunt looks into the events.", className="muted")]
    shown: list[Part] = []
    for kind in dict.fromkeys(f.kind for f in found):
        shown.append(html.Div(kind, className="find-kind"))
        shown += [
            dcc.Link(
                [icon(f.mark), html.Span(f.title, className="cut"), html.Span(f.detail)],
                href=f.href,
                className="find-hit",
            )
            for f in found
            if f.kind == kind
        ]
    return shown


def _register_undo(console: Console) -> None:
    def undo(scope: Scope, clicks: int | None, what: Any) -> tuple[Any, ...]:  # noqa: ANN401  Dash's own values
        if not clicks or not isinstance(what, dict):
            return no_update, no_update
        known = console.undos.get(str(what.get("kind")))
        data = what.get("data")
        if known is None or not isinstance(data, dict):
            raise InvalidInput("there is nothing of that kind to undo")
        grant, handler = known
        scope.require(grant)
        return toast(handler(scope, data)), console.now_us()

    console.scoped_callback(
        Output(TOASTS, "children", allow_duplicate=True),
        Output(CHANGED, "data", allow_duplicate=True),
        Input("undo", "n_clicks"),
        State("undo-what", "data"),
        grant="",
        prevent_initial_call=True,
    )(undo)


def _open(
    console: Console, modules: Mapping[str, ModuleType], scope: Scope, path: str, search: str
) -> tuple[Page | None, Part]:
    for module in modules.values():
        page: Page = module.PAGE
        key = page.match(path)
        if key is None:
            continue
        if not scope.may(page.grant):
            return page, not_allowed(page.why)
        try:
            return page, module.layout(View(console, scope, key, search[:4000]))
        except NotFound as error:
            return page, not_found(str(error))
        except NotSignedIn:
            raise
        except Exception as error:  # noqa: BLE001  the page's error box: the frame must stay usable
            return page, console.problem(error)
    return None, not_found("There is no page at this address.")
