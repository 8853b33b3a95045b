"""Frame every page: navigation, top bar, theme, and the one router behind a Scope."""

from collections.abc import Mapping
from string import Template
from types import ModuleType
from typing import Any, Final

import dash_mantine_components as dmc
from dash import Dash, Input, Output, State, dcc, html

from dashboards.console import PROBLEM, Console
from dashboards.pages import Page, View
from dashboards.ui.icons import icon
from dashboards.ui.states import Part, not_allowed, not_found
from dashboards.ui.tokens import css, tokens
from storage.errors import NotFound, NotSignedIn
from storage.tenant import Scope

URL: Final = "url"
HOME: Final = "/findings"

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
 aria-label="Loading"><div class="side"><span class="brand"><span class="mark"></span>Inopsio</span>
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
        "primaryColor": "blue",
        "primaryShade": {"light": 8, "dark": 4},
        "autoContrast": True,
        "defaultRadius": "md",
    }
    return dmc.MantineProvider(
        theme=theme,
        defaultColorScheme="auto",
        children=[
            dcc.Location(id=URL, refresh="callback-nav"),
            html.A("Skip to content", href="#content", className="skip"),
            html.Div(
                [
                    html.Div(
                        [
                            dcc.Link(
                                [html.Span(className="mark"), "Inopsio"],
                                href=HOME,
                                className="brand",
                            ),
                            html.Nav(
                                id="nav",
                                children=_nav(pages, "", None),
                                **{"aria-label": "Main"},
                            ),
                        ],
                        className="side",
                    ),
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
                ],
                className="frame",
            ),
        ],
    )


def _top() -> Part:
    return html.Header(
        [
            html.Div(id="trail", className="trail"),
            html.Div(id="who", className="who"),
            dmc.ColorSchemeToggle(
                lightIcon=icon("sun"),
                darkIcon=icon("moon"),
                variant="subtle",
                size="lg",
                color="gray",
                attributes={"root": {"aria-label": "Switch light and dark"}},
                id="theme",
            ),
            html.Button(
                [icon("out"), html.Span("Sign out")],
                id="sign-out",
                className="quiet",
                type="button",
                **{"aria-label": "Sign out"},
            ),
        ],
        className="top",
    )


def _nav(pages: list[Page], here: str, scope: Scope | None) -> list[Part]:
    shown = sorted((p for p in pages if p.nav), key=lambda p: p.nav)
    return [
        dcc.Link(
            [icon(page.icon), html.Span(page.title)],
            href=page.path,
            className="nav here" if page.path == here else "nav",
        )
        for page in shown
        if scope is not None and scope.may(page.grant)
    ]


def register(console: Console, modules: Mapping[str, ModuleType]) -> None:
    """Register the router: which page, may this person open it, what does it show."""
    pages = [m.PAGE for m in modules.values()]

    def route(scope: Scope, path: str | None, search: str | None) -> tuple[Any, ...]:
        page, shown = _open(console, modules, scope, path or "/", search or "")
        here = (page.under or page.path) if page else ""
        who = [
            html.Span([icon("tenant"), scope.tenant_id], className="chip-plain", title="Tenant"),
            html.Span([icon("user"), scope.actor.name], className="chip-plain", title="You"),
        ]
        return shown, _nav(pages, here, scope), page.title if page else "Not found", who, ""

    console.scoped_callback(
        Output("page", "children"),
        Output("nav", "children"),
        Output("trail", "children"),
        Output("who", "children"),
        Output(PROBLEM, "children"),
        Input(URL, "pathname"),
        State(URL, "search"),
        grant="",
    )(route)


def _open(
    console: Console, modules: Mapping[str, ModuleType], scope: Scope, path: str, search: str
) -> tuple[Page | None, Part]:
    path = HOME if path == "/" else path
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
