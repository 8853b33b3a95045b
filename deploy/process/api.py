"""Serve the API and the console on one port."""

from typing import Final

import structlog
import uvicorn

from api.app import create_app
from dashboards.app import mount
from deploy.house import House, opened
from storage.settings import Settings

log = structlog.get_logger()
LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})


def run(settings: Settings) -> None:
    """Serve until told to stop; uvicorn listens to the signals itself."""
    if settings.http_host not in LOOPBACK:
        log.warning("listening_beyond_loopback", host=settings.http_host, tls=False)
    with opened(settings) as house:
        uvicorn.Server(_web(settings, house)).run()


def _web(settings: Settings, house: House) -> uvicorn.Config:
    app = create_app(settings, house.database, house.log, house.lake)
    mount(app, settings, house.database, house.lake)
    return uvicorn.Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=5,
        limit_concurrency=512,
    )
