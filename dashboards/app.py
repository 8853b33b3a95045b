"""Mount the console on the ASGI application."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from dashboards import live, pages, shell
from dashboards.backend import Backend
from dashboards.console import Console
from storage.database import Database
from storage.lake import Lake
from storage.plugins import discover
from storage.settings import Settings

_ASSETS: Final = Path(__file__).with_name("assets")


def mount(app: FastAPI, settings: Settings, database: Database, lake: Lake) -> Console:
    """Add every page to the app, behind the same sign-in; PluginError names a page that is none."""
    dash = shell.Shell(
        "inopsio",
        server=False,
        backend=Backend,
        use_pages=False,
        assets_folder=str(_ASSETS),
        assets_ignore=r"theme\.js|cytoscape",
        index_string=shell.index_string(),
        suppress_callback_exceptions=True,
        title="Inopsio",
        update_title="",
        add_log_handler=False,
        serve_locally=True,
        websocket_callbacks=False,
        enable_mcp=False,
    )
    console = Console(dash, settings, database, lake, app.state.desk.now_us)
    modules = discover("dashboards.pages", pages.CONTRACT)
    dash.layout = shell.frame([m.PAGE for m in modules.values()])
    shell.register(console, modules)
    for module in modules.values():
        module.register(console)
    live.register(app, console)
    dash.init_app(app)
    # Dash does this at the first request to "/"; ours may be another.
    dash._setup_server()
    app.state.script_hashes += dash.csp_hashes()
    app.state.console = console
    for path in dict.fromkeys(["/", *(_route(m.PAGE) for m in modules.values())]):
        app.add_api_route(path, _page_of(console), include_in_schema=False)
    return console


def _route(page: pages.Page) -> str:
    return f"{page.stem}{{key}}" if "<" in page.path else page.path


def _page_of(console: Console) -> Callable[[], HTMLResponse]:
    html = str(console.dash.index())

    def page() -> HTMLResponse:
        return HTMLResponse(html)

    return page
